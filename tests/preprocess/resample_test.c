/* Resampling against published numbers, and its invariances (nnunet-planning.md 6). */
#include "base/mem.h"
#include "preprocess/resample.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* nnunet-planning.md 6.6: input 0 1 4 9 16 25 */
static void test_lines(void **state)
{
    (void)state;
    static const float in[6] = { 0, 1, 4, 9, 16, 25 };
    static const struct {
        int order, n;
        double want[9];
    } row[] = {
        { 3,
          9,
          { 0, 0.300074019255142, 1.346168289306314, 3.344514894087589, 6.313466520526789,
            9.950349519946794, 14.52133831654023, 21.088457268119893, 25 } },
        { 3, 4, { 0.109025877386957, 3.040374117461412, 10.441826211353318, 23.372772149724693 } },
        { 1, 9, { 0, 0.5, 1.5, 3.5, 6.5, 10.1666666667, 14.8333333333, 20.5, 25 } },
    };
    for (size_t r = 0; r < sizeof row / sizeof row[0]; r++)
        for (int axis = 0; axis < 3; axis++) { /* the line along any axis */
            int64_t from[3] = { 1, 1, 1 }, to[3] = { 1, 1, 1 };
            float out[9];
            from[axis] = 6;
            to[axis] = row[r].n;
            tst_ok(sf_resample_data(in, from, out, to, 1, row[r].order, 0, -1, 2));
            for (int k = 0; k < row[r].n; k++)
                assert_true(fabs((double)out[k] - row[r].want[k]) < 2e-6);
        }
}

static void test_nearest(void **state)
{
    (void)state;
    static const struct {
        int n, want[7];
    } row[] = { { 5, { 1, 3, 5, 7, 9 } },
                { 4, { 1, 3, 6, 8 } },
                { 3, { 1, 5, 8 } },
                { 7, { 0, 2, 3, 5, 6, 7, 9 } } };
    float in[10], out[10];
    for (int i = 0; i < 10; i++) in[i] = (float)i;
    for (size_t r = 0; r < sizeof row / sizeof row[0]; r++) {
        const int64_t from[3] = { 10, 1, 1 }, to[3] = { row[r].n, 1, 1 };
        tst_ok(sf_resample_data(in, from, out, to, 1, 0, 0, -1, 1));
        for (int k = 0; k < row[r].n; k++) assert_int_equal((int)out[k], row[r].want[k]);
    }
}

/* planning.md 6.5: ties, and what becomes of three labels that meet */
static void test_label_ties(void **state)
{
    (void)state;
    const int64_t two[3] = { 1, 1, 2 }, three[3] = { 1, 1, 3 };
    const int16_t a[2] = { 0, 5 }, b[2] = { -1, 0 };
    int16_t out[9];
    tst_ok(sf_resample_labels(a, two, out, three, 1, 0, -1, false, 1));
    assert_true(out[0] == 0 && out[1] == 5 && out[2] == 5);
    tst_ok(sf_resample_labels(b, two, out, three, 1, 0, -1, false, 1));
    assert_true(out[0] == -1 && out[1] == 0 && out[2] == 0);
    tst_ok(
        sf_resample_labels(a, two, out, three, 1, 0, -1, true, 1)); /* arg max: the lowest wins */
    assert_true(out[0] == 0 && out[1] == 0 && out[2] == 5);
    const int16_t c[4] = { 1, 2, 3, 4 };
    const int64_t square[3] = { 1, 2, 2 }, larger[3] = { 1, 3, 3 };
    tst_ok(sf_resample_labels(c, square, out, larger, 1, 0, -1, false, 1));
    assert_int_equal(out[4], 0);
    tst_ok(sf_resample_labels(c, square, out, larger, 1, 0, -1, true, 1));
    assert_int_equal(out[4], 1);
}

static void test_separate_axis(void **state)
{
    (void)state;
    const sf_resampling null = { .force_separate_z = -1 }, off = { .force_separate_z = 0 },
                        on = { .force_separate_z = 1 };
    const double iso[3] = { 1, 1, 1 }, aniso[3] = { 1, 4, 1 }, two[3] = { 1, 5, 5 },
                 edge[3] = { 3, 1, 1 }, one[3] = { 1, 1, 9 };
    assert_int_equal(sf_resample_separate_axis(&null, iso, iso, 3), -1);
    assert_int_equal(sf_resample_separate_axis(&null, aniso, iso, 3), 1);
    assert_int_equal(sf_resample_separate_axis(&null, iso, aniso, 3), 1);
    assert_int_equal(sf_resample_separate_axis(&null, two, one, 3),
                     -1); /* the first matching line decides */
    assert_int_equal(sf_resample_separate_axis(&null, edge, edge, 3), -1); /* strictly greater */
    assert_int_equal(sf_resample_separate_axis(&off, aniso, aniso, 3), -1);
    assert_int_equal(sf_resample_separate_axis(&on, edge, iso, 3), 0);
    assert_int_equal(sf_resample_separate_axis(&on, iso, edge, 3), -1);
}

static void test_shape(void **state)
{
    (void)state;
    const int64_t n[3] = { 5, 10, 1 };
    const double old[3] = { 1, 1, 1 }, next[3] = { 2, 4, 9 };
    int64_t out[3];
    sf_resampled_shape(out, n, old, next);
    assert_int_equal(out[0], 2); /* 2.5: half to even */
    assert_int_equal(out[1], 2);
    assert_int_equal(out[2], 1); /* never empty */
}

enum { N0 = 7, N1 = 11, N2 = 9, MAX_OUT = 12 * 18 * 20 };

static void fill(float *x, int16_t *l)
{
    uint32_t s = 7;
    for (int i = 0; i < 2 * N0 * N1 * N2; i++) {
        s = s * 1664525u + 1013904223u;
        x[i] = (float)(s >> 8) / 65536.0f - 100.0f;
        if (i < N0 * N1 * N2) l[i] = (int16_t)((s >> 28) % 5) - 1;
    }
}

/* threads 1, 2, 3 and slabs of any height give the same bits as the whole, for every order and
 * separate axis */
static void test_invariance(void **state)
{
    (void)state;
    static float x[2 * N0 * N1 * N2], whole[2 * MAX_OUT], got[2 * MAX_OUT];
    static int16_t l[N0 * N1 * N2], lw[MAX_OUT], lg[MAX_OUT];
    static const int64_t from[3] = { N0, N1, N2 };
    static const int64_t shapes[3][3] = { { 12, 18, 5 }, { 4, 11, 20 }, { 7, 6, 9 } };
    static const int orders[4][2] = { { 0, 0 }, { 1, 0 }, { 3, 0 }, { 1, 3 } };
    fill(x, l);
    for (int s = 0; s < 3; s++)
        for (int o = 0; o < 4; o++)
            for (int axis = -1; axis < 3; axis++) {
                const int64_t *to = shapes[s];
                const int order = orders[o][0], oz = orders[o][1];
                const int64_t plane = to[1] * to[2], n = to[0] * plane;
                tst_ok(sf_resample_data(x, from, whole, to, 2, order, oz, axis, 1));
                tst_ok(sf_resample_labels(l, from, lw, to, order, oz, axis, o % 2, 1));
                for (int t = 2; t <= 3; t++) {
                    tst_ok(sf_resample_data(x, from, got, to, 2, order, oz, axis, t));
                    assert_memory_equal(got, whole, (size_t)(2 * n) * sizeof *got);
                    tst_ok(sf_resample_labels(l, from, lg, to, order, oz, axis, o % 2, t));
                    assert_memory_equal(lg, lw, (size_t)n * sizeof *lg);
                }
                for (int64_t lo = 0, hi; lo < to[0]; lo = hi) {
                    hi = lo + 1 + lo % 4 < to[0] ? lo + 1 + lo % 4 : to[0];
                    const size_t bytes = (size_t)((hi - lo) * plane) * sizeof *got;
                    tst_ok(sf_resample_data_slab(x, from, got, to, lo, hi, 2, order, oz, axis, 1));
                    for (int c = 0; c < 2; c++)
                        assert_memory_equal(got + c * (hi - lo) * plane, whole + c * n + lo * plane,
                                            bytes);
                }
            }
}

/* one value everywhere stays one value; an unknown order is refused */
static void test_constant_and_bad(void **state)
{
    (void)state;
    static float x[60], out[2000];
    const int64_t from[3] = { 3, 4, 5 }, to[3] = { 10, 10, 20 };
    for (int i = 0; i < 60; i++) x[i] = -3.75f;
    tst_ok(sf_resample_data(x, from, out, to, 1, 3, 0, -1, 2));
    for (int i = 0; i < 2000; i++) assert_true(out[i] == -3.75f);
    assert_int_equal(sf_resample_data(x, from, out, to, 1, 2, 0, -1, 2), SF_EINVAL);
    assert_int_equal(sf_resample_data_slab(x, from, out, to, 4, 11, 1, 1, 0, -1, 2), SF_EINVAL);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_label_ties),
        cmocka_unit_test(test_separate_axis),
        cmocka_unit_test(test_shape),
        cmocka_unit_test(test_invariance),
        cmocka_unit_test(test_constant_and_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
