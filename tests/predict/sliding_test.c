/* Cutting and summing without a network: when the answer is what was cut, the sums must give the
 * image back. */
#include "base/mem.h"
#include "base/path.h"
#include "predict/sums.h"
#include "predict/window.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNELS = 2 };

typedef struct {
    int64_t shape[3], patch[3];
    int dim;
    bool mirror[3];
    double step;
} setup;

static const setup setups[] = {
    { { 9, 17, 14 }, { 4, 8, 8 }, 3, { true, true, true }, 0.5 },
    { { 3, 20, 5 }, { 8, 8, 8 }, 3, { true, false, true }, 0.5 }, /* smaller than the patch */
    { { 6, 15, 18 }, { 1, 8, 8 }, 2, { false, true, true }, 0.75 },
    { { 1, 7, 9 }, { 1, 8, 16 }, 2, { false, false, false }, 1.0 },
};
enum { SETUPS = sizeof setups / sizeof setups[0] };

static int64_t volume(const int64_t d[3]) { return d[0] * d[1] * d[2]; }

static float *noise(int64_t n)
{
    float *x = malloc((size_t)n * sizeof *x);
    uint32_t s = 11;
    for (int64_t i = 0; i < n; i++) {
        s = s * 1664525u + 1013904223u;
        x[i] = (float)(s >> 8) / 8388608.0f - 1.0f;
    }
    return x;
}

/* How the sums are kept. */
typedef struct {
    bool gaussian, in_file, all_rows;
    int threads, folds;
} keeping;

/* The network answers fold f with what it sees times (f + 1); every layer's final rows are taken at
 * once. Sum / weight = the voxel. */
static float *run(const setup *u, const float *x, const keeping *how)
{
    const int64_t voxels = volume(u->shape), patch = volume(u->patch),
                  plane = u->shape[1] * u->shape[2];
    const sf_source src = { .data = x,
                            .channels = CHANNELS,
                            .shape = { u->shape[0], u->shape[1], u->shape[2] } };
    float *map = malloc((size_t)patch * sizeof *map), *cut = malloc((size_t)(CHANNELS * patch) * 4),
          *part = malloc((size_t)(CHANNELS * voxels) * 4),
          *out = malloc((size_t)(CHANNELS * voxels) * 4);
    sf_sliding t;
    sf_sums *s;
    int64_t done = 0;
    tst_ok(sf_window_gaussian(u->patch, 0.125, 1, map));
    tst_ok(sf_sliding_make(&t, u->shape, u->patch, u->dim, u->step, u->mirror));
    const sf_sums_options o = { .heads = CHANNELS,
                                .folds = how->folds,
                                .map = how->gaussian ? map : NULL,
                                .rows = how->all_rows ? u->shape[0] : u->patch[0],
                                .memory = how->in_file ? 1 : 0,
                                .scratch_dir = tst_tmp_dir(),
                                .threads = how->threads };
    tst_ok(sf_sums_create(&s, &t, &o));
    const int64_t each = sf_sliding_layer_samples(&t);
    for (int l = 0; l < t.count[0]; l++) {
        for (int f = 0; f < how->folds; f++)
            for (int64_t i = l * each; i < (l + 1) * each; i++) {
                sf_sliding_cut(&t, i, &src, cut, how->threads);
                for (int64_t k = 0; k < CHANNELS * patch; k++) cut[k] *= (float)(f + 1);
                tst_ok(sf_sums_add(s, f, i, cut));
            }
        int64_t final = u->shape[0], unused;
        if (l + 1 < t.count[0]) sf_sliding_layer(&t, l + 1, &final, &unused);
        tst_ok(sf_sums_take(s, done, final, part));
        for (int c = 0; c < CHANNELS; c++)
            memcpy(out + c * voxels + done * plane, part + c * (final - done) * plane,
                   (size_t)((final - done) * plane) * sizeof *out);
        done = final;
    }
    sf_sums_destroy(&s);
    sf_sliding_free(&t);
    free(map);
    free(cut);
    free(part);
    return out;
}

static void test_identity(void **state)
{
    (void)state;
    static const keeping other[] = {
        { .threads = 2, .folds = 1 },
        { .threads = 3, .folds = 1, .all_rows = true },
        { .threads = 1, .folds = 1, .in_file = true },
        { .threads = 3, .folds = 1, .in_file = true, .all_rows = true },
    };
    for (int k = 0; k < SETUPS; k++)
        for (int g = 0; g < 2; g++) {
            const int64_t n = CHANNELS * volume(setups[k].shape);
            float *x = noise(n);
            float *one = run(&setups[k], x, &(keeping){ .gaussian = g, .threads = 1, .folds = 1 });
            assert_true(tst_max_abs_diff(x, one, n) < 2e-6);
            for (int i = 0; i < 4; i++) {
                keeping how = other[i];
                how.gaussian = g;
                float *more = run(&setups[k], x, &how);
                assert_memory_equal(one, more, (size_t)n * sizeof *one);
                free(more);
            }
            free(one);
            free(x);
        }
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

/* the mean over three folds that answer with 1, 2 and 3 times the image */
static void test_folds(void **state)
{
    (void)state;
    const setup *u = &setups[0];
    const int64_t n = CHANNELS * volume(u->shape);
    float *x = noise(n);
    float *one = run(u, x, &(keeping){ .gaussian = true, .threads = 2, .folds = 3 });
    for (int64_t i = 0; i < n; i++) assert_true(fabsf(one[i] - 2 * x[i]) < 1e-5f);
    float *more =
        run(u, x, &(keeping){ .gaussian = true, .threads = 3, .folds = 3, .in_file = true });
    assert_memory_equal(one, more, (size_t)n * sizeof *one);
    free(one);
    free(more);
    free(x);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

/* a working file leaves nothing behind, and a folder that is not there is named */
static void test_scratch(void **state)
{
    (void)state;
    sf_sliding t;
    sf_sums *s;
    char **names, path[SF_PATH_MAX];
    size_t count;
    tst_ok(sf_path_join(path, tst_tmp_dir(), "sums", NULL));
    tst_ok(sf_path_make_dirs(path));
    tst_ok(sf_sliding_make(&t, setups[0].shape, setups[0].patch, 3, 0.5, setups[0].mirror));
    sf_sums_options o = { .heads = 1, .folds = 1, .rows = 4, .memory = 1, .scratch_dir = path };
    tst_ok(sf_sums_create(&s, &t, &o));
    tst_ok(sf_path_list(&names, &count, path));
    assert_int_equal(count, 0);
    sf_path_free_list(&names, count);
    sf_sums_destroy(&s);
    o.scratch_dir = "/nonexistent/folder";
    assert_int_equal(sf_sums_create(&s, &t, &o), SF_EIO);
    assert_non_null(strstr(sf_error_text(), "/nonexistent/folder"));
    assert_null(s);
    sf_sliding_free(&t);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

/* the network sees the mirrored window, zeros around the image, and one-hot labels after the
 * channels */
static void test_cut(void **state)
{
    (void)state;
    const int64_t shape[3] = { 1, 2, 3 }, patch[3] = { 1, 4, 4 };
    const bool mirror[3] = { false, true, true };
    const float x[6] = { 1, 2, 3, 4, 5, 6 };
    const int16_t seg[6] = { -1, 0, 1, 2, 2, 1 };
    static const float plain[16] = { 0, 0, 0, 0, 1, 2, 3, 0, 4, 5, 6, 0, 0, 0, 0, 0 },
                       flip_y[16] = { 0, 0, 0, 0, 4, 5, 6, 0, 1, 2, 3, 0, 0, 0, 0, 0 },
                       flip_x[16] = { 0, 0, 0, 0, 0, 3, 2, 1, 0, 6, 5, 4, 0, 0, 0, 0 },
                       two[16] = { 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0 };
    const sf_source src = { x, 1, seg, 2, { 1, 2, 3 } };
    float out[48];
    sf_sliding t;
    tst_ok(sf_sliding_make(&t, shape, patch, 2, 0.5, mirror));
    assert_int_equal(t.samples, 4);
    sf_sliding_cut(&t, 0, &src, out, 2);
    assert_memory_equal(out, plain, sizeof plain);
    assert_memory_equal(out + 32, two, sizeof two);
    sf_sliding_cut(&t, 1, &src, out, 2); /* binary counting: the first allowed axis is y */
    assert_memory_equal(out, flip_y, sizeof flip_y);
    sf_sliding_cut(&t, 2, &src, out, 2);
    assert_memory_equal(out, flip_x, sizeof flip_x);
    sf_sliding_free(&t);
}

static void test_probabilities(void **state)
{
    (void)state;
    float v[6] = { 0, 100, 0.5f, 0, -100, 1.5f }; /* 2 heads, 3 voxels */
    sf_to_probabilities(v, 2, 3, false, 1);
    assert_true(v[0] == 0.5f && v[3] == 0.5f && v[1] == 1.0f && v[4] == 0.0f);
    assert_true(fabs((double)v[5] - 1 / (1 + exp(-1.0))) < 1e-6);
    float w[2] = { 0, 1 };
    sf_to_probabilities(w, 1, 2, true, 1);
    /* every size of difference, against double */
    static float z[3 * 1000];
    for (int i = 0; i < 1000; i++) {
        z[i] = (float)i * 0.11f;
        z[1000 + i] = -(float)i * 0.013f;
        z[2000 + i] = (float)(i % 7);
    }
    static float q[3 * 1000];
    memcpy(q, z, sizeof q);
    sf_to_probabilities(q, 3, 1000, false, 2);
    for (int i = 0; i < 1000; i++) {
        double e[3], sum = 0;
        for (int c = 0; c < 3; c++) sum += e[c] = exp((double)z[c * 1000 + i] - (double)z[i]);
        for (int c = 0; c < 3; c++) {
            const double want = e[c] / sum;
            /* the difference of two logits is rounded, too */
            assert_true(fabs((double)q[c * 1000 + i] - want) <= 1e-5 * want + 1e-37);
        }
    }
    memcpy(q, z, sizeof q);
    sf_to_probabilities(q, 3, 1000, true, 2);
    for (int i = 0; i < 3000; i++) {
        const double want = 1 / (1 + exp(-(double)z[i]));
        assert_true(fabs((double)q[i] - want) <= 4e-7 * want);
    }
    assert_true(w[0] == 0.5f && fabs((double)w[1] - 1 / (1 + exp(-1.0))) < 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity),      cmocka_unit_test(test_folds),
        cmocka_unit_test(test_scratch),       cmocka_unit_test(test_cut),
        cmocka_unit_test(test_probabilities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
