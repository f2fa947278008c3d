/** Variants over plans: the network and the recipe change, nothing else does; the sizes of v1's own
 *  networks are met (nnunet-training.md 1.5). */
#include "base/mem.h"
#include "base/path.h"
#include "network/network.h"
#include "tests/plan/plan_check.h"
#include <string.h>

/** A cascade plan of our own planner: 2d, 3d_lowres, 3d_fullres and what inherits from it. */
static sf_plans *plans_of(const char *preset)
{
    static const double sp[1][3] = { { 1, .8, .8 } };
    static const int64_t sh[1][3] = { { 400, 512, 512 } };
    const sf_planner_options o = { .preset = preset };
    tst_description d;
    sf_recipe *r = NULL;
    sf_plans *p = NULL;
    json_t *json = NULL;
    tst_describe_cases(&d, "Dataset110_Cascade", 10, sp, 1, sh, 1, 1, "CT", 3);
    tst_ok(sf_recipe_load(&r, "paper"));
    tst_ok(sf_planner_run(&json, NULL, d.fingerprint, d.dataset, r, &o));
    tst_ok(sf_plans_from_json(&p, json, "plans"));
    json_decref(json);
    sf_recipe_destroy(&r);
    tst_undescribe(&d);
    return p;
}

static void same_plan(const sf_plans *a, const sf_plans *b)
{
    assert_int_equal(a->n_configs, b->n_configs);
    for (int i = 0; i < a->n_configs; i++) {
        const sf_config *x = &a->config[i], *y = &b->config[i];
        assert_string_equal(x->name, y->name);
        assert_memory_equal(x->patch, y->patch, sizeof x->patch);
        assert_memory_equal(x->spacing, y->spacing, sizeof x->spacing);
        assert_memory_equal(x->arch.stride, y->arch.stride, sizeof x->arch.stride);
        assert_memory_equal(x->arch.kernel, y->arch.kernel, sizeof x->arch.kernel);
        assert_int_equal(x->batch_size, y->batch_size);
        assert_string_equal(x->data_identifier, y->data_identifier);
    }
}

static void networks(void **state)
{
    sf_plans *base = plans_of(NULL), *v = NULL, *twice = NULL;
    (void)state;
    assert_null(base->variant);
    tst_ok(sf_plans_vary(&v, base, "three_convs"));
    assert_string_equal(v->variant, "three_convs");
    same_plan(base, v);
    assert_int_equal(v->n_configs, 4);
    for (int i = 0; i < v->n_configs; i++) {
        const sf_arch *a = &v->config[i].arch;
        const int64_t cap = a->dim == 2 ? 512 : 320;
        int64_t f = 24;
        for (int s = 0; s < a->n_stages; s++, f *= 2) {
            assert_int_equal(a->features[s], f < cap ? f : cap);
            assert_int_equal(a->blocks[s], 3);
            if (s + 1 < a->n_stages) assert_int_equal(a->decoder_convs[s], 3);
        }
    }
    assert_int_equal(sf_plans_vary(&twice, v, "ce"), SF_EINVAL);
    assert_non_null(strstr(sf_error_text(), "three_convs"));
    sf_plans_destroy(&v);
    tst_ok(sf_plans_vary(&v, base, "ce"));
    same_plan(base, v);
    for (int i = 0; i < v->n_configs; i++)
        assert_memory_equal(&v->config[i].arch, &base->config[i].arch, sizeof(sf_arch));
    assert_true(v->recipe->train.weight_dice == 0 && base->recipe->train.weight_dice == 1);
    sf_plans_destroy(&v);
    tst_ok(sf_plans_vary(&v, base, "relu"));
    assert_true(v->config[0].arch.slope == 0 && base->config[0].arch.slope == 0.01);
    sf_plans_destroy(&v);
    sf_plans_destroy(&base);
}

/** What is saved is complete: read back, it is the same plan of the same variant. */
static void saved(void **state)
{
    char path[SF_PATH_MAX];
    sf_plans *base = plans_of(NULL), *v = NULL, *again = NULL;
    (void)state;
    tst_ok(sf_path_join(path, tst_tmp_dir(), "plans.json", NULL));
    tst_ok(sf_plans_vary(&v, base, "momentum09"));
    tst_ok(sf_json_save(v->json, path, 4, false));
    tst_ok(sf_plans_load(&again, path));
    assert_string_equal(again->variant, "momentum09");
    assert_true(again->recipe->train.momentum == 0.9);
    same_plan(v, again);
    sf_plans_destroy(&again);
    sf_plans_destroy(&v);
    sf_plans_destroy(&base);
}

static void residual(void **state)
{
    sf_plans *base = plans_of("ResEncM"), *v = NULL;
    (void)state;
    assert_int_equal(sf_plans_vary(&v, base, "three_convs"), SF_EUNSUPPORTED);
    assert_non_null(strstr(sf_error_text(), "residual"));
    tst_ok(sf_plans_vary(&v, base, "dice"));
    sf_plans_destroy(&v);
    sf_plans_destroy(&base);
}

/** Plan A of nnunet-training.md 1.5 (4 channels in, 4 classes, six stages), on a small patch: v1's
 *  counts plus the biases of transposed convolutions and heads, which v1 did not have. */
static void parameters(void **state)
{
    static const struct {
        const char *variant;
        int64_t count;
    } known[] = { { "three_convs", 36651472 + 680 + 20 },
                  { "three_convs_32", 44199296 + 800 + 20 } };
    sf_plans *base = plans_of(NULL), *v = NULL;
    const sf_config *c;
    (void)state;
    for (int i = 0; i < 2; i++) {
        sf_network *net = NULL;
        tst_ok(sf_plans_vary(&v, base, known[i].variant));
        tst_ok(sf_plans_config(&c, v, "3d_fullres"));
        sf_arch a = c->arch;
        assert_int_equal(a.n_stages, 6);
        for (int s = 0; s < 6; s++)
            for (int k = 0; k < 3; k++) {
                a.kernel[s][k] = 3;
                a.stride[s][k] = s ? 2 : 1;
            }
        const sf_network_options o = { .arch = &a,
                                       .in_channels = 4,
                                       .heads = 4,
                                       .batch = 1,
                                       .patch = { 32, 32, 32 },
                                       .threads = 1 };
        tst_ok(sf_network_create(&net, &o));
        assert_int_equal(sf_network_params(net)->total, known[i].count);
        sf_network_destroy(&net);
        sf_plans_destroy(&v);
    }
    sf_plans_destroy(&base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks),
        cmocka_unit_test(saved),
        cmocka_unit_test(residual),
        cmocka_unit_test(parameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
