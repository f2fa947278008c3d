#include "kernels/norm_passes.h"
#include "kernels/view.h"

#define REAL    float
#define STORED  REAL
#define NAME(x) x##_avx512
#define WIDE
#include "kernels/ref/norm_loops.inc"
#undef STORED
#undef NAME
#undef WIDE
#include "kernels/x86/norm_half.h"
#define NAME(x) x##_half_avx512
#include "kernels/ref/norm_loops.inc"

const sf_norm_passes sf_norm_passes_avx512[2] = {
    { norm_stats_avx512, backward_reduce_avx512, backward_apply_avx512 },
    { norm_stats_half_avx512, backward_reduce_half_avx512, backward_apply_half_avx512 }
};
