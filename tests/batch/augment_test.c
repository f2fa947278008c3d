/* Properties of the transforms that hold for any recipe. */
#include "base/mem.h"
#include "batch/augment.h"
#include "batch/cascade.h"
#include "batch/labels_ops.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int64_t N[3] = { 20, 24, 28 };
enum { COUNT = 20 * 24 * 28 };

static sf_sample_key key_of(uint32_t sample)
{
    const sf_sample_key key = { .seed = 5, .scope = "test", .sample = sample };
    return key;
}

static float *smooth_volume(void)
{
    float *x = malloc(COUNT * sizeof *x);
    for (int64_t i = 0; i < COUNT; i++) {
        const double z = (double)(i / (N[1] * N[2])), y = (double)(i / N[2] % N[1]),
                     c = (double)(i % N[2]);
        x[i] = (float)(sin(0.2 * z) + cos(0.15 * y + 0.1 * c));
    }
    return x;
}

/* The stream's own normal numbers, to the last bit of float; sigma is a standard deviation,
 * although the peers call it a variance. `drawn`: numbers taken from the stream before. */
static void check_noise(int64_t count, int drawn)
{
    float *x = calloc(COUNT, sizeof *x), *want = malloc(COUNT * sizeof *want);
    sf_rng field, plain;
    const sf_sample_key key = key_of(0);
    double squares = 0;
    int64_t differ = 0;
    sf_augment_stream(&field, &key, "noise/field");
    for (int i = 0; i < drawn; i++) sf_rng_u01(&field);
    plain = field;
    sf_noise_add(x, count, 0.07, &field);
    sf_rng_fill_normal(&plain, count, want);
    for (int64_t i = 0; i < count; i++) {
        squares += (double)x[i] * x[i];
        differ += x[i] != 0.07f * want[i];
        assert_true(fabsf(x[i] - 0.07f * want[i]) <= 1.2e-7f * fabsf(x[i]));
    }
    assert_true(differ * 1000 <= count);
    for (int64_t i = count; i < COUNT; i++) assert_true(x[i] == 0);
    assert_true(fabs(sqrt(squares / (double)count) - 0.07) < 5 * 0.07 / sqrt(2.0 * (double)count));
    assert_true(sf_rng_u01(&field) == sf_rng_u01(&plain));
    free(x);
    free(want);
}

static void test_noise(void **state)
{
    (void)state;
    check_noise(COUNT, 0);
    check_noise(COUNT - 1, 0);
    check_noise(77, 0);
    check_noise(COUNT, 1);
    check_noise(COUNT - 1, 2);
}

/* Turning there and back on a smooth volume gives the middle back, in both conventions. */
static void check_turn(sf_formulas formulas, sf_image_rule rule, double tolerance)
{
    const int64_t patch[3] = { 10, 12, 14 };
    sf_spatial_draw there = {
        .rotate = true, .scale = true, .angle = { 0.2, 0, 0 }, .factor = 1.1
    };
    sf_spatial_draw back = {
        .rotate = true, .scale = true, .angle = { -0.2, 0, 0 }, .factor = 1 / 1.1
    };
    float *x = smooth_volume(), *turned = malloc(COUNT * sizeof *x), *y = malloc(COUNT * sizeof *x);
    sf_workspace ws = { 0 };
    const sf_box box = { .image = { N[0], N[1], N[2] }, .size = { N[0], N[1], N[2] } };
    sf_affine map;
    sf_spatial_affine(&map, &there, false, formulas, N, N);
    tst_ok(sf_spatial_image(turned, N, x, &box, &map, rule, &ws));
    sf_spatial_affine(&map, &back, false, formulas, N, patch);
    tst_ok(sf_spatial_image(y, patch, turned, &box, &map, rule, &ws));
    double worst = 0;
    for (int64_t i = 0; i < patch[0] * patch[1] * patch[2]; i++) {
        const int64_t z = i / (patch[1] * patch[2]) + 5, q = i / patch[2] % patch[1] + 6,
                      c = i % patch[2] + 7;
        worst = fmax(worst, fabs((double)y[i] - (double)x[(z * N[1] + q) * N[2] + c]));
    }
    assert_true(worst < tolerance);
    sf_workspace_clear(&ws);
    free(x);
    free(turned);
    free(y);
}

static void test_turn_and_back(void **state)
{
    (void)state;
    check_turn(SF_FORMULAS_V1, SF_IMAGE_CUBIC, 2e-3);
    check_turn(SF_FORMULAS_V2, SF_IMAGE_LINEAR, 2e-2);
}

/* A box that hangs over the image equals the same box of a padded copy; beyond it there is nothing.
 */
static void test_padding(void **state)
{
    (void)state;
    float *x = smooth_volume();
    const sf_box box = { .image = { N[0], N[1], N[2] },
                         .lo = { -3, 20, -40 },
                         .size = { 6, 9, 75 } };
    float *cut = malloc(6 * 9 * 75 * sizeof *cut);
    sf_cut_image(cut, x, &box);
    for (int64_t i = 0; i < 6 * 9 * 75; i++) {
        const int64_t p[3] = { i / (9 * 75) - 3, i / 75 % 9 + 20, i % 75 - 40 };
        bool in = true;
        for (int a = 0; a < 3; a++) in = in && p[a] >= 0 && p[a] < N[a];
        assert_true(cut[i] == (in ? x[(p[0] * N[1] + p[1]) * N[2] + p[2]] : 0.0f));
    }
    const sf_box far = { .image = { N[0], N[1], N[2] }, .lo = { 5, 5, 500 }, .size = { 2, 2, 3 } };
    sf_cut_image(cut, x, &far);
    for (int i = 0; i < 12; i++) assert_true(cut[i] == 0.0f);
    free(x);
    free(cut);
}

/* A label never appears that was not there, and a straight half stays where it is. */
static void test_labels_of_a_half_space(void **state)
{
    (void)state;
    int16_t *seg = malloc(COUNT * sizeof *seg), *out = malloc(COUNT * sizeof *out);
    for (int64_t i = 0; i < COUNT; i++) seg[i] = i % N[2] < 14 ? 0 : 7;
    const sf_spatial_draw draw = { .scale = true, .factor = 0.9 };
    const sf_box box = { .image = { N[0], N[1], N[2] }, .size = { N[0], N[1], N[2] } };
    sf_workspace ws = { 0 };
    for (int rule = 0; rule < 2; rule++) {
        sf_affine map;
        sf_spatial_affine(&map, &draw, false, rule ? SF_FORMULAS_V2 : SF_FORMULAS_V1, N, N);
        tst_ok(sf_spatial_labels(out, N, seg, &box, &map,
                                 rule ? SF_LABEL_ARGMAX : SF_LABEL_THRESHOLD, &ws));
        for (int64_t i = 0; i < COUNT; i++) assert_int_equal(out[i], i % N[2] < 14 ? 0 : 7);
    }
    sf_workspace_clear(&ws);
    free(seg);
    free(out);
}

/* The cascade's disturbance keeps every voxel in at most one class, and acts as often as the recipe
 * says. */
static void test_cascade(void **state)
{
    (void)state;
    enum { CLASSES = 2, DRAWS = 300 };
    sf_recipe *recipe;
    sf_cascade c;
    tst_ok(sf_recipe_load(&recipe, "nnunetv2"));
    tst_ok(sf_cascade_parse(&c, recipe->augment));
    float *start = calloc(CLASSES * COUNT, sizeof *start), *x = malloc(CLASSES * COUNT * sizeof *x);
    for (int64_t i = 0; i < COUNT; i++) {
        const int64_t z = i / (N[1] * N[2]), y = i / N[2] % N[1], v = i % N[2];
        if (z > 3 && z < 15 && y > 3 && y < 20) start[(v < 14 ? 0 : 1) * COUNT + i] = 1.0f;
        if (z == 18 && y == 22 && v < 5) start[i] = 1.0f; /* a small component */
    }
    sf_workspace ws = { 0 };
    int changed = 0;
    for (uint32_t d = 0; d < DRAWS; d++) {
        const sf_sample_key key = key_of(d);
        memcpy(x, start, CLASSES * COUNT * sizeof *x);
        tst_ok(sf_cascade_disturb(&c, &key, x, CLASSES, N, &ws));
        changed += memcmp(x, start, CLASSES * COUNT * sizeof *x) != 0;
        for (int64_t i = 0; i < COUNT; i++) {
            assert_true((x[i] == 0.0f || x[i] == 1.0f) && x[i] + x[COUNT + i] <= 1.0f);
        }
    }
    /* 1 - (1 - 0.4 * 0.75) * (1 - 0.2 * 0.5), less draws that happen to change nothing */
    assert_in_range(changed, 60, 150);
    sf_workspace_clear(&ws);
    sf_recipe_destroy(&recipe);
    free(start);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_noise),   cmocka_unit_test(test_turn_and_back),
        cmocka_unit_test(test_padding), cmocka_unit_test(test_labels_of_a_half_space),
        cmocka_unit_test(test_cascade),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed + (sf_mem_live(SF_MEM_CATEGORIES) != 0);
}
