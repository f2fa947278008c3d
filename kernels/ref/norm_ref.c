#include "kernels/cpu.h"
#include "kernels/norm.h"
#include "kernels/norm_passes.h"
#include "kernels/view.h"
#include <math.h>

typedef struct {
    int64_t n, c, slices, voxels;
    double eps;
    const double *stats;
    const void *gamma, *beta;
    void *mean, *rstd, *scale, *shift;
} norm_finish_args;

#define REAL    float
#define STORED  REAL
#define NAME(x) x##_f32
#include "kernels/ref/norm_ref.inc"
#undef REAL
#undef NAME
#define REAL    double
#define NAME(x) x##_f64
#include "kernels/ref/norm_ref.inc"
#undef REAL
#undef STORED
#undef NAME
#define REAL   float
#define STORED uint16_t
#define HALF
#define NAME(x) x##_half
#include "kernels/ref/norm_loops.inc"

const sf_norm_passes sf_norm_passes_ref[2] = {
    { norm_stats_f32, backward_reduce_f32, backward_apply_f32 },
    { norm_stats_half, backward_reduce_half, backward_apply_half }
};

/* The same loops compiled for this CPU; the bits do not depend on it. */
static const sf_norm_passes *passes(sf_dtype stored)
{
    const int half = stored == SF_BF16;
#ifdef SEGFLEET_HAVE_X86
    const unsigned isa = sf_cpu_isa();
    if (half && (isa & SF_ISA_BF16)) return &sf_norm_passes_bf16;
    if (isa & SF_ISA_AVX512) return &sf_norm_passes_avx512[half];
    if (isa & SF_ISA_AVX2) return &sf_norm_passes_avx2[half];
#endif
    return &sf_norm_passes_ref[half];
}

void sf_norm_stats(const sf_view *x, double *stats, int threads)
{
    if (x->dtype == SF_F64)
        norm_stats_f64(x, stats, threads);
    else
        passes(x->dtype)->stats(x, stats, threads);
}

void sf_norm_finish(sf_dtype dtype, int64_t n, int64_t c, int64_t slices, int64_t voxels,
                    double eps, const double *stats, const void *gamma, const void *beta,
                    void *mean, void *rstd, void *scale, void *shift)
{
    const norm_finish_args a = { n,     c,    slices, voxels, eps,   stats,
                                 gamma, beta, mean,   rstd,   scale, shift };
    if (dtype == SF_F64)
        norm_finish_f64(&a);
    else
        norm_finish_f32(&a);
}

void sf_norm_backward_reduce(const sf_norm_bwd *b)
{
    if (b->x.dtype == SF_F64)
        backward_reduce_f64(b);
    else
        passes(b->x.dtype)->reduce(b);
}

void sf_norm_backward_total(int64_t n, int64_t c, int64_t slices, const double *sums, double *total)
{
    for (int64_t i = 0; i < n * sf_cpad(c); i++)
        for (int j = 0; j < 2; j++)
            total[i * 2 + j] = sf_tree_sum(sums + i * slices * 2 + j, slices, 2);
}

void sf_norm_backward_apply(const sf_norm_bwd *b, const double *total)
{
    if (b->x.dtype == SF_F64)
        backward_apply_f64(b, total);
    else
        passes(b->x.dtype)->apply(b, total);
}
