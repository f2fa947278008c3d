/** Fingerprints of the small data sets of oracle/preprocess under nnunetv2 against the peer's:
 *  shapes and spacings exact, minimum and maximum exact, mean and std within 1e-3 and percentiles
 *  within 0.05 standard deviations (the peer draws voxels at random). */
#include "base/mem.h"
#include "base/path.h"
#include "tests/plan/plan_check.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static double worst_moment, worst_percentile;

static void compare_channel(const sf_intensity *a, const sf_intensity *b, const char *where)
{
    const double s = b->std;
    const double moment = fmax(fabs(a->mean - b->mean), fabs(a->std - b->std)) / s;
    const double part = fmax(fabs(a->median - b->median),
                             fmax(fabs(a->p00_5 - b->p00_5), fabs(a->p99_5 - b->p99_5))) /
                        s;
    worst_moment = fmax(worst_moment, moment);
    worst_percentile = fmax(worst_percentile, part);
    if (a->min != b->min || a->max != b->max)
        fail_msg("%s: min %g max %g, want %g %g", where, a->min, a->max, b->min, b->max);
    if (!(moment <= 1e-3) || !(part <= 0.05))
        fail_msg("%s: mean or std off by %g std, percentiles by %g std", where, moment, part);
}

static void compare(const sf_fingerprint *a, const sf_fingerprint *b, const char *where)
{
    assert_int_equal(a->n_cases, b->n_cases);
    assert_int_equal(a->n_channels, b->n_channels);
    for (int c = 0; c < a->n_cases; c++)
        for (int i = 0; i < 3; i++) {
            assert_int_equal(a->shape_after[c][i], b->shape_after[c][i]);
            assert_true(a->spacing[c][i] == b->spacing[c][i]);
        }
    assert_true(fabs(a->median_relative_size - b->median_relative_size) < 1e-12);
    for (int c = 0; c < a->n_channels; c++)
        compare_channel(&a->intensity[c], &b->intensity[c], where);
}

/** Saved and loaded again it is the same, and holds the paper's further fields. */
static void check_file(const sf_fingerprint *f, const sf_dataset *d)
{
    char path[SF_PATH_MAX];
    json_t *json = NULL;
    sf_fingerprint *again = NULL;
    static const char *const keys[] = { "shapes_before_crop", "modalities", "classes",
                                        "number_of_cases" };
    tst_ok(sf_path_join(path, tst_tmp_dir(), "dataset_fingerprint.json", NULL));
    tst_ok(sf_fingerprint_save(f, d, path));
    tst_ok(sf_json_load(&json, path));
    for (int i = 0; i < 4; i++) assert_non_null(json_object_get(json, keys[i]));
    tst_ok(sf_fingerprint_load(&again, path));
    assert_true(again->mean_relative_size == f->mean_relative_size);
    assert_memory_equal(again->intensity, f->intensity,
                        (size_t)f->n_channels * sizeof *f->intensity);
    assert_memory_equal(again->shape_before, f->shape_before,
                        (size_t)f->n_cases * sizeof *f->shape_before);
    sf_fingerprint_destroy(&again);
    json_decref(json);
}

/** One thread, two threads, and by packed case prints: the same bits. */
static void check_same_bits(const sf_fingerprint *f, const sf_dataset *d, const sf_recipe *r)
{
    sf_fingerprint *one = NULL, *packed = NULL;
    sf_case_print *cases[64] = { NULL };
    tst_ok(sf_fingerprint_compute(&one, d, r, 1));
    assert_true(d->n_train <= 64);
    for (int c = d->n_train - 1; c >= 0; c--) {
        sf_case_print *p = NULL;
        void *data = NULL;
        size_t size = 0;
        tst_ok(sf_case_print_make(&p, d, r, c));
        tst_ok(sf_case_print_pack(p, &data, &size));
        tst_ok(sf_case_print_unpack(&cases[c], data, size));
        for (size_t cut = 0; cut < size; cut += size / 7 + 1) {
            sf_case_print *bad = NULL;
            assert_int_equal(sf_case_print_unpack(&bad, data, cut), 2 /* SF_EDATA */);
        }
        sf_case_print_destroy(&p);
        sf_mem_free(data);
    }
    tst_ok(sf_fingerprint_combine(&packed, d, r, cases));
    const size_t bytes = (size_t)f->n_channels * sizeof *f->intensity;
    assert_memory_equal(one->intensity, f->intensity, bytes);
    assert_memory_equal(packed->intensity, f->intensity, bytes);
    for (int c = 0; c < d->n_train; c++) sf_case_print_destroy(&cases[c]);
    sf_fingerprint_destroy(&one);
    sf_fingerprint_destroy(&packed);
}

static void compare_dataset(const char *folder, const sf_recipe *r)
{
    char path[SF_PATH_MAX];
    sf_dataset *d = NULL;
    sf_fingerprint *want = NULL, *got = NULL;
    tst_ok(sf_dataset_load(&d, folder));
    tst_ok(sf_path_join(path, folder, "dataset_fingerprint.json", NULL));
    tst_ok(sf_fingerprint_load(&want, path));
    tst_ok(sf_fingerprint_compute(&got, d, r, 2));
    compare(got, want, folder);
    check_file(got, d);
    check_same_bits(got, d, r);
    for (int c = 0; c < d->n_train; c++) {
        char *problem = NULL;
        tst_ok(sf_dataset_verify_case(d, &d->train[c], &problem, NULL));
        assert_null(problem);
    }
    sf_fingerprint_destroy(&got);
    sf_fingerprint_destroy(&want);
    sf_dataset_destroy(&d);
}

static void fingerprints_equal(void **state)
{
    const char *root = tst_shared("oracle/preprocess");
    char **names = NULL, folder[SF_PATH_MAX];
    size_t n = 0;
    int seen = 0;
    sf_recipe *r = NULL;
    (void)state;
    tst_ok(sf_recipe_load(&r, "nnunetv2"));
    tst_ok(sf_path_list(&names, &n, root));
    for (size_t i = 0; i < n; i++) {
        tst_ok(sf_path_join(folder, root, names[i], NULL));
        if (!sf_path_is_dir(folder)) continue;
        compare_dataset(folder, r);
        seen++;
    }
    print_message("%d data sets: mean, std within %.2g std, percentiles within %.2g std\n", seen,
                  worst_moment, worst_percentile);
    assert_true(seen > 0);
    sf_path_free_list(&names, n);
    sf_recipe_destroy(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(fingerprints_equal) };
    if (!tst_shared("oracle/preprocess")) tst_skip("the preprocessing oracle is absent");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
