/** The vector words of AVX2 with FMA: two vectors are one channel block. */
#ifndef SF_KERNELS_X86_VEC_AVX2_H
#define SF_KERNELS_X86_VEC_AVX2_H
#if !defined(__AVX2__) || !defined(__FMA__)
#error "compile with the flags of kernels/CMakeLists.txt"
#endif
#include <immintrin.h>
#include <stdbool.h>

typedef __m256 V;
#define SF_ISA_NAME(x) x##_avx2
enum {
    VLEN = 8,
    BLOCK_V = 2,     /* vectors per channel block */
    TILE_BLOCKS = 1, /* output blocks of a register tile */
    TILE_W = 6,      /* its outputs along x: 12 sums, 2 weights, 1 input of 16 registers */
    WGRAD_CI3 = 2,   /* lanes of a weight gradient tile for 3, 2 and 1 taps along x */
    WGRAD_FEW_Y = 1, /* taps along y, and all along x, of a tile of one lane */
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
static inline V v_sub(V a, V b) { return _mm256_sub_ps(a, b); }
/* a*b - c, c - a*b */
static inline V v_fms(V a, V b, V c) { return _mm256_fmsub_ps(a, b, c); }
static inline V v_fnma(V a, V b, V c) { return _mm256_fnmadd_ps(a, b, c); }
static inline V v_max(V a, V b) { return _mm256_max_ps(a, b); }
/* All bits or none, and what is left of x under it. */
static inline V v_mask(bool on) { return _mm256_castsi256_ps(_mm256_set1_epi32(on ? -1 : 0)); }
static inline V v_and(V x, V mask) { return _mm256_and_ps(x, mask); }
/* Past the caches; p on a multiple of the vector's size. */
static inline void v_stream(float *p, V x) { _mm256_stream_ps(p, x); }
/* The first n lanes, the others 0 and not touched in memory. */
static inline __m256i v_first(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline V v_load_part(const float *p, int n) { return _mm256_maskload_ps(p, v_first(n)); }
static inline void v_store_part(float *p, int n, V x) { _mm256_maskstore_ps(p, v_first(n), x); }
/* sum[0..7] += x */
static inline void v_add_double(double *sum, V x)
{
    const __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(x));
    const __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps(x, 1));
    _mm256_storeu_pd(sum, _mm256_add_pd(_mm256_loadu_pd(sum), low));
    _mm256_storeu_pd(sum + 4, _mm256_add_pd(_mm256_loadu_pd(sum + 4), high));
}
/* r[i][j] <-> r[j][i] */
static inline void v_transpose(V r[VLEN])
{
    V t[VLEN];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
        t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
    }
    for (int i = 0; i < 8; i++) r[i] = t[i];
}
/* bfloat16 of kernels/bf16.h: half a block of 16. */
typedef __m128i H;
static inline H v_load_half(const void *p) { return _mm_loadu_si128(p); }
static inline void v_store_half(void *p, H x) { _mm_storeu_si128(p, x); }
static inline void v_stream_half(void *p, H x) { _mm_stream_si128(p, x); }
static inline V v_widen(H x)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(x), 16));
}
static inline H v_round(V x)
{
#ifdef __AVX512BF16__
    return (H)_mm256_cvtneps_pbh(x);
#else
    const __m256i bits = _mm256_castps_si256(x), high = _mm256_srli_epi32(bits, 16);
    const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const __m256i exponent = _mm256_and_si256(bits, _mm256_set1_epi32(0x7f800000));
    const __m256i zero = _mm256_cmpeq_epi32(exponent, _mm256_setzero_si256());
    const __m256i odd = _mm256_and_si256(high, _mm256_set1_epi32(1));
    __m256i r = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
    r = _mm256_srli_epi32(r, 16);
    r = _mm256_blendv_epi8(r, _mm256_or_si256(high, _mm256_set1_epi32(0x40)), nan);
    r = _mm256_blendv_epi8(r, _mm256_and_si256(high, _mm256_set1_epi32(0x8000)), zero);
    return _mm_packus_epi32(_mm256_castsi256_si128(r), _mm256_extracti128_si256(r, 1));
#endif
}
/* t > 0 ? t : s */
static inline V v_positive_or(V t, V s)
{
    return _mm256_blendv_ps(s, t, _mm256_cmp_ps(t, _mm256_setzero_ps(), _CMP_GT_OQ));
}

#endif
