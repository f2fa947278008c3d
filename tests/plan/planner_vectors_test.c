/** The planner's test vectors of nnunet-planning.md 8.7 under nnunetv2, and its edge rules. */
#include "tests/plan/plan_check.h"
#include <math.h>
#include <string.h>

#define N(a) ((int)(sizeof(a) / sizeof((a)[0])))

static void same_patch(const sf_config *c, int64_t a, int64_t b, int64_t d, int64_t batch)
{
    assert_non_null(c);
    assert_int_equal(c->patch[0], a);
    assert_int_equal(c->patch[1], b);
    assert_int_equal(c->patch[2], d);
    assert_int_equal(c->batch_size, batch);
}

/** "111 122": one digit per axis and stage. */
static void same_digits(const int v[][3], int n, const char *want)
{
    for (int s = 0; s < n; s++)
        for (int i = 0; i < 3; i++) assert_int_equal(v[s][i], want[4 * s + i] - '0');
    assert_int_equal((int)strlen(want), 4 * n - 1);
}

typedef struct {
    int64_t two[3], full[4], low[4]; /* patch and batch; 0 = none */
} answer;

static void check_planner(const tst_description *d, const char *preset, const answer *want)
{
    const sf_planner_options o = { .preset = preset };
    sf_plans *p = tst_plan(d, "nnunetv2", &o);
    const sf_config *full = tst_config(p, "3d_fullres"), *low = tst_config(p, "3d_lowres");
    same_patch(tst_config(p, "2d"), 1, want->two[0], want->two[1], want->two[2]);
    if (want->full[0])
        same_patch(full, want->full[0], want->full[1], want->full[2], want->full[3]);
    else
        assert_null(full);
    if (want->low[0])
        same_patch(low, want->low[0], want->low[1], want->low[2], want->low[3]);
    else
        assert_null(low);
    sf_plans_destroy(&p);
}

static const char *const presets[] = { NULL, "ResEncM", "ResEncL", "ResEncXL" };

static void describe_a(tst_description *d)
{
    double sp[20][3];
    int64_t sh[20][3];
    static const double s3[3][3] = { { 3.6, .625, .625 }, { 3.0, .6, .6 }, { 4.0, .75, .75 } };
    static const int64_t n3[3][3] = { { 20, 320, 320 }, { 24, 320, 320 }, { 18, 256, 256 } };
    for (int i = 0; i < 20; i++) {
        memcpy(sp[i], s3[i < 9 ? 0 : i < 15 ? 1 : 2], sizeof sp[i]);
        memcpy(sh[i], n3[i < 8 ? 0 : i < 15 ? 1 : 2], sizeof sh[i]);
    }
    tst_describe_cases(d, "Dataset101_Aniso", 20, (const double(*)[3])sp, 20,
                       (const int64_t(*)[3])sh, 20, 2, "MRI", 3);
}

static void vector_a(void **state)
{
    static const answer want[] = { { { 320, 320, 22 }, { 24, 256, 256, 2 }, { 0 } },
                                   { { 320, 320, 32 }, { 24, 256, 256, 2 }, { 0 } },
                                   { { 320, 320, 90 }, { 24, 320, 320, 4 }, { 0 } },
                                   { { 320, 320, 133 }, { 24, 320, 320, 7 }, { 0 } } };
    tst_description d;
    (void)state;
    describe_a(&d);
    for (int k = 0; k < 4; k++) check_planner(&d, presets[k], &want[k]);
    sf_plans *p = tst_plan(&d, "nnunetv2", NULL);
    const sf_config *c = tst_config(p, "3d_fullres");
    same_digits(c->arch.stride, c->arch.n_stages, "111 122 122 222 222 122 122");
    same_digits(c->arch.kernel, c->arch.n_stages, "133 133 333 333 333 333 333");
    assert_true(c->spacing[0] == 3.0 && c->median[1] == 307);
    assert_false(c->batch_dice);
    sf_plans_destroy(&p);
    tst_undescribe(&d);
}

static void describe_b(tst_description *d)
{
    double sp[40][3];
    int64_t sh[40][3];
    static const double s3[3][3] = { { 1.0, .8, .8 }, { 1.5, .9, .9 }, { .8, .7, .7 } };
    static const int64_t n3[3][3] = { { 400, 512, 512 }, { 250, 512, 512 }, { 500, 480, 480 } };
    for (int i = 0; i < 40; i++) {
        memcpy(sp[i], s3[i < 20 ? 0 : i < 31 ? 1 : 2], sizeof sp[i]);
        memcpy(sh[i], n3[i < 15 ? 0 : i < 30 ? 1 : 2], sizeof sh[i]);
    }
    tst_describe_cases(d, "Dataset102_Iso", 40, (const double(*)[3])sp, 40, (const int64_t(*)[3])sh,
                       40, 1, "CT", 3);
}

static void vector_b(void **state)
{
    static const answer want[] = {
        { { 512, 512, 12 }, { 112, 160, 128, 2 }, { 112, 160, 128, 2 } },
        { { 512, 512, 12 }, { 112, 160, 128, 2 }, { 112, 160, 128, 2 } },
        { { 512, 512, 35 }, { 160, 224, 192, 2 }, { 160, 224, 192, 2 } },
        { { 512, 512, 52 }, { 192, 256, 256, 2 }, { 192, 256, 256, 2 } }
    };
    static const double z[] = { 2.2879276757372633, 0, 1.6047064390987884, 1.304773183829245 };
    tst_description d;
    (void)state;
    describe_b(&d);
    for (int k = 0; k < 4; k++) {
        const sf_planner_options o = { .preset = presets[k] };
        check_planner(&d, presets[k], &want[k]);
        sf_plans *p = tst_plan(&d, "nnunetv2", &o);
        const sf_config *low = tst_config(p, "3d_lowres"), *full = tst_config(p, "3d_fullres");
        const sf_config *cascade = tst_config(p, "3d_cascade_fullres");
        if (z[k] > 0) assert_true(fabs(low->spacing[0] - z[k]) < 1e-9);
        assert_string_equal(low->next_stage, "3d_cascade_fullres");
        assert_string_equal(cascade->previous_stage, "3d_lowres");
        assert_true(full->batch_dice && cascade->batch_dice && !low->batch_dice);
        assert_string_equal(cascade->data_identifier, full->data_identifier);
        assert_int_equal(cascade->patch[1], full->patch[1]);
        sf_plans_destroy(&p);
    }
    tst_undescribe(&d);
}

static void vectors_c_and_d(void **state)
{
    static const answer c[] = { { { 56, 40, 366 }, { 40, 56, 40, 9 }, { 0 } },
                                { { 56, 40, 1618 }, { 40, 56, 40, 58 }, { 0 } },
                                { { 56, 40, 4554 }, { 40, 56, 40, 178 }, { 0 } },
                                { { 56, 40, 6711 }, { 40, 56, 40, 183 }, { 0 } } };
    static const answer d[] = { { { 1280, 1024, 2 }, { 0 }, { 0 } },
                                { { 512, 512, 13 }, { 0 }, { 0 } },
                                { { 896, 768, 13 }, { 0 }, { 0 } },
                                { { 1024, 1024, 13 }, { 0 }, { 0 } } };
    static const double one[1][3] = { { 1, 1, 1 } }, flat[1][3] = { { 999, 1, 1 } };
    static const int64_t hippo[1][3] = { { 36, 50, 35 } }, big[1][3] = { { 1, 1500, 1500 } };
    tst_description x;
    (void)state;
    tst_describe_cases(&x, "Dataset103_Hippo", 260, one, 1, hippo, 1, 1, "MRI", 3);
    for (int k = 0; k < 4; k++) check_planner(&x, presets[k], &c[k]);
    tst_undescribe(&x);
    tst_describe_cases(&x, "Dataset104_Flat", 30, flat, 1, big, 1, 3, "R", 2);
    for (int k = 0; k < 4; k++) check_planner(&x, presets[k], &d[k]);
    tst_undescribe(&x);
}

static void one_row(const double sp[3], const int64_t sh[3], int cases, const answer *want)
{
    tst_description d;
    tst_describe_cases(&d, "Dataset105_Row", cases, (const double(*)[3])sp, 1,
                       (const int64_t(*)[3])sh, 1, 1, "MRI", 2);
    check_planner(&d, NULL, want);
    tst_undescribe(&d);
}

static void further_rows(void **state)
{
    static const struct {
        double sp[3];
        int64_t sh[3];
        int cases;
        answer want;
    } rows[] = {
        { { 1, 1, 1 }, { 8, 8, 8 }, 5, { { 8, 8, 2 }, { 8, 8, 8, 2 }, { 0 } } },
        { { 5, 1, 1 }, { 1, 200, 200 }, 5, { { 224, 224, 2 }, { 0 }, { 0 } } },
        { { 1, 1, 5 }, { 200, 200, 1 }, 5, { { 224, 224, 2 }, { 0 }, { 0 } } },
        { { .7, .7, 5 }, { 512, 512, 30 }, 10, { { 512, 512, 12 }, { 16, 320, 320, 2 }, { 0 } } },
        { { 1, 1, 1 }, { 200, 200, 200 }, 10, { { 224, 224, 65 }, { 128, 128, 128, 2 }, { 0 } } },
        { { 1, 1, 1 }, { 100, 120, 90 }, 1, { { 128, 96, 4 }, { 112, 128, 96, 2 }, { 0 } } },
    };
    (void)state;
    for (int i = 0; i < N(rows); i++) one_row(rows[i].sp, rows[i].sh, rows[i].cases, &rows[i].want);
}

static void fractional_median_and_percentile(void **state)
{
    static const double one[1][3] = { { 1, 1, 1 } };
    static const int64_t two[2][3] = { { 40, 50, 35 }, { 41, 51, 36 } };
    static const double mixed[5][3] = {
        { 8, 1, 1 }, { 8, 1, 1 }, { 8, 1, 1 }, { 8, 1, 1 }, { 1, 1, 1 }
    };
    static const int64_t slab[1][3] = { { 10, 300, 300 } };
    tst_description d;
    (void)state;
    tst_describe_cases(&d, "Dataset106_Half", 2, one, 1, two, 2, 1, "MRI", 2);
    sf_plans *p = tst_plan(&d, "nnunetv2", NULL);
    same_patch(tst_config(p, "3d_fullres"), 48, 56, 40, 2);
    same_patch(tst_config(p, "2d"), 1, 56, 40, 3);
    assert_true(tst_config(p, "3d_fullres")->median[0] == 40.5);
    sf_plans_destroy(&p);
    tst_undescribe(&d);
    tst_describe_cases(&d, "Dataset107_Mixed", 10, mixed, 5, slab, 1, 1, "MRI", 2);
    p = tst_plan(&d, "nnunetv2", NULL);
    same_patch(tst_config(p, "3d_fullres"), 56, 224, 192, 2);
    assert_true(tst_config(p, "3d_fullres")->spacing[0] == 1.0);
    assert_true(tst_config(p, "3d_fullres")->median[0] == 80);
    sf_plans_destroy(&p);
    tst_undescribe(&d);
}

/** Where nnU-Net plans a network without pooling that cannot run, the patch is padded. */
static void tiny_images_get_one_pooling(void **state)
{
    static const double one[1][3] = { { 1, 1, 1 } };
    static const int64_t shapes[][3] = { { 6, 6, 6 }, { 7, 7, 11 }, { 2, 3, 5 }, { 7, 7, 12 } };
    static const char *const recipes[] = { "nnunetv2", "paper" };
    (void)state;
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < N(shapes); i++) {
            tst_description d;
            tst_describe_cases(&d, "Dataset108_Tiny", 5, one, 1, &shapes[i], 1, 1, "MRI", 2);
            sf_plans *p = tst_plan(&d, recipes[k], NULL);
            for (int c = 0; c < p->n_configs; c++) {
                assert_true(p->config[c].arch.n_stages >= 2);
                for (int a = 3 - p->config[c].dim; a < 3; a++)
                    assert_true((double)p->config[c].patch[a] >= p->config[c].median[a]);
            }
            sf_plans_destroy(&p);
            tst_undescribe(&d);
        }
}

/** v2's own one-pooling case stays v2's. */
static void lone_axis(void **state)
{
    static const double one[1][3] = { { 1, 1, 1 } };
    static const int64_t shape[1][3] = { { 7, 7, 12 } };
    tst_description d;
    (void)state;
    tst_describe_cases(&d, "Dataset109_Lone", 5, one, 1, shape, 1, 1, "MRI", 2);
    sf_plans *p = tst_plan(&d, "nnunetv2", NULL);
    const sf_config *c = tst_config(p, "3d_fullres");
    same_digits(c->arch.stride, c->arch.n_stages, "111 112");
    assert_int_equal(c->patch[0], 7);
    sf_plans_destroy(&p);
    tst_undescribe(&d);
}

static void overrides(void **state)
{
    static const double spacing[3] = { 2, 2, 2 };
    const sf_planner_options big = { .memory_gb = 16 }, coarse = { .spacing = spacing };
    const sf_planner_options tiny = { .memory_gb = 1e-6 }, unknown = { .preset = "ResEncQ" };
    const sf_planner_options own = { .spacing = spacing, .preset = "ResEncM" };
    tst_description d;
    sf_recipe *r = NULL;
    json_t *json = NULL;
    (void)state;
    describe_b(&d);
    sf_plans *p = tst_plan(&d, "nnunetv2", &big);
    const sf_config *c = tst_config(p, "3d_fullres");
    assert_true(c->patch[0] * c->patch[1] * c->patch[2] > 112 * 160 * 128);
    sf_plans_destroy(&p);
    p = tst_plan(&d, "paper", &coarse);
    assert_true(tst_config(p, "3d_fullres")->spacing[0] == 2);
    assert_true(tst_config(p, "2d")->spacing[1] == 2);
    sf_plans_destroy(&p);
    p = tst_plan(&d, "nnunetv2", &own); /* nnU-Net would share a folder with other data here */
    assert_string_equal(tst_config(p, "3d_fullres")->data_identifier,
                        "nnUNetResEncUNetMPlans_3d_fullres");
    sf_plans_destroy(&p);
    tst_ok(sf_recipe_load(&r, "nnunetv2"));
    assert_int_equal(sf_planner_run(&json, NULL, d.fingerprint, d.dataset, r, &tiny), SF_EINVAL);
    assert_int_equal(sf_planner_run(&json, NULL, d.fingerprint, d.dataset, r, &unknown), SF_EINVAL);
    assert_non_null(strstr(sf_error_text(), "ResEncXL"));
    sf_recipe_destroy(&r);
    tst_undescribe(&d);
}

/** A wrong spacing in one dataset must neither hang nor overflow. */
static void absurd_spacings(void **state)
{
    static const double sp[3][3] = { { 1e-8, 1, 1 }, { 1e-8, 1, 1 }, { 900, 1, 1 } };
    static const int64_t sh[1][3] = { { 30, 300, 300 } };
    static const double target[3] = { 1e-6, 1e-6, 1e-6 };
    const sf_planner_options o = { .spacing = target };
    tst_description d;
    sf_recipe *r = NULL;
    json_t *json = NULL;
    (void)state;
    tst_describe_cases(&d, "Dataset115_Absurd", 3, sp, 3, sh, 1, 1, "MRI", 2);
    tst_ok(sf_recipe_load(&r, "paper"));
    if (sf_planner_run(&json, NULL, d.fingerprint, d.dataset, r, NULL) == SF_OK) json_decref(json);
    assert_int_equal(sf_planner_run(&json, NULL, d.fingerprint, d.dataset, r, &o), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "spacings"));
    sf_recipe_destroy(&r);
    tst_undescribe(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vector_a),
        cmocka_unit_test(vector_b),
        cmocka_unit_test(vectors_c_and_d),
        cmocka_unit_test(further_rows),
        cmocka_unit_test(fractional_median_and_percentile),
        cmocka_unit_test(tiny_images_get_one_pooling),
        cmocka_unit_test(lone_axis),
        cmocka_unit_test(overrides),
        cmocka_unit_test(absurd_spacings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
