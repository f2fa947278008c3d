/** The rules of the recipe `paper` as properties of its plans, over all descriptions of the
 * planner's oracle. The numbers of the paper are written out here on purpose: the test must not
 * read them from the recipe that it checks. With SEGFLEET_TABLE set, the differences from the
 * published code's (v1) entries are printed as rows of docs/recipes.md. */
#include "base/mem.h"
#include "base/path.h"
#include "plan/budget.h"
#include "plan/planning.h"
#include "tests/plan/plan_check.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    tst_description d;
    sf_plans *p;
    json_t *explain;
    double n_cases;
} planned;

static int n_descriptions, n_reduced, n_lowres, n_dropped, n_refined, n_full;

static const json_t *entry(const planned *x, const char *decision, const char *config)
{
    for (size_t i = 0; i < json_array_size(x->explain); i++) {
        const json_t *e = json_array_get(x->explain, i);
        if (strcmp(json_string_value(json_object_get(e, "decision")), decision) == 0 &&
            strcmp(json_string_value(json_object_get(e, "configuration")), config) == 0)
            return e;
    }
    fail_msg("%s: no explanation of %s %s", x->d.name, config, decision);
    return NULL;
}

static double number_at(const json_t *list, int i)
{
    return sf_json_num(json_array_get(list, (size_t)i));
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/** numpy.percentile of one axis' spacings or shapes over the cases. */
static double percentile(const sf_fingerprint *f, int axis, bool shapes, double q)
{
    double *x = test_malloc((size_t)f->n_cases * sizeof *x);
    for (int c = 0; c < f->n_cases; c++)
        x[c] = shapes ? (double)f->shape_after[c][axis] : f->spacing[c][axis];
    qsort(x, (size_t)f->n_cases, sizeof *x, by_value);
    const double p = (f->n_cases - 1) * q / 100, i = floor(p);
    const double a = x[(int)i], b = x[(int)fmin(i + 1, f->n_cases - 1)];
    test_free(x);
    return a + (b - a) * (p - i);
}

/** Target spacing: medians, the anisotropic axis at its 10th percentile without floor; 2-D plain.
 */
static void check_spacing(const planned *x)
{
    const sf_fingerprint *f = x->d.fingerprint;
    const sf_config *full = tst_config(x->p, "3d_fullres"), *two = tst_config(x->p, "2d");
    double t[3], s[3];
    int w = 0;
    for (int i = 0; i < 3; i++) {
        t[i] = percentile(f, i, false, 50);
        s[i] = percentile(f, i, true, 50);
        if (t[i] > t[w]) w = i;
    }
    for (int i = 1; i < 3; i++)
        assert_true(fabs(two->spacing[i] - t[x->p->transpose_forward[i]]) <= 1e-9 * t[i]);
    const int a = (w + 1) % 3, b = (w + 2) % 3;
    if (t[w] > 3 * fmax(t[a], t[b]) && 3 * s[w] < fmin(s[a], s[b])) {
        t[w] = percentile(f, w, false, 10);
        n_refined++;
    }
    for (int i = 0; full && i < 3; i++)
        assert_true(fabs(full->spacing[i] - t[x->p->transpose_forward[i]]) <= 1e-9 * t[i]);
}

/** The patch that the search starts from: the median shape, up to the next multiple of a power of
 *  two per axis. @return whether the final patch differs from it */
static bool check_start(const planned *x, const sf_config *c)
{
    const json_t *start = json_object_get(entry(x, "first patch", c->name), "result");
    bool reduced = false;
    for (int i = 0; i < c->dim; i++) {
        const int axis = 3 - c->dim + i;
        const int64_t v = (int64_t)number_at(start, i), step = v & -v;
        assert_true((double)v >= c->median[axis]);
        assert_true((double)v - c->median[axis] < (double)step);
        reduced = reduced || v != c->patch[axis];
        assert_true(c->patch[axis] <= v);
    }
    return reduced;
}

/** Poolings keep >= 4 voxels and stop only at 4 or at anisotropy; kernels are 1 while the ratio is
 *  above 2 and 3 from then on. */
static void check_topology(const sf_config *c)
{
    double sp[3], size[3];
    int k[3] = { 1, 1, 1 };
    const int at = 3 - c->dim;
    for (int i = at; i < 3; i++) {
        sp[i] = c->spacing[i];
        size[i] = (double)c->patch[i];
    }
    for (int s = 0; s < c->arch.n_stages; s++) {
        double fine = INFINITY;
        for (int i = at; i < 3; i++) fine = fmin(fine, sp[i]);
        for (int i = at; i < 3; i++) {
            const bool last = s == c->arch.n_stages - 1;
            const bool pooled = !last && c->arch.stride[s + 1][i] == 2;
            if (sp[i] / fine <= 2 || last) k[i] = 3;
            assert_int_equal(c->arch.kernel[s][i], k[i]);
            assert_true(pooled == (size[i] / 2 >= 4 && sp[i] / fine < 2));
            size[i] /= pooled ? 2 : 1;
            sp[i] *= pooled ? 2 : 1;
        }
    }
}

static double voxels(const int64_t v[3]) { return (double)v[0] * (double)v[1] * (double)v[2]; }

/** Exactly 2 after a reduction; else what fits, at most 5 % of all voxels and at least 2. A patch
 * is reduced exactly when the first one does not fit with a batch of 2. */
static void check_batch(const planned *x, const sf_config *c, bool reduced, const double all[3])
{
    const double budget = c->dim == 3 ? 560e6 : 85e6, ref = c->dim == 3 ? 2 : 12;
    const double est = sf_budget_estimate(&c->arch, c->patch, x->d.dataset->labels.n_entries);
    const double cap = rint(0.05 * all[0] * all[1] * all[2] * x->n_cases / voxels(c->patch));
    const json_t *in = json_object_get(entry(x, "patch size", c->name), "inputs");
    const double first = sf_json_num(json_object_get(in, "estimate of the first patch"));
    assert_true(est / ref * 2 <= budget);
    assert_true(reduced == (first / ref * 2 > budget));
    assert_true((double)c->batch_size <= fmax(2, cap));
    if (reduced)
        assert_int_equal(c->batch_size, 2);
    else
        assert_int_equal(c->batch_size, (int64_t)fmax(2, fmin(cap, rint(budget / est * ref))));
    n_reduced += reduced;
}

/** The 1 % steps that lead to the lowres spacing, on fine axes alone while they are more than twice
 *  as fine; one step earlier the patch covered at most a quarter. */
static void check_lowres(const planned *x, const sf_config *full, const sf_config *low)
{
    double sp[3], before[3], median[3], shape[3], all = 1;
    const json_t *in = json_object_get(entry(x, "cascade", "3d_lowres"), "inputs");
    const int steps = (int)json_integer_value(json_object_get(in, "steps"));
    sf_plan_settings s;
    sf_draft d;
    memcpy(sp, full->spacing, sizeof sp);
    assert_true(steps > 0);
    for (int n = 0; n < steps; n++) {
        const double max = fmax(sp[0], fmax(sp[1], sp[2]));
        const bool any = max / sp[0] > 2 || max / sp[1] > 2 || max / sp[2] > 2;
        memcpy(before, sp, sizeof sp);
        for (int i = 0; i < 3; i++)
            if (!any || max / sp[i] > 2) sp[i] *= 1.01;
    }
    for (int i = 0; i < 3; i++) {
        assert_true(fabs(sp[i] - low->spacing[i]) < 1e-9 * sp[i]);
        all *= full->spacing[i] / sp[i] * full->median[i];
    }
    assert_true(voxels(low->patch) / all > 0.25);
    assert_true(full->median[0] * full->median[1] * full->median[2] / all >= 2);
    if (steps == 1) return;
    all = 1;
    for (int i = 0; i < 3; i++) {
        shape[i] = full->spacing[i] / before[i] * full->median[i];
        median[i] = rint(shape[i]);
        all *= shape[i];
    }
    tst_ok(sf_plan_settings_make(&s, x->p->recipe, NULL));
    tst_ok(sf_draft_make(&d, &s, 3, before, median, 1, x->d.dataset->labels.n_entries));
    assert_true(voxels(d.patch) / all <= 0.25);
    sf_plan_settings_free(&s);
}

static void check_cascade(const planned *x, const sf_config *full, const sf_config *low)
{
    const double all = full->median[0] * full->median[1] * full->median[2];
    const bool trigger = voxels(full->patch) / all < 0.125;
    assert_true(full->batch_dice == (low != NULL));
    if (!trigger) assert_null(low);
    if (trigger && !low) n_dropped++;
    if (!low) return;
    assert_non_null(tst_config(x->p, "3d_cascade_fullres"));
    check_lowres(x, full, low);
    n_lowres++;
}

static void check_config(const planned *x, const sf_config *c, const double all[3])
{
    check_topology(c);
    check_batch(x, c, check_start(x, c), all);
}

static void print_row(const planned *x, const char *what, const sf_config *c, const json_t *v1)
{
    const json_t *patch = json_object_get(v1, "patch_size");
    int64_t batch = 0, p[3] = { 0 };
    if (!v1 && !c) return;
    if (v1) {
        batch = json_integer_value(json_object_get(v1, "batch_size"));
        for (size_t i = 0; i < json_array_size(patch); i++)
            p[3 - json_array_size(patch) + i] = (int64_t)number_at(patch, (int)i);
    }
    bool same = v1 && c && batch == c->batch_size;
    for (int i = c ? 3 - c->dim : 3; same && i < 3; i++) same = p[i] == c->patch[i];
    if (same) return;
    print_message("| %s | %s |", x->d.name, what);
    if (c)
        print_message(" %lld %lld %lld / %lld |", (long long)(c->dim == 3 ? c->patch[0] : 0),
                      (long long)c->patch[1], (long long)c->patch[2], (long long)c->batch_size);
    else
        print_message(" none |");
    if (v1)
        print_message(" %lld %lld %lld / %lld |\n", (long long)p[0], (long long)p[1],
                      (long long)p[2], (long long)batch);
    else
        print_message(" none |\n");
}

static void print_differences(const planned *x, const json_t *plans)
{
    const json_t *v3 =
        json_object_get(json_object_get(plans, "v1_ExperimentPlanner3D_v21"), "plans_per_stage");
    const json_t *v2 =
        json_object_get(json_object_get(plans, "v1_ExperimentPlanner2D_v21"), "plans_per_stage");
    const json_t *high = json_object_get(v3, "1");
    if (v2) print_row(x, "2d", tst_config(x->p, "2d"), json_object_get(v2, "0"));
    if (!v3) return;
    print_row(x, "3d_fullres", tst_config(x->p, "3d_fullres"),
              high ? high : json_object_get(v3, "0"));
    print_row(x, "3d_lowres", tst_config(x->p, "3d_lowres"),
              high ? json_object_get(v3, "0") : NULL);
}

static void check_description(const char *name, json_t *json, const sf_recipe *r)
{
    planned x;
    json_t *plans = NULL;
    tst_describe(&x.d, name, json_object_get(json, "dataset_json"),
                 json_object_get(json, "fingerprint"));
    tst_ok(sf_planner_run(&plans, &x.explain, x.d.fingerprint, x.d.dataset, r, NULL));
    tst_ok(sf_plans_from_json(&x.p, plans, name));
    x.n_cases = (double)x.d.dataset->num_training;
    const sf_config *full = tst_config(x.p, "3d_fullres"), *low = tst_config(x.p, "3d_lowres");
    const sf_config *two = tst_config(x.p, "2d");
    check_spacing(&x);
    sf_plan_settings s;
    sf_plan_grid g;
    tst_ok(sf_plan_settings_make(&s, r, NULL));
    tst_ok(sf_plan_grid_make(&g, &s, x.d.fingerprint, NULL, NULL));
    sf_plan_settings_free(&s);
    check_config(&x, two, g.shape_2d);
    if (full) {
        n_full++;
        check_config(&x, full, g.shape);
        check_cascade(&x, full, low);
    }
    if (low) check_topology(low);
    if (getenv("SEGFLEET_TABLE")) print_differences(&x, json_object_get(json, "plans"));
    n_descriptions++;
    sf_plans_destroy(&x.p);
    json_decref(x.explain);
    json_decref(plans);
    tst_undescribe(&x.d);
}

static void check_folder(const char *folder, const sf_recipe *r)
{
    char **names = NULL, path[SF_PATH_MAX], name[128];
    size_t n = 0;
    tst_ok(sf_path_list(&names, &n, folder));
    for (size_t i = 0; i < n; i++) {
        json_t *json = NULL;
        const size_t len = strlen(names[i]);
        if (len < 6 || strcmp(names[i] + len - 5, ".json") != 0) continue;
        tst_ok(sf_path_join(path, folder, names[i], NULL));
        tst_ok(sf_json_load(&json, path));
        snprintf(name, sizeof name, "%.*s", (int)(len - 5), names[i]);
        check_description(name, json, r);
        json_decref(json);
    }
    sf_path_free_list(&names, n);
}

static void rules_hold(void **state)
{
    sf_recipe *r = NULL;
    (void)state;
    tst_ok(sf_recipe_load(&r, "paper"));
    check_folder(tst_shared("oracle/planner"), r);
    if (tst_shared("oracle/planner_real")) check_folder(tst_shared("oracle/planner_real"), r);
    print_message("%d descriptions: %d with 3-D, %d patches reduced, %d cascades, %d dropped, %d "
                  "anisotropic targets\n",
                  n_descriptions, n_full, n_reduced, n_lowres, n_dropped, n_refined);
    assert_true(n_reduced > 0 && n_lowres > 0 && n_refined > 0);
    sf_recipe_destroy(&r);
}

/** A coarse axis whose 10th percentile is finer than the others: no floor, and the planes that were
 *  acquired stay the 2-D planes. */
static void no_floor(void **state)
{
    static const double sp[5][3] = {
        { 8, 1, 1 }, { 8, 1, 1 }, { 8, 1, 1 }, { 8, 1, 1 }, { .5, 1, 1 }
    };
    static const int64_t sh[1][3] = { { 10, 300, 300 } };
    tst_description d;
    (void)state;
    tst_describe_cases(&d, "Dataset112_Floor", 10, sp, 5, sh, 1, 1, "MRI", 2);
    sf_plans *p = tst_plan(&d, "paper", NULL), *q = tst_plan(&d, "nnunetv2", NULL);
    assert_true(tst_config(p, "3d_fullres")->spacing[0] == 0.5);
    assert_true(tst_config(q, "3d_fullres")->spacing[0] == 1 + 1e-5);
    assert_int_equal(p->transpose_forward[0], 0);
    assert_int_equal(tst_config(p, "2d")->patch[1], tst_config(p, "2d")->patch[2]);
    sf_plans_destroy(&p);
    sf_plans_destroy(&q);
    tst_undescribe(&d);
}

/** A single slice along an axis that is not the coarsest: only 2-D, with that slice as the plane.
 */
static void single_slice_along_any_axis(void **state)
{
    static const double sp[1][3] = { { 2, 1, 1 } };
    static const int64_t sh[1][3] = { { 100, 1, 120 } };
    tst_description d;
    (void)state;
    tst_describe_cases(&d, "Dataset113_Slice", 10, sp, 1, sh, 1, 1, "MRI", 2);
    sf_plans *p = tst_plan(&d, "paper", NULL);
    assert_int_equal(p->n_configs, 1);
    assert_int_equal(p->transpose_forward[0], 1);
    assert_true(p->config[0].patch[1] >= 100 && p->config[0].patch[2] >= 120);
    sf_plans_destroy(&p);
    tst_undescribe(&d);
}

/** A quarter less on average, not in the median: the paper's rule masks, v2's does not. */
static void mask_rules(void **state)
{
    sf_fingerprint *f = NULL;
    sf_recipe *r[2];
    static const double sp[1][3] = { { 1, 1, 1 } };
    static const int64_t sh[1][3] = { { 64, 64, 64 } };
    tst_description d;
    (void)state;
    tst_describe_cases(&d, "Dataset114_Mask", 4, sp, 1, sh, 1, 1, "MRI", 2);
    f = d.fingerprint;
    f->median_relative_size = 0.8;
    f->mean_relative_size = 0.75;
    tst_ok(sf_recipe_load(&r[0], "paper"));
    tst_ok(sf_recipe_load(&r[1], "nnunetv2"));
    for (int k = 0; k < 2; k++) {
        json_t *json = NULL;
        sf_plans *p = NULL;
        tst_ok(sf_planner_run(&json, NULL, f, d.dataset, r[k], NULL));
        tst_ok(sf_plans_from_json(&p, json, "mask"));
        assert_int_equal(p->config[0].use_mask[0], k == 0);
        sf_plans_destroy(&p);
        json_decref(json);
        sf_recipe_destroy(&r[k]);
    }
    tst_undescribe(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_floor),
        cmocka_unit_test(single_slice_along_any_axis),
        cmocka_unit_test(mask_rules),
        cmocka_unit_test(rules_hold),
    };
    if (!tst_shared("oracle/planner")) tst_skip("the planner's oracle is absent");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
