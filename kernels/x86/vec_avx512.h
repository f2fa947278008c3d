/** The vector words of AVX-512: one vector is one channel block. */
#ifndef SF_KERNELS_X86_VEC_AVX512_H
#define SF_KERNELS_X86_VEC_AVX512_H
#ifndef __AVX512F__
#error "compile with the flags of kernels/CMakeLists.txt"
#endif
#include <immintrin.h>

typedef __m512 V;
#define SF_ISA_NAME(x) x##_avx512
enum {
    VLEN = 16,
    BLOCK_V = 1,     /* vectors per channel block */
    TILE_BLOCKS = 2, /* output blocks of a register tile */
    TILE_W = 14,     /* its outputs along x: 28 sums, 2 weights, 1 input of 32 registers */
    WGRAD_CI3 = 4,   /* lanes of a weight gradient tile for 3, 2 and 1 taps along x */
    WGRAD_CI2 = 4,
    WGRAD_CI1 = 8
};
static inline V v_zero(void) { return _mm512_setzero_ps(); }
static inline V v_set1(float x) { return _mm512_set1_ps(x); }
static inline V v_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v_store(float *p, V x) { _mm512_storeu_ps(p, x); }
static inline V v_add(V a, V b) { return _mm512_add_ps(a, b); }
static inline V v_mul(V a, V b) { return _mm512_mul_ps(a, b); }
static inline V v_fma(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
/* t > 0 ? t : s */
static inline V v_positive_or(V t, V s)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(t, _mm512_setzero_ps(), _CMP_GT_OQ), s, t);
}

#endif
