/* Transposed convolution: every variant against the double reference; and for both convolutions the
 * adjoint identities and slabs of a volume. */
#include "base/mem.h"
#include "kernels/conv.h"
#include "kernels/convt.h"
#include "kernels/cpu.h"
#include "kernels/view.h"
#include "tensor.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const double TOL = 2e-5;

typedef struct {
    int64_t n, ci, co, d, h, w;
    int s[3], gap;
    bool rule, accumulate;
} convt_case;

static const convt_case cases[] = {
    { 1, 1, 1, 1, 1, 1, { 1, 1, 1 }, 0, false, false },
    { 2, 17, 33, 3, 5, 7, { 2, 2, 2 }, 1, true, false },
    { 1, 64, 32, 2, 5, 14, { 2, 2, 2 }, 0, true, true },
    { 2, 16, 16, 5, 2, 15, { 1, 2, 2 }, 1, true, true },
    { 1, 33, 3, 1, 7, 33, { 1, 2, 2 }, 0, true, false },
    { 1, 80, 48, 2, 2, 2, { 2, 1, 2 }, 1, false, false },
    { 1, 3, 5, 1, 257, 259, { 1, 2, 2 }, 0, true, false }, /* past the caches */
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

typedef struct {
    const convt_case *t;
    sf_convt cf, cd;
    tst_tensor in, scale, shift, out, dout, din;
    float *wf, *bf, *dwf, *dbf;
    double *wd, *bd, *dwd, *dbd;
    int64_t n_w;
} bench;

static void *get(int64_t n, size_t size)
{
    void *p;
    tst_ok(sf_mem_calloc(&p, (size_t)n, size, SF_MEM_MISC));
    return p;
}

static void bench_make(bench *b, const convt_case *t)
{
    const sf_shape in = { t->n, t->ci, t->d, t->h, t->w }, lanes = { t->n, t->ci, 1, 1, 1 };
    memset(b, 0, sizeof *b);
    b->t = t;
    tst_ok(sf_convt_make(&b->cf, in, t->co, t->s, SF_F32));
    tst_ok(sf_convt_make(&b->cd, in, t->co, t->s, SF_F64));
    b->in = tst_tensor_make(in, t->gap, 1);
    b->din = tst_tensor_make(in, t->gap, 2);
    b->scale = tst_tensor_make(lanes, 0, 3);
    b->shift = tst_tensor_make(lanes, 0, 4);
    b->out = tst_tensor_make(b->cf.out, t->gap, 5);
    b->dout = tst_tensor_make(b->cf.out, t->gap, 6);
    b->n_w = t->ci * t->co * t->s[0] * t->s[1] * t->s[2];
    b->wf = get(b->n_w, 4), b->wd = get(b->n_w, 8), b->dwf = get(b->n_w, 4),
    b->dwd = get(b->n_w, 8);
    b->bf = get(t->co, 4), b->bd = get(t->co, 8), b->dbf = get(t->co, 4), b->dbd = get(t->co, 8);
    tst_fill(b->wf, b->wd, b->n_w, 0.3, 7);
    tst_fill(b->bf, b->bd, t->co, 1.0, 8);
}

static void bench_free(bench *b)
{
    tst_tensor *all[] = { &b->in, &b->din, &b->scale, &b->shift, &b->out, &b->dout };
    for (int i = 0; i < 6; i++) tst_tensor_free(all[i]);
    void *mem[] = { b->wf, b->wd, b->dwf, b->dwd, b->bf, b->bd, b->dbf, b->dbd };
    for (int i = 0; i < 8; i++) sf_mem_free(mem[i]);
}

/* All three passes; im NULL = the double reference. */
static void run(bench *b, const sf_convt_impl *im, int threads, int64_t s0, int64_t s1)
{
    const bool wide = im == NULL, rule = b->t->rule;
    const sf_convt *c = wide ? &b->cd : &b->cf;
    if (wide) im = &sf_convt_ref;
    const sf_input in = { .x = wide ? b->in.vd : b->in.vf,
                          .scale = !rule  ? NULL
                                   : wide ? (void *)b->scale.d
                                          : (void *)b->scale.f,
                          .shift = !rule  ? NULL
                                   : wide ? (void *)b->shift.d
                                          : (void *)b->shift.f,
                          .slope = 0.01 };
    const void *w = wide ? (void *)b->wd : (void *)b->wf,
               *bias = wide ? (void *)b->bd : (void *)b->bf;
    const sf_convt_fwd f = { in, w, bias, wide ? b->out.vd : b->out.vf, threads };
    const sf_convt_bwd_data d = { w, wide ? b->dout.vd : b->dout.vf, wide ? b->din.vd : b->din.vf,
                                  b->t->accumulate, threads };
    const sf_convt_bwd_weight g = { in,
                                    d.dout,
                                    b->t->n - 1,
                                    s0,
                                    s1,
                                    wide ? (void *)b->dwd : (void *)b->dwf,
                                    wide ? (void *)b->dbd : (void *)b->dbf,
                                    threads };
    void *scratch = get((int64_t)(im->scratch ? im->scratch(c, threads) : 0), 1);
    tst_ok(im->forward(c, &f, scratch));
    tst_ok(im->backward_data(c, &d, scratch));
    tst_ok(im->backward_weight(c, &g, scratch));
    sf_mem_free(scratch);
}

static void check_variant(bench *b, const sf_convt_impl *im, int64_t s0, int64_t s1)
{
    char what[64];
    snprintf(what, sizeof what, "%s case %d", im->name, (int)(b->t - cases));
    tst_tensor din0 = tst_tensor_copy(&b->din), out1, din1;
    run(b, im, 1, s0, s1);
    tst_tensor_check(&b->out, TOL, what);
    tst_tensor_check(&b->din, TOL, what);
    assert_true(tst_rel_error(b->dwf, b->dwd, b->n_w) <= TOL);
    assert_true(tst_rel_error(b->dbf, b->dbd, b->t->co) <= TOL);
    float *dw = get(b->n_w, 4);
    memcpy(dw, b->dwf, (size_t)b->n_w * 4);
    out1 = tst_tensor_copy(&b->out);
    din1 = tst_tensor_copy(&b->din);
    for (int threads = 2; threads <= 3; threads++) {
        memcpy(b->din.f, din0.f, (size_t)din0.size * 4);
        run(b, im, threads, s0, s1);
        assert_memory_equal(b->out.f, out1.f, (size_t)out1.size * 4);
        assert_memory_equal(b->din.f, din1.f, (size_t)din1.size * 4);
        assert_memory_equal(b->dwf, dw, (size_t)b->n_w * 4);
    }
    memcpy(b->din.f, din0.f, (size_t)din0.size * 4);
    tst_tensor_free(&din0);
    tst_tensor_free(&out1);
    tst_tensor_free(&din1);
    sf_mem_free(dw);
}

static void test_variants(void **state)
{
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        bench b;
        bench_make(&b, &cases[i]);
        const int64_t slices = sf_slices(b.cf.in);
        run(&b, NULL, 2, slices / 2, slices);
        for (const sf_convt_impl *const *im = sf_convt_impls; *im; im++)
            if (!((*im)->isa & ~sf_cpu_isa()) && (!(*im)->accepts || (*im)->accepts(&b.cf)))
                check_variant(&b, *im, slices / 2, slices);
        bench_free(&b);
    }
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

static double dot(const sf_view *a, const sf_view *b)
{
    const sf_shape s = a->shape;
    double sum = 0;
    for (int64_t i = 0; i < s.n * sf_cpad(s.c) * sf_voxels(s); i++) {
        const int64_t l = i % 16, x = i / 16 % s.w, y = i / 16 / s.w % s.h,
                      z = i / 16 / s.w / s.h % s.d;
        const int64_t cb = i / 16 / sf_voxels(s) % sf_blocks(s.c),
                      n = i / sf_cpad(s.c) / sf_voxels(s);
        sum += ((double *)a->data)[sf_view_offset(a, n, cb, z, y, x) + l] *
               ((double *)b->data)[sf_view_offset(b, n, cb, z, y, x) + l];
    }
    return sum;
}

static void close_to(double a, double b)
{
    if (!(fabs(a - b) <= 1e-10 * (1 + fabs(b)))) fail_msg("%.15g is not %.15g", a, b);
}

/* Bilinear operations: <y(x,w), g> = <x, dx(g,w)> = <w, dw(x,g)> exactly characterises the
 * gradients (what finite differences would estimate). */
static void test_adjoint_convt(void **state)
{
    (void)state;
    const convt_case t = { 1, 17, 19, 3, 4, 5, { 2, 1, 2 }, 1, false, false };
    bench b;
    bench_make(&b, &t);
    memset(b.bd, 0, (size_t)t.co * 8);
    run(&b, NULL, 2, 0, 3);
    const double want = dot(&b.out.vd, &b.dout.vd);
    double by_weight = 0;
    for (int64_t i = 0; i < b.n_w; i++) by_weight += b.wd[i] * b.dwd[i];
    close_to(dot(&b.in.vd, &b.din.vd), want);
    close_to(by_weight, want);
    bench_free(&b);
}

static void test_adjoint_conv(void **state)
{
    (void)state;
    static const int k[3] = { 3, 1, 3 }, s[3] = { 2, 1, 1 };
    enum { N_W = 19 * 18 * 9 };
    static float wf[N_W];
    static double wd[N_W], dw[N_W];
    tst_tensor in[2], din[2];
    sf_input list[2];
    sf_view grads[2];
    sf_conv c;
    for (int i = 0; i < 2; i++) {
        const sf_shape shape = { 1, i ? 1 : 17, 6, 4, 5 };
        in[i] = tst_tensor_make(shape, 1, 11 + (uint32_t)i);
        din[i] = tst_tensor_make(shape, 0, 13 + (uint32_t)i);
        list[i] = (sf_input){ .x = in[i].vd };
        grads[i] = din[i].vd;
    }
    tst_ok(sf_conv_make(&c, (sf_shape){ 1, 18, 6, 4, 5 }, 19, k, s, SF_F64));
    tst_tensor out = tst_tensor_make(c.out, 0, 15), dout = tst_tensor_make(c.out, 2, 16);
    tst_fill(wf, wd, N_W, 1.0, 17);
    const sf_conv_fwd f = { .in = list, .n_in = 2, .weight = wd, .out = out.vd, .threads = 2 };
    const sf_conv_bwd_data d = {
        .weight = wd, .dout = dout.vd, .din = grads, .n_in = 2, .threads = 2
    };
    const sf_conv_bwd_weight w = {
        .in = list, .n_in = 2, .dout = dout.vd, .slice1 = 3, .dweight = dw, .threads = 2
    };
    tst_ok(sf_conv_ref.forward(&c, &f, NULL));
    tst_ok(sf_conv_ref.backward_data(&c, &d, NULL));
    tst_ok(sf_conv_ref.backward_weight(&c, &w, NULL));
    const double want = dot(&out.vd, &dout.vd);
    double by_weight = 0;
    for (int i = 0; i < N_W; i++) by_weight += wd[i] * dw[i];
    close_to(by_weight, want);
    close_to(dot(&in[0].vd, &din[0].vd) + dot(&in[1].vd, &din[1].vd), want);
    for (int i = 0; i < 2; i++) {
        tst_tensor_free(&in[i]);
        tst_tensor_free(&din[i]);
    }
    tst_tensor_free(&out);
    tst_tensor_free(&dout);
}

/* Planes [z0, z1) of a whole-volume view, with the rest as halo. */
static sf_view slab(sf_view v, int64_t z0, int64_t z1)
{
    const size_t skip = (size_t)(z0 * v.stride_d) * sf_dtype_size(v.dtype);
    v.data = (char *)v.data + skip;
    v.halo[0][0] = z0;
    v.halo[0][1] = v.shape.d - z1;
    v.origin[0] = z0;
    v.shape.d = z1 - z0;
    return v;
}

/* The convolution and its data gradient done slab by slab give the whole result, for all variants.
 */
static void test_slabs(void **state)
{
    (void)state;
    static const int k[3] = { 3, 3, 3 }, s[3] = { 2, 1, 2 };
    enum { N_W = 17 * 33 * 27 };
    static float wf[N_W];
    static double wd[N_W];
    sf_conv cf, cd;
    const sf_shape shape = { 1, 33, 9, 5, 17 };
    tst_ok(sf_conv_make(&cf, shape, 17, k, s, SF_F32));
    tst_ok(sf_conv_make(&cd, shape, 17, k, s, SF_F64));
    tst_tensor in = tst_tensor_make(shape, 1, 21), din = tst_tensor_make(shape, 0, 22);
    tst_tensor out = tst_tensor_make(cf.out, 1, 23), dout = tst_tensor_make(cf.out, 0, 24);
    static double stats[2][32 * 5 * 2];
    tst_fill(wf, wd, N_W, 0.3, 25);
    const sf_input wide = { .x = in.vd };
    const sf_conv_fwd f = { &wide, 1, wd, NULL, out.vd, stats[0], 2 };
    const sf_conv_bwd_data d = { wd, dout.vd, &din.vd, NULL, 1, 2 };
    tst_ok(sf_conv_ref.forward(&cd, &f, NULL));
    tst_ok(sf_conv_ref.backward_data(&cd, &d, NULL));
    for (const sf_conv_impl *const *im = sf_conv_impls; *im; im++) {
        if (((*im)->isa & ~sf_cpu_isa()) || ((*im)->accepts && !(*im)->accepts(&cf))) continue;
        void *scratch = get((int64_t)((*im)->scratch ? (*im)->scratch(&cf, 2) : 0), 1);
        const int64_t cut_out[4] = { 0, 2, 3, 5 }, cut_in[4] = { 0, 3, 4, 9 };
        for (int i = 0; i < 3; i++) {
            const int64_t o0 = cut_out[i], o1 = cut_out[i + 1];
            const int64_t i0 = 2 * o0, i1 = 2 * o1 < 9 ? 2 * o1 : 9;
            const sf_input part = { .x = slab(in.vf, i0, i1) };
            const sf_conv_fwd fp = { &part, 1, wf, NULL, slab(out.vf, o0, o1), stats[1], 2 };
            const sf_view dpart = slab(din.vf, cut_in[i], cut_in[i + 1]);
            const sf_conv_bwd_data dp = { wf, slab(dout.vf, o0, o1), &dpart, NULL, 1, 2 };
            tst_ok((*im)->forward(&cf, &fp, scratch));
            tst_ok((*im)->backward_data(&cf, &dp, scratch));
        }
        sf_mem_free(scratch);
        tst_tensor_check(&out, TOL, (*im)->name);
        tst_tensor_check(&din, TOL, (*im)->name);
        for (int i = 0; i < 32 * 5 * 2; i++)
            assert_true(fabs(stats[0][i] - stats[1][i]) <= 1e-3 * (1 + fabs(stats[0][i])));
    }
    tst_tensor_free(&in);
    tst_tensor_free(&din);
    tst_tensor_free(&out);
    tst_tensor_free(&dout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_variants),
        cmocka_unit_test(test_adjoint_convt),
        cmocka_unit_test(test_adjoint_conv),
        cmocka_unit_test(test_slabs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
