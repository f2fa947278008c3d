/* Published vectors of Philox and MT19937, NumPy's derived draws, and the properties of our keys.
 */
#include "base/rng.h"
#include "tests/support/support.h"
#include <math.h>
#include <string.h>

static void philox_vectors(void **state)
{
    (void)state;
    static const uint32_t v[3][10] = {
        /* counter, key, result: Random123's known answers */
        { 0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 },
        { ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd },
        { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09,
          0x94fdcceb, 0x5001e420, 0x24126ea1 }
    };
    for (int i = 0; i < 3; i++) {
        uint32_t out[4];
        sf_philox4x32_10(v[i], v[i] + 4, out);
        assert_memory_equal(out, v[i] + 6, sizeof out);
    }
}

static void keys_are_independent(void **state)
{
    (void)state;
    const sf_rng_key base = { 42, "none/2d/0", 3, 7, 1, SF_RNG_AUGMENT };
    sf_rng_key k[8] = { base, base, base, base, base, base, base, base };
    k[1].seed = 43;
    k[2].scope = "none/2d/1";
    k[3].epoch = 4;
    k[4].iteration = 8;
    k[5].sample = 2;
    k[6].purpose = SF_RNG_SAMPLE;
    k[7].scope = NULL;
    uint32_t first[8];
    for (int i = 0; i < 8; i++) {
        sf_rng r;
        sf_rng_init(&r, &k[i]);
        first[i] = sf_rng_u32(&r);
        for (int j = 0; j < i; j++) assert_int_not_equal(first[i], first[j]);
    }
    sf_rng a, b;
    sf_rng_init(&a, &base);
    sf_rng_init(&b, &base);
    for (int i = 0; i < 1000; i++) assert_int_equal(sf_rng_u32(&a), sf_rng_u32(&b));
}

static void scope_null_is_empty(void **state)
{
    (void)state;
    sf_rng a, b;
    sf_rng_init(&a, &(sf_rng_key){ .seed = 1, .scope = NULL });
    sf_rng_init(&b, &(sf_rng_key){ .seed = 1, .scope = "" });
    assert_int_equal(sf_rng_u32(&a), sf_rng_u32(&b));
}

static void uniform_moments(void **state)
{
    (void)state;
    enum { N = 200000 };
    sf_rng r;
    double sum = 0, square = 0;
    sf_rng_init(&r, &(sf_rng_key){ .seed = 5, .purpose = SF_RNG_TEST });
    for (int i = 0; i < N; i++) {
        const double x = sf_rng_uniform(&r, 2.0, 5.0);
        assert_true(x >= 2.0 && x < 5.0);
        sum += x;
        square += x * x;
    }
    const double mean = sum / N, var = square / N - mean * mean;
    assert_true(fabs(mean - 3.5) < 5 * sqrt(0.75 / N));
    assert_true(fabs(var - 0.75) < 0.01);
}

static void normal_moments(void **state)
{
    (void)state;
    enum { N = 200001 };
    static float x[N];
    sf_rng r;
    double m[5] = { 0 };
    sf_rng_init(&r, &(sf_rng_key){ .seed = 6, .purpose = SF_RNG_TEST });
    sf_rng_fill_normal(&r, N, x);
    for (int i = 0; i < N; i++)
        for (int p = 1; p < 5; p++) m[p] += pow(x[i], p) / N;
    assert_true(fabs(m[1]) < 5 / sqrt(N));
    assert_true(fabs(m[2] - 1) < 5 * sqrt(2.0 / N));
    assert_true(fabs(m[3]) < 5 * sqrt(15.0 / N));
    assert_true(fabs(m[4] - 3) < 5 * sqrt(96.0 / N));
}

/* One normal costs two u01, so that the number of words per draw does not depend on history. */
static void normal_costs_four_words(void **state)
{
    (void)state;
    sf_rng a, b;
    sf_rng_init(&a, &(sf_rng_key){ .seed = 9 });
    b = a;
    (void)sf_rng_normal(&a);
    for (int i = 0; i < 4; i++) (void)sf_rng_u32(&b);
    assert_int_equal(sf_rng_u32(&a), sf_rng_u32(&b));
}

static void below_is_unbiased(void **state)
{
    (void)state;
    sf_rng r;
    int seen[7] = { 0 };
    sf_rng_init(&r, &(sf_rng_key){ .seed = 7 });
    for (int i = 0; i < 70000; i++) seen[sf_rng_below(&r, 7)]++;
    double chi2 = 0;
    for (int i = 0; i < 7; i++) chi2 += (seen[i] - 10000.0) * (seen[i] - 10000.0) / 10000.0;
    assert_true(chi2 < 30); /* 6 degrees of freedom: p < 5e-5 */
    assert_int_equal(sf_rng_below(&r, 1), 0);
    const int64_t big = INT64_C(3) << 40;
    int64_t highest = 0;
    for (int i = 0; i < 1000; i++) {
        const int64_t v = sf_rng_below(&r, big);
        assert_true(v >= 0 && v < big);
        highest = v > highest ? v : highest;
    }
    assert_true(highest > big / 10 * 9);
}

static void mt_vectors(void **state)
{
    (void)state;
    static const uint32_t a[8] = { 3992670690, 3823185381, 1358822685, 561383553,
                                   789925284,  170765737,  878579710,  3549516158 };
    static const uint32_t b[8] = { 822569775,  2137449171, 2671936806, 3512589365,
                                   1880026316, 2629000564, 3373089432, 3312965625 };
    sf_mt19937 g;
    sf_mt_seed(&g, 12345);
    for (int i = 0; i < 8; i++) assert_int_equal(sf_mt_u32(&g), a[i]);
    sf_mt_seed(&g, 1234);
    for (int i = 0; i < 8; i++) assert_int_equal(sf_mt_u32(&g), b[i]);
    sf_mt_seed(&g, 5489); /* the C++ standard's check of this generator */
    uint32_t last = 0;
    for (int i = 0; i < 10000; i++) last = sf_mt_u32(&g);
    assert_int_equal(last, 4123659995u);
}

static void mt_permutations(void **state)
{
    (void)state;
    static const int64_t p5[] = { 0, 4, 3, 1, 2 }, p7[] = { 6, 3, 4, 0, 1, 5, 2 },
                         p10[] = { 0, 7, 3, 9, 6, 4, 1, 8, 5, 2 },
                         p20[] = { 13, 8,  16, 3,  15, 12, 0, 10, 7, 11,
                                   6,  17, 19, 18, 14, 9,  4, 1,  5, 2 };
    static const struct {
        int n;
        const int64_t *p;
    } want[] = { { 5, p5 }, { 7, p7 }, { 10, p10 }, { 20, p20 } };
    for (int i = 0; i < 4; i++) {
        sf_mt19937 g;
        int64_t got[20];
        sf_mt_seed(&g, 12345);
        sf_mt_permutation(&g, want[i].n, got);
        assert_memory_equal(got, want[i].p, (size_t)want[i].n * sizeof *got);
    }
}

/* The first 80 % of a permutation are the training cases of a fold beyond the list. */
static void mt_random_split(void **state)
{
    (void)state;
    static const int64_t w10[] = { 0, 8, 4, 5, 3, 9, 7, 6 };
    static const int64_t w20[] = { 5, 9, 6, 18, 3, 1, 4, 13, 15, 7, 0, 10, 8, 12, 14, 11 };
    sf_mt19937 g;
    int64_t got[20];
    sf_mt_seed(&g, 12345 + 5);
    sf_mt_permutation(&g, 10, got);
    assert_memory_equal(got, w10, sizeof w10);
    sf_mt_seed(&g, 12345 + 5);
    sf_mt_permutation(&g, 20, got);
    assert_memory_equal(got, w20, sizeof w20);
}

static void mt_draws(void **state)
{
    (void)state;
    static const uint64_t w7[] = { 3, 6, 5, 4, 4, 0, 1, 1, 1, 2, 6, 3 },
                          w1000[] = { 815, 723, 294, 53, 204, 372 };
    static const int64_t w12[] = { 7, 8, 11, 2, 9 }, w3[] = { 1, 0, 2 };
    sf_mt19937 g;
    int64_t got[12];
    sf_mt_seed(&g, 1234);
    for (int i = 0; i < 12; i++) assert_int_equal(sf_mt_interval(&g, 6), w7[i]);
    sf_mt_seed(&g, 1234);
    for (int i = 0; i < 6; i++) assert_int_equal(sf_mt_interval(&g, 999), w1000[i]);
    sf_mt_seed(&g, 1234);
    sf_mt_permutation(&g, 12, got);
    assert_memory_equal(got, w12, sizeof w12);
    sf_mt_permutation(&g, 3, got); /* the same stream goes on */
    assert_memory_equal(got, w3, sizeof w3);
}

static void mt_interval_edges(void **state)
{
    (void)state;
    sf_mt19937 a, b;
    sf_mt_seed(&a, 1);
    b = a;
    assert_int_equal(sf_mt_interval(&a, 0), 0);
    assert_memory_equal(&a, &b, sizeof a); /* nothing was drawn */
    assert_int_equal(sf_mt_interval(&a, UINT32_MAX), sf_mt_u32(&b));
    const uint64_t high = sf_mt_u32(&b), low = sf_mt_u32(&b);
    assert_true(sf_mt_interval(&a, UINT64_MAX) == (high << 32 | low));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_vectors),
        cmocka_unit_test(keys_are_independent),
        cmocka_unit_test(scope_null_is_empty),
        cmocka_unit_test(uniform_moments),
        cmocka_unit_test(normal_moments),
        cmocka_unit_test(normal_costs_four_words),
        cmocka_unit_test(below_is_unbiased),
        cmocka_unit_test(mt_vectors),
        cmocka_unit_test(mt_permutations),
        cmocka_unit_test(mt_random_split),
        cmocka_unit_test(mt_draws),
        cmocka_unit_test(mt_interval_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
