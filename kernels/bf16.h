/** bfloat16, the upper half of a float, as the type in which tensors are stored; sums are made in
 *  float. One rule of rounding for every kernel: to nearest, ties to even; subnormal floats become
 *  zero of their sign; NaN stays NaN. It is what VCVTNEPS2BF16 does, so that processors with and
 *  without AVX512_BF16 store the same bits. Source: Intel SDM, VCVTNEPS2BF16. */
#ifndef SF_KERNELS_BF16_H
#define SF_KERNELS_BF16_H
#include <stdint.h>
#include <string.h>

static inline float sf_bf16_widen(uint16_t b)
{
    const uint32_t bits = (uint32_t)b << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint16_t sf_bf16_round(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u);
    if ((bits & 0x7f800000u) == 0) return (uint16_t)(bits >> 16 & 0x8000u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

#endif
