/* One file into another: formats, stacks of planes, 4-D files into channels. */
#include "base/mem.h"
#include "base/path.h"
#include "image/gz.h"
#include "image/rewrite.h"
#include "tests/support/support.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { D = 3, H = 5, W = 6, PLANE = H * W };

static const double unit[3] = { 1, 1, 1 };

static const char *at(const char *name)
{
    static char path[4][SF_PATH_MAX];
    static int turn;
    turn = (turn + 1) % 4;
    assert_int_equal(SF_OK, sf_path_join(path[turn], tst_tmp_dir(), name, NULL));
    return path[turn];
}

static void write_image(const char *name, int64_t planes, const double spacing[3], float first)
{
    const int64_t shape[3] = { planes, H, W };
    float v[D * PLANE];
    sf_geometry geo;
    for (int i = 0; i < D * PLANE; i++) v[i] = first + (float)i;
    sf_geometry_make(&geo, strstr(name, ".png") ? SF_FORMAT_PNG : SF_FORMAT_NIFTI, shape, spacing);
    tst_ok(sf_image_write(at(name), &geo, v));
}

static sf_image *read_image(const char *name)
{
    sf_image *img = NULL;
    const char *files[1] = { at(name) };
    tst_ok(sf_image_read(&img, files, 1));
    return img;
}

/* Whole numbers stay small integers, others are float32; nothing is replaced. */
static void test_formats(void **state)
{
    static const char *const to[] = { "o.mha", "o.nrrd", "o.tif", "o.nii", "o.nhdr" };
    const double mm[3] = { 2.5, 0.5, 0.25 };
    int written = 0;
    (void)state;
    for (int k = 0; k < 2; k++) {
        write_image("in.nii.gz", D, mm, k ? -0.5f : 0.0f);
        for (size_t i = 0; i < sizeof to / sizeof *to; i++) {
            tst_ok(sf_image_rewrite(&written, at("in.nii.gz"), at(to[i]), NULL));
            assert_int_equal(1, written);
            sf_image *img = read_image(to[i]);
            for (int a = 0; a < 3; a++) assert_true(img->geo.spacing[a] == mm[a]);
            for (int v = 0; v < D * PLANE; v++)
                assert_true(img->data[v] == (float)v - (k ? 0.5f : 0.0f));
            sf_image_destroy(&img);
            assert_int_equal(SF_EINVAL,
                             sf_image_rewrite(&written, at("in.nii.gz"), at(to[i]), NULL));
            assert_non_null(strstr(sf_error_text(), to[i]));
            tst_ok(sf_path_remove(at(to[i])));
        }
    }
}

/* Planes are ordered by the numbers in their names. */
static void test_stack(void **state)
{
    const double mm[3] = { 4, 0.5, 0.5 };
    int written = 0;
    (void)state;
    tst_ok(sf_path_make_dirs(at("stack")));
    write_image("stack/z10.png", 1, unit, 100);
    write_image("stack/z9.png", 1, unit, 90);
    write_image("stack/z2.png", 1, unit, 20);
    tst_ok(sf_path_write(at("stack/notes.txt"), "x", 1));
    tst_ok(sf_image_rewrite(&written, at("stack"), at("volume.nii.gz"), mm));
    sf_image *img = read_image("volume.nii.gz");
    assert_int_equal(D, img->geo.shape[0]);
    assert_true(img->geo.spacing[0] == 4.0 && img->geo.spacing[1] == 0.5);
    assert_true(img->geo.affine[2][2] == 4.0 && img->geo.affine[0][0] == 0.5);
    assert_true(img->data[0] == 20.0f && img->data[PLANE] == 90.0f &&
                img->data[2 * PLANE + 7] == 107.0f);
    sf_image_destroy(&img);
    const int64_t wide[3] = { 1, H, W + 1 };
    float v[H * (W + 1)] = { 0 };
    sf_geometry geo;
    sf_geometry_make(&geo, SF_FORMAT_PNG, wide, unit);
    tst_ok(sf_image_write(at("stack/z3.png"), &geo, v));
    assert_int_equal(SF_EDATA, sf_image_rewrite(&written, at("stack"), at("no.nii.gz"), NULL));
    assert_non_null(strstr(sf_error_text(), "z3.png"));
    assert_false(sf_path_is_file(at("no.nii.gz")));
    tst_ok(sf_path_make_dirs(at("empty")));
    assert_int_equal(SF_EDATA, sf_image_rewrite(&written, at("empty"), at("no.nii.gz"), NULL));
    tst_ok(sf_path_make_dirs(at("dicom/series")));
    tst_ok(sf_path_write(at("dicom/series/IM0001.dcm"), "x", 1));
    assert_int_equal(SF_EUNSUPPORTED, sf_image_rewrite(&written, at("dicom"), at("n.nii"), NULL));
    assert_non_null(strstr(sf_error_text(), "dcm2niix"));
}

/* ---- 4-D NIfTI ---- */

static void put16(unsigned char *p, int v)
{
    const int16_t w = (int16_t)v;
    memcpy(p, &w, 2);
}

static void swap2(unsigned char *p)
{
    const unsigned char t = p[0];
    p[0] = p[1];
    p[1] = t;
}

/* 3 x 2 x 2 voxels, 2 volumes of int16, slope 0.5; gzipped. */
static void write_series(const char *name, int ndim, bool big)
{
    unsigned char h[352 + 48] = { 0 };
    const int dim[8] = { ndim, 3, 2, 2, 2, 1, 1, 1 };
    const float pixdim[5] = { 1, 2, 3, 4, 5 }, offset = 352, slope = 0.5f;
    const int32_t size = 348;
    memcpy(h, &size, 4);
    for (int i = 0; i < 8; i++) put16(h + 40 + 2 * i, dim[i]);
    put16(h + 70, 4);
    put16(h + 72, 16);
    memcpy(h + 76, pixdim, sizeof pixdim);
    memcpy(h + 108, &offset, 4);
    memcpy(h + 112, &slope, 4);
    memcpy(h + 148, "kept text", 9);
    memcpy(h + 344, "n+1", 4);
    for (int i = 0; i < 24; i++) put16(h + 352 + 2 * i, 1000 * i - 5000);
    if (big) { /* only the fields that are not zero */
        static const int four[] = { 0, 76, 80, 84, 88, 92, 108, 112 };
        for (size_t i = 0; i < sizeof four / sizeof *four; i++) {
            unsigned char *p = h + four[i], t[4] = { p[3], p[2], p[1], p[0] };
            memcpy(p, t, 4);
        }
        for (int i = 0; i < 8; i++) swap2(h + 40 + 2 * i);
        swap2(h + 70);
        swap2(h + 72);
        for (int i = 0; i < 24; i++) swap2(h + 352 + 2 * i);
    }
    tst_ok(sf_stream_save(at(name), &(sf_piece){ h, sizeof h }, 1, 6));
}

static void test_split(void **state)
{
    int written = 0;
    (void)state;
    for (int big = 0; big < 2; big++) {
        write_series("x.nii.gz", 4, big);
        tst_ok(sf_nifti_split(&written, at("x.nii.gz"), at("case")));
        assert_int_equal(2, written);
        for (int t = 0; t < 2; t++) {
            char name[32];
            snprintf(name, sizeof name, "case_%04d.nii.gz", t);
            sf_image *img = read_image(name);
            assert_int_equal(1, img->channels);
            assert_int_equal(3, img->geo.nifti_header[40]); /* three dimensions ... */
            assert_int_equal(4, img->geo.nifti_header[70]); /* ... still int16 */
            assert_string_equal("kept text", (char *)img->geo.nifti_header + 148);
            assert_true(img->geo.spacing[0] == 4.0 && img->geo.spacing[2] == 2.0);
            for (int i = 0; i < 12; i++)
                assert_true(img->data[i] == (float)(1000 * (12 * t + i) - 5000) * 0.5f);
            sf_image_destroy(&img);
        }
        assert_int_equal(SF_EINVAL, sf_nifti_split(&written, at("x.nii.gz"), at("case")));
        tst_ok(sf_path_remove(at("case_0000.nii.gz")));
        tst_ok(sf_path_remove(at("case_0001.nii.gz")));
    }
}

/* A 3-D file is copied byte for byte; other numbers of dimensions are refused. */
static void test_split_copies(void **state)
{
    int written = 0;
    char *a = NULL, *b = NULL;
    size_t na = 0, nb = 0;
    (void)state;
    write_series("y.nii.gz", 3, true);
    tst_ok(sf_nifti_split(&written, at("y.nii.gz"), at("copy")));
    assert_int_equal(1, written);
    tst_ok(sf_path_read(&a, &na, at("y.nii.gz"), 0));
    tst_ok(sf_path_read(&b, &nb, at("copy_0000.nii.gz"), 0));
    assert_int_equal(na, nb);
    assert_memory_equal(a, b, na);
    sf_mem_free(a);
    sf_mem_free(b);
    write_series("z.nii.gz", 5, false);
    assert_int_equal(SF_EUNSUPPORTED, sf_nifti_split(&written, at("z.nii.gz"), at("none")));
    assert_non_null(strstr(sf_error_text(), "z.nii.gz"));
    assert_false(sf_path_is_file(at("none_0000.nii.gz")));
}

static int no_leak(void **state)
{
    (void)state;
    assert_int_equal(0, sf_mem_live(SF_MEM_CATEGORIES));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_stack),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_split_copies),
    };
    return cmocka_run_group_tests(tests, NULL, no_leak);
}
