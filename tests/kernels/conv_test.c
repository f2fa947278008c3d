/* Every variant of convolution and transposed convolution that this CPU can run, against the double
 * reference: odd sizes, strides, concatenation, load rules, leaves, padded views, slabs, threads.
 */
#include "base/mem.h"
#include "kernels/conv.h"
#include "kernels/convt.h"
#include "kernels/cpu.h"
#include "kernels/view.h"
#include "tensor.h"
#include <dirent.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

enum { MAX_IN = 3 };
static const double TOL = 2e-5; /* largest error over rms; float sums of up to 27*100 terms */

typedef struct {
    int64_t n, ci[MAX_IN], co, d, h, w;
    int k[3], s[3], gap;
    bool rule;
} conv_case;

static const conv_case cases[] = {
    { 1, { 1 }, 1, 1, 1, 1, { 1, 1, 1 }, { 1, 1, 1 }, 0, false },
    { 2, { 3 }, 17, 1, 7, 5, { 1, 3, 3 }, { 1, 1, 1 }, 1, true },
    { 1, { 16 }, 16, 2, 5, 14, { 3, 3, 3 }, { 1, 1, 1 }, 0, true },
    { 2, { 17, 16 }, 33, 5, 7, 15, { 3, 3, 3 }, { 1, 1, 1 }, 2, true },
    { 1, { 33, 3, 1 }, 64, 2, 2, 33, { 3, 3, 3 }, { 1, 1, 1 }, 1, true },
    { 1, { 64 }, 32, 7, 5, 2, { 3, 3, 3 }, { 2, 2, 2 }, 1, true },
    { 2, { 16 }, 48, 5, 15, 14, { 3, 3, 3 }, { 1, 2, 2 }, 0, true },
    { 1, { 32 }, 64, 1, 14, 33, { 1, 3, 3 }, { 1, 2, 2 }, 1, true },
    { 2, { 33 }, 3, 2, 7, 15, { 1, 1, 1 }, { 1, 1, 1 }, 0, true },
    { 1, { 17, 20 }, 16, 2, 5, 101, { 1, 1, 1 }, { 1, 1, 1 }, 1, true }, /* a head of many */
    { 1, { 32 }, 5, 12, 100, 120, { 1, 1, 1 }, { 1, 1, 1 }, 0, true },   /* past the caches */
    { 1, { 17 }, 16, 7, 2, 7, { 3, 1, 3 }, { 2, 1, 1 }, 1, false },
    { 1, { 16, 16 }, 16, 14, 15, 33, { 3, 3, 3 }, { 1, 1, 1 }, 0, true },
    { 1, { 1 }, 32, 6, 20, 45, { 3, 3, 3 }, { 1, 1, 1 }, 0, false },
    { 1, { 4 }, 32, 4, 6, 29, { 3, 3, 3 }, { 2, 2, 2 }, 1, false },
    { 1, { 80 }, 144, 3, 4, 4, { 3, 3, 3 }, { 1, 1, 1 }, 0, true },
    { 1, { 2 }, 5, 4, 5, 6, { 1, 1, 1 }, { 2, 2, 2 }, 1, false },
    { 3, { 32 }, 32, 1, 1, 40, { 1, 1, 3 }, { 1, 1, 1 }, 0, true },
    { 1, { 352 }, 352, 1, 7, 7, { 1, 3, 3 }, { 1, 1, 1 }, 0, true },  /* deep: much weight */
    { 1, { 2 }, 2, 9, 35, 66, { 3, 3, 3 }, { 1, 1, 1 }, 0, true },    /* more tiles than parts */
    { 1, { 1 }, 3, 1, 515, 513, { 1, 3, 3 }, { 1, 1, 1 }, 0, false }, /* one channel, past the
                                                                         caches */
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

/* Buffers of one case; float and double always hold the same inputs. */
typedef struct {
    const conv_case *t;
    sf_conv cf, cd;
    int n_in;
    tst_tensor in[MAX_IN], scale[MAX_IN], shift[MAX_IN], out, dout, din[MAX_IN];
    float *wf, *bf, *dwf, *dbf;
    double *wd, *bd, *dwd, *dbd, *stats, *stats_ref;
    int64_t n_w, n_stats;
} bench;

static void *get(int64_t n, size_t size)
{
    void *p;
    tst_ok(sf_mem_calloc(&p, (size_t)n, size, SF_MEM_MISC));
    return p;
}

static void bench_make(bench *b, const conv_case *t)
{
    memset(b, 0, sizeof *b);
    b->t = t;
    sf_shape in = { t->n, 0, t->d, t->h, t->w };
    for (; b->n_in < MAX_IN && t->ci[b->n_in]; b->n_in++) {
        const int i = b->n_in;
        in.c = t->ci[i];
        b->in[i] = tst_tensor_make(in, t->gap, 10 + (uint32_t)i);
        b->din[i] = tst_tensor_make(in, t->gap, 20 + (uint32_t)i);
        b->scale[i] = tst_tensor_make((sf_shape){ t->n, in.c, 1, 1, 1 }, 0, 30);
        b->shift[i] = tst_tensor_make((sf_shape){ t->n, in.c, 1, 1, 1 }, 0, 40);
    }
    in.c = t->ci[0] + t->ci[1] + t->ci[2];
    tst_ok(sf_conv_make(&b->cf, in, t->co, t->k, t->s, SF_F32));
    tst_ok(sf_conv_make(&b->cd, in, t->co, t->k, t->s, SF_F64));
    b->cf.in_blocks = 0;
    for (int i = 0; i < b->n_in; i++) b->cf.in_blocks += sf_blocks(t->ci[i]);
    b->out = tst_tensor_make(b->cf.out, t->gap, 50);
    b->dout = tst_tensor_make(b->cf.out, t->gap, 60);
    b->n_w = t->co * in.c * t->k[0] * t->k[1] * t->k[2];
    b->n_stats = t->n * sf_cpad(t->co) * sf_slices(b->cf.out) * 2;
    b->wf = get(b->n_w, 4), b->wd = get(b->n_w, 8), b->dwf = get(b->n_w, 4),
    b->dwd = get(b->n_w, 8);
    b->bf = get(t->co, 4), b->bd = get(t->co, 8), b->dbf = get(t->co, 4), b->dbd = get(t->co, 8);
    b->stats = get(b->n_stats, 8), b->stats_ref = get(b->n_stats, 8);
    tst_fill(b->wf, b->wd, b->n_w, 0.3, 70);
    tst_fill(b->bf, b->bd, t->co, 1.0, 80);
}

static void bench_free(bench *b)
{
    for (int i = 0; i < b->n_in; i++) {
        tst_tensor *all[] = { &b->in[i], &b->din[i], &b->scale[i], &b->shift[i] };
        for (int j = 0; j < 4; j++) tst_tensor_free(all[j]);
    }
    tst_tensor_free(&b->out);
    tst_tensor_free(&b->dout);
    void *all[] = { b->wf, b->wd,  b->dwf, b->dwd,   b->bf,
                    b->bd, b->dbf, b->dbd, b->stats, b->stats_ref };
    for (int j = 0; j < 10; j++) sf_mem_free(all[j]);
}

static void inputs(const bench *b, bool wide, sf_input in[MAX_IN])
{
    for (int i = 0; i < b->n_in; i++) {
        in[i] = (sf_input){ .x = wide ? b->in[i].vd : b->in[i].vf, .slope = 0.01 };
        if (!b->t->rule || i == 1) continue; /* block 1 is raw, as an upsampled one */
        in[i].scale = wide ? (void *)b->scale[i].d : (void *)b->scale[i].f;
        in[i].shift = wide ? (void *)b->shift[i].d : (void *)b->shift[i].f;
    }
}

/* scratch with a canary behind it */
static char *scratch_get(size_t bytes)
{
    char *p = get((int64_t)bytes + 64, 1);
    memset(p, 0xff, bytes); /* NaN: nothing may be read before it is written */
    memset(p + bytes, 0x5a, 64);
    return p;
}

static void scratch_put(char *p, size_t bytes, const char *name)
{
    for (int i = 0; i < 64; i++)
        if (p[bytes + (size_t)i] != 0x5a) fail_msg("%s: wrote past its scratch memory", name);
    sf_mem_free(p);
}

static void forward(bench *b, const sf_conv_impl *im, int threads)
{
    sf_input in[MAX_IN];
    const bool wide = im == NULL;
    const sf_conv *c = wide ? &b->cd : &b->cf;
    inputs(b, wide, in);
    const sf_conv_fwd a = { .in = in,
                            .n_in = b->n_in,
                            .weight = wide ? (void *)b->wd : (void *)b->wf,
                            .bias = wide ? (void *)b->bd : (void *)b->bf,
                            .out = wide ? b->out.vd : b->out.vf,
                            .stats = wide ? b->stats_ref : b->stats,
                            .threads = threads };
    if (wide) im = &sf_conv_ref;
    const size_t bytes = im->scratch ? im->scratch(c, threads) : 0;
    char *scratch = scratch_get(bytes);
    tst_ok(im->forward(c, &a, scratch));
    scratch_put(scratch, bytes, im->name);
}

static void backward_data(bench *b, const sf_conv_impl *im, int threads)
{
    const bool wide = im == NULL, accumulate[MAX_IN] = { false, true, false };
    const sf_conv *c = wide ? &b->cd : &b->cf;
    sf_view din[MAX_IN];
    for (int i = 0; i < b->n_in; i++) din[i] = wide ? b->din[i].vd : b->din[i].vf;
    const sf_conv_bwd_data a = { .weight = wide ? (void *)b->wd : (void *)b->wf,
                                 .dout = wide ? b->dout.vd : b->dout.vf,
                                 .din = din,
                                 .accumulate = accumulate,
                                 .n_in = b->n_in,
                                 .threads = threads };
    if (wide) im = &sf_conv_ref;
    const size_t bytes = im->scratch ? im->scratch(c, threads) : 0;
    char *scratch = scratch_get(bytes);
    tst_ok(im->backward_data(c, &a, scratch));
    scratch_put(scratch, bytes, im->name);
}

static void backward_weight(bench *b, const sf_conv_impl *im, int threads, int64_t n, int64_t s0,
                            int64_t s1)
{
    sf_input in[MAX_IN];
    const bool wide = im == NULL;
    const sf_conv *c = wide ? &b->cd : &b->cf;
    inputs(b, wide, in);
    const sf_conv_bwd_weight a = { .in = in,
                                   .n_in = b->n_in,
                                   .dout = wide ? b->dout.vd : b->dout.vf,
                                   .n = n,
                                   .slice0 = s0,
                                   .slice1 = s1,
                                   .dweight = wide ? (void *)b->dwd : (void *)b->dwf,
                                   .dbias = wide ? (void *)b->dbd : (void *)b->dbf,
                                   .threads = threads };
    if (wide) im = &sf_conv_ref;
    const size_t bytes = im->scratch ? im->scratch(c, threads) : 0;
    char *scratch = scratch_get(bytes);
    tst_ok(im->backward_weight(c, &a, scratch));
    scratch_put(scratch, bytes, im->name);
}

/* The same bits for 2 and 3 threads as for 1. */
static void same_bits(const void *a, const void *b, size_t bytes, const char *what)
{
    if (memcmp(a, b, bytes)) fail_msg("%s: other bits with other threads", what);
}

/* The slow reference is run with one other number of threads, the variants with two. */
static int first_threads(const sf_conv_impl *im) { return im == &sf_conv_ref ? 3 : 2; }

static void check_forward(bench *b, const sf_conv_impl *im, const char *what)
{
    forward(b, im, 1);
    tst_tensor_check(&b->out, TOL, what);
    for (int64_t i = 0; i < b->n_stats; i++)
        if (!(fabs(b->stats[i] - b->stats_ref[i]) <= 1e-4 * (1 + fabs(b->stats_ref[i]))))
            fail_msg("%s: statistics %ld: %g, not %g", what, (long)i, b->stats[i], b->stats_ref[i]);
    tst_tensor once = tst_tensor_copy(&b->out);
    for (int threads = first_threads(im); threads <= 3; threads++) {
        forward(b, im, threads);
        same_bits(b->out.f, once.f, (size_t)once.size * 4, what);
    }
    tst_tensor_free(&once);
}

/* din.d already holds the reference, din.f the values before; they are put back. */
static void check_data(bench *b, const sf_conv_impl *im, const char *what)
{
    tst_tensor before[MAX_IN], once[MAX_IN];
    for (int i = 0; i < b->n_in; i++) before[i] = tst_tensor_copy(&b->din[i]);
    backward_data(b, im, 1);
    for (int i = 0; i < b->n_in; i++) {
        tst_tensor_check(&b->din[i], TOL, what);
        once[i] = tst_tensor_copy(&b->din[i]);
    }
    for (int threads = first_threads(im); threads <= 3; threads++) {
        for (int i = 0; i < b->n_in; i++)
            memcpy(b->din[i].f, before[i].f, (size_t)before[i].size * 4);
        backward_data(b, im, threads);
        for (int i = 0; i < b->n_in; i++)
            same_bits(b->din[i].f, once[i].f, (size_t)once[i].size * 4, what);
    }
    for (int i = 0; i < b->n_in; i++) {
        memcpy(b->din[i].f, before[i].f, (size_t)before[i].size * 4);
        tst_tensor_free(&before[i]);
        tst_tensor_free(&once[i]);
    }
}

/* dwd and dbd hold the reference of the same leaf. */
static void check_weight(bench *b, const sf_conv_impl *im, const int64_t leaf[2], const char *what)
{
    const int64_t n = b->t->n - 1;
    float *keep = get(b->n_w, 4);
    backward_weight(b, im, 1, n, leaf[0], leaf[1]);
    const double e = tst_rel_error(b->dwf, b->dwd, b->n_w);
    const double eb = tst_rel_error(b->dbf, b->dbd, b->t->co);
    if (!(e <= TOL && eb <= TOL)) fail_msg("%s: weight gradient error %g, bias %g", what, e, eb);
    memcpy(keep, b->dwf, (size_t)b->n_w * 4);
    for (int threads = first_threads(im); threads <= 3; threads++) {
        backward_weight(b, im, threads, n, leaf[0], leaf[1]);
        same_bits(keep, b->dwf, (size_t)b->n_w * 4, what);
    }
    sf_mem_free(keep);
}

static int os_threads(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/task");
    for (const struct dirent *e; d && (e = readdir(d));) n += e->d_name[0] != '.';
    if (d) closedir(d);
    return n;
}

/* With one thread BLAS starts none of its own, and the caller's OpenMP settings stay. First test of
 * the program: no thread exists yet. */
static void test_serial_blas(void **state)
{
    (void)state;
    const conv_case t = { 1, { 64 }, 64, 4, 32, 32, { 3, 3, 3 }, { 1, 1, 1 }, 0, false };
    bench b;
    if (os_threads() != 1) skip();
    omp_set_num_threads(2);
    bench_make(&b, &t);
    forward(&b, &sf_conv_gemm, 1);
    backward_weight(&b, &sf_conv_gemm, 1, 0, 0, 4);
    assert_int_equal(os_threads(), 1);
    assert_int_equal(omp_get_max_threads(), 2);
    forward(&b, &sf_conv_gemm, 2);
    assert_int_equal(os_threads(), 2);
    assert_int_equal(omp_get_max_threads(), 2);
    bench_free(&b);
}

/* Runs `check` (0 forward, 1 data, 2 weight) for all variants that can do the case. */
static void each_variant(bench *b, int check, const int64_t leaf[2])
{
    char what[64];
    for (const sf_conv_impl *const *im = sf_conv_impls; *im; im++) {
        if (((*im)->isa & ~sf_cpu_isa()) || ((*im)->accepts && !(*im)->accepts(&b->cf))) continue;
        snprintf(what, sizeof what, "%s case %d", (*im)->name, (int)(b->t - cases));
        if (check == 0) check_forward(b, *im, what);
        if (check == 1) check_data(b, *im, what);
        if (check == 2) check_weight(b, *im, leaf, what);
    }
}

static void test_conv(void **state)
{
    (void)state;
    for (int i = 0; i < N_CASES; i++) {
        bench b;
        bench_make(&b, &cases[i]);
        const int64_t slices = sf_slices(b.cf.out), mid = slices / 3;
        const int64_t leaf[3][2] = { { 0, slices }, { 0, mid }, { mid, slices } };
        forward(&b, NULL, 2);
        each_variant(&b, 0, NULL);
        backward_data(&b, NULL, 2);
        each_variant(&b, 1, NULL);
        for (int l = i % 2; l < 3; l += 2) { /* the whole and the rest, or the beginning */
            if (leaf[l][0] == leaf[l][1]) continue;
            backward_weight(&b, NULL, 2, b.t->n - 1, leaf[l][0], leaf[l][1]);
            each_variant(&b, 2, leaf[l]);
        }
        bench_free(&b);
    }
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_serial_blas),
        cmocka_unit_test(test_conv),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
