/** From image files to plans on the real data sets: the fingerprint is the peer's (statistics of
 *  2 million draws there, so means within 0.01 standard deviations) and so are the plans. */
#include "base/log.h"
#include "base/path.h"
#include "tests/plan/plan_check.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static void compare_fingerprint(const sf_fingerprint *a, const sf_fingerprint *b, const char *where)
{
    double worst = 0;
    assert_int_equal(a->n_cases, b->n_cases);
    assert_int_equal(a->n_channels, b->n_channels);
    for (int c = 0; c < a->n_cases; c++)
        for (int i = 0; i < 3; i++) {
            assert_int_equal(a->shape_after[c][i], b->shape_after[c][i]);
            assert_true(fabs(a->spacing[c][i] - b->spacing[c][i]) <= 1e-9 * b->spacing[c][i]);
        }
    for (int c = 0; c < a->n_channels; c++) {
        const sf_intensity *x = &a->intensity[c], *y = &b->intensity[c];
        worst = fmax(worst, fabs(x->mean - y->mean) / y->std);
        worst = fmax(worst, fabs(x->std - y->std) / y->std);
        assert_true(x->min <= y->min && x->max >= y->max); /* a draw may miss the extremes */
    }
    print_message("%s: %d cases, mean and std within %.2g std\n", where, a->n_cases, worst);
    assert_true(worst <= 0.01);
}

static void compare(const char *name, const char *oracle, const char *folder, const sf_recipe *r)
{
    json_t *json = NULL, *plans = NULL;
    tst_description want;
    sf_dataset *d = NULL;
    sf_fingerprint *f = NULL;
    tst_ok(sf_json_load(&json, oracle));
    tst_describe(&want, name, json_object_get(json, "dataset_json"),
                 json_object_get(json, "fingerprint"));
    tst_ok(sf_dataset_load(&d, folder));
    tst_ok(sf_fingerprint_compute(&f, d, r, 2));
    compare_fingerprint(f, want.fingerprint, name);
    tst_ok(sf_planner_run(&plans, NULL, f, want.dataset, r, NULL));
    json_t *peer = json_object_get(json_object_get(json, "plans"), "ExperimentPlanner");
    json_object_del(peer, "foreground_intensity_properties_per_channel");
    json_object_del(plans, "foreground_intensity_properties_per_channel");
    tst_same_json(plans, peer, "segfleet_recipe", name);
    sf_fingerprint_destroy(&f);
    sf_dataset_destroy(&d);
    tst_undescribe(&want);
    json_decref(plans);
    json_decref(json);
}

static void real_data(void **state)
{
    const char *folder = tst_shared("data");
    char **names = NULL, data[SF_PATH_MAX], file[SF_PATH_MAX];
    size_t n = 0;
    int seen = 0;
    sf_recipe *r = NULL;
    (void)state;
    tst_ok(sf_recipe_load(&r, "nnunetv2"));
    tst_ok(sf_path_list(&names, &n, folder));
    for (size_t i = 0; i < n; i++) {
        if (strncmp(names[i], "Dataset", 7) != 0) continue;
        tst_ok(sf_path_join(data, folder, names[i], NULL));
        tst_ok(sf_path_format(file, "%s/%s.json", tst_shared("oracle/planner_real"), names[i]));
        if (!sf_path_is_file(file)) continue;
        const double t0 = sf_now();
        compare(names[i], file, data, r);
        print_message("    %.2f s\n", sf_now() - t0);
        seen++;
    }
    assert_true(seen > 0);
    sf_path_free_list(&names, n);
    sf_recipe_destroy(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(real_data) };
    if (!tst_shared("data") || !tst_shared("oracle/planner_real")) tst_skip("no real data here");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
