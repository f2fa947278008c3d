/* Components against a slow flood fill; the largest one keeps all that tie. */
#include "base/mem.h"
#include "base/rng.h"
#include "evaluate/components.h"
#include "tests/support/support.h"
#include <stdlib.h>
#include <string.h>

static void flood(const uint8_t *mask, const int64_t s[3], bool full, int32_t *label, int64_t at,
                  int32_t number, int64_t *stack)
{
    int64_t n = 0;
    stack[n++] = at;
    label[at] = number;
    while (n > 0) {
        const int64_t i = stack[--n], x = i % s[2], y = i / s[2] % s[1], z = i / s[2] / s[1];
        for (int k = 0; k < 27; k++) {
            const int64_t dz = k / 9 - 1, dy = k / 3 % 3 - 1, dx = k % 3 - 1;
            if (!full && llabs(dz) + llabs(dy) + llabs(dx) > 1) continue;
            if (z + dz < 0 || z + dz >= s[0] || y + dy < 0 || y + dy >= s[1] || x + dx < 0 ||
                x + dx >= s[2])
                continue;
            const int64_t j = ((z + dz) * s[1] + y + dy) * s[2] + x + dx;
            if (!mask[j] || label[j]) continue;
            label[j] = number;
            stack[n++] = j;
        }
    }
}

static void test_against_flood(void **state)
{
    (void)state;
    for (uint32_t k = 0; k < 80; k++) {
        const sf_rng_key key = { .seed = 11, .sample = k, .purpose = SF_RNG_TEST };
        sf_rng r;
        sf_rng_init(&r, &key);
        const int64_t s[3] = { 1 + sf_rng_below(&r, 7), 1 + sf_rng_below(&r, 11),
                               1 + sf_rng_below(&r, 17) };
        const int64_t n = s[0] * s[1] * s[2];
        const double fill = sf_rng_u01(&r);
        const bool full = k % 2;
        uint8_t *mask = malloc((size_t)n);
        int32_t *want = calloc((size_t)n, sizeof *want), *got = malloc((size_t)n * sizeof *got);
        int64_t *stack = malloc((size_t)n * sizeof *stack);
        int32_t count = 0, expected = 0;
        for (int64_t i = 0; i < n; i++) mask[i] = sf_rng_u01(&r) < fill ? 3 : 0;
        for (int64_t i = 0; i < n; i++)
            if (mask[i] && !want[i]) flood(mask, s, full, want, i, ++expected, stack);
        tst_ok(sf_components_label(mask, s, full, got, &count));
        assert_int_equal(expected, count);
        assert_memory_equal(want, got, (size_t)n * sizeof *got);
        free(mask);
        free(want);
        free(got);
        free(stack);
    }
}

static void test_keep_largest(void **state)
{
    const int64_t s[3] = { 1, 3, 8 };
    const int values[2] = { 1, 2 };
    int32_t seg[24] = { 1, 2, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 2, 0, 3, 0, 0, 0 };
    const int32_t want[24] = { 1, 2, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0,
                               3, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0 };
    int64_t removed = 0;
    (void)state;
    tst_ok(sf_components_keep_largest(seg, s, values, 2, &removed));
    assert_int_equal(1, removed);
    assert_memory_equal(want, seg, sizeof seg);
    memset(seg, 0, sizeof seg);
    tst_ok(sf_components_keep_largest(seg, s, values, 2, &removed));
    assert_int_equal(0, removed);
    assert_int_equal(0, sf_mem_live(SF_MEM_CATEGORIES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_flood),
        cmocka_unit_test(test_keep_largest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
