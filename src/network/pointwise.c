#include "network/pointwise.h"
#include "kernels/bf16.h"

#define GET(x)  (x)
#define PUT(x)  (x)
#define T       float
#define S       float
#define NAME(x) x##_f32
#include "network/pointwise_body.h"
#undef T
#undef S
#undef NAME
#define T       double
#define S       double
#define NAME(x) x##_f64
#include "network/pointwise_body.h"
#undef GET
#undef PUT
#undef T
#undef S
#undef NAME
#define GET(x)  sf_bf16_widen(x)
#define PUT(x)  sf_bf16_round(x)
#define T       float
#define S       uint16_t
#define NAME(x) x##_bf16
#include "network/pointwise_body.h"

static void add_doubles(int64_t n, double *dst, const double *src, int threads)
{
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < n; i++) dst[i] += src[i];
}

static void add_floats(int64_t n, float *dst, const float *src, int threads)
{
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < n; i++) dst[i] += src[i];
}

void sf_add_into(sf_dtype dtype, int64_t n, void *dst, const void *src, int threads)
{
    if (dtype == SF_F64)
        add_doubles(n, dst, src, threads);
    else
        add_floats(n, dst, src, threads);
}

void sf_residual_add(const sf_input *a, const sf_input *b, const sf_view *out, int threads)
{
    if (out->dtype == SF_F64)
        residual_add_f64(a, b, out, threads);
    else if (out->dtype == SF_BF16)
        residual_add_bf16(a, b, out, threads);
    else
        residual_add_f32(a, b, out, threads);
}

void sf_residual_backward(const sf_residual_bwd *r)
{
    if (r->sum.dtype == SF_F64)
        residual_backward_f64(r);
    else if (r->sum.dtype == SF_BF16)
        residual_backward_bf16(r);
    else
        residual_backward_f32(r);
}

void sf_pool_forward(const sf_input *in, const int window[3], const sf_view *out, int threads)
{
    if (out->dtype == SF_F64)
        pool_forward_f64(in, window, out, threads);
    else if (out->dtype == SF_BF16)
        pool_forward_bf16(in, window, out, threads);
    else
        pool_forward_f32(in, window, out, threads);
}

void sf_pool_backward(const sf_view *dout, const int window[3], const sf_view *din, bool accumulate,
                      int threads)
{
    if (din->dtype == SF_F64)
        pool_backward_f64(dout, window, din, accumulate, threads);
    else if (din->dtype == SF_BF16)
        pool_backward_bf16(dout, window, din, accumulate, threads);
    else
        pool_backward_f32(dout, window, din, accumulate, threads);
}
