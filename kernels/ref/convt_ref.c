#include "kernels/bf16.h"
#include "kernels/convt.h"
#include "kernels/view.h"

#define REAL    float
#define NAME(x) x##_f32
#include "kernels/ref/convt_ref.inc"
#undef REAL
#undef NAME
#define REAL    double
#define NAME(x) x##_f64
#include "kernels/ref/convt_ref.inc"
#undef REAL
#undef NAME

static sf_status forward(const sf_convt *c, const sf_convt_fwd *a, void *scratch)
{
    (void)scratch;
    if (c->dtype == SF_F64)
        convt_forward_f64(c, a);
    else
        convt_forward_f32(c, a);
    return SF_OK;
}

static sf_status backward_data(const sf_convt *c, const sf_convt_bwd_data *a, void *scratch)
{
    (void)scratch;
    if (c->dtype == SF_F64)
        convt_backward_data_f64(c, a);
    else
        convt_backward_data_f32(c, a);
    return SF_OK;
}

static sf_status backward_weight(const sf_convt *c, const sf_convt_bwd_weight *a, void *scratch)
{
    (void)scratch;
    if (c->dtype == SF_F64)
        convt_backward_weight_f64(c, a);
    else
        convt_backward_weight_f32(c, a);
    return SF_OK;
}

const sf_convt_impl sf_convt_ref = { .name = "ref",
                                     .forward = forward,
                                     .backward_data = backward_data,
                                     .backward_weight = backward_weight };
