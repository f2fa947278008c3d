#include "kernels/norm_passes.h"
#include "kernels/view.h"

#define REAL    float
#define NAME(x) x##_avx2
#include "kernels/ref/norm_loops.inc"

const sf_norm_passes sf_norm_passes_avx2 = { norm_stats_avx2, backward_reduce_avx2,
                                             backward_apply_avx2 };
