/* Edge cases of files, one test per row of the reference's table of edge cases
 * (nnunet-planning.md 13; the test's name is the row's first words). Rows on whole datasets:
 * tests/plan/edge_cases_test.c. */
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/image.h"
#include "tests/support/support.h"
#include <math.h>
#include <png.h>
#include <stdio.h>
#include <string.h>
#include <tiffio.h>

enum { D = 5, H = 6, W = 7, N = D * H * W };

static char warnings[4096];

static void keep_line(void *user, sf_log_level level, const char *line)
{
    (void)user;
    if (level == SF_LOG_WARN) strncat(warnings, line, sizeof warnings - strlen(warnings) - 2);
}

static int listen(void **state)
{
    (void)state;
    warnings[0] = '\0';
    sf_log_set_sink(keep_line, NULL);
    return 0;
}

static int stop_listening(void **state)
{
    (void)state;
    sf_log_set_sink(NULL, NULL);
    assert_int_equal(0, sf_mem_live(SF_MEM_CATEGORIES));
    return 0;
}

static const char *at(const char *name)
{
    static char path[4][SF_PATH_MAX];
    static int turn;
    turn = (turn + 1) % 4;
    assert_int_equal(SF_OK, sf_path_join(path[turn], tst_tmp_dir(), name, NULL));
    return path[turn];
}

static sf_status read_image(sf_image **img, const char *name)
{
    const char *files[1] = { at(name) };
    return sf_image_read(img, files, 1);
}

static void refused(const char *name, sf_status want, const char *word)
{
    sf_image *img = NULL;
    assert_int_equal(want, read_image(&img, name));
    assert_null(img);
    assert_non_null(strstr(sf_error_text(), name));
    if (!strstr(sf_error_text(), word)) fail_msg("\"%s\" lacks \"%s\"", sf_error_text(), word);
}

/* A NIfTI-1 volume of float32 whose header may be changed before it is written. */
static void good_header(unsigned char h[352])
{
    const int32_t size = 348;
    const int16_t dim[8] = { 3, W, H, D, 1, 1, 1, 1 }, type = 16, bits = 32;
    const float pixdim[4] = { 1, 1, 2, 3 }, offset = 352;
    memset(h, 0, 352);
    memcpy(h, &size, 4);
    memcpy(h + 40, dim, sizeof dim);
    memcpy(h + 70, &type, 2);
    memcpy(h + 72, &bits, 2);
    memcpy(h + 76, pixdim, sizeof pixdim);
    memcpy(h + 108, &offset, 4);
    memcpy(h + 344, "n+1", 4);
}

static void write_nifti(const char *name, const unsigned char h[352], const float *v)
{
    FILE *f = fopen(at(name), "wb");
    assert_non_null(f);
    assert_int_equal(352, fwrite(h, 1, 352, f));
    assert_int_equal(N, fwrite(v, sizeof *v, N, f));
    fclose(f);
}

static void set_affine(unsigned char h[352], const float rows[12])
{
    const int16_t code = 1;
    memcpy(h + 254, &code, 2);
    memcpy(h + 280, rows, 12 * sizeof *rows);
}

static void row_2d_real_spacing(void **state)
{
    static const char *const files[] = { "f.mha", "f.nrrd", "f.nii.gz" };
    const int64_t shape[3] = { 1, H, W };
    const double pixel[3] = { 1, 0.5, 0.75 };
    float v[H * W] = { 0 };
    (void)state;
    for (int i = 0; i < 3; i++) {
        sf_geometry geo;
        sf_image *img = NULL;
        sf_geometry_make(&geo, SF_FORMAT_NIFTI, shape, pixel);
        geo.is_2d = true;
        tst_ok(sf_image_write(at(files[i]), &geo, v));
        tst_ok(read_image(&img, files[i]));
        assert_true(img->geo.is_2d && img->geo.spacing[0] == 999.0 * 0.75);
        assert_true(img->geo.spacing[1] == 0.5 && img->geo.spacing[2] == 0.75);
        sf_image_destroy(&img);
    }
}

static void row_non_integer_labels(void **state)
{
    unsigned char h[352];
    float v[N] = { 0 };
    sf_label_image *lab = NULL;
    (void)state;
    good_header(h);
    v[3] = 0.9995f;
    v[4] = 2.0004f;
    write_nifti("l.nii", h, v);
    tst_ok(sf_label_image_read(&lab, at("l.nii")));
    assert_int_equal(1, lab->data[3]);
    assert_int_equal(2, lab->data[4]);
    sf_label_image_destroy(&lab);
    v[W + 2] = 0.99f;
    write_nifti("l.nii", h, v);
    assert_int_equal(SF_EDATA, sf_label_image_read(&lab, at("l.nii")));
    assert_non_null(strstr(sf_error_text(), "x 2, y 1, z 0"));
    assert_non_null(strstr(sf_error_text(), "0.99"));
}

static void row_nan(void **state)
{
    unsigned char h[352];
    float v[N] = { 0 };
    sf_label_image *lab = NULL;
    (void)state;
    good_header(h);
    v[H * W + 1] = NAN;
    write_nifti("nan.nii", h, v);
    refused("nan.nii", SF_EDATA, "x 1, y 0, z 1");
    assert_int_equal(SF_EDATA, sf_label_image_read(&lab, at("nan.nii")));
    assert_non_null(strstr(sf_error_text(), "nan"));
}

static void row_infinity(void **state)
{
    unsigned char h[352];
    float v[N] = { 0 };
    (void)state;
    good_header(h);
    v[9] = -INFINITY;
    write_nifti("inf.nii", h, v);
    refused("inf.nii", SF_EDATA, "infinite");
}

static void row_not_orthonormal(void **state)
{
    static const float sheared[12] = { 1, 0.6f, 0, 5, 0, 2, 0, 6, 0, 0, 3, 7 };
    unsigned char h[352];
    float v[N] = { 0 };
    int32_t labels[N] = { 0 };
    sf_image *img = NULL;
    sf_label_image *lab = NULL;
    (void)state;
    good_header(h);
    set_affine(h, sheared);
    write_nifti("shear.nii", h, v);
    tst_ok(read_image(&img, "shear.nii"));
    assert_non_null(strstr(warnings, "sheared"));
    assert_true(img->geo.spacing[1] == 2.0); /* pixdim, not the column's length 2.09 */
    assert_true(img->geo.affine[0][1] == (double)0.6f);
    tst_ok(sf_label_write(at("p.nii"), &img->geo, labels, 1));
    tst_ok(sf_label_image_read(&lab, at("p.nii")));
    assert_memory_equal(img->geo.affine, lab->geo.affine, sizeof lab->geo.affine); /* verbatim */
    sf_image_destroy(&img);
    sf_label_image_destroy(&lab);
}

static void row_pixdim_against_affine(void **state)
{
    static const float other[12] = { 1.5f, 0, 0, 0, 0, 2, 0, 0, 0, 0, 3, 0 };
    unsigned char h[352];
    float v[N] = { 0 };
    sf_image *img = NULL;
    (void)state;
    good_header(h);
    set_affine(h, other);
    write_nifti("odd.nii", h, v);
    tst_ok(read_image(&img, "odd.nii"));
    assert_non_null(strstr(warnings, "disagree"));
    assert_true(img->geo.spacing[2] == 1.0);
    sf_image_destroy(&img);
}

static void row_negative_pixdim(void **state)
{
    const float negative = -2.0f;
    unsigned char h[352];
    float v[N] = { 0 };
    sf_image *img = NULL;
    (void)state;
    good_header(h);
    memcpy(h + 84, &negative, 4);
    write_nifti("neg.nii", h, v);
    tst_ok(read_image(&img, "neg.nii"));
    assert_true(img->geo.spacing[1] == 2.0);
    sf_image_destroy(&img);
}

static void row_zero_spacing(void **state)
{
    static const char meta[] = "NDims = 3\nDimSize = 1 1 1\nElementSpacing = 1 0 1\nElementType = "
                               "MET_UCHAR\nElementDataFile = LOCAL\nx";
    const float zero = 0.0f;
    unsigned char h[352];
    float v[N] = { 0 };
    (void)state;
    good_header(h);
    memcpy(h + 80, &zero, 4);
    write_nifti("zero.nii", h, v);
    refused("zero.nii", SF_EDATA, "positive");
    tst_ok(sf_path_write(at("zero.mha"), meta, sizeof meta - 1));
    refused("zero.mha", SF_EDATA, "positive");
    const int64_t shape[3] = { D, H, W };
    const double unit[3] = { 1, 1, 1 };
    sf_geometry geo;
    sf_geometry_make(&geo, SF_FORMAT_TIFF, shape, unit);
    tst_ok(sf_image_write(at("zero.tif"), &geo, v));
    tst_ok(sf_path_write(at("zero.json"), "{\"spacing\": [1, 0, 1]}", 22));
    sf_image *img = NULL;
    assert_int_equal(SF_EDATA, read_image(&img, "zero.tif"));
    assert_non_null(strstr(sf_error_text(), "zero.json"));
}

static void row_header_extras(void **state)
{
    const int16_t intent = 3, qform = 2;
    unsigned char h[352];
    float v[N] = { 0 };
    int32_t labels[N] = { 0 };
    sf_image *img = NULL;
    sf_label_image *lab = NULL;
    (void)state;
    good_header(h);
    h[123] = 10;
    memcpy(h + 68, &intent, 2);
    memcpy(h + 148, "scanner 7", 9);
    memcpy(h + 252, &qform, 2);
    memcpy(h + 328, "t statistic", 11);
    write_nifti("e_0000.nii", h, v);
    memcpy(h + 148, "scanner 8", 9);
    write_nifti("e_0001.nii", h, v);
    const char *files[2] = { at("e_0000.nii"), at("e_0001.nii") };
    tst_ok(sf_image_read(&img, files, 2));
    tst_ok(sf_label_write(at("e.nii.gz"), &img->geo, labels, 1));
    tst_ok(sf_label_image_read(&lab, at("e.nii.gz")));
    const unsigned char *got = lab->geo.nifti_header;
    assert_int_equal(10, got[123]);
    assert_int_equal(3, got[68]);
    assert_string_equal("scanner 7", (const char *)got + 148); /* of the first channel */
    assert_string_equal("t statistic", (const char *)got + 328);
    assert_memory_equal(h + 252, got + 252, 76); /* codes, quaternion, offsets, sform */
    sf_image_destroy(&img);
    sf_label_image_destroy(&lab);
}

static void row_4d_nifti(void **state)
{
    const int16_t dim[8] = { 4, W, H, 1, D, 1, 1, 1 };
    unsigned char h[352];
    float v[N];
    sf_image *img = NULL;
    (void)state;
    for (int i = 0; i < N; i++) v[i] = (float)i;
    good_header(h);
    memcpy(h + 40, dim, sizeof dim);
    write_nifti("t.nii", h, v);
    tst_ok(read_image(&img, "t.nii"));
    assert_int_equal(D, img->channels);
    assert_int_equal(1, img->geo.shape[0]);
    assert_memory_equal(v, img->data, sizeof v);
    sf_image_destroy(&img);
}

static void row_nii_uncompressed(void **state)
{
    const int64_t shape[3] = { D, H, W };
    const double mm[3] = { 3, 2, 1 };
    float v[N];
    sf_geometry geo;
    sf_image *a = NULL, *b = NULL;
    (void)state;
    for (int i = 0; i < N; i++) v[i] = (float)i;
    sf_geometry_make(&geo, SF_FORMAT_NIFTI, shape, mm);
    tst_ok(sf_image_write(at("u.nii"), &geo, v));
    tst_ok(sf_image_write(at("u.nii.gz"), &geo, v));
    tst_ok(read_image(&a, "u.nii"));
    tst_ok(read_image(&b, "u.nii.gz"));
    assert_memory_equal(a->data, b->data, sizeof v);
    assert_memory_equal(a->geo.affine, b->geo.affine, sizeof geo.affine);
    sf_image_destroy(&a);
    sf_image_destroy(&b);
}

/* `pages` grey pages of `columns` columns, 8 bit: value = page * 50 + column. */
static void write_pages(const char *name, int pages, int columns)
{
    unsigned char row[64];
    TIFF *t = TIFFOpen(at(name), "w");
    for (int p = 0; p < pages; p++) {
        TIFFSetField(t, TIFFTAG_IMAGEWIDTH, columns);
        TIFFSetField(t, TIFFTAG_IMAGELENGTH, H);
        TIFFSetField(t, TIFFTAG_BITSPERSAMPLE, 8);
        TIFFSetField(t, TIFFTAG_SAMPLESPERPIXEL, 1);
        TIFFSetField(t, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
        TIFFSetField(t, TIFFTAG_ROWSPERSTRIP, H);
        for (int x = 0; x < columns; x++) row[x] = (unsigned char)(p * 50 + x);
        for (uint32_t y = 0; y < H; y++) TIFFWriteScanline(t, row, y, 0);
        TIFFWriteDirectory(t);
    }
    TIFFClose(t);
}

static void check_reader(const char *name, sf_image_reader reader, int channels, int64_t planes,
                         bool is_2d)
{
    const char *files[1] = { at(name) };
    sf_image *img = NULL;
    tst_ok(sf_image_read_as(&img, files, 1, reader));
    assert_int_equal(channels, img->channels);
    assert_int_equal(planes, img->geo.shape[0]);
    assert_int_equal(is_2d, img->geo.is_2d);
    const int64_t plane = H * img->geo.shape[2];
    for (int64_t p = 0; p < channels * planes; p++)
        assert_true(img->data[p * plane + 1] == (float)(p * 50 + 1));
    sf_image_destroy(&img);
}

static void row_tif_3_or_4(void **state)
{
    static const int shapes[][2] = { { 3, 9 }, { 4, 9 }, { 5, 3 }, { 5, 4 } };
    sf_image *img = NULL;
    sf_label_image *lab = NULL;
    const char *files[1];
    (void)state;
    for (int i = 0; i < 4; i++) {
        const int pages = shapes[i][0];
        tst_ok(sf_path_remove(at("v.json")));
        write_pages("v_0000.tif", pages, shapes[i][1]);
        refused("v_0000.tif", SF_EDATA, "overwrite_image_reader_writer");
        check_reader("v_0000.tif", SF_READER_VOLUME, 1, pages, false);
        tst_ok(sf_label_image_read(&lab, at("v_0000.tif"))); /* labels have no colours */
        assert_int_equal(pages, lab->geo.shape[0]);
        sf_label_image_destroy(&lab);
        tst_ok(sf_path_write(at("v.json"), "{\"spacing\": [3, 2, 1]}", 22));
        check_reader("v_0000.tif", SF_READER_AUTO, 1, pages, false); /* a voxel size tells */
    }
    write_pages("rgb.tif", 3, 9);
    check_reader("rgb.tif", SF_READER_PLANE, 3, 1, true);
    write_pages("five.tif", 5, 9);
    check_reader("five.tif", SF_READER_AUTO, 1, 5, false);
    files[0] = at("five.tif");
    assert_int_equal(SF_EDATA, sf_image_read_as(&img, files, 1, SF_READER_PLANE));
    write_pages("one.tif", 1, 9);
    check_reader("one.tif", SF_READER_AUTO, 1, 1, true);
    check_reader("one.tif", SF_READER_VOLUME, 1, 1, false);
}

static void row_tif_without_sidecar(void **state)
{
    sf_image *img = NULL;
    (void)state;
    write_pages("bare.tif", 5, 9);
    tst_ok(read_image(&img, "bare.tif"));
    assert_non_null(strstr(warnings, "bare.tif"));
    for (int a = 0; a < 3; a++) assert_true(img->geo.spacing[a] == 1.0);
    sf_image_destroy(&img);
}

static void row_rgba(void **state)
{
    unsigned char row[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
    sf_image *img = NULL;
    (void)state;
    FILE *f = fopen(at("rgba.png"), "wb");
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_init_io(png, f);
    png_set_IHDR(png, info, 4, 1, 8, PNG_COLOR_TYPE_RGB_ALPHA, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    png_write_row(png, row);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    fclose(f);
    tst_ok(read_image(&img, "rgba.png"));
    assert_int_equal(4, img->channels);
    for (int i = 0; i < 16; i++) assert_true(img->data[i % 4 * 4 + i / 4] == (float)row[i]);
    sf_image_destroy(&img);
}

/* No row, but the same kind: what DICOM's users are told. */
static void dicom(void **state)
{
    char mark[140] = { 0 };
    (void)state;
    memcpy(mark + 128, "DICM", 4);
    tst_ok(sf_path_write(at("IM0001"), mark, sizeof mark));
    refused("IM0001", SF_EUNSUPPORTED, "dcm2niix");
    tst_ok(sf_path_write(at("slice.DCM"), "x", 1));
    refused("slice.DCM", SF_EUNSUPPORTED, "dcm2niix");
    tst_ok(sf_path_write(at("picture.bmp"), "BM", 2));
    refused("picture.bmp", SF_EUNSUPPORTED, "convert it");
    assert_int_equal(SF_EUNSUPPORTED, sf_image_check_ending(".dcm", "d/dataset.json"));
    assert_non_null(strstr(sf_error_text(), "dcm2niix"));
    assert_non_null(strstr(sf_error_text(), "d/dataset.json"));
    tst_ok(sf_image_check_ending(".NII.gz", "d"));
}

#define ROW(text, test)                                                                            \
    {                                                                                              \
        text, test, listen, stop_listening, NULL                                                   \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW("2D with real spacing (2D mha etc.)", row_2d_real_spacing),
        ROW("Label values non-integer", row_non_integer_labels),
        ROW("NaN in images", row_nan),
        ROW("Infinity", row_infinity),
        ROW("Non-orthonormal direction cosines", row_not_orthonormal),
        ROW("pixdim vs affine disagreement", row_pixdim_against_affine),
        ROW("Negative pixdim[1..3]", row_negative_pixdim),
        ROW("zero spacing", row_zero_spacing),
        ROW("Header extras (units, intent, description)", row_header_extras),
        ROW("4D NIfTI in imagesTr", row_4d_nifti),
        ROW(".nii (uncompressed)", row_nii_uncompressed),
        ROW("3D tif whose last or first axis has size 3 or 4", row_tif_3_or_4),
        ROW("3D tif without sidecar", row_tif_without_sidecar),
        ROW("RGBA", row_rgba),
        ROW("DICOM and other foreign formats", dicom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
