/* Every variant of convolution and transposed convolution, the norm passes and the loss, on slabs:
 * a rank that holds some slices and one plane of its neighbours computes the bits of the whole
 * volume. Everything else in memory is NaN. Slabs end on multiples of 4 slices, as leaves do. */
#include "base/mem.h"
#include "kernels/conv.h"
#include "kernels/convt.h"
#include "kernels/cpu.h"
#include "kernels/loss.h"
#include "kernels/view.h"
#include "tensor.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    int64_t ci[2], co, d, h, w; /* of the input; ci[1] = 0: one input */
    int k[3], s[3];
    bool exact;
} slab_case;

static const slab_case cases[] = {
    { { 16 }, 16, 12, 6, 7, { 3, 3, 3 }, { 1, 1, 1 }, false },
    { { 32, 16 }, 32, 13, 9, 10, { 3, 3, 3 }, { 1, 1, 1 }, false },
    { { 8 }, 8, 11, 7, 18, { 3, 3, 3 }, { 1, 1, 1 }, false },
    { { 8, 8 }, 24, 16, 5, 6, { 3, 3, 3 }, { 1, 1, 1 }, true },
    { { 17 }, 33, 18, 6, 9, { 3, 3, 3 }, { 2, 2, 2 }, false },
    { { 16 }, 32, 10, 8, 8, { 1, 3, 3 }, { 1, 1, 1 }, false },
    { { 16 }, 32, 12, 8, 8, { 1, 3, 3 }, { 1, 2, 2 }, false },
    { { 2 }, 8, 9, 33, 5, { 3, 3, 3 }, { 1, 1, 1 }, false },
    { { 32 }, 3, 9, 6, 5, { 1, 1, 1 }, { 1, 1, 1 }, false },
    { { 16 }, 16, 1, 21, 14, { 1, 3, 3 }, { 1, 1, 1 }, false }, /* 2-D: rows are the slices */
    { { 16 }, 32, 1, 22, 30, { 1, 3, 3 }, { 1, 2, 2 }, false },
    { { 32, 32 }, 32, 1, 19, 40, { 1, 3, 3 }, { 1, 1, 1 }, false },
};
enum { N_CASES = sizeof cases / sizeof cases[0], STEP = 4 };

/* --- tensors ------------------------------------------------------------------------------------
 */

/* A dense tensor with nothing but NaN outside [lo, hi) of its slices. */
static sf_view only(const tst_tensor *t, float *memory, int64_t lo, int64_t hi)
{
    sf_view v = t->vf;
    const int64_t slices = sf_slices(v.shape),
                  per = sf_slice_axis(v.extent) ? v.stride_h : v.stride_d;
    v.data = memory;
    for (int64_t b = 0; b < v.shape.n * sf_blocks(v.shape.c); b++)
        for (int64_t s = 0; s < slices; s++)
            for (int64_t i = 0; i < per; i++) {
                const int64_t at = (b * slices + s) * per + i;
                memory[at] = s >= lo && s < hi ? t->f[at] : NAN;
            }
    return v;
}

static void same(const tst_tensor *want, const float *got, int64_t lo, int64_t hi, const char *what)
{
    const sf_view *v = &want->vf;
    const int64_t slices = sf_slices(v->shape),
                  per = sf_slice_axis(v->extent) ? v->stride_h : v->stride_d;
    for (int64_t b = 0; b < v->shape.n * sf_blocks(v->shape.c); b++)
        if (memcmp(want->f + (b * slices + lo) * per, got + (b * slices + lo) * per,
                   (size_t)((hi - lo) * per) * 4) != 0)
            fail_msg("%s: slices %d to %d differ from those of the whole", what, (int)lo,
                     (int)hi - 1);
}

static float *get(int64_t n)
{
    float *p;
    tst_ok(sf_mem_calloc(&p, (size_t)n, sizeof *p, SF_MEM_MISC));
    return p;
}

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

/* --- one convolution ----------------------------------------------------------------------------
 */

typedef struct {
    const slab_case *t;
    sf_conv c;
    int n_in;
    tst_tensor in[2], scale[2], shift[2], din[2], out, dout;
    float *w, *bias, *dw[2], *db[2], *part[3];
    double *stats[2], *none;
    int64_t n_w, n_stats;
    int step; /* of the slice axis */
    char *scratch;
    char what[80];
} bench;

static void bench_make(bench *b, const slab_case *t)
{
    sf_shape in = { 1, 0, t->d, t->h, t->w };
    memset(b, 0, sizeof *b);
    b->t = t;
    for (b->n_in = 0; b->n_in < 2 && t->ci[b->n_in]; b->n_in++) {
        const int i = b->n_in;
        in.c = t->ci[i];
        b->in[i] = tst_tensor_make(in, 0, 1 + (uint32_t)i);
        b->din[i] = tst_tensor_make(in, 0, 3 + (uint32_t)i);
        b->scale[i] = tst_tensor_make((sf_shape){ 1, in.c, 1, 1, 1 }, 0, 5);
        b->shift[i] = tst_tensor_make((sf_shape){ 1, in.c, 1, 1, 1 }, 0, 6);
    }
    in.c = t->ci[0] + t->ci[1];
    tst_ok(sf_conv_make(&b->c, in, t->co, t->k, t->s, SF_F32));
    b->c.exact = t->exact;
    b->c.in_blocks = sf_blocks(t->ci[0]) + sf_blocks(t->ci[1]);
    b->step = t->s[t->d > 1 ? 0 : 1];
    b->out = tst_tensor_make(b->c.out, 0, 7);
    b->dout = tst_tensor_make(b->c.out, 0, 8);
    b->n_w = t->co * in.c * t->k[0] * t->k[1] * t->k[2];
    b->n_stats = sf_cpad(t->co) * sf_slices(b->c.out) * 2;
    b->w = get(b->n_w), b->bias = get(t->co);
    double *d;
    tst_ok(sf_mem_alloc(&d, (size_t)(b->n_w + t->co), sizeof *d, SF_MEM_MISC));
    tst_fill(b->w, d, b->n_w, 0.3, 9);
    tst_fill(b->bias, d, t->co, 1.0, 10);
    b->none = d;
    for (int i = 0; i < 2; i++) {
        b->dw[i] = get(b->n_w), b->db[i] = get(t->co);
        tst_ok(sf_mem_calloc(&b->stats[i], (size_t)b->n_stats, sizeof(double), SF_MEM_MISC));
    }
    for (int i = 0; i < 3; i++) b->part[i] = get(max64(b->in[i > 1].size, b->out.size));
}

static void bench_free(bench *b)
{
    for (int i = 0; i < b->n_in; i++) {
        tst_tensor *all[] = { &b->in[i], &b->din[i], &b->scale[i], &b->shift[i] };
        for (int j = 0; j < 4; j++) tst_tensor_free(all[j]);
    }
    tst_tensor_free(&b->out);
    tst_tensor_free(&b->dout);
    void *all[] = { b->w,       b->bias,    b->dw[0],   b->dw[1],    b->db[0],    b->db[1],
                    b->part[0], b->part[1], b->part[2], b->stats[0], b->stats[1], b->none };
    for (size_t j = 0; j < sizeof all / sizeof *all; j++) sf_mem_free(all[j]);
}

/* Inputs, whole or only the slices [lo, hi) and their neighbours that output slices need. */
static void inputs(bench *b, sf_input in[2], bool whole, int64_t lo, int64_t hi)
{
    const int k = b->t->k[b->t->d > 1 ? 0 : 1], halo = k / 2;
    for (int i = 0; i < b->n_in; i++) {
        const int64_t slices = sf_slices(b->in[i].vf.shape);
        in[i] = (sf_input){ .x = b->in[i].vf, .slope = 0.01 };
        if (!whole) {
            const sf_view v = only(&b->in[i], b->part[i], max64(lo * b->step - halo, 0),
                                   min64(hi * b->step + halo, slices));
            in[i].x = sf_view_slab(&v, lo * b->step, min64(hi * b->step, slices));
        }
        if (i == 1) continue;
        in[i].scale = b->scale[i].f;
        in[i].shift = b->shift[i].f;
    }
}

static void forward(bench *b, const sf_conv_impl *im, int64_t lo, int64_t hi, bool whole)
{
    sf_input in[2];
    sf_view out = b->out.vf;
    inputs(b, in, whole, lo, hi);
    if (!whole) {
        out.data = b->part[2];
        out = sf_view_slab(&out, lo, hi);
    }
    const sf_conv_fwd a = { in, b->n_in, b->w, b->bias, out, b->stats[whole ? 0 : 1], 2 };
    tst_ok(im->forward(&b->c, &a, b->scratch));
}

static void data(bench *b, const sf_conv_impl *im, int64_t lo, int64_t hi, bool whole)
{
    const bool accumulate[2] = { false, true };
    const int64_t slices = sf_slices(b->c.out);
    sf_view din[2], dout = b->dout.vf;
    for (int i = 0; i < b->n_in; i++) din[i] = b->din[i].vf;
    if (!whole) {
        const sf_view v = only(&b->dout, b->part[2], max64(lo - 1, 0), min64(hi + 1, slices));
        dout = sf_view_slab(&v, lo, hi);
        for (int i = 0; i < b->n_in; i++) {
            const int64_t n = sf_slices(din[i].shape);
            memcpy(b->part[i], din[i].data, (size_t)b->din[i].size * 4);
            din[i].data = b->part[i];
            din[i] = sf_view_slab(&din[i], lo * b->step, min64(hi * b->step, n));
        }
    }
    const sf_conv_bwd_data a = { b->w, dout, din, accumulate, b->n_in, 2 };
    tst_ok(im->backward_data(&b->c, &a, b->scratch));
}

static void weight(bench *b, const sf_conv_impl *im, int64_t lo, int64_t hi, bool whole)
{
    sf_input in[2];
    sf_view dout = b->dout.vf;
    inputs(b, in, whole, lo, hi);
    if (!whole) {
        const sf_view v = only(&b->dout, b->part[2], lo, hi);
        dout = sf_view_slab(&v, lo, hi);
    }
    const int to = whole ? 0 : 1;
    const sf_conv_bwd_weight a = { in, b->n_in, dout, 0, lo, hi, b->dw[to], b->db[to], 2 };
    tst_ok(im->backward_weight(&b->c, &a, b->scratch));
}

/* The own slices of the statistics: those of others belong to other ranks. */
static void same_stats(const bench *b, int64_t lo, int64_t hi)
{
    const int64_t slices = sf_slices(b->c.out);
    for (int64_t l = 0; l < sf_cpad(b->t->co); l++)
        for (int64_t s = lo; s < hi; s++)
            if (memcmp(b->stats[0] + (l * slices + s) * 2, b->stats[1] + (l * slices + s) * 2,
                       16) != 0)
                fail_msg("%s: other statistics of slice %d", b->what, (int)s);
}

static void check_slab(bench *b, const sf_conv_impl *im, const tst_tensor before[2], int64_t lo,
                       int64_t hi)
{
    tst_tensor after[2];
    forward(b, im, lo, hi, false);
    same(&b->out, b->part[2], lo, hi, b->what);
    same_stats(b, lo, hi);
    for (int i = 0; i < b->n_in; i++) {
        after[i] = tst_tensor_copy(&b->din[i]);
        memcpy(b->din[i].f, before[i].f, (size_t)before[i].size * 4);
    }
    data(b, im, lo, hi, false);
    for (int i = 0; i < b->n_in; i++) {
        const int64_t n = sf_slices(b->din[i].vf.shape);
        same(&after[i], b->part[i], lo * b->step, min64(hi * b->step, n), b->what);
        memcpy(b->din[i].f, after[i].f, (size_t)after[i].size * 4);
        tst_tensor_free(&after[i]);
    }
    for (int64_t s = lo; s < hi; s += STEP) {
        weight(b, im, s, min64(s + STEP, hi), true);
        weight(b, im, s, min64(s + STEP, hi), false);
        if (memcmp(b->dw[0], b->dw[1], (size_t)b->n_w * 4) ||
            memcmp(b->db[0], b->db[1], (size_t)b->t->co * 4))
            fail_msg("%s: other weight gradient of slices from %d", b->what, (int)s);
    }
}

static void check_variant(bench *b, const sf_conv_impl *im)
{
    const int64_t slices = sf_slices(b->c.out);
    tst_tensor before[2];
    const size_t bytes = im->scratch ? im->scratch(&b->c, 2) : 0;
    tst_ok(sf_mem_alloc(&b->scratch, bytes + 1, 1, SF_MEM_MISC));
    snprintf(b->what, sizeof b->what, "%s case %d", im->name, (int)(b->t - cases));
    forward(b, im, 0, 0, true);
    for (int i = 0; i < b->n_in; i++) before[i] = tst_tensor_copy(&b->din[i]);
    data(b, im, 0, 0, true);
    for (int64_t lo = 0; lo < slices; lo += STEP) { /* one leaf, and from here to the end */
        check_slab(b, im, before, lo, min64(lo + STEP, slices));
        if (lo == STEP) check_slab(b, im, before, lo, slices);
    }
    for (int i = 0; i < b->n_in; i++) {
        memcpy(b->din[i].f, before[i].f, (size_t)before[i].size * 4);
        tst_tensor_free(&before[i]);
    }
    sf_mem_free(b->scratch);
}

static void convolutions(void **state)
{
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        bench b;
        bench_make(&b, &cases[i]);
        for (const sf_conv_impl *const *im = sf_conv_impls; *im; im++) {
            if (((*im)->isa & ~sf_cpu_isa()) || ((*im)->accepts && !(*im)->accepts(&b.c))) continue;
            check_variant(&b, *im);
        }
        bench_free(&b);
    }
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

/* --- one transposed convolution: no neighbours at all -------------------------------------------
 */

typedef struct {
    int64_t ci, co, d, h, w; /* of the input */
    int s[3];
} up_case;

static const up_case ups[] = {
    { 32, 16, 9, 5, 6, { 2, 2, 2 } },  { 16, 8, 12, 4, 7, { 1, 2, 2 } },
    { 48, 33, 6, 3, 5, { 2, 1, 2 } },  { 32, 32, 1, 11, 18, { 1, 2, 2 } },
    { 17, 16, 1, 13, 6, { 1, 2, 1 } },
};

typedef struct {
    sf_convt c;
    int step;
    tst_tensor in, scale, shift, din, out, dout;
    float *w, *bias, *dw[2], *db[2], *part[2];
    double *d;
    int64_t n_w;
    char *scratch;
} up_bench;

static void up_make(up_bench *b, const up_case *t)
{
    const sf_shape in = { 1, t->ci, t->d, t->h, t->w };
    memset(b, 0, sizeof *b);
    tst_ok(sf_convt_make(&b->c, in, t->co, t->s, SF_F32));
    b->step = t->s[t->d > 1 ? 0 : 1];
    b->in = tst_tensor_make(in, 0, 1);
    b->din = tst_tensor_make(in, 0, 2);
    b->scale = tst_tensor_make((sf_shape){ 1, t->ci, 1, 1, 1 }, 0, 3);
    b->shift = tst_tensor_make((sf_shape){ 1, t->ci, 1, 1, 1 }, 0, 4);
    b->out = tst_tensor_make(b->c.out, 0, 5);
    b->dout = tst_tensor_make(b->c.out, 0, 6);
    b->n_w = t->ci * t->co * t->s[0] * t->s[1] * t->s[2];
    b->w = get(b->n_w), b->bias = get(t->co);
    tst_ok(sf_mem_alloc(&b->d, (size_t)(b->n_w + t->co), sizeof *b->d, SF_MEM_MISC));
    tst_fill(b->w, b->d, b->n_w, 0.3, 7);
    tst_fill(b->bias, b->d, t->co, 1.0, 8);
    for (int i = 0; i < 2; i++) {
        b->dw[i] = get(b->n_w), b->db[i] = get(t->co);
        b->part[i] = get(max64(b->in.size, b->out.size));
    }
}

static void up_free(up_bench *b)
{
    tst_tensor *all[] = { &b->in, &b->din, &b->scale, &b->shift, &b->out, &b->dout };
    for (int j = 0; j < 6; j++) tst_tensor_free(all[j]);
    void *more[] = { b->w,     b->bias,    b->dw[0],   b->dw[1], b->db[0],
                     b->db[1], b->part[0], b->part[1], b->d };
    for (size_t j = 0; j < sizeof more / sizeof *more; j++) sf_mem_free(more[j]);
}

static sf_input up_input(up_bench *b, bool whole, int64_t lo, int64_t hi)
{
    sf_input in = { .x = b->in.vf, .scale = b->scale.f, .shift = b->shift.f, .slope = 0.01 };
    if (whole) return in;
    const sf_view v = only(&b->in, b->part[0], lo, hi);
    in.x = sf_view_slab(&v, lo, hi);
    return in;
}

/* The own slices of an output tensor, in memory of its own or in place. */
static sf_view up_part(const up_bench *b, const tst_tensor *t, bool whole, int64_t lo, int64_t hi)
{
    sf_view v = t->vf;
    if (whole) return v;
    memcpy(b->part[1], t->f, (size_t)t->size * 4);
    v.data = b->part[1];
    return sf_view_slab(&v, lo, hi);
}

static void up_forward(up_bench *b, const sf_convt_impl *im, bool whole, int64_t lo, int64_t hi)
{
    const sf_convt_fwd a = { up_input(b, whole, lo, hi), b->w, b->bias,
                             up_part(b, &b->out, whole, lo * b->step, hi * b->step), 2 };
    tst_ok(im->forward(&b->c, &a, b->scratch));
}

static sf_view up_gradient(up_bench *b, bool whole, int64_t lo, int64_t hi, float *memory)
{
    if (whole) return b->dout.vf;
    const sf_view v = only(&b->dout, memory, lo * b->step, hi * b->step);
    return sf_view_slab(&v, lo * b->step, hi * b->step);
}

static void up_data(up_bench *b, const sf_convt_impl *im, bool whole, int64_t lo, int64_t hi)
{
    const sf_convt_bwd_data a = { b->w, up_gradient(b, whole, lo, hi, b->part[0]),
                                  up_part(b, &b->din, whole, lo, hi), false, 2 };
    tst_ok(im->backward_data(&b->c, &a, b->scratch));
}

static void up_weight(up_bench *b, const sf_convt_impl *im, bool whole, int64_t lo, int64_t hi)
{
    const int to = whole ? 0 : 1;
    const sf_convt_bwd_weight a = { up_input(b, whole, lo, hi),
                                    up_gradient(b, whole, lo, hi, b->part[1]),
                                    0,
                                    lo,
                                    hi,
                                    b->dw[to],
                                    b->db[to],
                                    2 };
    tst_ok(im->backward_weight(&b->c, &a, b->scratch));
}

static void up_variant(up_bench *b, const sf_convt_impl *im)
{
    const int64_t slices = sf_slices(b->c.in);
    const size_t bytes = im->scratch ? im->scratch(&b->c, 2) : 0;
    tst_ok(sf_mem_alloc(&b->scratch, bytes + 1, 1, SF_MEM_MISC));
    up_forward(b, im, true, 0, 0);
    up_data(b, im, true, 0, 0);
    for (int64_t lo = 0; lo < slices; lo += STEP) {
        const int64_t hi = min64(lo + STEP, slices);
        up_forward(b, im, false, lo, hi);
        same(&b->out, b->part[1], lo * b->step, hi * b->step, im->name);
        up_data(b, im, false, lo, hi);
        same(&b->din, b->part[1], lo, hi, im->name);
        up_weight(b, im, true, lo, hi);
        up_weight(b, im, false, lo, hi);
        assert_memory_equal(b->dw[0], b->dw[1], (size_t)b->n_w * 4);
        assert_memory_equal(b->db[0], b->db[1], (size_t)b->c.out.c * 4);
    }
    sf_mem_free(b->scratch);
}

static void transposed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof ups / sizeof *ups; i++) {
        up_bench b;
        up_make(&b, &ups[i]);
        for (const sf_convt_impl *const *im = sf_convt_impls; *im; im++)
            if (!((*im)->isa & ~sf_cpu_isa()) && (!(*im)->accepts || (*im)->accepts(&b.c)))
                up_variant(&b, *im);
        up_free(&b);
    }
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

/* --- the loss: a range of slices
 * ------------------------------------------------------------------
 */

static void loss(void **state)
{
    (void)state;
    enum { N = 2, HEADS = 3, D = 11, PLANE = 7 * 13, VOXELS = D * PLANE, TERMS = 2 + 3 * HEADS };
    static float z[N * HEADS * VOXELS], g[2][N * HEADS * VOXELS];
    static double unused[N * HEADS * VOXELS], sums[2][N * D * TERMS];
    static int16_t y[N * VOXELS];
    double a[N * HEADS], b[N * HEADS];
    tst_fill(z, unused, N * HEADS * VOXELS, 2.0, 1);
    for (int i = 0; i < N * VOXELS; i++) y[i] = (int16_t)(i * 7 % 5 % 3);
    for (int i = 0; i < N * HEADS; i++) a[i] = 0.1 * i - 0.2, b[i] = 0.3 - 0.07 * i;
    sf_loss_desc d = {
        .shape = { N, HEADS, D, 7, 13 }, .ignore = SF_NO_IGNORE, .threads = 2, .dtype = SF_F32
    };
    sf_loss_forward(&d, z, y, sums[0]);
    sf_loss_backward(&d, z, y, 0.01, a, b, g[0]);
    memset(g[1], 0x7f, sizeof g[1]);
    for (d.slice0 = 0; d.slice0 < D; d.slice0 = d.slice1) {
        d.slice1 = min64(d.slice0 + STEP, D);
        sf_loss_forward(&d, z, y, sums[1]);
        sf_loss_backward(&d, z, y, 0.01, a, b, g[1]);
    }
    assert_memory_equal(sums[0], sums[1], sizeof sums[0]);
    assert_memory_equal(g[0], g[1], sizeof g[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(convolutions),
                                        cmocka_unit_test(transposed), cmocka_unit_test(loss) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
