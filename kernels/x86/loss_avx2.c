#include "kernels/loss_passes.h"
#include "kernels/ref/loss_math.h"

#define REAL    float
#define NAME(x) x##_avx2
#define EXP     sf_fast_exp
#define LOG     sf_fast_log
#define LOG1P   sf_fast_log1p
#include "kernels/ref/loss_ref.inc"

const sf_loss_passes sf_loss_passes_avx2 = { loss_forward_avx2, loss_backward_avx2,
                                             probabilities_avx2 };
