/* Hundreds of damaged copies of small files: each is read or refused with a text that names it.
 * Run under the sanitizers this finds reads out of bounds. */
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/rng.h"
#include "image/image.h"
#include "tests/support/support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kinds[] = { "f.nii", "f2.nii", "f.nii.gz", "f.png", "f.tif",
                                     "f.mha", "f.mhd",  "f.nrrd",   "f.nhdr" };

static void name(char out[SF_PATH_MAX], const char *file)
{
    assert_int_equal(SF_OK, sf_path_join(out, tst_tmp_dir(), file, NULL));
}

/* A sound file of this kind, read into memory (caller frees). */
static char *sound_file(const char *path, const char *kind, size_t *size)
{
    const int planes = strstr(kind, ".png") ? 1 : 6;
    const int64_t shape[3] = { planes, 8, 10 };
    const double spacing[3] = { 2.0, 1.0, 1.0 };
    float v[480];
    char *bytes = NULL;
    sf_geometry geo;
    for (int i = 0; i < 480; i++) v[i] = (float)((i * 31) % 97);
    sf_geometry_make(&geo, SF_FORMAT_NIFTI, shape, spacing);
    if (kind[1] == '2') { /* NIfTI-2 */
        const int32_t head = 540;
        geo.nifti_header_size = 540;
        memcpy(geo.nifti_header, &head, 4);
    }
    tst_ok(sf_image_write(path, &geo, v));
    tst_ok(sf_path_read(&bytes, size, path, 0));
    return bytes;
}

static void try_read(const char *path)
{
    const char *files[1] = { path };
    sf_image *img = NULL;
    sf_label_image *label = NULL;
    const sf_status st = sf_image_read(&img, files, 1);
    assert_true((st == SF_OK) == (img != NULL));
    if (st != SF_OK) { /* a .mhd or .nhdr may have its faults in the file of its voxels */
        char stem[SF_PATH_MAX];
        tst_ok(sf_path_format(stem, "%.*s.", (int)(strchr(sf_path_base(path), '.') - path), path));
        if (!strstr(sf_error_text(), stem)) fail_msg("%s", sf_error_text());
    }
    if (img) { /* every promised voxel is there */
        const int64_t n = img->channels * img->geo.shape[0] * img->geo.shape[1] * img->geo.shape[2];
        volatile float sum = 0.0f;
        for (int64_t i = 0; i < n; i++) sum += img->data[i];
    }
    sf_image_destroy(&img);
    if (sf_label_image_read(&label, path) == SF_OK) sf_label_image_destroy(&label);
    assert_int_equal(0, sf_mem_live(SF_MEM_CATEGORIES));
}

static void write_bytes(const char *path, const char *bytes, size_t size)
{
    remove(path); /* a file that is cut to 0 bytes and written anew goes to the disk at once */
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(size, fwrite(bytes, 1, size, f));
    fclose(f);
}

static void truncate_all(const char *kind)
{
    char path[SF_PATH_MAX];
    size_t size = 0;
    name(path, kind);
    char *bytes = sound_file(path, kind, &size), *copy = NULL;
    copy = malloc(size);
    memcpy(copy, bytes, size);
    sf_mem_free(bytes);
    for (size_t n = 0; n < size; n += 1 + n / 40) {
        const char *files[1] = { path };
        sf_image *img = NULL;
        write_bytes(path, copy, n);
        try_read(path);
        if (strstr(kind, ".nii") || strstr(kind, ".mha") || strstr(kind, ".nrrd"))
            assert_true(sf_image_read(&img, files, 1) != SF_OK);
        sf_image_destroy(&img);
    }
    free(copy);
}

static void flip_bits(const char *kind, uint32_t seed)
{
    const sf_rng_key key = { .seed = seed, .scope = kind, .purpose = SF_RNG_TEST };
    char path[SF_PATH_MAX];
    size_t size = 0;
    sf_rng r;
    name(path, kind);
    char *bytes = sound_file(path, kind, &size), *copy = NULL, *work = NULL;
    copy = malloc(size);
    work = malloc(size);
    memcpy(copy, bytes, size);
    sf_mem_free(bytes);
    sf_rng_init(&r, &key);
    for (int k = 0; k < 300; k++) {
        /* headers first: half of the damage goes into the first 352 bytes */
        const int64_t span = k % 2 && size > 352 ? 352 : (int64_t)size;
        memcpy(work, copy, size);
        for (int64_t n = 1 + sf_rng_below(&r, 4); n > 0; n--)
            work[sf_rng_below(&r, span)] ^= (char)(1 << sf_rng_below(&r, 8));
        if (k % 7 == 0) memset(work + sf_rng_below(&r, span - 4), k % 2 ? 0xff : 0x7f, 4);
        write_bytes(path, work, size);
        try_read(path);
    }
    free(copy);
    free(work);
}

static void test_truncation(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) truncate_all(kinds[k]);
}

static void test_bit_flips(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) flip_bits(kinds[k], 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_bit_flips),
    };
    sf_log_set_level(SF_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
