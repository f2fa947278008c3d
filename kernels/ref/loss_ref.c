#include "kernels/cpu.h"
#include "kernels/loss.h"
#include "kernels/loss_passes.h"
#include "kernels/ref/loss_math.h"
#include <math.h>

#define REAL    float
#define NAME(x) x##_f32
#define EXP     sf_fast_exp
#define LOG     sf_fast_log
#define LOG1P   sf_fast_log1p
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

const sf_loss_passes sf_loss_passes_ref = { loss_forward_f32, loss_backward_f32,
                                            probabilities_f32 };

/* The same loops compiled for this CPU; the bits do not depend on it. */
static const sf_loss_passes *passes(void)
{
#ifdef SEGFLEET_HAVE_X86
    const unsigned isa = sf_cpu_isa();
    if (isa & SF_ISA_AVX512) return &sf_loss_passes_avx512;
    if (isa & SF_ISA_AVX2) return &sf_loss_passes_avx2;
#endif
    return &sf_loss_passes_ref;
}

void sf_loss_forward(const sf_loss_desc *d, const void *logits, const int16_t *labels, double *sums)
{
    if (d->dtype == SF_F64)
        loss_forward_f64(d, logits, labels, sums);
    else
        passes()->forward(d, logits, labels, sums);
}

void sf_loss_backward(const sf_loss_desc *d, const void *logits, const int16_t *labels, double ce,
                      const double *a, const double *b, void *dlogits)
{
    if (d->dtype == SF_F64)
        loss_backward_f64(d, logits, labels, ce, a, b, dlogits);
    else
        passes()->backward(d, logits, labels, ce, a, b, dlogits);
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
        passes()->probabilities(&d, logits, p);
}
