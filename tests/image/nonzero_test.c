/* Non-zero mask against a slow definition: background reached from the border by faces is outside.
 */
#include "base/mem.h"
#include "base/rng.h"
#include "image/nonzero.h"
#include "image/runs.h"
#include "tests/support/support.h"
#include <stdlib.h>
#include <string.h>

/* Grows the outside until nothing changes. */
static void slow_fill(uint8_t *mask, const int64_t s[3])
{
    const int64_t n = s[0] * s[1] * s[2];
    uint8_t *out = calloc((size_t)n, 1);
    for (int changed = 1; changed;) {
        changed = 0;
        for (int64_t i = 0; i < n; i++) {
            const int64_t x = i % s[2], y = i / s[2] % s[1], z = i / s[2] / s[1];
            if (mask[i] || out[i]) continue;
            const int edge = !x || !y || !z || x == s[2] - 1 || y == s[1] - 1 || z == s[0] - 1;
            if (edge || out[i - 1] || out[i + 1] || out[i - s[2]] || out[i + s[2]] ||
                out[i - s[1] * s[2]] || out[i + s[1] * s[2]])
                out[i] = 1, changed = 1;
        }
    }
    for (int64_t i = 0; i < n; i++) mask[i] = !out[i];
    free(out);
}

static void test_against_definition(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < 60; k++) {
        const sf_rng_key key = { .seed = 3, .sample = k, .purpose = SF_RNG_TEST };
        sf_rng r;
        sf_rng_init(&r, &key);
        const int64_t s[3] = { 1 + sf_rng_below(&r, 9), 1 + sf_rng_below(&r, 12),
                               1 + sf_rng_below(&r, 14) };
        const int64_t n = s[0] * s[1] * s[2];
        const double full = sf_rng_u01(&r);
        float *data = malloc((size_t)(2 * n) * sizeof *data);
        uint8_t *want = malloc((size_t)n), *got = malloc((size_t)n);
        for (int64_t i = 0; i < 2 * n; i++) data[i] = sf_rng_u01(&r) < full / 2 ? -0.5f : 0.0f;
        for (int64_t i = 0; i < n; i++) want[i] = data[i] != 0.0f || data[n + i] != 0.0f;
        slow_fill(want, s);
        tst_ok(sf_nonzero_mask(data, 2, s, got));
        assert_memory_equal(want, got, (size_t)n);
        free(data);
        free(want);
        free(got);
    }
}

static void test_box(void **state)
{
    const int64_t s[3] = { 5, 6, 7 };
    uint8_t mask[210] = { 0 };
    sf_box box;
    (void)state;
    sf_nonzero_box(mask, s, &box);
    for (int a = 0; a < 3; a++) assert_true(box.lo[a] == 0 && box.hi[a] == s[a]);
    mask[(2 * 6 + 4) * 7 + 1] = mask[(3 * 6 + 1) * 7 + 5] = 1;
    sf_nonzero_box(mask, s, &box);
    const int64_t lo[3] = { 2, 1, 1 }, hi[3] = { 4, 5, 6 };
    assert_memory_equal(lo, box.lo, sizeof lo);
    assert_memory_equal(hi, box.hi, sizeof hi);
}

/* Components have raster-first roots, and 26 neighbours join what 6 leave apart. */
static void test_runs(void **state)
{
    const int64_t s[3] = { 2, 3, 6 };
    const uint8_t mask[36] = { 1, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0,
                               0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0 };
    sf_runs *r = NULL;
    (void)state;
    tst_ok(sf_runs_create(&r, mask, s, 1, true));
    assert_int_equal(5, r->count);
    const int64_t full[5] = { 0, 0, 0, 0, 0 }, faces[5] = { 0, 1, 2, 3, 4 };
    assert_memory_equal(full, r->parent, sizeof full);
    sf_runs_destroy(&r);
    tst_ok(sf_runs_create(&r, mask, s, 1, false));
    assert_memory_equal(faces, r->parent, sizeof faces);
    sf_runs_destroy(&r);
    assert_int_equal(0, sf_mem_live(SF_MEM_CATEGORIES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_definition),
        cmocka_unit_test(test_box),
        cmocka_unit_test(test_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
