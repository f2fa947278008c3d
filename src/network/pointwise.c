#include "network/pointwise.h"

#define T       float
#define NAME(x) x##_f32
#include "network/pointwise_body.h"
#undef T
#undef NAME
#define T       double
#define NAME(x) x##_f64
#include "network/pointwise_body.h"
#undef T
#undef NAME

void sf_add_into(sf_dtype dtype, int64_t n, void *dst, const void *src, int threads)
{
    if (dtype == SF_F64)
        add_into_f64(n, dst, src, threads);
    else
        add_into_f32(n, dst, src, threads);
}

void sf_residual_add(const sf_input *a, const sf_input *b, const sf_view *out, int threads)
{
    if (out->dtype == SF_F64)
        residual_add_f64(a, b, out, threads);
    else
        residual_add_f32(a, b, out, threads);
}

void sf_residual_backward(const sf_residual_bwd *r)
{
    if (r->sum.dtype == SF_F64)
        residual_backward_f64(r);
    else
        residual_backward_f32(r);
}

void sf_pool_forward(const sf_input *in, const int window[3], const sf_view *out, int threads)
{
    if (out->dtype == SF_F64)
        pool_forward_f64(in, window, out, threads);
    else
        pool_forward_f32(in, window, out, threads);
}

void sf_pool_backward(const sf_view *dout, const int window[3], const sf_view *din, bool accumulate,
                      int threads)
{
    if (din->dtype == SF_F64)
        pool_backward_f64(dout, window, din, accumulate, threads);
    else
        pool_backward_f32(dout, window, din, accumulate, threads);
}
