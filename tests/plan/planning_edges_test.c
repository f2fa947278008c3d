/** Edge cases of planning (nnunet-planning.md 13): statistics of few and unequal cases, of a
 *  constant image, of the ignore label; single slices; planning again into a file; presets. */
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "tests/plan/plan_check.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- a dataset on disk: constant images, labels that say which part counts ---- */

enum { EDGE = 8, VOXELS = EDGE * EDGE * EDGE };

static char root[SF_PATH_MAX];

static void start(const char *name, const char *channel, const char *labels, int cases)
{
    char text[512], path[SF_PATH_MAX];
    tst_ok(sf_path_join(root, tst_tmp_dir(), name, NULL));
    tst_ok(sf_path_join(path, root, "imagesTr", NULL));
    tst_ok(sf_path_make_dirs(path));
    tst_ok(sf_path_join(path, root, "labelsTr", NULL));
    tst_ok(sf_path_make_dirs(path));
    const int n = snprintf(text, sizeof text,
                           "{\"channel_names\": {\"0\": \"%s\"}, \"labels\": %s, \"numTraining\": "
                           "%d, \"file_ending\": \".nii.gz\"}",
                           channel, labels, cases);
    tst_ok(sf_path_join(path, root, "dataset.json", NULL));
    tst_ok(sf_path_write(path, text, (size_t)n));
}

/** The first `count` voxels carry `label`, the next one label 1, all have `value`. */
static void add_case(const char *id, float value, int count, int label)
{
    static const int64_t shape[3] = { EDGE, EDGE, EDGE };
    static const double mm[3] = { 1, 1, 1 };
    char path[SF_PATH_MAX];
    sf_geometry geo;
    float x[VOXELS];
    int32_t l[VOXELS];
    sf_geometry_make(&geo, SF_FORMAT_NIFTI, shape, mm);
    for (int i = 0; i < VOXELS; i++) {
        x[i] = value;
        l[i] = i < count ? label : i == count;
    }
    tst_ok(sf_path_format(path, "%s/imagesTr/%s_0000.nii.gz", root, id));
    tst_ok(sf_image_write(path, &geo, x));
    tst_ok(sf_path_format(path, "%s/labelsTr/%s.nii.gz", root, id));
    tst_ok(sf_label_write(path, &geo, l, 3));
}

static sf_fingerprint *fingerprint(const char *recipe)
{
    sf_dataset *d = NULL;
    sf_recipe *r = NULL;
    sf_fingerprint *f = NULL;
    tst_ok(sf_dataset_load(&d, root));
    tst_ok(sf_recipe_load(&r, recipe));
    tst_ok(sf_fingerprint_compute(&f, d, r, 2));
    sf_recipe_destroy(&r);
    sf_dataset_destroy(&d);
    return f;
}

static const char two[] = "{\"background\": 0, \"a\": 1, \"b\": 2}";

/** Paper: every voxel counts; v2: every case. A case without foreground adds nothing. */
static void weighted_statistics(void **state)
{
    (void)state;
    start("Dataset130_Weights", "CT", two, 3);
    add_case("small", 10, 99, 2);
    add_case("large", 20, 299, 2);
    add_case("empty", 99, VOXELS, 0);
    sf_fingerprint *paper = fingerprint("paper"), *v2 = fingerprint("nnunetv2");
    assert_true(fabs(paper->intensity[0].mean - 17.5) < 1e-12);
    assert_true(fabs(v2->intensity[0].mean - 15) < 1e-12);
    assert_true(fabs(paper->intensity[0].std - sqrt(18.75)) < 1e-12);
    assert_true(fabs(v2->intensity[0].std - 5) < 1e-12);
    assert_true(paper->intensity[0].max == 20 && v2->intensity[0].max == 20);
    assert_true(paper->intensity[0].median == 20);
    sf_fingerprint_destroy(&paper);
    sf_fingerprint_destroy(&v2);
}

static int warnings;

static void count_warnings(void *user, sf_log_level level, const char *line)
{
    warnings += level == SF_LOG_WARN && strstr(line, user) != NULL;
}

/** One case: S = 1e8 draws in nnU-Net, a histogram here. A constant CT is told. */
static void one_constant_case(void **state)
{
    (void)state;
    start("Dataset131_One", "CT", two, 1);
    add_case("only", 40, 99, 2);
    warnings = 0;
    sf_log_set_sink(count_warnings, (char *)(uintptr_t) "one value only");
    sf_fingerprint *f = fingerprint("nnunetv2");
    sf_log_set_sink(NULL, NULL);
    assert_int_equal(warnings, 1);
    assert_true(f->intensity[0].std == 0 && f->intensity[0].mean == 40);
    assert_true(f->intensity[0].p00_5 == 40 && f->intensity[0].p99_5 == 40);
    sf_fingerprint_destroy(&f);
    start("Dataset132_MRI", "T1", two, 1);
    add_case("only", 40, 99, 2);
    warnings = 0;
    sf_log_set_sink(count_warnings, (char *)(uintptr_t) "one value only");
    f = fingerprint("nnunetv2");
    sf_log_set_sink(NULL, NULL);
    assert_int_equal(warnings, 0); /* only CT reads these numbers */
    sf_fingerprint_destroy(&f);
}

/** The ignore label is foreground for the statistics, as in nnU-Net, unless the recipe says no. */
static void ignore_label_in_statistics(void **state)
{
    char file[SF_PATH_MAX];
    sf_recipe *paper = NULL;
    (void)state;
    start("Dataset133_Ignore", "CT", "{\"background\": 0, \"a\": 1, \"b\": 2, \"ignore\": 3}", 2);
    add_case("marked", 10, 9, 2);
    add_case("unmarked", 50, 29, 3); /* 29 ignored voxels and one of label 1 */
    tst_ok(sf_recipe_load(&paper, "paper"));
    json_t *plan = json_object_get(paper->json, "plan");
    assert_int_equal(json_object_set_new(plan, "ignore_in_statistics", json_false()), 0);
    tst_ok(sf_path_join(file, tst_tmp_dir(), "own.json", NULL));
    tst_ok(sf_json_save(paper->json, file, 4, false));
    sf_recipe_destroy(&paper);
    sf_fingerprint *with = fingerprint("paper"), *without = fingerprint(file);
    assert_true(fabs(with->intensity[0].mean - 40) < 1e-12);
    assert_true(fabs(without->intensity[0].mean - (10 * 10 + 50) / 11.0) < 1e-12);
    sf_fingerprint_destroy(&with);
    sf_fingerprint_destroy(&without);
}

/* ---- planning ---- */

static json_t *plan_of(const tst_description *d, const char *recipe, const sf_planner_options *o)
{
    sf_recipe *r = NULL;
    json_t *json = NULL;
    tst_ok(sf_recipe_load(&r, recipe));
    tst_ok(sf_planner_run(&json, NULL, d->fingerprint, d->dataset, r, o));
    sf_recipe_destroy(&r);
    return json;
}

/** A few single slices among volumes: 3-D is planned, and the patch covers the median. */
static void some_single_slices(void **state)
{
    static const double sp[1][3] = { { 5, 1, 1 } };
    static const int64_t sh[3][3] = { { 1, 200, 200 }, { 20, 200, 200 }, { 24, 200, 200 } };
    static const char *const recipes[] = { "paper", "nnunetv2" };
    tst_description d;
    (void)state;
    tst_describe_cases(&d, "Dataset134_Slices", 9, sp, 1, sh, 3, 1, "MRI", 2);
    for (int k = 0; k < 2; k++) {
        sf_plans *p = tst_plan(&d, recipes[k], NULL);
        assert_true(tst_config(p, "3d_fullres")->patch[0] >= 20);
        sf_plans_destroy(&p);
    }
    tst_undescribe(&d);
}

/** The scheme follows the channel's name in any case, unknown names are z-scored; only z-score uses
 *  the mask when cropping shrinks the images (5.1, 5.2). */
static void schemes_by_channel_name(void **state)
{
    static const struct {
        const char *name;
        sf_norm_scheme scheme;
    } rows[] = {
        { "CT", SF_NORM_CT },
        { "ct", SF_NORM_CT },
        { "noNorm", SF_NORM_NONE },
        { "NONORM", SF_NORM_NONE },
        { "rescale_to_0_1", SF_NORM_RESCALE01 },
        { "Rescale_To_0_1", SF_NORM_RESCALE01 },
        { "rgb_to_0_1", SF_NORM_RGB01 },
        { "RGB_TO_0_1", SF_NORM_RGB01 },
        { "zscore", SF_NORM_ZSCORE },
        { "T1", SF_NORM_ZSCORE },
        { "CT1", SF_NORM_ZSCORE }, /* not v1's "contains CT" */
        { "R", SF_NORM_ZSCORE },
    };
    static const double sp[1][3] = { { 1, 1, 1 } };
    static const int64_t sh[1][3] = { { 40, 40, 40 } };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tst_description d;
        char name[32];
        snprintf(name, sizeof name, "Dataset14%zu_Name", i % 10);
        tst_describe_cases(&d, name, 5, sp, 1, sh, 1, 1, rows[i].name, 2);
        d.fingerprint->median_relative_size = 0.5;
        sf_plans *p = tst_plan(&d, "nnunetv2", NULL);
        const sf_config *c = tst_config(p, "3d_fullres");
        if (c->norm[0] != rows[i].scheme) fail_msg("%s", rows[i].name);
        assert_int_equal(c->use_mask[0], rows[i].scheme == SF_NORM_ZSCORE);
        sf_plans_destroy(&p);
        tst_undescribe(&d);
    }
}

static void large_iso(tst_description *d)
{
    static const double sp[1][3] = { { 1, .8, .8 } };
    static const int64_t sh[1][3] = { { 400, 512, 512 } };
    tst_describe_cases(d, "Dataset135_Large", 10, sp, 1, sh, 1, 1, "CT", 3);
}

static json_t *config_of(json_t *plans, const char *name)
{
    return json_object_get(json_object_get(plans, "configurations"), name);
}

/** Planning again: what this planning made is replaced, other configurations stay and are told. */
static void planning_again(void **state)
{
    static const double spacing[3] = { 3, 3, 3 };
    const sf_planner_options coarse = { .spacing = spacing };
    tst_description d;
    (void)state;
    large_iso(&d);
    json_t *old = plan_of(&d, "nnunetv2", NULL), *now = plan_of(&d, "nnunetv2", &coarse);
    assert_null(config_of(now, "3d_lowres"));
    json_object_set_new(json_object_get(old, "configurations"), "mine",
                        json_pack("{s:s, s:i}", "inherits_from", "3d_fullres", "batch_size", 5));
    warnings = 0;
    sf_log_set_sink(count_warnings, (char *)(uintptr_t) "is kept");
    tst_ok(sf_planner_keep_foreign(now, old, "plans.json"));
    sf_log_set_sink(NULL, NULL);
    assert_int_equal(warnings, 3); /* 3d_lowres, 3d_cascade_fullres, mine */
    sf_plans *p = NULL;
    tst_ok(sf_plans_from_json(&p, now, "plans.json"));
    assert_int_equal(tst_config(p, "mine")->batch_size, 5);
    assert_true(tst_config(p, "mine")->spacing[0] == 3);
    assert_true(tst_config(p, "3d_lowres")->spacing[0] < 3);
    sf_plans_destroy(&p);
    json_object_set_new(config_of(old, "mine"), "inherits_from", json_string("gone"));
    json_object_del(json_object_get(now, "configurations"), "mine");
    assert_int_equal(sf_planner_keep_foreign(now, old, "plans.json"), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "gone"));
    json_t *other = json_pack("{s:i}", "a", 1);
    assert_int_equal(sf_planner_keep_foreign(now, other, "plans.json"), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "no plans file"));
    json_decref(other);
    json_decref(old);
    json_decref(now);
    tst_undescribe(&d);
}

/** Every shipped preset plans; those with another resampling keep patch and batch of their base and
 *  have data identifiers of their own (nnunet-planning.md 8.5, 9.5). */
static void presets(void **state)
{
    static const struct {
        const char *preset, *base, *planner, *fn, *identifier;
        int force; /* -1 null */
    } rows[] = {
        { "ResEncUNet", "ResEncM", "ResEncUNetPlanner", NULL, "nnUNetPlans_3d_fullres", -1 },
        { "ResEncM", NULL, "nnUNetPlannerResEncM", NULL, "nnUNetPlans_3d_fullres", -1 },
        { "ResEncL", NULL, "nnUNetPlannerResEncL", NULL, "nnUNetPlans_3d_fullres", -1 },
        { "ResEncXL", NULL, "nnUNetPlannerResEncXL", NULL, "nnUNetPlans_3d_fullres", -1 },
        { "torchres", "", "nnUNetPlanner_torchres", "resample_torch_fornnunet",
          "nnUNetPlans_torchres_3d_fullres", 0 },
        { "ResEncL_torchres", "ResEncL", "nnUNetPlannerResEncL_torchres",
          "resample_torch_fornnunet", "nnUNetResEncUNetLPlans_torchres_3d_fullres", 0 },
        { "ResEncL_torchres_sepz", "ResEncL", "nnUNetPlannerResEncL_torchres_sepz",
          "resample_torch_fornnunet", "nnUNetResEncUNetLPlans_torchres_sepz_3d_fullres", -1 },
        { "ResEncL_noResampling", "ResEncL", "nnUNetPlannerResEncL_noResampling",
          "no_resampling_hack", "nnUNetResEncUNetLPlans_noResampling_3d_fullres", -1 },
    };
    tst_description d;
    (void)state;
    large_iso(&d);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const sf_planner_options o = { .preset = rows[i].preset };
        json_t *json = plan_of(&d, "nnunetv2", &o);
        sf_plans *p = NULL;
        tst_ok(sf_plans_from_json(&p, json, rows[i].preset));
        const sf_config *c = tst_config(p, "3d_fullres");
        assert_string_equal(json_string_value(json_object_get(json, "experiment_planner_used")),
                            rows[i].planner);
        assert_string_equal(c->data_identifier, rows[i].identifier);
        assert_string_equal(sf_resample_fn_name(c->data.fn),
                            rows[i].fn ? rows[i].fn : "resample_data_or_seg_to_shape");
        assert_int_equal(c->prob.force_separate_z, rows[i].force);
        if (rows[i].base) {
            const sf_planner_options b = { .preset = rows[i].base[0] ? rows[i].base : NULL };
            sf_plans *q = tst_plan(&d, "nnunetv2", &b);
            const sf_config *like = tst_config(q, "3d_fullres");
            assert_memory_equal(c->patch, like->patch, sizeof c->patch);
            assert_int_equal(c->batch_size, like->batch_size);
            assert_int_equal(c->arch.net, like->arch.net);
            sf_plans_destroy(&q);
        }
        sf_plans_destroy(&p);
        json_decref(json);
    }
    tst_undescribe(&d);
}

/** A preset of one's own: a misspelt key is no default. */
static void own_preset(void **state)
{
    char path[SF_PATH_MAX];
    const sf_planner_options o = { .preset = path };
    tst_description d;
    sf_recipe *r = NULL;
    json_t *preset = NULL, *out = NULL;
    (void)state;
    large_iso(&d);
    tst_ok(sf_recipe_load(&r, "paper"));
    tst_ok(sf_preset_load(&preset, "ResEncM"));
    json_object_set_new(preset, "plans_name", json_string("mine"));
    tst_ok(sf_path_join(path, tst_tmp_dir(), "mine.json", NULL));
    tst_ok(sf_json_save(preset, path, 2, false));
    tst_ok(sf_planner_run(&out, NULL, d.fingerprint, d.dataset, r, &o));
    assert_string_equal(json_string_value(json_object_get(out, "plans_name")), "mine");
    json_decref(out);
    json_object_set_new(preset, "memry_gb", json_integer(3));
    tst_ok(sf_json_save(preset, path, 2, false));
    assert_int_equal(sf_planner_run(&out, NULL, d.fingerprint, d.dataset, r, &o), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "memry_gb"));
    json_decref(preset);
    sf_recipe_destroy(&r);
    tst_undescribe(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weighted_statistics),
        cmocka_unit_test(one_constant_case),
        cmocka_unit_test(ignore_label_in_statistics),
        cmocka_unit_test(some_single_slices),
        cmocka_unit_test(schemes_by_channel_name),
        cmocka_unit_test(planning_again),
        cmocka_unit_test(presets),
        cmocka_unit_test(own_preset),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed + (sf_mem_live(SF_MEM_CATEGORIES) != 0);
}
