/* Loops over voxels: every instruction set gives the reference's bits, and these are right. */
#include "kernels/cpu.h"
#include "kernels/voxels.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N0 = 9, N1 = 11, N2 = 83, COUNT = N0 * N1 * N2 };

/* Each on the same input; what they write goes to `out` [COUNT], which is 7 everywhere before. */
typedef void operation(const sf_voxel_ops *op, const float *x, float *out);

static const sf_voxel_row ROW = { { 1.3, 2.8, 0.4 }, { 0.05, -0.02, 0.93 } };

static void cubic(const sf_voxel_ops *op, const float *x, float *out)
{
    const sf_voxel_grid grid = { x, N1 * N2, N2, false }, flat = { x, N1 * N2, N2, true };
    op->cubic_row(out, 71, &grid, &ROW);
    op->cubic_row(out + 100, 64, &flat, &ROW);
}

static void linear(const sf_voxel_ops *op, const float *x, float *out)
{
    const sf_voxel_grid grid = { x, N1 * N2, N2, false }, flat = { x, N1 * N2, N2, true };
    op->linear_row(out, 71, &grid, &ROW);
    op->linear_row(out + 100, 1, &flat, &ROW);
}

static void offset(const sf_voxel_ops *op, const float *x, float *out)
{
    int32_t at[71];
    (void)x;
    op->offset_row(at, 71, N1 * N2, N2, &ROW);
    for (int k = 0; k < 71; k++) {
        const int64_t z = (int64_t)(1.3 + 0.05 * k), y = (int64_t)(2.8 - 0.02 * k);
        assert_int_equal(at[k], (z * N1 + y) * N2 + (int64_t)(0.4 + 0.93 * k));
        out[k] = (float)at[k];
    }
}

static void spline(const sf_voxel_ops *op, const float *x, float *out)
{
    static const float first[3] = { 6.0f, -1.6f, 0.4f };
    memcpy(out, x, COUNT * sizeof *x);
    op->spline(out, N1, N2, N2 - 1, first, 3);
}

static void band(const sf_voxel_ops *op, const float *x, float *out)
{
    static const float weight[5] = { 0.1f, 0.2f, 0.4f, 0.2f, 0.1f };
    op->band(out, x, N2, N2 - 1, weight, 5);
}

static void transpose(const sf_voxel_ops *op, const float *x, float *out)
{
    op->transpose(out, 10, x, N2, 9, 27);
    for (int r = 0; r < 9; r++)
        for (int c = 0; c < 27; c++) assert_true(out[c * 10 + r] == x[r * N2 + c]);
    assert_true(out[9] == 7 && out[26 * 10 + 9] == 7);
}

static void normal(const sf_voxel_ops *op, const float *x, float *out)
{
    static const uint32_t key[2] = { 3, 4 }, ctr[4] = { 0xfffffff0u, 1, 2, 3 };
    (void)x;
    op->add_normal(out, 333, 0.5f, key, ctr);
}

static void stats(const sf_voxel_ops *op, const float *x, float *out)
{
    sf_voxel_stats s;
    double sum = 0, squares = 0;
    op->stats(&s, x, COUNT - 3);
    float lo = x[0], hi = x[0];
    for (int i = 0; i < COUNT - 3; i++) {
        const double d = (double)x[i] - (double)x[0];
        lo = fminf(lo, x[i]);
        hi = fmaxf(hi, x[i]);
        sum += d;
        squares += d * d;
    }
    assert_true(s.lo == lo && s.hi == hi);
    assert_true(fabs(s.sum - sum) < 1e-9 * COUNT && fabs(s.squares - squares) < 1e-9 * COUNT);
    memcpy(out, &s, sizeof s);
}

static void power(const sf_voxel_ops *op, const float *x, float *out)
{
    const sf_voxel_power p = {
        .lo = -4, .inverse = 0.125f, .gamma = 1.37f, .scale = 2, .shift = 1
    };
    sf_voxel_stats s, again;
    memcpy(out, x, 200 * sizeof *x);
    out[5] = -4;
    op->power(out, 200, &p, &s);
    op->stats(&again, out, 200);
    assert_memory_equal(&s, &again, sizeof s);
    for (int i = 0; i < 200; i++) {
        const double base = ((i == 5 ? -4.0 : (double)x[i]) + 4.0) * 0.125;
        const double want = pow(base, (double)p.gamma) * 2 + 1;
        assert_true(fabs((double)out[i] - want) < 6e-7);
    }
    assert_true(out[200] == 7);
}

static operation *const ALL[] = { cubic,     linear, offset, spline, band,
                                  transpose, normal, stats,  power };

static void test_same_bits(void **state)
{
    (void)state;
    float *x = malloc(COUNT * sizeof *x), *want = malloc(COUNT * sizeof *want),
          *got = malloc(COUNT * sizeof *got);
    for (int i = 0; i < COUNT; i++) x[i] = (float)(2 * sin(0.37 * i) + 1.9 * cos(1.13 * i));
    for (size_t k = 0; k < sizeof ALL / sizeof *ALL; k++) {
        const sf_voxel_ops *const *op = sf_voxel_ops_all;
        while ((*op)->isa) op++;
        for (int i = 0; i < COUNT; i++) want[i] = 7;
        ALL[k](*op, x, want);
        for (op = sf_voxel_ops_all; (*op)->isa; op++) {
            if ((*op)->isa & ~sf_cpu_isa()) continue;
            for (int i = 0; i < COUNT; i++) got[i] = 7;
            ALL[k](*op, x, got);
            for (int i = 0; i < COUNT; i++)
                if (memcmp(&got[i], &want[i], sizeof *got) != 0)
                    fail_msg("%s, operation %d: element %d is %.9g, not %.9g", (*op)->name, (int)k,
                             i, (double)got[i], (double)want[i]);
        }
    }
    free(x);
    free(want);
    free(got);
}

/* A linear function is interpolated exactly, by both rules. */
static void test_interpolation(void **state)
{
    (void)state;
    float *x = malloc(COUNT * sizeof *x), out[71];
    for (int i = 0; i < COUNT; i++)
        x[i] = (float)(i / (N1 * N2)) - 2 * (float)(i / N2 % N1) + 0.5f * (float)(i % N2);
    const sf_voxel_ops *op = sf_voxel_ops_pick();
    const sf_voxel_grid grid = { x, N1 * N2, N2, false };
    for (int cubic_rule = 0; cubic_rule < 2; cubic_rule++) {
        (cubic_rule ? op->cubic_row : op->linear_row)(out, 71, &grid, &ROW);
        /* the cubic rule's lowest tap lies one sample in front of the position */
        const double front = cubic_rule ? 1 - 2 + 0.5 : 0;
        for (int k = 0; k < 71; k++) {
            const double want = (1.3 + 0.05 * k) - 2 * (2.8 - 0.02 * k) + 0.5 * (0.4 + 0.93 * k);
            assert_true(fabs((double)out[k] - want - front) < 2e-5);
        }
    }
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_same_bits),
                                        cmocka_unit_test(test_interpolation) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
