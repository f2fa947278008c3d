/** The vector words of AVX-512, with AVX512_BF16 where the flags have it: one vector is one channel
 *  block. */
#ifndef SF_KERNELS_X86_VEC_AVX512_H
#define SF_KERNELS_X86_VEC_AVX512_H
#ifndef __AVX512F__
#error "compile with the flags of kernels/CMakeLists.txt"
#endif
#include <immintrin.h>
#include <stdbool.h>

typedef __m512 V;
#ifdef __AVX512BF16__
#define SF_ISA_NAME(x) x##_bf16
#else
#define SF_ISA_NAME(x) x##_avx512
#endif
enum {
    VLEN = 16,
    BLOCK_V = 1,     /* vectors per channel block */
    TILE_BLOCKS = 2, /* output blocks of a register tile */
    TILE_W = 14,     /* its outputs along x: 28 sums, 2 weights, 1 input of 32 registers */
    WGRAD_CI3 = 4,   /* lanes of a weight gradient tile for 3, 2 and 1 taps along x */
    WGRAD_FEW_Y = 3, /* taps along y, and all along x, of a tile of one lane */
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
static inline V v_sub(V a, V b) { return _mm512_sub_ps(a, b); }
/* a*b - c, c - a*b */
static inline V v_fms(V a, V b, V c) { return _mm512_fmsub_ps(a, b, c); }
static inline V v_fnma(V a, V b, V c) { return _mm512_fnmadd_ps(a, b, c); }
static inline V v_max(V a, V b) { return _mm512_max_ps(a, b); }
/* All bits or none, and what is left of x under it. */
static inline V v_mask(bool on) { return _mm512_castsi512_ps(_mm512_set1_epi32(on ? -1 : 0)); }
static inline V v_and(V x, V mask) { return _mm512_and_ps(x, mask); }
/* Past the caches; p on a multiple of the vector's size. */
static inline void v_stream(float *p, V x) { _mm512_stream_ps(p, x); }
/* The first n lanes, the others 0 and not touched in memory. */
static inline __mmask16 v_first(int n) { return (__mmask16)((1u << n) - 1); }
static inline V v_load_part(const float *p, int n) { return _mm512_maskz_loadu_ps(v_first(n), p); }
static inline void v_store_part(float *p, int n, V x) { _mm512_mask_storeu_ps(p, v_first(n), x); }
/* sum[0..15] += x */
static inline void v_add_double(double *sum, V x)
{
    const __m256 low = _mm512_castps512_ps256(x), high = _mm512_extractf32x8_ps(x, 1);
    _mm512_storeu_pd(sum, _mm512_add_pd(_mm512_loadu_pd(sum), _mm512_cvtps_pd(low)));
    _mm512_storeu_pd(sum + 8, _mm512_add_pd(_mm512_loadu_pd(sum + 8), _mm512_cvtps_pd(high)));
}
/* r[i][j] <-> r[j][i] */
static inline void v_transpose(V r[VLEN])
{
    V t[VLEN];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int i = 0; i < 8; i++) {
        r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
    }
}
/* bfloat16 of kernels/bf16.h: one block of 16. */
typedef __m256i H;
static inline H v_load_half(const void *p) { return _mm256_loadu_si256(p); }
static inline void v_store_half(void *p, H x) { _mm256_storeu_si256(p, x); }
static inline void v_stream_half(void *p, H x) { _mm256_stream_si256(p, x); }
static inline V v_widen(H x)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}
static inline H v_round(V x)
{
#ifdef __AVX512BF16__
    return (H)_mm512_cvtneps_pbh(x);
#else
    const __m512i bits = _mm512_castps_si512(x), high = _mm512_srli_epi32(bits, 16);
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    const __mmask16 zero = _mm512_testn_epi32_mask(bits, _mm512_set1_epi32(0x7f800000));
    const __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
    __m512i r = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    r = _mm512_srli_epi32(r, 16);
    r = _mm512_mask_or_epi32(r, nan, high, _mm512_set1_epi32(0x40));
    r = _mm512_mask_and_epi32(r, zero, high, _mm512_set1_epi32(0x8000));
    return _mm512_cvtepi32_epi16(r);
#endif
}
/* t > 0 ? t : s */
static inline V v_positive_or(V t, V s)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(t, _mm512_setzero_ps(), _CMP_GT_OQ), s, t);
}

#endif
