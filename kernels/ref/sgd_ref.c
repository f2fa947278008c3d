#include "kernels/sgd.h"

enum { SUM_BLOCK = 4096 };

#define REAL    float
#define NAME(x) x##_f32
#include "kernels/ref/sgd_ref.inc"
#undef REAL
#undef NAME
#define REAL    double
#define NAME(x) x##_f64
#include "kernels/ref/sgd_ref.inc"
#undef REAL
#undef NAME

void sf_sgd_step(sf_dtype dtype, int64_t n, const sf_sgd *s, void *p, const void *g, void *v,
                 int threads)
{
    if (dtype == SF_F64)
        sgd_step_f64(n, s, p, g, v, threads);
    else
        sgd_step_f32(n, s, p, g, v, threads);
}

double sf_sum_squares(sf_dtype dtype, int64_t n, const void *g, int threads)
{
    return dtype == SF_F64 ? sum_squares_f64(n, g, threads) : sum_squares_f32(n, g, threads);
}
