/** Plans under nnunetv2 against those of the real planner: oracle/planner, planner_real,
 *  planner_size_estimate.json. */
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "plan/budget.h"
#include "tests/plan/plan_check.h"
#include <stdio.h>
#include <string.h>

static const struct {
    const char *entry;
    sf_planner_options options;
} planners[] = {
    { "ExperimentPlanner", { .memory_gb = 0 } },
    { "ExperimentPlanner_16GB", { .memory_gb = 16 } },
    { "ExperimentPlanner_4GB", { .memory_gb = 4 } },
    { "nnUNetPlannerResEncM", { .preset = "ResEncM" } },
    { "nnUNetPlannerResEncL", { .preset = "ResEncL" } },
    { "nnUNetPlannerResEncXL", { .preset = "ResEncXL" } },
};

static int compared, n_estimates;
static double slowest;

static void compare_entry(const tst_description *d, const sf_recipe *r, const json_t *want, int k)
{
    char where[256];
    json_t *got = NULL;
    const double t0 = sf_now();
    sf_planner_options o = planners[k].options;
    o.plans_name = json_string_value(json_object_get(want, "plans_name")); /* theirs to choose */
    tst_ok(sf_planner_run(&got, NULL, d->fingerprint, d->dataset, r, &o));
    if (sf_now() - t0 > slowest) slowest = sf_now() - t0;
    snprintf(where, sizeof where, "%s %s", d->name, planners[k].entry);
    tst_same_json(got, want, "segfleet_recipe", where);
    json_decref(got);
    compared++;
}

static void compare_file(const char *folder, const char *file, const sf_recipe *r)
{
    char path[SF_PATH_MAX], name[128];
    json_t *json = NULL, *want;
    const char *entry;
    tst_description d;
    tst_ok(sf_path_join(path, folder, file, NULL));
    tst_ok(sf_json_load(&json, path));
    snprintf(name, sizeof name, "%.*s", (int)(strlen(file) - 5), file);
    tst_describe(&d, name, json_object_get(json, "dataset_json"),
                 json_object_get(json, "fingerprint"));
    json_object_foreach(json_object_get(json, "plans"), entry, want)
    {
        size_t k = 0;
        if (strncmp(entry, "v1_", 3) == 0) continue; /* explained in docs/recipes.md */
        while (k < sizeof planners / sizeof *planners && strcmp(planners[k].entry, entry) != 0) k++;
        if (k == sizeof planners / sizeof *planners)
            fail_msg("%s: unknown planner %s", file, entry);
        compare_entry(&d, r, want, (int)k);
    }
    tst_undescribe(&d);
    json_decref(json);
}

static void compare_folder(const char *relative)
{
    const char *folder = tst_shared(relative);
    char **names = NULL;
    size_t n = 0;
    sf_recipe *r = NULL;
    if (!folder) tst_skip("the planner's oracle is absent");
    tst_ok(sf_recipe_load(&r, "nnunetv2"));
    tst_ok(sf_path_list(&names, &n, folder));
    compared = 0;
    for (size_t i = 0; i < n; i++)
        if (strlen(names[i]) > 5 && strcmp(names[i] + strlen(names[i]) - 5, ".json") == 0)
            compare_file(folder, names[i], r);
    print_message("%s: %d plans equal, slowest %.4f s\n", relative, compared, slowest);
    assert_true(compared > 0);
    assert_true(slowest < 1.0);
    sf_path_free_list(&names, n);
    sf_recipe_destroy(&r);
}

static void plans_equal(void **state)
{
    (void)state;
    compare_folder("oracle/planner");
}

static void plans_of_real_data_equal(void **state)
{
    (void)state;
    compare_folder("oracle/planner_real");
}

/** The estimate of each published plan: decode that plan, count its feature maps. */
static void check_estimate(const json_t *row)
{
    char path[SF_PATH_MAX];
    json_t *file = NULL;
    sf_plans *p = NULL;
    const sf_config *c = NULL;
    int64_t classes = 0, want = 0;
    const char *name = json_string_value(json_object_get(row, "file"));
    tst_ok(sf_path_join(path, tst_shared("oracle/planner"), name, NULL));
    tst_ok(sf_json_load(&file, path));
    json_t *plans = json_object_get(json_object_get(file, "plans"),
                                    json_string_value(json_object_get(row, "planner")));
    tst_ok(sf_plans_from_json(&p, plans, name));
    tst_ok(sf_plans_config(&c, p, json_string_value(json_object_get(row, "configuration"))));
    tst_ok(sf_json_get_int(&classes, row, "classes", name));
    tst_ok(sf_json_get_int(&want, row, "feature_map_size", name));
    const double got = sf_budget_estimate(&c->arch, c->patch, (int)classes);
    if (got != (double)want)
        fail_msg("%s %s: %.0f, want %lld", name, c->name, got, (long long)want);
    n_estimates++;
    sf_plans_destroy(&p);
    json_decref(file);
}

static void estimates_equal(void **state)
{
    (void)state;
    const char *path = tst_shared("oracle/planner_size_estimate.json");
    json_t *rows = NULL;
    if (!path) tst_skip("the planner's oracle is absent");
    tst_ok(sf_json_load(&rows, path));
    for (size_t i = 0; i < json_array_size(rows); i++) check_estimate(json_array_get(rows, i));
    print_message("%d estimates equal\n", n_estimates);
    assert_true(n_estimates > 0);
    json_decref(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_equal),
        cmocka_unit_test(plans_of_real_data_equal),
        cmocka_unit_test(estimates_equal),
    };
    if (!tst_shared("oracle/planner")) tst_skip("the planner's oracle is absent");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
