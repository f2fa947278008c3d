/** Decoding of plans.json: every file of the oracles and benchmarks, inheritance, the older layout,
 *  and damaged files (each key removed or replaced in turn: an error or a plan, never a crash). */
#include "base/mem.h"
#include "base/path.h"
#include "tests/plan/plan_check.h"
#include <stdio.h>
#include <string.h>

static int loaded;

static void load_tree(const char *dir, int depth)
{
    char **names = NULL, path[SF_PATH_MAX];
    size_t n = 0;
    tst_ok(sf_path_list(&names, &n, dir));
    for (size_t i = 0; i < n; i++) {
        tst_ok(sf_path_join(path, dir, names[i], NULL));
        if (depth > 0 && sf_path_is_dir(path)) load_tree(path, depth - 1);
        const size_t len = strlen(names[i]);
        if (strncmp(names[i], "plans", 5) == 0 && strcmp(names[i] + len - 5, ".json") == 0) {
            sf_plans *p = NULL;
            tst_ok(sf_plans_load(&p, path));
            assert_true(p->n_configs > 0);
            assert_string_equal(p->recipe->name, "nnunetv2");
            sf_plans_destroy(&p);
            loaded++;
        }
        if (strncmp(names[i], "dataset", 7) == 0 && strcmp(names[i] + len - 5, ".json") == 0 &&
            !strstr(names[i], "fingerprint")) {
            sf_dataset *d = NULL;
            tst_ok(sf_dataset_from_json(&d, path));
            assert_true(d->labels.n_heads > 0 && d->labels.n_eval > 0);
            sf_dataset_destroy(&d);
            loaded++;
        }
    }
    sf_path_free_list(&names, n);
}

static void all_files_load(void **state)
{
    static const char *const roots[] = { "oracle/network", "oracle/inference",  "oracle/preprocess",
                                         "oracle/cascade", "oracle/evaluation", "bench" };
    (void)state;
    if (!tst_shared("oracle")) skip();
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
        if (tst_shared(roots[i])) load_tree(tst_shared(roots[i]), 2);
    print_message("%d plans and datasets load\n", loaded);
    assert_true(loaded > 0);
}

/** A cascade plan of our own planner. */
static json_t *cascade_plan(void)
{
    static const double sp[1][3] = { { 1, .8, .8 } };
    static const int64_t sh[1][3] = { { 400, 512, 512 } };
    tst_description d;
    sf_recipe *r = NULL;
    json_t *json = NULL;
    tst_describe_cases(&d, "Dataset110_Cascade", 10, sp, 1, sh, 1, 1, "CT", 3);
    tst_ok(sf_recipe_load(&r, "nnunetv2"));
    tst_ok(sf_planner_run(&json, NULL, d.fingerprint, d.dataset, r, NULL));
    sf_recipe_destroy(&r);
    tst_undescribe(&d);
    return json;
}

static json_t *config_of(json_t *plans, const char *name)
{
    return json_object_get(json_object_get(plans, "configurations"), name);
}

static void inheritance(void **state)
{
    json_t *json = cascade_plan(), *configs = json_object_get(json, "configurations");
    sf_plans *p = NULL;
    const sf_config *c = NULL;
    (void)state;
    json_object_set_new(
        configs, "mine",
        json_pack("{s:s, s:i}", "inherits_from", "3d_cascade_fullres", "batch_size", 7));
    tst_ok(sf_plans_from_json(&p, json, "test"));
    tst_ok(sf_plans_config(&c, p, "mine"));
    assert_int_equal(c->batch_size, 7);
    assert_string_equal(c->previous_stage, "3d_lowres");
    assert_string_equal(c->data_identifier, "nnUNetPlans_3d_fullres");
    assert_int_equal(sf_plans_config(&c, p, "4d"), SF_EINVAL);
    assert_non_null(strstr(sf_error_text(), "3d_lowres"));
    sf_plans_destroy(&p);
    json_object_set_new(config_of(json, "3d_fullres"), "inherits_from", json_string("mine"));
    assert_int_equal(sf_plans_from_json(&p, json, "test"), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "circle"));
    json_decref(json);
}

/** The flat keys of before 2.3 decode to the same network. */
static void older_layout(void **state)
{
    static const char *const names[] = { "2d", "3d_fullres" };
    json_t *json = cascade_plan();
    sf_plans *p = NULL, *q = NULL;
    const sf_config *a = NULL, *b = NULL;
    (void)state;
    tst_ok(sf_plans_from_json(&p, json, "new"));
    for (int k = 0; k < 2; k++) {
        json_t *c = config_of(json, names[k]);
        json_t *kw = json_object_get(json_object_get(c, "architecture"), "arch_kwargs");
        json_t *old =
            json_pack("{s:s, s:i, s:i, s:O, s:O, s:O, s:O}", "UNet_class_name", "PlainConvUNet",
                      "UNet_base_num_features", 32, "unet_max_num_features", k == 0 ? 512 : 320,
                      "n_conv_per_stage_encoder", json_object_get(kw, "n_conv_per_stage"),
                      "n_conv_per_stage_decoder", json_object_get(kw, "n_conv_per_stage_decoder"),
                      "pool_op_kernel_sizes", json_object_get(kw, "strides"), "conv_kernel_sizes",
                      json_object_get(kw, "kernel_sizes"));
        json_object_update(c, old);
        json_decref(old);
        json_object_del(c, "architecture");
    }
    tst_ok(sf_plans_from_json(&q, json, "old"));
    for (int k = 0; k < 2; k++) {
        tst_ok(sf_plans_config(&a, p, names[k]));
        tst_ok(sf_plans_config(&b, q, names[k]));
        assert_memory_equal(&a->arch.features, &b->arch.features, sizeof a->arch.features);
        assert_memory_equal(&a->arch.kernel, &b->arch.kernel, sizeof a->arch.kernel);
        assert_memory_equal(&a->arch.stride, &b->arch.stride, sizeof a->arch.stride);
        assert_memory_equal(&a->arch.blocks, &b->arch.blocks, sizeof a->arch.blocks);
        assert_true(a->arch.eps == b->arch.eps && a->arch.slope == b->arch.slope);
        assert_int_equal(a->arch.n_stages, b->arch.n_stages);
    }
    sf_plans_destroy(&p);
    sf_plans_destroy(&q);
    json_decref(json);
}

static void refused(json_t *json, sf_status want, const char *word)
{
    sf_plans *p = NULL;
    assert_int_equal(sf_plans_from_json(&p, json, "plans.json"), want);
    if (!strstr(sf_error_text(), word)) fail_msg("\"%s\" lacks \"%s\"", sf_error_text(), word);
    json_decref(json);
}

static void clear_refusals(void **state)
{
    json_t *json = cascade_plan();
    (void)state;
    json_object_set_new(json_object_get(config_of(json, "2d"), "architecture"),
                        "network_class_name", json_string("a.b.SwinUNETR"));
    refused(json, SF_EUNSUPPORTED, "SwinUNETR");
    json = cascade_plan();
    json_object_set_new(config_of(json, "2d"), "resampling_fn_data",
                        json_string("resample_torch_fornnunet"));
    refused(json, SF_EUNSUPPORTED, "resample_torch_fornnunet");
    json = cascade_plan();
    json_array_set_new(json_object_get(config_of(json, "2d"), "normalization_schemes"), 0,
                       json_string("Unheard"));
    refused(json, SF_EUNSUPPORTED, "Unheard");
    json = cascade_plan();
    json_array_set_new(json_object_get(config_of(json, "3d_fullres"), "patch_size"), 1,
                       json_integer(161));
    refused(json, SF_EDATA, "divisible");
}

static int tried;

static void try_load(json_t *root)
{
    sf_plans *p = NULL;
    if (sf_plans_from_json(&p, root, "damaged") == SF_OK)
        sf_plans_destroy(&p);
    else
        assert_true(strlen(sf_error_text()) > 0);
    tried++;
}

/** Every key of an object, in turn, removed and replaced by values of other kinds. */
static void damage(json_t *root, json_t *obj)
{
    json_t *const others[] = { json_null(),     json_integer(-1), json_integer(1LL << 40),
                               json_real(-0.5), json_string("x"), json_array(),
                               json_object(),   json_true() };
    char *keys[128];
    int n = 0;
    const char *key;
    json_t *v;
    json_object_foreach(obj, key, v)
    {
        assert_true(n < 128);
        tst_ok(sf_mem_strdup(&keys[n++], key));
    }
    for (int i = 0; i < n; i++) {
        json_t *kept = json_incref(json_object_get(obj, keys[i]));
        for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
            json_object_set(obj, keys[i], others[k]);
            try_load(root);
        }
        json_object_del(obj, keys[i]);
        try_load(root);
        json_object_set_new(obj, keys[i], kept);
        if (json_is_object(kept)) damage(root, kept);
        sf_mem_free(keys[i]);
    }
    for (size_t k = 0; k < sizeof others / sizeof *others; k++) json_decref(others[k]);
}

static void damaged_plans(void **state)
{
    json_t *json = cascade_plan();
    (void)state;
    damage(json, json);
    print_message("%d damaged plans\n", tried);
    assert_true(tried > 1000);
    sf_plans *p = NULL;
    tst_ok(sf_plans_from_json(&p, json, "restored"));
    sf_plans_destroy(&p);
    json_decref(json);
}

/** What is saved loads again, with the recipe that made it. */
static void recipe_is_recorded(void **state)
{
    static const double sp[1][3] = { { 1, 1, 1 } };
    static const int64_t sh[1][3] = { { 36, 50, 35 } };
    tst_description d;
    char path[SF_PATH_MAX];
    sf_plans *q = NULL;
    (void)state;
    tst_describe_cases(&d, "Dataset111_Recipe", 20, sp, 1, sh, 1, 1, "MRI", 3);
    sf_plans *p = tst_plan(&d, "paper", NULL);
    tst_ok(sf_path_join(path, tst_tmp_dir(), "plans.json", NULL));
    tst_ok(sf_json_save(p->json, path, 4, false));
    tst_ok(sf_plans_load(&q, path));
    assert_string_equal(q->recipe->name, "paper");
    assert_true(json_equal(q->json, p->json));
    assert_true(json_equal(q->recipe->json, p->recipe->json));
    sf_plans_destroy(&p);
    sf_plans_destroy(&q);
    tst_undescribe(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_files_load), cmocka_unit_test(inheritance),
        cmocka_unit_test(older_layout),   cmocka_unit_test(clear_refusals),
        cmocka_unit_test(damaged_plans),  cmocka_unit_test(recipe_is_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
