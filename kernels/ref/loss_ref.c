#include "kernels/loss.h"
#include <math.h>

enum { CHUNK = 64 };

#define REAL    float
#define NAME(x) x##_f32
#define EXP     expf
#define LOG     logf
#define LOG1P   log1pf
#include "kernels/ref/loss_ref.inc"
#undef REAL
#undef NAME
#undef EXP
#undef LOG
#undef LOG1P
#define REAL    double
#define NAME(x) x##_f64
#define EXP     exp
#define LOG     log
#define LOG1P   log1p
#include "kernels/ref/loss_ref.inc"
#undef REAL
#undef NAME
#undef EXP
#undef LOG
#undef LOG1P

void sf_loss_forward(const sf_loss_desc *d, const void *logits, const int16_t *labels, double *sums)
{
    if (d->dtype == SF_F64)
        loss_forward_f64(d, logits, labels, sums);
    else
        loss_forward_f32(d, logits, labels, sums);
}

void sf_loss_backward(const sf_loss_desc *d, const void *logits, const int16_t *labels, double ce,
                      const double *a, const double *b, void *dlogits)
{
    if (d->dtype == SF_F64)
        loss_backward_f64(d, logits, labels, ce, a, b, dlogits);
    else
        loss_backward_f32(d, logits, labels, ce, a, b, dlogits);
}

void sf_loss_probabilities(sf_dtype dtype, bool sigmoid, int64_t n, int64_t heads, int64_t voxels,
                           const void *logits, void *p, int threads)
{
    const sf_loss_desc d = { .dtype = dtype,
                             .shape = { n, heads, 1, 1, voxels },
                             .sigmoid = sigmoid,
                             .ignore = SF_NO_IGNORE,
                             .threads = threads };
    if (dtype == SF_F64)
        probabilities_f64(&d, logits, p);
    else
        probabilities_f32(&d, logits, p);
}
