/* Tensors that are stored in bfloat16: the rounding, and every variant of (transposed) convolution
 * and the norm passes on such views against the double reference on the same values. What is
 * written may be off by the float bound of conv_test.c and half a unit of the last place, no more:
 * so the sums are made in float and rounded once. */
#include "base/mem.h"
#include "kernels/bf16.h"
#include "kernels/conv.h"
#include "kernels/convt.h"
#include "kernels/cpu.h"
#include "kernels/norm.h"
#include "kernels/view.h"
#include "tensor.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const double TOL = 3e-5; /* the float sums, as in conv_test.c and wino_test.c */

static void *get(int64_t n, size_t size)
{
    void *p;
    tst_ok(sf_mem_calloc(&p, (size_t)n, size, SF_MEM_MISC));
    return p;
}

static float bits_float(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* --- rounding --------------------------------------------------------------------------------- */

/* Nearest of the two neighbours, the even one when they are equally near; in double. */
static uint16_t nearest(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint16_t low = (uint16_t)(bits >> 16), high = (uint16_t)(low + 1);
    if (fabs((double)x) < 0x1p-126) return low & 0x8000;
    const double a = (double)sf_bf16_widen(low), top = 0x1p128;
    const double b = (high & 0x7fff) == 0x7f80 ? copysign(top, a) : (double)sf_bf16_widen(high);
    const double da = fabs((double)x - a), db = fabs((double)x - b);
    return da < db || (da == db && !(low & 1)) ? low : high;
}

static const uint32_t special[] = { 0x00000000, 0x80000000, 0x00000001, 0x807fffff, 0x00800000,
                                    0x007fffff, 0x3f800000, 0x3f808000, 0x3f818000, 0x3f807fff,
                                    0x3f808001, 0xbf818000, 0x7f7fffff, 0xff7fffff, 0x7f7f8000,
                                    0x7f7f7fff, 0x00808000, 0x00ffffff, 0x7f800000, 0xff800000,
                                    0x7fc00000, 0x7f800001, 0xffffffff, 0xff80ffff };
enum { N_SPECIAL = sizeof special / sizeof special[0], N_VALUES = 64 * 7 };

static uint16_t want(float x)
{
    if (isnan(x)) {
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        return (uint16_t)(bits >> 16 | 0x40);
    }
    return isinf(x) ? (uint16_t)(x > 0 ? 0x7f80 : 0xff80) : nearest(x);
}

static void test_rounding(void **state)
{
    (void)state;
    for (uint32_t high = 0; high < 0x10000; high += 7)
        for (int i = 0; i < 8; i++) {
            static const uint32_t low[] = { 0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0x4321, 0xcdef };
            const float x = bits_float(high << 16 | low[i]);
            assert_int_equal(sf_bf16_round(x), want(x));
            if (!isnan(x) && fabs((double)x) >= 0x1p-126 && low[i] == 0)
                assert_true(sf_bf16_widen(sf_bf16_round(x)) == x);
        }
    assert_int_equal(sf_bf16_round(bits_float(0x3f808000)), 0x3f80); /* ties: to even */
    assert_int_equal(sf_bf16_round(bits_float(0x3f818000)), 0x3f82);
}

/* A 1x1 convolution of one channel with weight 1 stores its input: in every variant the same bits,
 * also of infinities, NaN and numbers that are too small. */
static void test_rounding_of_variants(void **state)
{
    (void)state;
    const sf_shape s = { 1, 1, 1, 7, 64 };
    const int one[3] = { 1, 1, 1 };
    const float weight = 1;
    tst_tensor in = tst_tensor_make(s, 0, 1), out = tst_tensor_make(s, 0, 2);
    tst_tensor_half(&out);
    for (int i = 0; i < N_VALUES; i++)
        in.f[i * 16] = bits_float(i < N_SPECIAL ? special[i] : (uint32_t)i * 9573947u);
    sf_conv c;
    tst_ok(sf_conv_make(&c, s, 1, one, one, SF_BF16));
    int tried = 0;
    for (const sf_conv_impl *const *im = sf_conv_impls; *im; im++) {
        if (((*im)->isa & ~sf_cpu_isa()) || ((*im)->accepts && !(*im)->accepts(&c))) continue;
        void *scratch = get((int64_t)((*im)->scratch ? (*im)->scratch(&c, 1) : 0) + 1, 1);
        const sf_input x = { .x = in.vf, .slope = 1 };
        memset(out.h, 0xff, (size_t)N_VALUES * 32);
        tst_ok(
            (*im)->forward(&c, &(sf_conv_fwd){ &x, 1, &weight, NULL, out.vh, NULL, 1 }, scratch));
        for (int i = 0; i < N_VALUES; i++) {
            uint16_t w = want(in.f[i * 16]);
            /* 0 + -0 is 0; the payload of a NaN is the processor's */
            if (w == 0x8000 || out.h[i * 16] == 0x8000) w = out.h[i * 16] & 0x8000;
            if (isnan(in.f[i * 16]))
                assert_true(isnan(sf_bf16_widen(out.h[i * 16])));
            else if (out.h[i * 16] != w)
                fail_msg("%s: value %d becomes %04x, not %04x", (*im)->name, i, out.h[i * 16], w);
        }
        sf_mem_free(scratch);
        tried++;
    }
    assert_true(tried >= 2);
    tst_tensor_free(&in);
    tst_tensor_free(&out);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

/* --- convolutions ------------------------------------------------------------------------------
 */

typedef struct {
    int64_t n, ci[2], co, d, h, w;
    int k[3], s[3], gap;
    bool rule, float_in, float_out; /* the network's first layer, its heads */
} conv_case;

static const conv_case cases[] = {
    { 2, { 1 }, 32, 5, 7, 9, { 3, 3, 3 }, { 1, 1, 1 }, 0, false, true, false },
    { 1, { 4 }, 17, 1, 9, 33, { 1, 3, 3 }, { 1, 1, 1 }, 1, false, true, false },
    { 2, { 17, 16 }, 33, 5, 7, 15, { 3, 3, 3 }, { 1, 1, 1 }, 2, true, false, false },
    { 1, { 32 }, 64, 4, 4, 4, { 3, 3, 3 }, { 1, 1, 1 }, 0, true, false, false },
    { 1, { 64 }, 48, 7, 5, 3, { 3, 3, 3 }, { 2, 2, 2 }, 1, true, false, false },
    { 2, { 16 }, 48, 5, 15, 14, { 3, 3, 3 }, { 1, 2, 2 }, 0, true, false, false },
    { 1, { 32, 32 }, 32, 1, 19, 40, { 1, 3, 3 }, { 1, 1, 1 }, 0, true, false, false },
    { 1, { 80 }, 144, 3, 4, 4, { 3, 3, 3 }, { 1, 1, 1 }, 0, true, false, false },
    { 2, { 33 }, 3, 2, 7, 15, { 1, 1, 1 }, { 1, 1, 1 }, 0, true, false, true },
    { 1, { 288 }, 40, 2, 3, 5, { 1, 1, 1 }, { 1, 1, 1 }, 1, true, false, false }, /* chunks */
    { 1, { 9 }, 10, 3, 6, 70, { 3, 3, 3 }, { 1, 1, 1 }, 1, true, false, false },
    { 1, { 352 }, 352, 1, 7, 7, { 1, 3, 3 }, { 1, 1, 1 }, 0, true, false, false }, /* deep */
    { 1, { 16 }, 16, 1, 65, 600, { 1, 3, 3 }, { 1, 1, 1 }, 0, true, false, false },
    { 1, { 32 }, 32, 14, 100, 220, { 3, 3, 3 }, { 1, 1, 1 }, 0, true, false, false }, /* streams */
};
enum { N_CASES = sizeof cases / sizeof cases[0], LARGE = N_CASES - 1 };

typedef struct {
    const conv_case *t;
    sf_conv ch, cd;
    int n_in;
    tst_tensor in[2], scale[2], shift[2], din[2], out, dout;
    float *w, *bias, *dw, *db;
    double *wd, *biasd, *dwd, *dbd, *stats;
    int64_t n_w, n_stats;
} bench;

static void bench_make(bench *b, const conv_case *t)
{
    *b = (bench){ .t = t };
    sf_shape in = { t->n, 0, t->d, t->h, t->w };
    for (; b->n_in < 2 && t->ci[b->n_in]; b->n_in++) {
        const int i = b->n_in;
        in.c = t->ci[i];
        b->in[i] = tst_tensor_make(in, t->gap, 10 + (uint32_t)i);
        b->din[i] = tst_tensor_make(in, t->gap, 20 + (uint32_t)i);
        b->scale[i] = tst_tensor_make((sf_shape){ t->n, in.c, 1, 1, 1 }, 0, 30);
        b->shift[i] = tst_tensor_make((sf_shape){ t->n, in.c, 1, 1, 1 }, 0, 40);
        tst_tensor_half(&b->in[i]);
        tst_tensor_half(&b->din[i]);
    }
    in.c = t->ci[0] + t->ci[1];
    tst_ok(sf_conv_make(&b->ch, in, t->co, t->k, t->s, SF_BF16));
    tst_ok(sf_conv_make(&b->cd, in, t->co, t->k, t->s, SF_F64));
    b->ch.in_blocks = sf_blocks(t->ci[0]) + sf_blocks(t->ci[1]);
    b->out = tst_tensor_make(b->ch.out, t->gap, 50);
    b->dout = tst_tensor_make(b->ch.out, t->gap, 60);
    tst_tensor_half(&b->out);
    tst_tensor_half(&b->dout);
    b->n_w = t->co * in.c * t->k[0] * t->k[1] * t->k[2];
    b->n_stats = t->n * sf_cpad(t->co) * sf_slices(b->ch.out) * 2;
    b->w = get(b->n_w, 4), b->wd = get(b->n_w, 8), b->dw = get(b->n_w, 4);
    b->dwd = get(b->n_w, 8), b->bias = get(t->co, 4), b->biasd = get(t->co, 8);
    b->db = get(t->co, 4), b->dbd = get(t->co, 8), b->stats = get(2 * b->n_stats, 8);
    tst_fill(b->w, b->wd, b->n_w, 0.3, 70);
    tst_fill(b->bias, b->biasd, t->co, 1.0, 80);
}

static void bench_free(bench *b)
{
    for (int i = 0; i < b->n_in; i++) {
        tst_tensor *all[] = { &b->in[i], &b->din[i], &b->scale[i], &b->shift[i] };
        for (int j = 0; j < 4; j++) tst_tensor_free(all[j]);
    }
    tst_tensor_free(&b->out);
    tst_tensor_free(&b->dout);
    void *all[] = { b->w, b->wd, b->dw, b->dwd, b->bias, b->biasd, b->db, b->dbd, b->stats };
    for (int j = 0; j < 9; j++) sf_mem_free(all[j]);
}

/* What a pass sees of a tensor: the reference double, a variant what the case says. */
static sf_view seen(const tst_tensor *t, bool wide, bool as_float)
{
    return wide ? t->vd : as_float ? t->vf : t->vh;
}

static void inputs(const bench *b, bool wide, sf_input in[2])
{
    for (int i = 0; i < b->n_in; i++) {
        in[i] = (sf_input){ .x = seen(&b->in[i], wide, b->t->float_in), .slope = 0.01 };
        if (!b->t->rule || i == 1) continue; /* block 1 is raw, as an upsampled one */
        in[i].scale = wide ? (void *)b->scale[i].d : (void *)b->scale[i].f;
        in[i].shift = wide ? (void *)b->shift[i].d : (void *)b->shift[i].f;
    }
}

/* All passes; im NULL: the double reference. */
static void run(bench *b, const sf_conv_impl *im, int threads)
{
    static const bool add[2] = { true, false };
    const bool wide = im == NULL;
    const sf_conv *c = wide ? &b->cd : &b->ch;
    im = wide ? &sf_conv_ref : im;
    sf_input in[2];
    sf_view din[2];
    inputs(b, wide, in);
    for (int i = 0; i < b->n_in; i++) din[i] = seen(&b->din[i], wide, b->t->float_in);
    const sf_view out = seen(&b->out, wide, b->t->float_out);
    const sf_view dout = seen(&b->dout, wide, b->t->float_out);
    const void *w = wide ? (void *)b->wd : (void *)b->w;
    const size_t bytes = im->scratch ? im->scratch(c, threads) : 0;
    char *scratch = get((int64_t)bytes + 64, 1);
    memset(scratch, 0xff, bytes);
    memset(scratch + bytes, 0x5a, 64);
    const sf_conv_fwd f = {
        .in = in, .n_in = b->n_in, .weight = w, .out = out, .threads = threads
    };
    sf_conv_fwd biased = f;
    biased.bias = wide ? (void *)b->biasd : (void *)b->bias;
    biased.stats = wide ? NULL : b->stats;
    tst_ok(im->forward(c, &biased, scratch));
    tst_ok(
        im->backward_data(c, &(sf_conv_bwd_data){ w, dout, din, add, b->n_in, threads }, scratch));
    const sf_conv_bwd_weight leaf = { .in = in,
                                      .n_in = b->n_in,
                                      .dout = dout,
                                      .n = b->t->n - 1,
                                      .slice1 = sf_slices(c->out),
                                      .dweight = wide ? (void *)b->dwd : (void *)b->dw,
                                      .dbias = wide ? (void *)b->dbd : (void *)b->db,
                                      .threads = threads };
    tst_ok(im->backward_weight(c, &leaf, scratch));
    for (int i = 0; i < 64; i++)
        if (scratch[bytes + (size_t)i] != 0x5a) fail_msg("%s: past its scratch memory", im->name);
    sf_mem_free(scratch);
}

/* The statistics are those of the stored elements. */
static void check_stats(bench *b, const char *name)
{
    double *again = b->stats + b->n_stats;
    if (b->t->float_out) return;
    sf_norm_stats(&b->out.vh, again, 1);
    double size = 0;
    for (int64_t i = 1; i < b->n_stats; i += 2) size = fmax(size, again[i]);
    for (int64_t i = 0; i < b->n_stats; i++)
        if (!(fabs(b->stats[i] - again[i]) <= 1e-6 * size + 1e-6 * sqrt(size)))
            fail_msg("%s: statistics %g, of the stored values %g", name, b->stats[i], again[i]);
}

static void check(bench *b, const char *name, int number)
{
    char what[80];
    snprintf(what, sizeof what, "%s, case %d", name, number);
    if (b->t->float_out)
        tst_tensor_check(&b->out, TOL, what);
    else
        tst_tensor_check_half(&b->out, TOL, what);
    for (int i = 0; i < b->n_in; i++)
        if (b->t->float_in)
            tst_tensor_check(&b->din[i], TOL, what);
        else
            tst_tensor_check_half(&b->din[i], TOL, what);
    check_stats(b, what);
    const double ew = tst_rel_error(b->dw, b->dwd, b->n_w),
                 eb = tst_rel_error(b->db, b->dbd, b->t->co);
    if (!(ew <= 3e-5 && eb <= 3e-5)) fail_msg("%s: weight gradients off by %g, %g", what, ew, eb);
}

/* Results of a run, to be found again bit by bit. */
typedef struct {
    uint16_t *out, *din;
    float *dw;
} kept;

static kept keep(const bench *b)
{
    kept k = { get(b->out.size, 2), get(b->din[0].size, 2), get(b->n_w, 4) };
    memcpy(k.out, b->out.h, (size_t)b->out.size * 2);
    memcpy(k.din, b->din[0].h, (size_t)b->din[0].size * 2);
    memcpy(k.dw, b->dw, (size_t)b->n_w * 4);
    return k;
}

static bool equal(const bench *b, const kept *k)
{
    return !memcmp(k->out, b->out.h, (size_t)b->out.size * 2) &&
           !memcmp(k->din, b->din[0].h, (size_t)b->din[0].size * 2) &&
           !memcmp(k->dw, b->dw, (size_t)b->n_w * 4);
}

static void drop(kept *k)
{
    sf_mem_free(k->out);
    sf_mem_free(k->din);
    sf_mem_free(k->dw);
}

/* din accumulates: every run starts from the same values. */
static void run_fresh(bench *b, const uint16_t *start, const sf_conv_impl *im, int threads)
{
    memcpy(b->din[0].h, start, (size_t)b->din[0].size * 2);
    for (int64_t i = 0; b->t->float_in && i < b->din[0].size; i++)
        b->din[0].f[i] = sf_bf16_widen(start[i]);
    run(b, im, threads);
}

static void test_convolution(void **state)
{
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        bench b;
        bench_make(&b, &cases[i]);
        uint16_t *start = get(b.din[0].size, 2);
        memcpy(start, b.din[0].h, (size_t)b.din[0].size * 2);
        kept wino = { NULL, NULL, NULL }, direct = wino, head = wino;
        if (i != LARGE) run(&b, NULL, 1);
        for (const sf_conv_impl *const *im = sf_conv_impls; *im; im++) {
            if (((*im)->isa & ~sf_cpu_isa()) || ((*im)->accepts && !(*im)->accepts(&b.ch)))
                continue;
            if (i == LARGE && strncmp((*im)->name, "wino", 4)) continue;
            run_fresh(&b, start, *im, 1);
            if (i != LARGE) check(&b, (*im)->name, i);
            kept one = keep(&b);
            run_fresh(&b, start, *im, 3);
            if (!equal(&b, &one)) fail_msg("%s, case %d: threads change bits", (*im)->name, i);
            /* with and without the processor's own rounding: the same bits */
            kept *twin = strstr((*im)->name, "avx2")        ? NULL
                         : !strncmp((*im)->name, "wino", 4) ? &wino
                         : !strncmp((*im)->name, "dire", 4) ? &direct
                         : !strncmp((*im)->name, "head", 4) ? &head
                                                            : NULL;
            if (twin && twin->out && !equal(&b, twin))
                fail_msg("%s, case %d: not the bits of its twin", (*im)->name, i);
            if (twin && !twin->out)
                *twin = one;
            else
                drop(&one);
        }
        drop(&wino);
        drop(&direct);
        drop(&head);
        sf_mem_free(start);
        bench_free(&b);
    }
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

/* Of the type double and float nothing is for the variants of AVX512_BF16. */
static void test_types(void **state)
{
    (void)state;
    static const sf_dtype types[] = { SF_F32, SF_F64, SF_BF16 };
    for (int t = 0; t < 3; t++) {
        static const int one[] = { 1, 1, 1 }, three[] = { 3, 3, 3 };
        const sf_shape in = { 1, 32, 8, 8, 8 };
        sf_conv c, head;
        tst_ok(sf_conv_make(&c, in, 32, three, one, types[t]));
        tst_ok(sf_conv_make(&head, in, 3, one, one, types[t]));
        for (const sf_conv_impl *const *im = sf_conv_impls; *im; im++) {
            const bool bf16 = strstr((*im)->name, "bf16") != NULL;
            const sf_conv *p = !strncmp((*im)->name, "head", 4) ? &head : &c;
            if (bf16) assert_true((*im)->accepts(p) == (types[t] == SF_BF16));
        }
    }
}

/* --- transposed convolutions -------------------------------------------------------------------
 */

typedef struct {
    int64_t n, ci, co, d, h, w;
    int s[3], gap;
} up_case;
static const up_case ups[] = {
    { 2, 33, 17, 3, 4, 5, { 2, 2, 2 }, 1 },
    { 1, 320, 32, 2, 3, 4, { 2, 2, 2 }, 0 }, /* more input blocks than one pass takes */
    { 1, 64, 32, 1, 9, 70, { 1, 2, 2 }, 0 },
    { 1, 16, 48, 5, 6, 7, { 1, 2, 2 }, 1 },
};

static void up_run(const up_case *t, const sf_convt_impl *im, tst_tensor *x, tst_tensor *y,
                   const void *w, const void *bias, void *dw, void *db, bool wide)
{
    sf_convt c;
    tst_ok(sf_convt_make(&c, x[0].vf.shape, t->co, t->s, wide ? SF_F64 : SF_BF16));
    const sf_input in = { .x = seen(&x[0], wide, false),
                          .scale = wide ? (void *)x[2].d : (void *)x[2].f,
                          .shift = wide ? (void *)x[3].d : (void *)x[3].f,
                          .slope = 0.01 };
    const sf_view out = seen(&y[0], wide, false), dout = seen(&y[1], wide, false);
    const sf_view din = seen(&x[1], wide, false);
    char *scratch = get((int64_t)(im->scratch ? im->scratch(&c, 2) : 0) + 1, 1);
    tst_ok(im->forward(&c, &(sf_convt_fwd){ in, w, bias, out, 2 }, scratch));
    tst_ok(im->backward_data(&c, &(sf_convt_bwd_data){ w, dout, din, true, 2 }, scratch));
    const sf_convt_bwd_weight leaf = {
        .in = in, .dout = dout, .slice1 = sf_slices(c.in), .dweight = dw, .dbias = db, .threads = 2
    };
    tst_ok(im->backward_weight(&c, &leaf, scratch));
    sf_mem_free(scratch);
}

static void test_transposed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ups / sizeof ups[0]; i++) {
        const up_case *t = &ups[i];
        const sf_shape in = { t->n, t->ci, t->d, t->h, t->w }, lanes = { t->n, t->ci, 1, 1, 1 };
        const sf_shape out = { t->n, t->co, t->d * t->s[0], t->h * t->s[1], t->w * t->s[2] };
        const int64_t n_w = t->ci * t->co * t->s[0] * t->s[1] * t->s[2];
        tst_tensor x[4] = { tst_tensor_make(in, t->gap, 1), tst_tensor_make(in, t->gap, 2),
                            tst_tensor_make(lanes, 0, 3), tst_tensor_make(lanes, 0, 4) };
        tst_tensor y[2] = { tst_tensor_make(out, t->gap, 5), tst_tensor_make(out, t->gap, 6) };
        tst_tensor *half[] = { &x[0], &x[1], &y[0], &y[1] };
        for (int k = 0; k < 4; k++) tst_tensor_half(half[k]);
        uint16_t *start = get(x[1].size, 2);
        memcpy(start, x[1].h, (size_t)x[1].size * 2);
        float *w = get(2 * n_w + 2 * t->co, 4), *dw = w + n_w, *bias = dw + n_w, *db = bias + t->co;
        double *wd = get(2 * n_w + 2 * t->co, 8), *dwd = wd + n_w, *biasd = dwd + n_w;
        tst_fill(w, wd, n_w, 0.3, 7);
        tst_fill(bias, biasd, t->co, 1, 8);
        up_run(t, &sf_convt_ref, x, y, wd, biasd, dwd, biasd + t->co, true);
        for (const sf_convt_impl *const *im = sf_convt_impls; *im; im++) {
            if ((*im)->isa & ~sf_cpu_isa()) continue;
            memcpy(x[1].h, start, (size_t)x[1].size * 2);
            up_run(t, *im, x, y, w, bias, dw, db, false);
            tst_tensor_check_half(&y[0], TOL, (*im)->name);
            tst_tensor_check_half(&x[1], TOL, (*im)->name);
            assert_true(tst_rel_error(dw, dwd, n_w) <= 3e-5);
            assert_true(tst_rel_error(db, biasd + t->co, t->co) <= 3e-5);
        }
        void *all[] = { start, w, wd };
        for (int k = 0; k < 3; k++) sf_mem_free(all[k]);
        for (int k = 0; k < 4; k++) tst_tensor_free(&x[k]);
        for (int k = 0; k < 2; k++) tst_tensor_free(&y[k]);
    }
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

/* --- layout and norm ----------------------------------------------------------------------------
 */

static void test_layout(void **state)
{
    (void)state;
    const sf_shape s = { 2, 17, 3, 5, 7 };
    const int64_t n = s.n * s.c * sf_voxels(s);
    tst_tensor t = tst_tensor_make(s, 1, 3);
    tst_tensor_half(&t);
    float *plain = get(2 * n, 4), *back = plain + n;
    double *d = get(n, 8);
    tst_fill(plain, d, n, 1.0, 4);
    sf_block(plain, &t.vh, 2);
    sf_unblock(&t.vh, back, 2);
    for (int64_t i = 0; i < n; i++) assert_true(back[i] == sf_bf16_widen(sf_bf16_round(plain[i])));
    sf_mem_free(plain);
    sf_mem_free(d);
    tst_tensor_free(&t);
}

/* The passes on bfloat16 are those on float, of the same values; dx is rounded once. */
static void test_norm(void **state)
{
    (void)state;
    const sf_shape s = { 2, 17, 3, 5, 7 };
    tst_tensor x = tst_tensor_make(s, 1, 1), g = tst_tensor_make(s, 1, 2);
    tst_tensor_half(&x);
    tst_tensor_half(&g);
    enum { LANES = 64, SUMS = 64 * 3 * 2 };
    double stats[2][SUMS], sums[2][SUMS], total[2 * LANES];
    float gamma[32], beta[32], mean[LANES], rstd[LANES], scale[LANES], shift[LANES];
    for (int c = 0; c < 32; c++) {
        gamma[c] = 0.5f + 0.1f * (float)c;
        beta[c] = -1.0f + 0.07f * (float)c;
    }
    sf_norm_stats(&x.vf, stats[0], 1);
    sf_norm_stats(&x.vh, stats[1], 3);
    assert_memory_equal(stats[0], stats[1], sizeof stats[0]);
    sf_norm_finish(SF_BF16, s.n, s.c, 3, sf_voxels(s), 1e-5, stats[0], gamma, beta, mean, rstd,
                   scale, shift);
    for (int half = 0; half < 2; half++) {
        const sf_norm_bwd b = {
            half ? x.vh : x.vf, half ? g.vh : g.vf, mean, rstd, gamma, beta, 0.01,
            sf_voxels(s),       sums[half],         2
        };
        sf_norm_backward_reduce(&b);
        sf_norm_backward_total(s.n, s.c, 3, sums[half], total);
        sf_norm_backward_apply(&b, total);
    }
    assert_memory_equal(sums[0], sums[1], sizeof sums[0]);
    for (int64_t i = 0; i < g.size; i++)
        if (!isnan(g.f[i])) assert_int_equal(g.h[i], sf_bf16_round(g.f[i]));
    tst_tensor_free(&x);
    tst_tensor_free(&g);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rounding),    cmocka_unit_test(test_rounding_of_variants),
        cmocka_unit_test(test_convolution), cmocka_unit_test(test_types),
        cmocka_unit_test(test_transposed),  cmocka_unit_test(test_layout),
        cmocka_unit_test(test_norm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
