#include "kernels/bf16.h"
#include "kernels/conv.h"
#include "kernels/norm.h"
#include "kernels/view.h"

#define REAL    float
#define NAME(x) x##_f32
#include "kernels/ref/conv_ref.inc"
#undef REAL
#undef NAME
#define REAL    double
#define NAME(x) x##_f64
#include "kernels/ref/conv_ref.inc"
#undef REAL
#undef NAME

static sf_status forward(const sf_conv *c, const sf_conv_fwd *a, void *scratch)
{
    (void)scratch;
    if (c->dtype == SF_F64)
        conv_forward_f64(c, a);
    else
        conv_forward_f32(c, a);
    if (a->stats) sf_norm_stats(&a->out, a->stats, a->threads);
    return SF_OK;
}

static sf_status backward_data(const sf_conv *c, const sf_conv_bwd_data *a, void *scratch)
{
    (void)scratch;
    if (c->dtype == SF_F64)
        conv_backward_data_f64(c, a);
    else
        conv_backward_data_f32(c, a);
    return SF_OK;
}

static sf_status backward_weight(const sf_conv *c, const sf_conv_bwd_weight *a, void *scratch)
{
    (void)scratch;
    if (c->dtype == SF_F64)
        conv_backward_weight_f64(c, a);
    else
        conv_backward_weight_f32(c, a);
    return SF_OK;
}

const sf_conv_impl sf_conv_ref = { .name = "ref",
                                   .forward = forward,
                                   .backward_data = backward_data,
                                   .backward_weight = backward_weight };
