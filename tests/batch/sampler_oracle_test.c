/* Boxes, patch setup and oversampling against the peer's answers (oracle/loader.json, facts.json).
 */
#include "base/json.h"
#include "batch/sampler.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 2 or 3 integers; a 2-D triple gets `first` in front. @return the dimension. */
static int triple(int64_t out[3], const json_t *obj, const char *key, int64_t first)
{
    const json_t *a = json_object_get(obj, key);
    const int n = (int)json_array_size(a);
    out[0] = first;
    for (int i = 0; i < n; i++) {
        out[3 - n + i] = json_integer_value(json_array_get(a, (size_t)i));
    }
    return n;
}

static void test_boxes(void **state)
{
    const json_t *cases = json_object_get(*state, "bbox");
    assert_true(json_array_size(cases) > 0);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        int64_t image[3], loaded[3], patch[3], voxel[3], forced[3], lo[3], hi[3], start[3];
        const int dim = triple(image, c, "shape", 1);
        triple(loaded, c, "patch_loaded", 1);
        triple(patch, c, "patch_final", 1);
        triple(voxel, c, "voxel", 0);
        triple(forced, c, "forced_lower", 0);
        sf_box_range(lo, hi, image, loaded, patch);
        const int32_t at[3] = { (int32_t)voxel[0], (int32_t)voxel[1], (int32_t)voxel[2] };
        sf_box_around(start, lo, at, loaded);
        const json_t *range = json_object_get(c, "random_range_inclusive");
        for (int a = 3 - dim; a < 3; a++) {
            const json_t *pair = json_array_get(range, (size_t)(a - 3 + dim));
            assert_int_equal(lo[a], json_integer_value(json_array_get(pair, 0)));
            assert_int_equal(hi[a], json_integer_value(json_array_get(pair, 1)));
            assert_int_equal(start[a], forced[a]);
        }
    }
}

static void test_setup(void **state)
{
    static const char *const recipes[] = { "paper", "nnunetv2" };
    const json_t *cases = json_object_get(*state, "augmentation_setup");
    assert_true(json_array_size(cases) > 0);
    for (int r = 0; r < 2; r++) {
        sf_recipe *recipe; /* the numbers under test live there, not in C */
        tst_ok(sf_recipe_load(&recipe, recipes[r]));
        const json_t *setup = json_object_get(recipe->augment, "setup");
        for (size_t i = 0; i < json_array_size(cases); i++) {
            const json_t *c = json_array_get(cases, i);
            int64_t patch[3], initial[3];
            const int dim = triple(patch, c, "patch", 1);
            triple(initial, c, "initial_patch", 1);
            sf_patch_setup got;
            tst_ok(sf_patch_setup_make(&got, setup, dim, patch));
            for (int a = 0; a < 3; a++) assert_int_equal(got.initial[a], initial[a]);
            const json_t *angles = json_object_get(c, "rotation_rad");
            assert_true(fabs(got.angle - json_real_value(json_array_get(angles, 1))) < 1e-12);
            assert_true(fabs(got.angle + json_real_value(json_array_get(angles, 0))) < 1e-12);
            assert_int_equal(got.dummy_2d, json_is_true(json_object_get(c, "dummy_2d")));
            bool mirror[3] = { false, false, false };
            const json_t *axes = json_object_get(c, "mirror_axes");
            for (size_t k = 0; k < json_array_size(axes); k++) {
                mirror[json_integer_value(json_array_get(axes, k)) + 3 - dim] = true;
            }
            for (int a = 0; a < 3; a++) assert_int_equal(got.mirror[a], mirror[a]);
        }
        sf_recipe_destroy(&recipe);
    }
}

static void test_oversampling(void **state)
{
    (void)state;
    json_t *facts;
    const char *key;
    json_t *flags;
    int seen = 0;
    tst_ok(sf_json_load(&facts, tst_shared("oracle/facts.json")));
    json_object_foreach(json_object_get(facts, "oversampling"), key, flags)
    {
        double fraction;
        long long batch;
        assert_int_equal(sscanf(key, "%lf_%lld", &fraction, &batch), 2);
        assert_int_equal(json_array_size(flags), batch);
        for (long long j = 0; j < batch; j++, seen++) {
            const bool want = json_is_true(json_array_get(flags, (size_t)j));
            assert_int_equal(sf_sample_is_forced(batch, j, fraction, false), want);
            const bool last = j == batch - 1;
            assert_int_equal(sf_sample_is_forced(batch, j, fraction, true), want || last);
        }
    }
    assert_true(seen > 0);
    json_decref(facts);
}

int main(void)
{
    const char *path = tst_shared("oracle/loader.json");
    if (!path || !tst_shared("oracle/facts.json")) tst_skip("oracle/loader.json is absent");
    json_t *loader = NULL;
    if (sf_json_load(&loader, path) != SF_OK) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(test_boxes, loader),
        cmocka_unit_test_prestate(test_setup, loader),
        cmocka_unit_test(test_oversampling),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    json_decref(loader);
    return failed;
}
