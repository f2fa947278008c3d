/* Cross-entropy and Dice sums against plain formulas in double, gradients by finite differences,
 * extreme logits, the ignore label, threads. */
#include "base/mem.h"
#include "kernels/loss.h"
#include "kernels/ref/loss_math.h"
#include "tensor.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N = 2, H = 3, D = 3, Y = 5, W = 17, VOX = D * Y * W, TERMS = 2 + 3 * H, IGNORE = 7 };
static const uint64_t regions[] = { 0, 1, 3, 6 };

typedef struct {
    double zd[N * H * VOX], gd[N * H * VOX];
    float zf[N * H * VOX], gf[N * H * VOX];
    int16_t label[N * VOX];
    double a[N * H], b[N * H];
} data;
static data t;

static void setup(double scale)
{
    tst_fill(t.zf, t.zd, N * H * VOX, scale, 3);
    for (int i = 0; i < N * VOX; i++)
        t.label[i] = (int16_t)(i * 7 % 5 == 4 ? IGNORE : i * 7 % 5 % 3);
    t.label[3] = -1; /* counts as background */
    for (int i = 0; i < N * H; i++) {
        t.a[i] = 0.3 - 0.2 * i;
        t.b[i] = -0.1 + 0.05 * i;
    }
}

static sf_loss_desc desc(bool wide, bool sigmoid, int threads)
{
    return (sf_loss_desc){ .dtype = wide ? SF_F64 : SF_F32,
                           .shape = { N, H, D, Y, W },
                           .sigmoid = sigmoid,
                           .region_of = regions,
                           .n_labels = 4,
                           .ignore = IGNORE,
                           .threads = threads };
}

/* The definition, one voxel. */
static void voxel(bool sigmoid, int n, int i, double *sums)
{
    int label = t.label[n * VOX + i];
    if (label == IGNORE) return;
    if (label < 0) label = 0;
    double total = 0;
    for (int h = 0; h < H; h++) total += exp(t.zd[(n * H + h) * VOX + i]);
    sums[1] += 1;
    for (int h = 0; h < H; h++) {
        const double z = t.zd[(n * H + h) * VOX + i];
        const double y = sigmoid ? (double)(regions[label] >> h & 1) : h == label;
        const double p = sigmoid ? 1 / (1 + exp(-z)) : exp(z) / total;
        sums[0] += sigmoid ? -(y * log(p) + (1 - y) * log(1 - p)) : -y * log(p);
        sums[2 + 3 * h] += p * y;
        sums[3 + 3 * h] += p;
        sums[4 + 3 * h] += y;
    }
}

static void sums_of(bool wide, bool sigmoid, int threads, double *sums)
{
    const sf_loss_desc d = desc(wide, sigmoid, threads);
    sf_loss_forward(&d, wide ? (void *)t.zd : (void *)t.zf, t.label, sums);
}

static void test_sums(void **state)
{
    (void)state;
    static double wide[N * D * TERMS], narrow[N * D * TERMS], again[N * D * TERMS];
    setup(2.0);
    for (int sigmoid = 0; sigmoid < 2; sigmoid++) {
        sums_of(true, sigmoid, 2, wide);
        sums_of(false, sigmoid, 1, narrow);
        sums_of(false, sigmoid, 3, again);
        assert_memory_equal(narrow, again, sizeof again);
        for (int s = 0; s < N * D; s++) {
            double want[TERMS] = { 0 };
            for (int i = 0; i < Y * W; i++) voxel(sigmoid, s / D, s % D * Y * W + i, want);
            for (int k = 0; k < TERMS; k++) {
                assert_true(fabs(wide[s * TERMS + k] - want[k]) <= 1e-11 * (1 + want[k]));
                assert_true(fabs(narrow[s * TERMS + k] - want[k]) <= 2e-6 * (1 + want[k]));
            }
        }
    }
}

/* The bits do not depend on the instruction set. */
static void test_same_bits(void **state)
{
    (void)state;
    static const char *const isa[] = { "ref", "avx2", "avx512" };
    static double sums[3][N * D * TERMS];
    const char *was = getenv("SEGFLEET_ISA");
    setup(2.0);
    for (int sigmoid = 0; sigmoid < 2; sigmoid++)
        for (int i = 0; i < 3; i++) {
            setenv("SEGFLEET_ISA", isa[i], 1);
            sums_of(false, sigmoid, 1, sums[i]);
            assert_memory_equal(sums[i], sums[0], sizeof sums[0]);
        }
    if (was)
        setenv("SEGFLEET_ISA", was, 1);
    else
        unsetenv("SEGFLEET_ISA");
}

/* exp, log and log1p of the float passes against the library's in double, over their domains. */
static void test_functions(void **state)
{
    (void)state;
    double worst[3] = { 0 };
    for (double x = -86.9; x <= 0; x += 1.3e-4) {
        const float f = (float)x, e = expf(f) < 1 ? expf(f) : 1.0f;
        const double log_arg = 1.0 + 50.0 * (double)e;
        worst[0] = fmax(worst[0], fabs((double)sf_fast_exp(f) / exp((double)f) - 1));
        worst[1] =
            fmax(worst[1], fabs((double)sf_fast_log((float)log_arg) - log((double)(float)log_arg)) /
                               fmax(1e-3, log((double)(float)log_arg)));
        worst[2] = fmax(worst[2], fabs((double)sf_fast_log1p(e) / log1p((double)e) - 1));
    }
    for (int i = 0; i < 3; i++)
        if (!(worst[i] <= 2.5e-7)) fail_msg("function %d: relative error %g", i, worst[i]);
    assert_true(sf_fast_exp(0.0f) == 1.0f && sf_fast_log(1.0f) == 0.0f);
    assert_true(sf_fast_exp(-1e30f) < 2e-38f && sf_fast_exp(-1e30f) >= 0.0f);
}

/* ce * CE + sum a*I + b*P over everything: the loss whose gradient is asked for. */
static double objective(bool sigmoid, double ce)
{
    static double s[N * D * TERMS];
    double sum = 0;
    sums_of(true, sigmoid, 1, s);
    for (int i = 0; i < N * D; i++) {
        sum += ce * s[i * TERMS];
        for (int h = 0; h < H; h++)
            sum += t.a[i / D * H + h] * s[i * TERMS + 2 + 3 * h] +
                   t.b[i / D * H + h] * s[i * TERMS + 3 + 3 * h];
    }
    return sum;
}

static void test_gradient(void **state)
{
    (void)state;
    setup(1.0);
    const double ce = 0.37, h = 1e-5;
    for (int sigmoid = 0; sigmoid < 2; sigmoid++) {
        const sf_loss_desc dw = desc(true, sigmoid, 2), df = desc(false, sigmoid, 3);
        sf_loss_backward(&dw, t.zd, t.label, ce, t.a, t.b, t.gd);
        sf_loss_backward(&df, t.zf, t.label, ce, t.a, t.b, t.gf);
        assert_true(tst_rel_error(t.gf, t.gd, N * H * VOX) < 3e-6);
        for (int i = 0; i < N * H * VOX; i += 13) {
            const double keep = t.zd[i];
            t.zd[i] = keep + h;
            const double up = objective(sigmoid, ce);
            t.zd[i] = keep - h;
            const double down = objective(sigmoid, ce);
            t.zd[i] = keep;
            const double want = (up - down) / (2 * h);
            if (!(fabs(t.gd[i] - want) < 2e-8))
                fail_msg("logit %d: gradient %g, differences say %g", i, t.gd[i], want);
            if (t.label[i / (H * VOX) * VOX + i % VOX] == IGNORE) assert_true(t.gd[i] == 0);
        }
    }
}

/* Logits of +-1e4 give finite sums and gradients. */
static void test_extremes(void **state)
{
    (void)state;
    static double sums[N * D * TERMS];
    setup(1.0);
    for (int i = 0; i < N * H * VOX; i++) t.zf[i] = i % 3 ? (float)(i % 2 ? 1e4 : -1e4) : 0.0f;
    for (int sigmoid = 0; sigmoid < 2; sigmoid++) {
        const sf_loss_desc d = desc(false, sigmoid, 1);
        sf_loss_forward(&d, t.zf, t.label, sums);
        sf_loss_backward(&d, t.zf, t.label, 1.0, t.a, t.b, t.gf);
        for (int i = 0; i < N * D * TERMS; i++) assert_true(isfinite(sums[i]));
        for (int i = 0; i < N * H * VOX; i++) assert_true(isfinite(t.gf[i]));
        assert_true(sums[0] > 1e3); /* wrong and sure costs that much */
    }
}

static void test_probabilities(void **state)
{
    (void)state;
    setup(3.0);
    for (int sigmoid = 0; sigmoid < 2; sigmoid++) {
        memcpy(t.gf, t.zf, sizeof t.gf);
        sf_loss_probabilities(SF_F32, sigmoid, N, H, VOX, t.gf, t.gf, 3); /* in place */
        sf_loss_probabilities(SF_F64, sigmoid, N, H, VOX, t.zd, t.gd, 1);
        for (int n = 0; n < N; n++)
            for (int i = 0; i < VOX; i++) {
                double total = 0;
                for (int k = 0; k < H; k++) total += exp(t.zd[(n * H + k) * VOX + i]);
                for (int k = 0; k < H; k++) {
                    const int at = (n * H + k) * VOX + i;
                    const double e = exp(t.zd[at]), want = sigmoid ? e / (1 + e) : e / total;
                    assert_true(fabs(t.gd[at] - want) < 1e-14);
                    assert_true(fabs((double)t.gf[at] - want) < 4e-7);
                }
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums),      cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_functions), cmocka_unit_test(test_gradient),
        cmocka_unit_test(test_extremes),  cmocka_unit_test(test_probabilities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
