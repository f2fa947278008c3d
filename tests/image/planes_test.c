/* PNG and TIFF: what is written comes back; colours, palettes, stacks with their spacing file. */
#include "base/mem.h"
#include "base/path.h"
#include "image/image.h"
#include "tests/support/support.h"
#include <math.h>
#include <png.h>
#include <stdio.h>
#include <string.h>
#include <tiffio.h>

enum { D = 4, H = 9, W = 13, PLANE = H * W };

static const int64_t flat[3] = { 1, H, W }, deep[3] = { D, H, W };
static const double unit[3] = { 999.0, 1.0, 1.0 }, spacing[3] = { 2.5, 0.5, 0.75 };

static void name(char out[SF_PATH_MAX], const char *file)
{
    assert_int_equal(SF_OK, sf_path_join(out, tst_tmp_dir(), file, NULL));
}

static void check_plane(sf_image_format format, const char *file, float step)
{
    char path[SF_PATH_MAX];
    const char *files[1] = { path };
    float v[PLANE];
    sf_geometry geo;
    sf_image *img = NULL;
    name(path, file);
    for (int i = 0; i < PLANE; i++) v[i] = step * (float)i;
    sf_geometry_make(&geo, format, flat, unit);
    tst_ok(sf_image_write(path, &geo, v));
    tst_ok(sf_image_read(&img, files, 1));
    assert_int_equal(1, img->channels);
    assert_true(img->geo.is_2d);
    assert_memory_equal(flat, img->geo.shape, sizeof flat);
    assert_memory_equal(unit, img->geo.spacing, sizeof unit);
    assert_memory_equal(v, img->data, sizeof v);
    sf_image_destroy(&img);
}

static void test_planes(void **state)
{
    (void)state;
    check_plane(SF_FORMAT_PNG, "grey8.png", 1.0f);
    check_plane(SF_FORMAT_PNG, "grey16.PNG", 500.0f);
    check_plane(SF_FORMAT_TIFF, "plane.tif", 0.125f);
}

static void test_label_planes(void **state)
{
    static const char *const files[] = { "l.png", "l.tif", "l.tiff" };
    static const int highest[] = { 3, 255, 40000 };
    int32_t v[PLANE];
    (void)state;
    for (size_t f = 0; f < 3; f++)
        for (size_t k = 0; k < 3; k++) {
            char path[SF_PATH_MAX];
            sf_geometry geo;
            sf_label_image *img = NULL;
            name(path, files[f]);
            for (int i = 0; i < PLANE; i++) v[i] = (i * 7919) % (highest[k] + 1);
            sf_geometry_make(&geo, f ? SF_FORMAT_TIFF : SF_FORMAT_PNG, flat, unit);
            tst_ok(sf_label_write(path, &geo, v, highest[k]));
            tst_ok(sf_label_image_read(&img, path));
            assert_memory_equal(v, img->data, sizeof v);
            sf_label_image_destroy(&img);
        }
}

static void test_stack(void **state)
{
    char image[SF_PATH_MAX], label[SF_PATH_MAX], side[SF_PATH_MAX];
    const char *files[1] = { image };
    float v[D * PLANE];
    int32_t l[D * PLANE];
    sf_geometry geo;
    sf_image *img = NULL;
    sf_label_image *seg = NULL;
    int channels = 0;
    (void)state;
    name(image, "cell_0000.tif");
    name(label, "cell.tif");
    name(side, "cell_0000.json");
    for (int i = 0; i < D * PLANE; i++) v[i] = (float)(l[i] = i % 256);
    sf_geometry_make(&geo, SF_FORMAT_TIFF, deep, spacing);
    tst_ok(sf_label_write(label, &geo, l, 255)); /* also writes cell.json */
    tst_ok(sf_image_write(image, &geo, v));
    tst_ok(sf_path_remove(side)); /* nnU-Net names the image's spacing file after the case */
    tst_ok(sf_image_read(&img, files, 1));
    tst_ok(sf_label_image_read(&seg, label));
    assert_false(img->geo.is_2d);
    assert_memory_equal(deep, img->geo.shape, sizeof deep);
    assert_memory_equal(spacing, img->geo.spacing, sizeof spacing);
    assert_memory_equal(spacing, seg->geo.spacing, sizeof spacing);
    assert_memory_equal(v, img->data, sizeof v);
    assert_memory_equal(l, seg->data, sizeof l);
    tst_ok(sf_image_probe(&geo, &channels, image));
    assert_int_equal(D, geo.shape[0]);
    sf_image_destroy(&img);
    sf_label_image_destroy(&seg);
}

/* The spacing file of a prediction may tell more already (saved probabilities): that stays. */
static void test_sidecar_keeps_keys(void **state)
{
    static const char old[] = "{\"shape\": 7, \"spacing\": [9, 9, 9]}";
    char label[SF_PATH_MAX], side[SF_PATH_MAX], *text = NULL;
    int32_t v[D * PLANE] = { 0 };
    size_t size = 0;
    sf_geometry geo;
    (void)state;
    name(label, "kept.tif");
    name(side, "kept.json");
    sf_geometry_make(&geo, SF_FORMAT_TIFF, deep, spacing);
    tst_ok(sf_path_write(side, old, sizeof old - 1));
    tst_ok(sf_label_write(label, &geo, v, 1));
    tst_ok(sf_path_read(&text, &size, side, 0));
    assert_non_null(strstr(text, "\"shape\": 7"));
    assert_non_null(strstr(text, "2.5"));
    assert_null(strstr(text, "9"));
    sf_mem_free(text);
    tst_ok(sf_path_write(side, "broken", 6));
    tst_ok(sf_label_write(label, &geo, v, 1));
    tst_ok(sf_path_read(&text, &size, side, 0));
    assert_non_null(strstr(text, "0.75"));
    sf_mem_free(text);
}

static void write_png(const char *path, int type, int depth, const unsigned char *row,
                      size_t stride)
{
    const png_color colours[2] = { { 10, 20, 30 }, { 40, 50, 60 } };
    FILE *f = fopen(path, "wb");
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_init_io(png, f);
    png_set_IHDR(png, info, 4, 2, depth, type, PNG_INTERLACE_ADAM7, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    if (type == PNG_COLOR_TYPE_PALETTE) png_set_PLTE(png, info, colours, 2);
    png_write_info(png, info);
    for (int pass = png_set_interlace_handling(png); pass > 0; pass--)
        for (int y = 0; y < 2; y++) png_write_row(png, row + (size_t)y * stride);
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    fclose(f);
}

static void test_png_colours(void **state)
{
    char path[SF_PATH_MAX];
    const char *files[1] = { path };
    unsigned char rgb[24], index[2] = { 0x50, 0xa0 };
    sf_image *img = NULL;
    sf_label_image *label = NULL;
    (void)state;
    name(path, "colour.png");
    for (int i = 0; i < 24; i++) rgb[i] = (unsigned char)(i * 10);
    write_png(path, PNG_COLOR_TYPE_RGB, 8, rgb, 12);
    tst_ok(sf_image_read(&img, files, 1));
    assert_int_equal(3, img->channels);
    for (int i = 0; i < 24; i++) assert_true(img->data[i % 3 * 8 + i / 3] == (float)rgb[i]);
    sf_image_destroy(&img);
    assert_int_equal(SF_EDATA, sf_label_image_read(&label, path));
    write_png(path, PNG_COLOR_TYPE_PALETTE, 1, index, 1); /* 0101, 1010 */
    tst_ok(sf_image_read(&img, files, 1));
    assert_int_equal(3, img->channels);
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 8; i++) {
            const int one = (i < 4) == (i % 2 == 1);
            assert_true(img->data[c * 8 + i] == (float)(10 * (c + 1) + 30 * one));
        }
    sf_image_destroy(&img);
    write_png(path, PNG_COLOR_TYPE_GRAY, 1, index, 1);
    tst_ok(sf_label_image_read(&label, path));
    assert_int_equal(0, label->data[0]);
    assert_int_equal(1, label->data[1]);
    sf_label_image_destroy(&label);
    write_png(path, PNG_COLOR_TYPE_GRAY_ALPHA, 8, rgb, 8);
    assert_int_equal(SF_EUNSUPPORTED, sf_image_read(&img, files, 1));
}

static void write_tiff(const char *path, int planar, bool tiled, int colour)
{
    unsigned char block[16 * 16 * 3];
    TIFF *t = TIFFOpen(path, "w");
    TIFFSetField(t, TIFFTAG_IMAGEWIDTH, 20);
    TIFFSetField(t, TIFFTAG_IMAGELENGTH, 18);
    TIFFSetField(t, TIFFTAG_BITSPERSAMPLE, 8);
    TIFFSetField(t, TIFFTAG_SAMPLESPERPIXEL, 3);
    TIFFSetField(t, TIFFTAG_PHOTOMETRIC, colour);
    TIFFSetField(t, TIFFTAG_PLANARCONFIG, planar);
    TIFFSetField(t, TIFFTAG_COMPRESSION, COMPRESSION_LZW);
    const int planes = planar == PLANARCONFIG_SEPARATE ? 3 : 1, per = 3 / planes;
    if (tiled) {
        TIFFSetField(t, TIFFTAG_TILEWIDTH, 16);
        TIFFSetField(t, TIFFTAG_TILELENGTH, 16);
    } else {
        TIFFSetField(t, TIFFTAG_ROWSPERSTRIP, 5);
    }
    const int bw = tiled ? 16 : 20, bh = tiled ? 16 : 1;
    for (int c = 0; c < planes; c++)
        for (int y = 0; y < 18; y += bh)
            for (int x = 0; x < 20; x += bw) {
                for (int i = 0; i < bw * bh * per; i++) {
                    const int xx = x + i / per % bw, yy = y + i / per / bw;
                    block[i] = (unsigned char)(xx + 5 * yy + 70 * (c + i % per));
                }
                if (tiled)
                    TIFFWriteTile(t, block, (uint32_t)x, (uint32_t)y, 0, (uint16_t)c);
                else
                    TIFFWriteScanline(t, block, (uint32_t)y, (uint16_t)c);
            }
    TIFFClose(t);
}

static void test_tiff_layouts(void **state)
{
    char path[SF_PATH_MAX];
    const char *files[1] = { path };
    (void)state;
    name(path, "layout.tif");
    for (int kind = 0; kind < 4; kind++) {
        sf_image *img = NULL;
        write_tiff(path, kind & 1 ? PLANARCONFIG_SEPARATE : PLANARCONFIG_CONTIG, kind & 2,
                   PHOTOMETRIC_RGB);
        tst_ok(sf_image_read(&img, files, 1));
        assert_int_equal(3, img->channels);
        for (int c = 0; c < 3; c++)
            for (int y = 0; y < 18; y++)
                for (int x = 0; x < 20; x++)
                    assert_true(img->data[(c * 18 + y) * 20 + x] ==
                                (float)((x + 5 * y + 70 * c) & 255));
        sf_image_destroy(&img);
    }
    sf_image *img = NULL;
    write_tiff(path, PLANARCONFIG_CONTIG, false, PHOTOMETRIC_CIELAB);
    assert_int_equal(SF_EUNSUPPORTED, sf_image_read(&img, files, 1));
    assert_non_null(strstr(sf_error_text(), "layout.tif"));
}

static void test_refusals(void **state)
{
    char path[SF_PATH_MAX];
    float v[D * PLANE] = { 0.0f };
    sf_geometry geo;
    (void)state;
    name(path, "deep.png");
    sf_geometry_make(&geo, SF_FORMAT_TIFF, deep, spacing);
    assert_int_equal(SF_EUNSUPPORTED, sf_image_write(path, &geo, v));
    sf_geometry_make(&geo, SF_FORMAT_PNG, flat, unit);
    v[0] = -1.0f;
    assert_int_equal(SF_EINVAL, sf_image_write(path, &geo, v));
    v[0] = 70000.0f;
    assert_int_equal(SF_EINVAL, sf_image_write(path, &geo, v));
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
        cmocka_unit_test(test_planes),
        cmocka_unit_test(test_label_planes),
        cmocka_unit_test(test_sidecar_keeps_keys),
        cmocka_unit_test(test_stack),
        cmocka_unit_test(test_png_colours),
        cmocka_unit_test(test_tiff_layouts),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, no_leak);
}
