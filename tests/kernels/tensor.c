#include "tensor.h"
#include "base/mem.h"
#include "base/rng.h"
#include "kernels/bf16.h"
#include "kernels/view.h"
#include <math.h>
#include <string.h>

enum { CANARY = 64 };

void tst_fill(float *f, double *d, int64_t n, double scale, uint32_t seed)
{
    sf_rng r;
    sf_rng_init(&r, &(sf_rng_key){ .seed = seed, .purpose = SF_RNG_TEST });
    for (int64_t i = 0; i < n; i++) {
        f[i] = (float)(scale * sf_rng_normal(&r));
        d[i] = (double)f[i];
    }
}

static void each(const tst_tensor *t, void (*fn)(const tst_tensor *, int64_t, bool, void *),
                 void *ctx)
{
    const sf_shape s = t->vf.shape;
    for (int64_t n = 0; n < s.n; n++)
        for (int64_t c = 0; c < sf_cpad(s.c); c++)
            for (int64_t z = 0; z < s.d; z++)
                for (int64_t y = 0; y < s.h; y++)
                    for (int64_t x = 0; x < s.w; x++)
                        fn(t, sf_view_offset(&t->vf, n, c / 16, z, y, x) + c % 16, c < s.c, ctx);
}

static void put(const tst_tensor *t, int64_t at, bool real, void *ctx)
{
    t->f[at] = real ? (float)sf_rng_normal(ctx) : 0.0f;
    t->d[at] = (double)t->f[at];
}

tst_tensor tst_tensor_make(sf_shape shape, int gap, uint32_t seed)
{
    tst_tensor t;
    memset(&t, 0, sizeof t);
    sf_view v = sf_view_dense(NULL, SF_F32, shape);
    v.stride_h += 16 * gap;
    v.stride_d = v.stride_h * shape.h + 16 * gap;
    v.stride_c = v.stride_d * shape.d + 16 * gap;
    v.stride_n = v.stride_c * sf_blocks(shape.c) + 16 * gap;
    t.size = v.stride_n * shape.n + CANARY;
    tst_ok(sf_mem_alloc(&t.f, (size_t)t.size, sizeof *t.f, SF_MEM_MISC));
    tst_ok(sf_mem_alloc(&t.d, (size_t)t.size, sizeof *t.d, SF_MEM_MISC));
    for (int64_t i = 0; i < t.size; i++) {
        t.f[i] = NAN;
        t.d[i] = NAN;
    }
    t.vf = t.vd = v;
    t.vf.data = t.f;
    t.vd.data = t.d;
    t.vd.dtype = SF_F64;
    sf_rng r;
    sf_rng_init(&r, &(sf_rng_key){ .seed = seed, .purpose = SF_RNG_TEST });
    each(&t, put, &r);
    return t;
}

tst_tensor tst_tensor_copy(const tst_tensor *src)
{
    tst_tensor t = *src;
    tst_ok(sf_mem_alloc(&t.f, (size_t)t.size, sizeof *t.f, SF_MEM_MISC));
    tst_ok(sf_mem_alloc(&t.d, (size_t)t.size, sizeof *t.d, SF_MEM_MISC));
    memcpy(t.f, src->f, (size_t)t.size * sizeof *t.f);
    memcpy(t.d, src->d, (size_t)t.size * sizeof *t.d);
    t.vf.data = t.f;
    t.vd.data = t.d;
    return t;
}

void tst_tensor_half(tst_tensor *t)
{
    tst_ok(sf_mem_alloc(&t->h, (size_t)t->size, sizeof *t->h, SF_MEM_MISC));
    for (int64_t i = 0; i < t->size; i++) {
        t->h[i] = sf_bf16_round(t->f[i]);
        t->f[i] = sf_bf16_widen(t->h[i]);
        t->d[i] = (double)t->f[i];
    }
    t->vh = t->vf;
    t->vh.dtype = SF_BF16;
    t->vh.data = t->h;
}

void tst_tensor_free(tst_tensor *t)
{
    sf_mem_free(t->h);
    sf_mem_free(t->f);
    sf_mem_free(t->d);
}

typedef struct {
    double worst, squares;
    int64_t count, bad_pads;
} tally;

static void compare(const tst_tensor *t, int64_t at, bool real, void *ctx)
{
    tally *y = ctx;
    if (!real) {
        y->bad_pads += t->f[at] != 0.0f || t->d[at] != 0.0;
    } else {
        const double diff = fabs((double)t->f[at] - t->d[at]);
        if (!(diff <= y->worst)) y->worst = diff; /* keeps a NaN */
        y->squares += t->d[at] * t->d[at];
    }
    y->count++;
}

static void compare_half(const tst_tensor *t, int64_t at, bool real, void *ctx)
{
    tally *y = ctx;
    const double got = (double)sf_bf16_widen(t->h[at]), want = t->d[at];
    if (!real) {
        y->bad_pads += t->h[at] != 0;
    } else {
        const double diff = fabs(got - want) - 0x1p-8 * fabs(want);
        if (!(diff <= y->worst)) y->worst = diff;
        y->squares += want * want;
    }
    y->count++;
}

void tst_tensor_check_half(const tst_tensor *t, double tol, const char *what)
{
    tally y = { 0, 0, 0, 0 };
    each(t, compare_half, &y);
    const sf_shape s = t->vf.shape;
    const double rms = sqrt(y.squares / (double)(s.n * s.c * sf_voxels(s)));
    int64_t nans = 0;
    for (int64_t i = 0; i < t->size; i++) nans += isnan(sf_bf16_widen(t->h[i])) != 0;
    if (!(y.worst <= tol * rms + 1e-30))
        fail_msg("%s: error %g beyond rounding, of rms %g", what, y.worst, rms);
    if (y.bad_pads) fail_msg("%s: %ld pad lanes are not 0", what, (long)y.bad_pads);
    if (nans != t->size - y.count)
        fail_msg("%s: %ld elements outside the tensor were written", what,
                 (long)(t->size - y.count - nans));
}

void tst_tensor_check(const tst_tensor *t, double tol, const char *what)
{
    tally y = { 0, 0, 0, 0 };
    each(t, compare, &y);
    const sf_shape s = t->vf.shape;
    const double rms = sqrt(y.squares / (double)(s.n * s.c * sf_voxels(s)));
    int64_t nans = 0;
    for (int64_t i = 0; i < t->size; i++) nans += isnan(t->f[i]) != 0;
    if (!(y.worst <= tol * rms + 1e-30)) fail_msg("%s: error %g of rms %g", what, y.worst, rms);
    if (y.bad_pads) fail_msg("%s: %ld pad lanes are not 0", what, (long)y.bad_pads);
    if (nans != t->size - y.count)
        fail_msg("%s: %ld elements outside the tensor were written", what,
                 (long)(t->size - y.count - nans));
}

double tst_rel_error(const float *got, const double *want, int64_t n)
{
    double worst = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) {
        const double diff = fabs((double)got[i] - want[i]);
        if (!(diff <= worst)) worst = diff;
        squares += want[i] * want[i];
    }
    return worst == 0 ? 0 : worst / sqrt(squares / (double)n);
}
