#include "kernels/norm_passes.h"
#include "kernels/view.h"
#include <immintrin.h>

/* sf_bf16_round of eight floats, by the processor. */
static inline void round8(uint16_t *to, const __m256 *x)
{
    _mm_storeu_si128((__m128i *)to, (__m128i)_mm256_cvtneps_pbh(*x));
}

#define REAL   float
#define STORED uint16_t
#define HALF
#define ROUND8(to, x) round8(to, (const __m256 *)(x))
#define NAME(x)       x##_bf16
#include "kernels/ref/norm_loops.inc"

const sf_norm_passes sf_norm_passes_bf16 = { norm_stats_bf16, backward_reduce_bf16,
                                             backward_apply_bf16 };
