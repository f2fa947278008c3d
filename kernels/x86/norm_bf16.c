#include "kernels/norm_passes.h"
#include "kernels/view.h"

#define REAL    float
#define NAME(x) x##_bf16
#include "kernels/x86/norm_half.h"

#include "kernels/ref/norm_loops.inc"

const sf_norm_passes sf_norm_passes_bf16 = { norm_stats_bf16, backward_reduce_bf16,
                                             backward_apply_bf16 };
