/* Networks whose values are stored in bfloat16, beside the same networks in float32 and float64:
 * logits, loss, gradients, training, memory, bits.
 *
 * Bounds. A stored element is off by at most 2^-8 of itself, by about 0.1 % in the root mean
 * square; on the longest way through these networks some 20 values are stored, whose independent
 * errors add up to sqrt(20) * 0.1 % = 0.5 %: 2 % is allowed for the largest error of a logit,
 * beside the largest logit. A gradient is worse, in every precision: of activations near the kink
 * of the leaky ReLU a part as large as the relative error d of the values lands on the other side,
 * and there the gradient is another. So its relative error is about sqrt(d):
 * sqrt(0.5 %) = 7 %. (Coarse resolutions, whose gradient is the small smooth part of that of the
 * finer ones, are worst: 20 %.) Beside that, no weight's gradient may be off by more than the same
 * storage makes it with the plainest kernels. */
#include "base/mem.h"
#include "kernels/bf16.h"
#include "tests/network/common.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EDGE = 32, DEPTH = 16, BATCH = 2, VOXELS = DEPTH * EDGE * EDGE, STEPS = 40 };

static sf_network *make(sf_net_class net, sf_dtype dtype, bool training, int threads)
{
    sf_arch a = tst_small_arch(net);
    for (int s = 0; s < a.n_stages; s++) a.features[s] = s == 0 ? 16 : 32;
    const sf_network_options o = { .arch = &a,
                                   .in_channels = 1,
                                   .heads = 3,
                                   .batch = BATCH,
                                   .patch = { DEPTH, EDGE, EDGE },
                                   .dtype = dtype,
                                   .training = training,
                                   .deep_supervision = true,
                                   .threads = threads };
    sf_network *n = NULL;
    tst_ok(sf_network_create(&n, &o));
    sf_params_init(sf_network_params(n), 1, "test", 0.01);
    return n;
}

/* Two bright balls of different size in noise; labels 1 and 2. */
typedef struct {
    float *x;
    double *wide;
    int16_t *label;
} data;

static data data_make(void)
{
    data d = { malloc(BATCH * VOXELS * sizeof(float)), malloc(BATCH * VOXELS * sizeof(double)),
               calloc(BATCH * VOXELS, sizeof(int16_t)) };
    for (int i = 0; i < BATCH * VOXELS; i++) {
        const int n = i / VOXELS, z = i / (EDGE * EDGE) % DEPTH, y = i / EDGE % EDGE, x = i % EDGE;
        const int a = (z - 8) * (z - 8) + (y - 10 - n) * (y - 10 - n) + (x - 12) * (x - 12);
        const int b = (z - 6) * (z - 6) + (y - 22) * (y - 22) + (x - 20 - n) * (x - 20 - n);
        d.label[i] = (int16_t)(a < 36 ? 1 : b < 25 ? 2 : 0);
        d.x[i] =
            0.4f * sinf(12.9898f * (float)i) + (float)d.label[i] * (d.label[i] == 1 ? 1.2f : 0.5f);
        d.wide[i] = (double)d.x[i];
    }
    return d;
}

static void data_free(data *d)
{
    free(d->x);
    free(d->wide);
    free(d->label);
}

static double one_step(sf_network *n, const data *d, bool wide, bool update)
{
    tst_labels l;
    tst_labels_make(&l, 3);
    const sf_loss_options o = tst_loss_options(&l.labels, true, BATCH);
    const sf_optim optim = tst_optim();
    sf_loss_report r;
    tst_ok(sf_network_forward(n, wide ? (void *)d->wide : (void *)d->x, BATCH));
    tst_ok(sf_loss_evaluate(n, d->label, &o, true, &r));
    tst_ok(sf_network_backward(n));
    if (update) sf_optim_step(&optim, 0.01, sf_network_params(n), 1, NULL);
    tst_labels_free(&l);
    return r.total;
}

/* --- values and gradients -----------------------------------------------------------------------
 */

enum { MAX_PARAMS = 256 };

/* |got - want| / |want| over all parameters, and of each weight. */
static double gradient_error(sf_network *got, sf_network *want, double each[MAX_PARAMS])
{
    const sf_params *p = sf_network_params(got), *q = sf_network_params(want);
    double error = 0, size = 0;
    assert_true(p->count <= MAX_PARAMS);
    for (int i = 0; i < p->count; i++) {
        double e = 0, s = 0;
        each[i] = 0;
        /* a bias before a norm has no gradient but rounding */
        if (!p->item[i].has_grad || p->item[i].kind == SF_PARAM_BIAS) continue;
        for (int64_t k = 0; k < p->item[i].count; k++) {
            const double w = tst_get(q->dtype, q->item[i].grad, k);
            const double d = tst_get(p->dtype, p->item[i].grad, k) - w;
            e += d * d;
            s += w * w;
        }
        if (s == 0) assert_true(e == 0); /* behind a norm whose weight starts at 0 */
        if (p->item[i].count >= 64 && s > 0) each[i] = sqrt(e / s);
        error += e;
        size += s;
    }
    return sqrt(error / size);
}

static double logits_error(const sf_network *got, const sf_network *want)
{
    double worst = 0, size = 0;
    for (int i = 0; i < 3 * BATCH * VOXELS; i++) {
        const double w = tst_get(SF_F64, sf_network_logits(want, 0), i);
        worst = fmax(worst, fabs(tst_get(SF_F32, sf_network_logits(got, 0), i) - w));
        size = fmax(size, fabs(w));
    }
    return worst / size;
}

static void near_double(void **state)
{
    (void)state;
    data d = data_make();
    const char *cap = getenv("SEGFLEET_ISA");
    for (int net = 0; net < 2; net++) {
        const sf_net_class class = net ? SF_NET_RESENC : SF_NET_PLAIN;
        static double each[3][MAX_PARAMS];
        sf_network *half = make(class, SF_BF16, true, 2), *full = make(class, SF_F32, true, 2),
                   *wide = make(class, SF_F64, true, 2), *plain = NULL;
        if (!cap) assert_int_equal(setenv("SEGFLEET_ISA", "ref", 1), 0);
        plain = make(class, SF_BF16, true, 2);
        const double lw = one_step(wide, &d, true, false);
        one_step(plain, &d, false, false);
        if (!cap) assert_int_equal(unsetenv("SEGFLEET_ISA"), 0);
        const double lh = one_step(half, &d, false, false);
        one_step(full, &d, false, false);
        const double eh = gradient_error(half, wide, each[0]),
                     ep = gradient_error(plain, wide, each[1]),
                     ef = gradient_error(full, wide, each[2]), el = logits_error(half, wide);
        printf("    net %d: loss %.6f, double %.6f; gradient off by %.5f, plain kernels %.5f, "
               "float %.1e; logits by %.5f\n",
               net, lh, lw, eh, ep, ef, el);
        assert_true(el <= 0.02 && fabs(lh - lw) <= 0.003 * fabs(lw));
        assert_true(eh <= 0.07 && eh > 10 * ef); /* the storage is at work */
        double worst = 0;
        for (int i = 0; i < sf_network_params(half)->count; i++) {
            worst = fmax(worst, each[0][i]);
            if (!(each[0][i] <= 1.3 * each[1][i] + 0.001))
                fail_msg("gradient of %s off by %.4f, with plain kernels by %.4f",
                         sf_network_params(half)->item[i].name, each[0][i], each[1][i]);
        }
        printf("    of a single weight by at most %.4f\n", worst);
        sf_network *all[] = { half, full, wide, plain };
        for (int i = 0; i < 4; i++) sf_network_destroy(&all[i]);
    }
    data_free(&d);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

/* --- training ------------------------------------------------------------------------------------
 */

/* The loss falls as it does in float32. */
static void loss_curve(void **state)
{
    (void)state;
    data d = data_make();
    sf_network *half = make(SF_NET_PLAIN, SF_BF16, true, 2),
               *full = make(SF_NET_PLAIN, SF_F32, true, 2);
    double first = 0, last = 0, far = 0;
    for (int i = 0; i < STEPS; i++) {
        const double a = one_step(half, &d, false, true), b = one_step(full, &d, false, true);
        if (i == 0) first = b;
        last = b;
        far = fmax(far, fabs(a - b));
    }
    printf("    loss %.4f to %.4f in %d steps, at most %.4f apart\n", first, last, STEPS, far);
    assert_true(last < first - 0.3);
    assert_true(far <= 0.05 * (first - last));
    sf_network_destroy(&half);
    sf_network_destroy(&full);
    data_free(&d);
}

/* --- bits, memory, what stays float
 * ---------------------------------------------------------------- */

static void same_bits(void **state)
{
    (void)state;
    data d = data_make();
    for (int net = 0; net < 2; net++) {
        char want[65], got[65];
        for (int threads = 1; threads <= 3; threads++) {
            sf_network *n = make(net ? SF_NET_RESENC : SF_NET_PLAIN, SF_BF16, true, threads);
            for (int i = 0; i < 2; i++) one_step(n, &d, false, true);
            tst_ok(sf_params_hash(sf_network_params(n), threads == 1 ? want : got));
            if (threads > 1) assert_string_equal(got, want);
            sf_network_destroy(&n);
        }
    }
    data_free(&d);
}

/* The same weights with and without the processor's own conversions: its isa is no part of them. */
static void same_bits_without_instruction(void **state)
{
    (void)state;
    char hash[2][65];
    data d = data_make();
    if (getenv("SEGFLEET_ISA")) skip(); /* capped from outside */
    for (int i = 0; i < 2; i++) {
        if (i) assert_int_equal(setenv("SEGFLEET_ISA", "avx512", 1), 0);
        sf_network *n = make(SF_NET_PLAIN, SF_BF16, true, 2);
        for (int k = 0; k < 2; k++) one_step(n, &d, false, true);
        tst_ok(sf_params_hash(sf_network_params(n), hash[i]));
        sf_network_destroy(&n);
    }
    assert_int_equal(unsetenv("SEGFLEET_ISA"), 0);
    assert_string_equal(hash[0], hash[1]);
    data_free(&d);
}

static void memory(void **state)
{
    (void)state;
    for (int training = 0; training < 2; training++) {
        const int64_t before = sf_mem_live(SF_MEM_ARENA);
        sf_network *half = make(SF_NET_PLAIN, SF_BF16, training, 1);
        const int64_t bytes = sf_mem_live(SF_MEM_ARENA) - before;
        sf_network *full = make(SF_NET_PLAIN, SF_F32, training, 1);
        const int64_t more = sf_mem_live(SF_MEM_ARENA) - before - bytes;
        const sf_params *p = sf_network_params(half), *q = sf_network_params(full);
        printf("    training %d: %lld of %lld bytes\n", training, (long long)bytes,
               (long long)more);
        /* input, logits and workspaces stay as they are, a large part of so small a network */
        assert_true((double)bytes < (training ? 0.7 : 0.9) * (double)more);
        assert_true(p->dtype == SF_F32 && p->total == q->total);
        assert_int_equal(sf_network_bytes(full) - sf_network_bytes(half), more - bytes);
        sf_network_destroy(&half);
        sf_network_destroy(&full);
    }
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

/* A network for inference gives the logits of the one for training, and they are no bfloat16. */
static void inference(void **state)
{
    (void)state;
    data d = data_make();
    sf_network *a = make(SF_NET_RESENC, SF_BF16, true, 1),
               *b = make(SF_NET_RESENC, SF_BF16, false, 2);
    tst_ok(sf_network_forward(a, d.x, BATCH));
    tst_ok(sf_network_forward(b, d.x, BATCH));
    assert_memory_equal(sf_network_logits(a, 0), sf_network_logits(b, 0), 3 * BATCH * VOXELS * 4);
    int finer = 0;
    for (int i = 0; i < 3 * BATCH * VOXELS; i++) {
        const float z = ((const float *)sf_network_logits(b, 0))[i];
        finer += sf_bf16_widen(sf_bf16_round(z)) != z;
    }
    assert_true(finer > 2 * BATCH * VOXELS);
    sf_network_destroy(&a);
    sf_network_destroy(&b);
    data_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(near_double), cmocka_unit_test(loss_curve),
        cmocka_unit_test(same_bits),   cmocka_unit_test(same_bits_without_instruction),
        cmocka_unit_test(memory),      cmocka_unit_test(inference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
