/* Layout, the summation tree, SGD, instruction sets and the choice of a variant. */
#include "base/log.h"
#include "base/mem.h"
#include "kernels/cpu.h"
#include "kernels/pick.h"
#include "kernels/sgd.h"
#include "tensor.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_layout(void **state)
{
    (void)state;
    const sf_shape s = { 2, 17, 3, 4, 5 };
    enum { COUNT = 2 * 17 * 3 * 4 * 5 };
    static float f[COUNT], back[COUNT];
    static double d[COUNT], back_d[COUNT];
    tst_tensor t = tst_tensor_make(s, 1, 1);
    tst_fill(f, d, COUNT, 1.0, 2);
    sf_block(f, &t.vf, 2);
    sf_block(d, &t.vd, 1);
    tst_tensor_check(&t, 0, "blocked");
    const int64_t n = 1, c = 16, z = 2, y = 1, x = 3; /* the address rule of op.h */
    const float *p = t.f + n * t.vf.stride_n + c / 16 * t.vf.stride_c + z * t.vf.stride_d +
                     y * t.vf.stride_h + x * 16 + c % 16;
    assert_true(*p == f[(((n * s.c + c) * s.d + z) * s.h + y) * s.w + x]);
    sf_unblock(&t.vf, back, 3);
    sf_unblock(&t.vd, back_d, 1);
    assert_memory_equal(back, f, sizeof f);
    assert_memory_equal(back_d, d, sizeof d);
    tst_tensor_free(&t);
    assert_int_equal(sf_view_bytes(SF_F32, s), 2 * 32 * 3 * 4 * 5 * 4);
}

static void test_tree(void **state)
{
    (void)state;
    /* ((1e16 + 1) + (-1e16 + 1)) + 3: the tree over 5 values, and no other order, gives 3 */
    const double v[] = { 1e16, 9, 1, 9, -1e16, 9, 1, 9, 3, 9 };
    assert_true(sf_tree_sum(v, 5, 2) == ((1e16 + 1) + (-1e16 + 1)) + 3);
    assert_true(sf_tree_sum(v, 3, 2) == (1e16 + 1) - 1e16);
    assert_true(sf_tree_sum(v, 0, 2) == 0 && sf_tree_sum(v, 1, 2) == 1e16);
}

static void test_sgd(void **state)
{
    (void)state;
    enum { COUNT = 1001 };
    static float p[COUNT], g[COUNT], v[COUNT];
    static double pd[COUNT], gd[COUNT], vd[COUNT];
    tst_fill(p, pd, COUNT, 1.0, 1);
    tst_fill(g, gd, COUNT, 1.0, 2);
    for (int i = 0; i < COUNT; i++) v[i] = NAN; /* the first step must not read it */
    for (int step = 0; step < 3; step++) {
        const sf_sgd s = { 0.01, 0.99, 3e-5, 0.7, step == 0 };
        sf_sgd_step(SF_F32, COUNT, &s, p, g, v, 1 + step);
        for (int i = 0; i < COUNT; i++) {
            const double d = 0.7 * gd[i] + 3e-5 * pd[i];
            vd[i] = step == 0 ? d : 0.99 * vd[i] + d;
            pd[i] -= 0.01 * (d + 0.99 * vd[i]);
        }
    }
    assert_true(tst_rel_error(p, pd, COUNT) < 1e-6 && tst_rel_error(v, vd, COUNT) < 1e-6);
}

/* The promise of sgd.h: blocks of 4096, each in double, combined by sf_tree_sum. */
static void test_squares(void **state)
{
    (void)state;
    enum { COUNT = 4096 * 600 + 77 };
    float *f;
    double *d, block[601] = { 0 }, exact = 0;
    tst_ok(sf_mem_alloc(&f, COUNT, sizeof *f, SF_MEM_MISC));
    tst_ok(sf_mem_alloc(&d, COUNT, sizeof *d, SF_MEM_MISC));
    tst_fill(f, d, COUNT, 1.0, 4);
    for (int i = 0; i < 601; i++)
        block[i] = sf_sum_squares(SF_F32, i < 600 ? 4096 : 77, f + 4096 * i, 1);
    for (int64_t i = 0; i < COUNT; i++) exact += d[i] * d[i];
    const double one = sf_sum_squares(SF_F32, COUNT, f, 1);
    assert_true(one == sf_tree_sum(block, 601, 1));
    assert_true(one == sf_sum_squares(SF_F32, COUNT, f, 3));
    assert_true(one == sf_sum_squares(SF_F64, COUNT, d, 2));
    assert_true(fabs(one - exact) < 1e-11 * exact);
    assert_true(sf_sum_squares(SF_F32, 0, f, 2) == 0);
    sf_mem_free(f);
    sf_mem_free(d);
}

static char last_line[512];
static void keep_line(void *user, sf_log_level level, const char *line)
{
    (void)user;
    (void)level;
    snprintf(last_line, sizeof last_line, "%s", line);
}

static void test_pick(void **state)
{
    (void)state;
    const int k[3] = { 3, 3, 3 }, s[3] = { 1, 2, 2 }, bad[3] = { 3, 5, 3 };
    sf_conv c;
    sf_convt t;
    assert_int_equal(sf_conv_make(&c, (sf_shape){ 1, 8, 4, 4, 4 }, 8, bad, s, SF_F32), SF_EINVAL);
    assert_int_equal(sf_conv_make(&c, (sf_shape){ 1, 8, 4, 4, 4 }, 8, k, bad, SF_F32), SF_EINVAL);
    assert_int_equal(sf_convt_make(&t, (sf_shape){ 1, 8, 4, 4, 4 }, 8, k, SF_F32), SF_EINVAL);
    sf_log_set_level(SF_LOG_DEBUG);
    sf_log_set_sink(keep_line, NULL);
    tst_ok(sf_conv_make(&c, (sf_shape){ 2, 32, 4, 5, 7 }, 64, k, s, SF_F64));
    assert_true(c.out.d == 4 && c.out.h == 3 && c.out.w == 4 && c.out.c == 64 && c.out.n == 2);
    assert_ptr_equal(sf_conv_pick(&c), &sf_conv_ref); /* only the reference does double */
    assert_non_null(strstr(last_line, "conv n=2 ci=32 co=64 in=4x5x7 k=3x3x3 s=1x2x2 -> ref"));
    assert_non_null(strstr(last_line, "gemm: "));
    setenv("SEGFLEET_ISA", "ref", 1);
    assert_int_equal(sf_cpu_isa(), 0);
    tst_ok(sf_conv_make(&c, c.in, 64, k, s, SF_F32));
    assert_ptr_equal(sf_conv_pick(&c), &sf_conv_gemm); /* portable, needs no bit */
    tst_ok(sf_convt_make(&t, c.in, 64, s, SF_F32));
    assert_true(t.out.d == 4 && t.out.h == 10 && t.out.w == 14);
    assert_ptr_equal(sf_convt_pick(&t), &sf_convt_gemm);
    setenv("SEGFLEET_ISA", "avx2", 1);
    assert_int_equal(sf_cpu_isa() & ~(unsigned)SF_ISA_AVX2, 0);
    unsetenv("SEGFLEET_ISA");
    sf_log_set_sink(NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),  cmocka_unit_test(test_tree), cmocka_unit_test(test_sgd),
        cmocka_unit_test(test_squares), cmocka_unit_test(test_pick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
