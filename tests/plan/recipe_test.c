/** Recipes: the two that ship, a user's file, variants, and clear errors for every wrong key. */
#include "base/mem.h"
#include "base/path.h"
#include "tests/plan/plan_check.h"
#include <string.h>

static void shipped(void **state)
{
    sf_recipe *p = NULL, *v = NULL;
    (void)state;
    tst_ok(sf_recipe_load(&p, "paper"));
    tst_ok(sf_recipe_load(&v, "nnunetv2"));
    assert_string_equal(p->name, "paper");
    assert_int_equal(p->plan.pooling, SF_RULE_PAPER);
    assert_int_equal(v->plan.pooling, SF_RULE_V2);
    assert_true(p->plan.cascade_trigger == 0.125 && v->plan.cascade_trigger == 0.25);
    assert_true(p->plan.lowres_step == 0.01 && v->plan.lowres_step == 0.03);
    assert_true(p->infer.average_probabilities && !v->infer.average_probabilities);
    assert_true(p->prep.labels_argmax && !v->prep.labels_argmax);
    assert_true(p->prep.mask_outside_zero && !v->prep.mask_outside_zero);
    assert_true(p->train.foreground_at_least_one && !v->train.foreground_at_least_one);
    assert_true(v->train.momentum == 0.99 && v->train.decay == 3e-5 && v->train.epochs == 1000);
    assert_true(v->plan.ref_3d == 560e6 && v->plan.ref_2d == 85e6 && v->plan.ref_batch_2d == 12);
    assert_true(json_is_object(p->augment) && json_is_object(v->augment));
    sf_recipe_destroy(&p);
    sf_recipe_destroy(&v);
}

static const char *save(const json_t *json, const char *name)
{
    static char path[SF_PATH_MAX];
    tst_ok(sf_path_join(path, tst_tmp_dir(), name, NULL));
    tst_ok(sf_json_save(json, path, 2, false));
    return path;
}

/** A variant over a recipe; *r is destroyed by the caller when SF_OK. */
static sf_status vary(sf_recipe **r, const char *recipe, const char *variant)
{
    sf_recipe *base = NULL;
    json_t *over = NULL;
    tst_ok(sf_recipe_load(&base, recipe));
    sf_status st = sf_variant_load(&over, variant);
    if (st == SF_OK) st = sf_recipe_vary(r, base, over);
    json_decref(over);
    sf_recipe_destroy(&base);
    return st;
}

static void refused(const json_t *variant, int status, const char *text)
{
    sf_recipe *r = NULL;
    assert_int_equal(vary(&r, "nnunetv2", save(variant, "bad.json")), status);
    if (!strstr(sf_error_text(), text)) fail_msg("no '%s' in: %s", text, sf_error_text());
}

static void variants(void **state)
{
    sf_recipe *r = NULL;
    json_t *mine =
        json_pack("{s:s, s:{s:i, s:f}}", "name", "mine", "train", "epochs", 3, "lr", 0.5);
    (void)state;
    tst_ok(vary(&r, "paper", "momentum09"));
    assert_true(r->train.momentum == 0.9 && r->train.epochs == 1000);
    assert_string_equal(r->name, "paper");
    sf_recipe_destroy(&r);
    tst_ok(vary(&r, "nnunetv2", save(mine, "mine.json")));
    assert_true(r->train.lr == 0.5 && r->train.epochs == 3 && r->train.momentum == 0.99);
    sf_recipe_destroy(&r);
    json_object_set_new(json_object_get(mine, "train"), "epcohs", json_integer(5));
    refused(mine, SF_EDATA, "epcohs");
    assert_int_equal(vary(&r, "nnunetv2", "unheard"), SF_EINVAL);
    assert_non_null(strstr(sf_error_text(), "momentum09"));
    json_decref(mine);
}

/** What no variant may say. */
static void wrong_variants(void **state)
{
    static const struct {
        const char *text, *says;
    } bad[] = {
        { "[]", "object" },
        { "{\"train\": {\"lr\": 1}}", "name" },
        { "{\"name\": \"a/b\"}", "a/b" },
        { "{\"name\": \"none\"}", "none" },
        { "{\"name\": \"\"}", "name" },
        { "{\"name\": \"x\", \"plan\": {\"min_edge\": 8}}", "min_edge" },
        { "{\"name\": \"x\", \"prep\": {\"order_data\": 1}}", "prep" },
        { "{\"name\": \"x\", \"trian\": {\"lr\": 1}}", "trian" },
        { "{\"name\": \"x\", \"train\": 1}", "train" },
        { "{\"name\": \"x\", \"train\": {\"lr\": {}}}", "lr" },
        { "{\"name\": \"x\", \"train\": {\"lr\": \"fast\"}}", "lr" },
        { "{\"name\": \"x\", \"augment\": {\"blur\": {\"q\": 0.1}}}", "\"q\"" },
        { "{\"name\": \"x\", \"augment\": {\"blur\": 0.1}}", "blur" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *v = json_loads(bad[i].text, 0, NULL);
        assert_non_null(v);
        refused(v, SF_EDATA, bad[i].says);
        json_decref(v);
    }
}

/** Every shipped variant fits both recipes, differs from them, and is named in the list. */
static void shipped_variants(void **state)
{
    static const char *const name[] = {
        "ce",    "constant_lr",  "dice",           "dice_smooth0",
        "no_da", "no_mirroring", "momentum09",     "no_deep_supervision",
        "relu",  "three_convs",  "three_convs_32", "only_mirror_01"
    };
    char *list = NULL;
    (void)state;
    tst_ok(sf_variant_list(&list));
    int lines = 0;
    for (const char *c = list; *c; c++) lines += *c == '\n';
    assert_int_equal(lines, sizeof name / sizeof *name);
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        assert_non_null(strstr(list, name[i]));
        for (int k = 0; k < 2; k++) {
            const char *recipe = k ? "paper" : "nnunetv2";
            sf_recipe *r = NULL, *base = NULL;
            tst_ok(sf_recipe_load(&base, recipe));
            tst_ok(vary(&r, recipe, name[i]));
            if (json_equal(r->json, base->json)) fail_msg("%s changes nothing", name[i]);
            sf_recipe_destroy(&r);
            sf_recipe_destroy(&base);
        }
    }
    sf_mem_free(list);
}

static void unknown_name(void **state)
{
    sf_recipe *r = NULL;
    (void)state;
    assert_int_equal(sf_recipe_load(&r, "v1"), SF_EINVAL);
    assert_non_null(strstr(sf_error_text(), "nnunetv2"));
    assert_int_equal(sf_recipe_load(&r, "/nonexistent/x.json"), SF_EIO);
}

/** Every key of every group: missing, of a wrong kind, or misspelt is an error that names it. */
static void every_key_is_needed(void **state)
{
    static const char *const groups[] = { "plan", "prep", "train", "infer" };
    sf_recipe *r = NULL, *bad = NULL;
    int n = 0;
    (void)state;
    tst_ok(sf_recipe_load(&r, "paper"));
    for (int g = 0; g < 4; g++) {
        const char *key;
        json_t *v;
        json_object_foreach(json_object_get(r->json, groups[g]), key, v)
        {
            json_t *copy = json_deep_copy(r->json), *group = json_object_get(copy, groups[g]);
            json_object_del(group, key);
            assert_int_equal(sf_recipe_from_json(&bad, copy), SF_EDATA);
            assert_non_null(strstr(sf_error_text(), key));
            json_object_set_new(group, key, json_array());
            assert_int_equal(sf_recipe_from_json(&bad, copy), SF_EDATA);
            assert_non_null(strstr(sf_error_text(), key));
            json_decref(copy);
            n++;
        }
    }
    assert_true(n > 60);
    sf_recipe_destroy(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shipped),        cmocka_unit_test(variants),
        cmocka_unit_test(wrong_variants), cmocka_unit_test(shipped_variants),
        cmocka_unit_test(unknown_name),   cmocka_unit_test(every_key_is_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
