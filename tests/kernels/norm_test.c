/* Instance norm + leaky ReLU: statistics, scale and shift, and the backward pass against formulas
 * in double and finite differences. */
#include "base/mem.h"
#include "kernels/norm.h"
#include "kernels/view.h"
#include "tensor.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const sf_shape shapes[] = {
    { 2, 17, 3, 5, 7 }, { 1, 16, 1, 9, 4 }, { 3, 33, 2, 1, 15 }, { 1, 5, 2, 3, 17 }
};
enum { N_SHAPES = 4, MAX_C = 3 * 48, MAX_SUMS = 3 * 48 * 9 * 2 };

static double at(const sf_view *v, int64_t n, int64_t c, int64_t i)
{
    const sf_shape s = v->shape;
    const int64_t o =
        sf_view_offset(v, n, c / 16, i / (s.h * s.w), i / s.w % s.h, i % s.w) + c % 16;
    return v->dtype == SF_F64 ? ((double *)v->data)[o] : (double)((float *)v->data)[o];
}

/* Two-pass mean and biased variance. */
static void moments(const sf_view *v, int64_t n, int64_t c, double *mean, double *var)
{
    const int64_t voxels = sf_voxels(v->shape);
    *mean = *var = 0;
    for (int64_t i = 0; i < voxels; i++) *mean += at(v, n, c, i) / (double)voxels;
    for (int64_t i = 0; i < voxels; i++) {
        const double d = at(v, n, c, i) - *mean;
        *var += d * d / (double)voxels;
    }
}

static void offset_values(tst_tensor *t, double offset)
{
    for (int64_t i = 0; i < t->size; i++) {
        t->f[i] = (float)((double)t->f[i] + offset);
        t->d[i] = (double)t->f[i];
    }
}

/* Also with a mean of 1000: the variance must stay right. */
static void test_statistics(void **state)
{
    (void)state;
    static double stats[MAX_SUMS], again[MAX_SUMS];
    static float gamma[48], beta[48], mean[MAX_C], rstd[MAX_C], scale[MAX_C], shift[MAX_C];
    for (int c = 0; c < 48; c++) {
        gamma[c] = 0.5f + 0.1f * (float)c;
        beta[c] = -1.0f + 0.07f * (float)c;
    }
    for (int i = 0; i < N_SHAPES * 2; i++) {
        const sf_shape s = shapes[i / 2];
        tst_tensor t = tst_tensor_make(s, 1, 5);
        if (i % 2) offset_values(&t, 1000.0);
        memset(again, 0, sizeof again);
        sf_norm_stats(&t.vf, stats, 1);
        sf_norm_stats(&t.vf, again, 3);
        const int64_t slices = sf_slices(s), cpad = sf_cpad(s.c);
        assert_memory_equal(stats, again, (size_t)(s.n * cpad * slices * 2) * sizeof *stats);
        sf_norm_finish(SF_F32, s.n, s.c, slices, sf_voxels(s), 1e-5, stats, gamma, beta, mean, rstd,
                       scale, shift);
        for (int64_t k = 0; k < s.n * cpad; k++) {
            double m = 0, v = 0;
            if (k % cpad >= s.c) {
                assert_true(mean[k] == 0 && rstd[k] == 0 && scale[k] == 0 && shift[k] == 0);
                continue;
            }
            moments(&t.vf, k / cpad, k % cpad, &m, &v);
            const double want = 1 / sqrt(v + 1e-5), g = (double)gamma[k % cpad];
            assert_true(fabs((double)mean[k] - m) <= 1e-7 * (1 + fabs(m)));
            assert_true(fabs((double)rstd[k] - want) <= 1e-6 * want);
            assert_true(fabs((double)scale[k] - g * want) <= 1e-6 * fabs(g * want));
            const double b = (double)beta[k % cpad] - (double)mean[k] * (double)scale[k];
            assert_true(fabs((double)shift[k] - b) <= 1e-7 * (1 + fabs(b)));
        }
        tst_tensor_free(&t);
    }
}

/* y = act(gamma*xhat + beta) of every element, in double, into t. */
static void forward(const sf_view *x, const double *gamma, const double *beta, double slope,
                    int64_t n, int64_t c, double *y)
{
    double mean, var;
    moments(x, n, c, &mean, &var);
    for (int64_t i = 0; i < sf_voxels(x->shape); i++) {
        const double t = gamma[c] * (at(x, n, c, i) - mean) / sqrt(var + 1e-5) + beta[c];
        y[i] = t > 0 ? t : slope * t;
    }
}

static double objective(const sf_view *x, const sf_view *g, const double *gamma, const double *beta,
                        int64_t n, int64_t c)
{
    double y[128], sum = 0;
    forward(x, gamma, beta, 0.01, n, c, y);
    for (int64_t i = 0; i < sf_voxels(x->shape); i++) sum += y[i] * at(g, n, c, i);
    return sum;
}

/* dtype of b chooses the element type of the small arrays; dx of all elements against float tol. */
static void backward(const tst_tensor *x, tst_tensor *g, const double *gamma, const double *beta,
                     bool wide, int threads, double *total)
{
    static double stats[MAX_SUMS], sums[MAX_SUMS], d[6][MAX_C];
    static float f[6][MAX_C];
    const sf_shape s = x->vf.shape;
    const sf_view *v = wide ? &x->vd : &x->vf;
    for (int c = 0; c < s.c; c++) {
        f[0][c] = (float)gamma[c];
        f[1][c] = (float)beta[c];
    }
    void *a[6];
    for (int i = 0; i < 6; i++) a[i] = wide ? (void *)d[i] : (void *)f[i];
    memcpy(d[0], gamma, (size_t)s.c * sizeof *gamma);
    memcpy(d[1], beta, (size_t)s.c * sizeof *beta);
    sf_norm_stats(v, stats, threads);
    sf_norm_finish(v->dtype, s.n, s.c, sf_slices(s), sf_voxels(s), 1e-5, stats, a[0], a[1], a[2],
                   a[3], a[4], a[5]);
    const sf_norm_bwd b = { .x = *v,
                            .g = wide ? g->vd : g->vf,
                            .mean = a[2],
                            .rstd = a[3],
                            .gamma = a[0],
                            .beta = a[1],
                            .slope = 0.01,
                            .voxels = sf_voxels(s),
                            .sums = sums,
                            .threads = threads };
    sf_norm_backward_reduce(&b);
    sf_norm_backward_total(s.n, s.c, sf_slices(s), sums, total);
    sf_norm_backward_apply(&b, total);
}

static void check_differences(const tst_tensor *x, const tst_tensor *g0, const tst_tensor *dx,
                              const double *total, double *gamma, double *beta)
{
    const sf_shape s = x->vf.shape;
    const double h = 1e-5;
    for (int64_t n = 0; n < s.n; n++)
        for (int64_t c = 0; c < s.c; c += 5) {
            const int64_t i = (n * 7 + c * 3) % sf_voxels(s);
            const int64_t o =
                sf_view_offset(&x->vd, n, c / 16, i / (s.h * s.w), i / s.w % s.h, i % s.w);
            double *p[3] = { &x->d[o + c % 16], &gamma[c], &beta[c] };
            const int64_t k = (n * sf_cpad(s.c) + c) * 2;
            const double got[3] = { at(&dx->vd, n, c, i), total[k + 1], total[k] };
            for (int j = 0; j < 3; j++) {
                const double keep = *p[j];
                *p[j] = keep + h;
                const double up = objective(&x->vd, &g0->vd, gamma, beta, n, c);
                *p[j] = keep - h;
                const double down = objective(&x->vd, &g0->vd, gamma, beta, n, c);
                *p[j] = keep;
                const double want = (up - down) / (2 * h);
                if (!(fabs(got[j] - want) <= 1e-6 * (1 + fabs(want))))
                    fail_msg("gradient %d at n=%d c=%d: %g, differences say %g", j, (int)n, (int)c,
                             got[j], want);
            }
        }
}

static void test_backward(void **state)
{
    (void)state;
    static const char *const caps[3] = { "ref", "avx2", "avx512" };
    static double total[MAX_SUMS], total_f[MAX_SUMS];
    double gamma[48], beta[48];
    for (int c = 0; c < 48; c++) {
        gamma[c] = (double)(0.5f + 0.1f * (float)c);
        beta[c] = (double)(-1.0f + 0.07f * (float)c);
    }
    for (int i = 0; i < N_SHAPES; i++) {
        tst_tensor x = tst_tensor_make(shapes[i], 1, 7), g0 = tst_tensor_make(shapes[i], 2, 8);
        tst_tensor g = tst_tensor_copy(&g0);
        backward(&x, &g, gamma, beta, true, 2, total);
        check_differences(&x, &g0, &g, total, gamma, beta);
        backward(&x, &g, gamma, beta, false, 1, total_f);
        tst_tensor_check(&g, 1e-5, "float norm backward");
        tst_tensor once = tst_tensor_copy(&g);
        for (int cap = 0; cap < 3; cap++) { /* no other bits with other threads or instructions */
            setenv("SEGFLEET_ISA", caps[cap], 1);
            memcpy(g.f, g0.f, (size_t)g.size * sizeof *g.f);
            backward(&x, &g, gamma, beta, false, 1 + cap, total);
            assert_memory_equal(g.f, once.f, (size_t)g.size * sizeof *g.f);
            assert_memory_equal(total, total_f, (size_t)(x.vf.shape.n * x.vf.shape.c) * 8);
        }
        unsetenv("SEGFLEET_ISA");
        tst_tensor_free(&x);
        tst_tensor_free(&g0);
        tst_tensor_free(&g);
        tst_tensor_free(&once);
    }
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_backward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
