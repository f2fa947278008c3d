/** Recipes: the two that ship, a user's file, variants, and clear errors for every wrong key. */
#include "base/mem.h"
#include "base/path.h"
#include "tests/plan/plan_check.h"
#include <string.h>

static void shipped(void **state)
{
    sf_recipe *p = NULL, *v = NULL;
    (void)state;
    tst_ok(sf_recipe_load(&p, "paper", NULL));
    tst_ok(sf_recipe_load(&v, "nnunetv2", NULL));
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

static void variants(void **state)
{
    sf_recipe *r = NULL;
    json_t *mine =
        json_pack("{s:s, s:{s:i, s:f}}", "name", "mine", "train", "epochs", 3, "lr", 0.5);
    (void)state;
    tst_ok(sf_recipe_load(&r, "paper", "momentum09"));
    assert_true(r->train.momentum == 0.9 && r->train.epochs == 1000);
    assert_string_equal(r->name, "paper");
    sf_recipe_destroy(&r);
    tst_ok(sf_recipe_load(&r, "nnunetv2", save(mine, "mine.json")));
    assert_true(r->train.lr == 0.5 && r->train.epochs == 3 && r->train.momentum == 0.99);
    sf_recipe_destroy(&r);
    json_object_set_new(json_object_get(mine, "train"), "epcohs", json_integer(5));
    assert_int_equal(sf_recipe_load(&r, "nnunetv2", save(mine, "mine.json")), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "epcohs"));
    assert_int_equal(sf_recipe_load(&r, "nnunetv2", "unheard"), SF_EINVAL);
    assert_non_null(strstr(sf_error_text(), "momentum09"));
    json_decref(mine);
}

static void unknown_name(void **state)
{
    sf_recipe *r = NULL;
    (void)state;
    assert_int_equal(sf_recipe_load(&r, "v1", NULL), SF_EINVAL);
    assert_non_null(strstr(sf_error_text(), "nnunetv2"));
    assert_int_equal(sf_recipe_load(&r, "/nonexistent/x.json", NULL), SF_EIO);
}

/** Every key of every group: missing, of a wrong kind, or misspelt is an error that names it. */
static void every_key_is_needed(void **state)
{
    static const char *const groups[] = { "plan", "prep", "train", "infer" };
    sf_recipe *r = NULL, *bad = NULL;
    int n = 0;
    (void)state;
    tst_ok(sf_recipe_load(&r, "paper", NULL));
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
        cmocka_unit_test(shipped),
        cmocka_unit_test(variants),
        cmocka_unit_test(unknown_name),
        cmocka_unit_test(every_key_is_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
