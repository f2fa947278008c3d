/* Ensembles of saved probabilities of both widths, with an ignore label, of regions. */
#include "base/mem.h"
#include "base/path.h"
#include "fleet/ensemble.h"
#include "tests/interop/build.h"
#include "tests/support/support.h"
#include <string.h>

enum { HEADS = 3, Z = 2, Y = 4, X = 5, N = Z * Y * X };

static char folder[3][SF_PATH_MAX]; /* two inputs, the output */

static const char *file_in(int i, const char *name)
{
    static char path[2][SF_PATH_MAX];
    static int turn;
    char *p = path[turn++ % 2];
    tst_ok(sf_path_join(p, folder[i], name, NULL));
    return p;
}

static void make_folders(const char *labels)
{
    static const char *const name[] = { "a", "b", "out" };
    static const int32_t none[N];
    static const int64_t shape[3] = { Z, Y, X };
    static const double spacing[3] = { 3, 2, 1 };
    sf_geometry geo;
    char json[512];
    const char *root = tst_tmp_dir();
    sf_geometry_make(&geo, SF_FORMAT_NIFTI, shape, spacing);
    snprintf(json, sizeof json,
             "{\"channel_names\": {\"0\": \"T1\"}, \"file_ending\": \".nii.gz\", \"labels\": %s}",
             labels);
    for (int i = 0; i < 3; i++) tst_ok(sf_path_join(folder[i], root, name[i], NULL));
    for (int i = 0; i < 2; i++) {
        tst_ok(sf_path_make_dirs(folder[i]));
        tst_ok(sf_path_write(file_in(i, "dataset.json"), json, strlen(json)));
        tst_ok(sf_label_write(file_in(i, "c.nii.gz"), &geo, none, 1));
    }
}

/* float16, as nnU-Net's version 1 stores it: sixteenths, which half a float holds exactly. */
static void save_half(const float *p)
{
    static tst_bytes npy, file;
    static const char dict[] =
        "{'descr': '<f2', 'fortran_order': False, 'shape': (3, 2, 4, 5), }\n";
    npy.n = file.n = 0;
    tst_put(&npy, "\x93NUMPY\x01", 7);
    tst_put_int(&npy, 0, 1);
    tst_put_int(&npy, strlen(dict), 2);
    tst_put_text(&npy, dict);
    for (int i = 0; i < HEADS * N; i++) {
        int exponent = 15;
        float m = p[i];
        while (m > 0 && m < 1) { /* m * 2^(exponent - 15), 1 <= m < 2 */
            m *= 2;
            exponent--;
        }
        tst_put_int(&npy, m > 0 ? (uint64_t)(exponent << 10 | (int)((m - 1) * 1024)) : 0, 2);
    }
    const tst_member m = { "softmax.npy", npy.data, npy.n };
    tst_zip(&file, &m, 1, 0, 0);
    tst_ok(sf_path_write(file_in(0, "c.npz"), file.data, file.n));
}

/* Sixteenths of both folders; head h of voxel i. */
static float sixteenths(int folder_at, int h, int i)
{
    return (float)((i * i * (3 + h) + i * 7 + h * 5 + folder_at * (3 * i + h * h)) % 17) / 16;
}

/* Runs the ensemble and compares labels and saved means. `expected` says a voxel's label. */
static void check(const char *labels, int32_t (*expected)(const float mean[HEADS]))
{
    static const int64_t shape[3] = { Z, Y, X };
    const char *const in[] = { folder[0], folder[1] };
    const sf_ensemble_options o = { .dir = in, .n_dirs = 2, .save_probabilities = true };
    float p[2][HEADS * N], *mean = NULL;
    int seen = 0, heads, cases = 0;
    int64_t got[3];
    make_folders(labels);
    for (int f = 0; f < 2; f++)
        for (int h = 0; h < HEADS; h++)
            for (int i = 0; i < N; i++) p[f][h * N + i] = sixteenths(f, h, i);
    save_half(p[0]);
    tst_ok(sf_probabilities_write(folder[1], "c", SF_PROBABILITIES_NPZ, p[1], HEADS, shape, NULL));
    tst_ok(sf_ensemble_folders(sf_comm_self(), &o, folder[2], &cases));
    assert_int_equal(cases, 1);
    sf_label_image *img;
    tst_ok(sf_label_image_read(&img, file_in(2, "c.nii.gz")));
    tst_ok(sf_probabilities_read(&mean, &heads, got, folder[2], "c"));
    assert_int_equal(heads, HEADS);
    for (int i = 0; i < N; i++) {
        float of[HEADS];
        for (int h = 0; h < HEADS; h++) {
            of[h] = (p[0][h * N + i] + p[1][h * N + i]) / 2;
            assert_true(mean[h * N + i] == of[h]);
        }
        assert_int_equal(img->data[i], expected(of));
        seen |= 1 << img->data[i];
    }
    assert_true(seen == 7); /* labels 0, 1, 2 all occur: nothing is decided by chance */
    sf_mem_free(mean);
    sf_label_image_destroy(&img);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

static int32_t largest(const float mean[HEADS])
{
    int best = 0;
    for (int h = 1; h < HEADS; h++)
        if (mean[h] > mean[best]) best = h;
    return best;
}

/* Three heads for background, 1, 2: the ignore label has none and is never given. */
static void ignored(void **state)
{
    (void)state;
    check("{\"background\": 0, \"a\": 1, \"b\": 2, \"ignore\": 3}", largest);
}

/* regions_class_order 1, 2, 1: the later region wins. */
static int32_t in_order(const float mean[HEADS])
{
    static const int32_t order[HEADS] = { 1, 2, 1 };
    int32_t label = 0;
    for (int h = 0; h < HEADS; h++)
        if (mean[h] > 0.5f) label = order[h];
    return label;
}

static void of_regions(void **state)
{
    (void)state;
    check("{\"background\": 0, \"both\": [1, 2], \"b\": 2, \"a\": [1]}, "
          "\"regions_class_order\": [1, 2, 1]",
          in_order);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(ignored), cmocka_unit_test(of_regions) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
