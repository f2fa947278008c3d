/** The vector words of AVX2 with FMA: two vectors are one channel block. */
#ifndef SF_KERNELS_X86_VEC_AVX2_H
#define SF_KERNELS_X86_VEC_AVX2_H
#if !defined(__AVX2__) || !defined(__FMA__)
#error "compile with the flags of kernels/CMakeLists.txt"
#endif
#include <immintrin.h>

typedef __m256 V;
#define SF_ISA_NAME(x) x##_avx2
enum {
    VLEN = 8,
    BLOCK_V = 2,     /* vectors per channel block */
    TILE_BLOCKS = 1, /* output blocks of a register tile */
    TILE_W = 6,      /* its outputs along x: 12 sums, 2 weights, 1 input of 16 registers */
    WGRAD_CI3 = 2,   /* lanes of a weight gradient tile for 3, 2 and 1 taps along x */
    WGRAD_CI2 = 2,
    WGRAD_CI1 = 4
};
static inline V v_zero(void) { return _mm256_setzero_ps(); }
static inline V v_set1(float x) { return _mm256_set1_ps(x); }
static inline V v_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void v_store(float *p, V x) { _mm256_storeu_ps(p, x); }
static inline V v_add(V a, V b) { return _mm256_add_ps(a, b); }
static inline V v_mul(V a, V b) { return _mm256_mul_ps(a, b); }
static inline V v_fma(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
/* t > 0 ? t : s */
static inline V v_positive_or(V t, V s)
{
    return _mm256_blendv_ps(s, t, _mm256_cmp_ps(t, _mm256_setzero_ps(), _CMP_GT_OQ));
}

#endif
