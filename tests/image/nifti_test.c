/* NIfTI: what is written comes back; headers that lie are refused with one clear text. */
#include "base/mem.h"
#include "base/path.h"
#include "image/gz.h"
#include "image/image.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { D = 5, H = 7, W = 11, N = D * H * W };

static const int64_t shape[3] = { D, H, W };
static const double spacing[3] = { 3.5, 0.75, 1.25 };

static void name(char out[SF_PATH_MAX], const char *file)
{
    assert_int_equal(SF_OK, sf_path_join(out, tst_tmp_dir(), file, NULL));
}

static void make_values(float *v)
{
    for (int i = 0; i < N; i++) v[i] = (float)((i * 37) % 101) - 17.25f;
}

static void check_round_trip(const char *file)
{
    char path[SF_PATH_MAX];
    float v[N];
    sf_geometry geo;
    sf_image *img = NULL;
    const char *files[1] = { path };
    name(path, file);
    make_values(v);
    sf_geometry_make(&geo, SF_FORMAT_NIFTI, shape, spacing);
    tst_ok(sf_image_write(path, &geo, v));
    tst_ok(sf_image_read(&img, files, 1));
    assert_int_equal(1, img->channels);
    for (int a = 0; a < 3; a++) {
        assert_int_equal(shape[a], img->geo.shape[a]);
        assert_true(fabs(spacing[a] - img->geo.spacing[a]) < 1e-6);
    }
    assert_memory_equal(v, img->data, sizeof v);
    assert_memory_equal(geo.affine, img->geo.affine, sizeof geo.affine);
    sf_image_destroy(&img);
}

static void test_float_round_trip(void **state)
{
    (void)state;
    check_round_trip("a.nii");
    check_round_trip("a.nii.gz");
}

static void test_labels_round_trip(void **state)
{
    static const int highest[] = { 2, 254, 255, 60000 };
    char path[SF_PATH_MAX];
    int32_t v[N];
    sf_geometry geo;
    (void)state;
    sf_geometry_make(&geo, SF_FORMAT_NIFTI, shape, spacing);
    name(path, "label.nii.gz");
    for (size_t k = 0; k < sizeof highest / sizeof *highest; k++) {
        sf_label_image *img = NULL;
        for (int i = 0; i < N; i++) v[i] = (i * 7919) % (highest[k] + 1);
        tst_ok(sf_label_write(path, &geo, v, highest[k]));
        tst_ok(sf_label_image_read(&img, path));
        assert_memory_equal(v, img->data, sizeof v);
        assert_int_equal(348, img->geo.nifti_header_size);
        assert_int_equal(highest[k] < 255 ? 2 : 512,
                         img->geo.nifti_header[70] + 256 * img->geo.nifti_header[71]);
        sf_label_image_destroy(&img);
    }
    v[3] = -1;
    assert_int_equal(SF_EINVAL, sf_label_write(path, &geo, v, 2));
}

static void put16(unsigned char *p, int v)
{
    const int16_t w = (int16_t)v;
    memcpy(p, &w, 2);
}
static void putf(unsigned char *p, float v) { memcpy(p, &v, 4); }

/* The prediction carries the source's position, units, intent and text, but not its scaling. */
static void test_header_is_carried_over(void **state)
{
    char path[SF_PATH_MAX], twin[SF_PATH_MAX];
    int32_t v[N] = { 0 };
    char *a = NULL, *b = NULL;
    size_t na = 0, nb = 0;
    sf_geometry geo;
    sf_label_image *img = NULL;
    (void)state;
    name(path, "carried.nii.gz");
    name(twin, "twin.nii.gz");
    sf_geometry_make(&geo, SF_FORMAT_NIFTI, shape, spacing);
    tst_ok(sf_label_write(path, &geo, v, 1));
    tst_ok(sf_label_image_read(&img, path));
    memcpy(img->geo.nifti_header + 148, "scanner text", 13);
    img->geo.nifti_header[68] = 5;   /* intent: z score */
    img->geo.nifti_header[123] = 10; /* units: mm and s */
    tst_ok(sf_label_write(path, &img->geo, v, 1));
    tst_ok(sf_label_write(twin, &img->geo, v, 1));
    sf_label_image_destroy(&img);
    tst_ok(sf_label_image_read(&img, path));
    assert_string_equal("scanner text", (char *)img->geo.nifti_header + 148);
    assert_int_equal(5, img->geo.nifti_header[68]);
    assert_int_equal(10, img->geo.nifti_header[123]);
    assert_memory_equal(geo.affine, img->geo.affine, sizeof geo.affine);
    sf_label_image_destroy(&img);
    tst_ok(sf_path_read(&a, &na, path, 0));
    tst_ok(sf_path_read(&b, &nb, twin, 0));
    assert_int_equal(na, nb);
    assert_memory_equal(a, b, na);
    assert_int_equal(0, a[4] | a[5] | a[6] | a[7]); /* gzip time */
    assert_int_equal(0, a[3]);                      /* gzip flags: no name */
    sf_mem_free(a);
    sf_mem_free(b);
}

/* "Several values per voxel" would be wrong for labels. */
static void test_vector_intent_is_dropped(void **state)
{
    char path[SF_PATH_MAX];
    int32_t v[N] = { 0 };
    sf_geometry geo;
    sf_label_image *img = NULL;
    (void)state;
    name(path, "vector.nii.gz");
    sf_geometry_make(&geo, SF_FORMAT_NIFTI, shape, spacing);
    tst_ok(sf_label_write(path, &geo, v, 1));
    tst_ok(sf_label_image_read(&img, path));
    put16(img->geo.nifti_header + 68, 1007);
    tst_ok(sf_label_write(path, &img->geo, v, 1));
    sf_label_image_destroy(&img);
    tst_ok(sf_label_image_read(&img, path));
    assert_int_equal(0, img->geo.nifti_header[68] | img->geo.nifti_header[69]);
    sf_label_image_destroy(&img);
}

/* Writes a small file whose header is changed by the test. */
static void write_header(const char *path, const unsigned char *head, size_t size, size_t voxels)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fwrite(head, 1, size, f);
    for (size_t i = 0; i < voxels; i++) fputc((int)(i % 3), f);
    fclose(f);
}

/* 4 x 3 x 2 voxels of uint8, 1 mm. */
static void good_header(unsigned char h[352])
{
    const int32_t size = 348;
    memset(h, 0, 352);
    memcpy(h, &size, 4);
    put16(h + 40, 3);
    put16(h + 42, 4);
    put16(h + 44, 3);
    put16(h + 46, 2);
    put16(h + 70, 2);
    put16(h + 72, 8);
    for (int i = 0; i < 4; i++) putf(h + 76 + 4 * i, 1.0f);
    putf(h + 108, 352.0f);
    memcpy(h + 344, "n+1", 4);
}

static sf_status read_with(const unsigned char h[352], size_t voxels)
{
    char path[SF_PATH_MAX];
    const char *files[1] = { path };
    sf_image *img = NULL;
    name(path, "odd.nii");
    write_header(path, h, 352, voxels);
    const sf_status st = sf_image_read(&img, files, 1);
    if (st == SF_OK) {
        assert_non_null(img);
    } else {
        assert_null(img);
        assert_non_null(strstr(sf_error_text(), "odd.nii"));
    }
    sf_image_destroy(&img);
    return st;
}

static void test_lying_headers(void **state)
{
    unsigned char h[352];
    (void)state;
    good_header(h);
    assert_int_equal(SF_OK, read_with(h, 24));
    assert_int_equal(SF_EDATA, read_with(h, 23));
    assert_int_equal(SF_EDATA, read_with(h, 0));
    put16(h + 42, -4);
    assert_int_equal(SF_EDATA, read_with(h, 24));
    for (int i = 1; i < 8; i++) put16(h + 40 + 2 * i, 32767);
    put16(h + 40, 7);
    assert_int_equal(SF_EDATA, read_with(h, 24));
    put16(h + 40, 3);
    assert_int_equal(SF_EDATA, read_with(h, 24));
    put16(h + 40, 8);
    assert_int_equal(SF_EDATA, read_with(h, 24));
    good_header(h);
    putf(h + 108, 1e9f);
    assert_int_equal(SF_EDATA, read_with(h, 24));
    putf(h + 108, -3.0f);
    assert_int_equal(SF_EDATA, read_with(h, 24));
    putf(h + 108, NAN);
    assert_int_equal(SF_EDATA, read_with(h, 24));
    good_header(h);
    put16(h + 70, 32);
    assert_int_equal(SF_EUNSUPPORTED, read_with(h, 24));
    put16(h + 70, 77);
    assert_int_equal(SF_EDATA, read_with(h, 24));
    good_header(h);
    putf(h + 84, 0.0f);
    assert_int_equal(SF_EDATA, read_with(h, 24));
    putf(h + 84, -2.0f); /* a negative voxel size counts as its absolute value */
    assert_int_equal(SF_OK, read_with(h, 24));
    good_header(h);
    memcpy(h + 344, "ni1", 4);
    assert_int_equal(SF_EDATA, read_with(h, 24));
    memset(h + 344, 0, 4);
    assert_int_equal(SF_EDATA, read_with(h, 24));
}

/* Values: slope and intercept, infinite results, labels that are no integers. */
static void test_scaling(void **state)
{
    unsigned char h[352];
    char path[SF_PATH_MAX];
    const char *files[1] = { path };
    sf_image *img = NULL;
    sf_label_image *label = NULL;
    (void)state;
    name(path, "scaled.nii");
    good_header(h);
    putf(h + 112, 0.5f);
    putf(h + 116, -1.0f);
    write_header(path, h, 352, 24);
    tst_ok(sf_image_read(&img, files, 1));
    for (int i = 0; i < 24; i++) assert_true(img->data[i] == (float)(i % 3) * 0.5f - 1.0f);
    sf_image_destroy(&img);
    assert_int_equal(SF_EDATA, sf_label_image_read(&label, path));
    assert_non_null(strstr(sf_error_text(), "-0.5"));
    put16(h + 70, 16); /* float32, all bytes 0..2: finite; slope makes it so still */
    putf(h + 112, INFINITY);
    write_header(path, h, 352, 96);
    tst_ok(sf_image_read(&img, files, 1));
    sf_image_destroy(&img);
    putf(h + 112, 1e38f);
    putf(h + 116, 3e38f);
    put16(h + 70, 2);
    write_header(path, h, 352, 24);
    assert_int_equal(SF_EDATA, sf_image_read(&img, files, 1));
    assert_non_null(strstr(sf_error_text(), "infinite"));
}

static void test_channels_must_agree(void **state)
{
    char a[SF_PATH_MAX], b[SF_PATH_MAX];
    const char *files[2] = { a, b };
    const int64_t other[3] = { D, W, H };
    const double stretched[3] = { 3.5, 0.75, 1.2501 };
    float v[N];
    sf_geometry geo;
    sf_image *img = NULL;
    (void)state;
    name(a, "c_0000.nii.gz");
    name(b, "c_0001.nii");
    make_values(v);
    sf_geometry_make(&geo, SF_FORMAT_NIFTI, shape, spacing);
    tst_ok(sf_image_write(a, &geo, v));
    v[5] = 1000.0f;
    tst_ok(sf_image_write(b, &geo, v));
    tst_ok(sf_image_read(&img, files, 2));
    assert_int_equal(2, img->channels);
    assert_false(img->warned_affine);
    assert_true(img->data[N + 5] == 1000.0f && img->data[5] != 1000.0f);
    sf_image_destroy(&img);
    geo.affine[0][3] = 20.0;
    tst_ok(sf_image_write(b, &geo, v));
    tst_ok(sf_image_read(&img, files, 2));
    assert_true(img->warned_affine);
    sf_image_destroy(&img);
    sf_geometry_make(&geo, SF_FORMAT_NIFTI, shape, stretched);
    tst_ok(sf_image_write(b, &geo, v));
    assert_int_equal(SF_EDATA, sf_image_read(&img, files, 2));
    sf_geometry_make(&geo, SF_FORMAT_NIFTI, other, spacing);
    tst_ok(sf_image_write(b, &geo, v));
    assert_int_equal(SF_EDATA, sf_image_read(&img, files, 2));
    assert_non_null(strstr(sf_error_text(), "c_0001.nii"));
}

static void write_bytes(const char *path, const char *a, size_t na, const char *b, size_t nb)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(na, fwrite(a, 1, na, f));
    assert_int_equal(nb, fwrite(b, 1, nb, f));
    fclose(f);
}

/* gzip: several members make one stream, padding after the end is ignored, the checksum counts. */
static void test_gzip_streams(void **state)
{
    char path[SF_PATH_MAX], half[SF_PATH_MAX];
    char *whole = NULL, *a = NULL, *b = NULL;
    size_t n = 0, na = 0, nb = 0;
    float v[N];
    sf_geometry geo;
    sf_label_image *img = NULL;
    (void)state;
    name(path, "s.nii");
    name(half, "half.gz");
    for (int i = 0; i < N; i++) v[i] = (float)(i % 5);
    sf_geometry_make(&geo, SF_FORMAT_NIFTI, shape, spacing);
    tst_ok(sf_image_write(path, &geo, v));
    tst_ok(sf_path_read(&whole, &n, path, 0));
    tst_ok(sf_stream_save(half, &(sf_piece){ whole, 500 }, 1, 6));
    tst_ok(sf_path_read(&a, &na, half, 0));
    tst_ok(sf_stream_save(half, &(sf_piece){ whole + 500, n - 500 }, 1, 9));
    tst_ok(sf_path_read(&b, &nb, half, 0));
    name(path, "s.nii.gz");
    write_bytes(path, a, na, b, nb);
    tst_ok(sf_label_image_read(&img, path));
    for (int i = 0; i < N; i++) assert_int_equal(i % 5, img->data[i]);
    sf_label_image_destroy(&img);
    tst_ok(sf_stream_save(path, &(sf_piece){ whole, n }, 1, 6));
    sf_mem_free(a);
    tst_ok(sf_path_read(&a, &na, path, 0));
    write_bytes(path, a, na, "padding", 7);
    tst_ok(sf_label_image_read(&img, path));
    sf_label_image_destroy(&img);
    a[na - 6] ^= 1; /* CRC-32 */
    write_bytes(path, a, na, "", 0);
    assert_int_equal(SF_EDATA, sf_label_image_read(&img, path));
    a[na - 6] ^= 1;
    write_bytes(path, a, na - 8, "", 0);
    assert_int_equal(SF_EDATA, sf_label_image_read(&img, path));
    sf_mem_free(whole);
    sf_mem_free(a);
    sf_mem_free(b);
}

/* A gzipped header that promises far more than a file of its size can hold: no memory is taken. */
static void test_bomb(void **state)
{
    unsigned char h[352];
    char path[SF_PATH_MAX];
    const char *files[1] = { path };
    sf_image *img = NULL;
    (void)state;
    name(path, "bomb.nii.gz");
    good_header(h);
    for (int i = 1; i < 4; i++) put16(h + 40 + 2 * i, 30000);
    tst_ok(sf_stream_save(path, &(sf_piece){ h, sizeof h }, 1, 9));
    const int64_t before = sf_mem_peak();
    assert_int_equal(SF_EDATA, sf_image_read(&img, files, 1));
    assert_non_null(strstr(sf_error_text(), "bomb.nii.gz"));
    assert_true(sf_mem_peak() < before + (4 << 20));
}

/* 2-D, and NIfTI-2. */
static void test_other_headers(void **state)
{
    const int64_t flat[3] = { 1, H, W };
    const double pixel[3] = { 1.0, 0.5, 0.25 };
    char path[SF_PATH_MAX];
    int32_t v[N];
    sf_geometry geo;
    sf_label_image *img = NULL;
    (void)state;
    for (int i = 0; i < N; i++) v[i] = i % 4;
    name(path, "flat.nii.gz");
    sf_geometry_make(&geo, SF_FORMAT_NIFTI, flat, pixel);
    geo.is_2d = true;
    tst_ok(sf_label_write(path, &geo, v, 3));
    tst_ok(sf_label_image_read(&img, path));
    assert_true(img->geo.is_2d && img->geo.shape[0] == 1 && img->geo.spacing[0] == 999.0 * 0.5);
    sf_label_image_destroy(&img);
    sf_geometry_make(&geo, SF_FORMAT_NIFTI, shape, spacing);
    const int32_t size = 540;
    geo.nifti_header_size = 540;
    memcpy(geo.nifti_header, &size, 4);
    tst_ok(sf_label_write(path, &geo, v, 3));
    tst_ok(sf_label_image_read(&img, path));
    assert_int_equal(540, img->geo.nifti_header_size);
    assert_memory_equal(v, img->data, sizeof v);
    sf_label_image_destroy(&img);
}

static void test_names(void **state)
{
    sf_image *img = NULL;
    const char *missing[1] = { "/nonexistent/x.nii.gz" }, *odd[1] = { "x.bmp" };
    (void)state;
    assert_int_equal(SF_EIO, sf_image_read(&img, missing, 1));
    assert_int_equal(SF_EUNSUPPORTED, sf_image_read(&img, odd, 1));
    assert_non_null(strstr(sf_error_text(), "x.bmp"));
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
        cmocka_unit_test(test_float_round_trip),
        cmocka_unit_test(test_labels_round_trip),
        cmocka_unit_test(test_header_is_carried_over),
        cmocka_unit_test(test_vector_intent_is_dropped),
        cmocka_unit_test(test_lying_headers),
        cmocka_unit_test(test_scaling),
        cmocka_unit_test(test_channels_must_agree),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_gzip_streams),
        cmocka_unit_test(test_bomb),
        cmocka_unit_test(test_other_headers),
    };
    return cmocka_run_group_tests(tests, NULL, no_leak);
}
