/** IEEE half precision: PyTorch and NumPy store weights and probabilities in it. Thread-safe. */
#ifndef SF_INTEROP_HALF_H
#define SF_INTEROP_HALF_H
#include <stdint.h>
#include <string.h>

/** Exact: every half, subnormals, infinities and NaN included, has its value as a float. */
static inline float sf_half_to_float(uint16_t half)
{
    const uint32_t sign = (half & 0x8000u) << 16, e = half >> 10 & 31u, m = half & 0x3ffu;
    const uint32_t inf = sign | 0x7f800000u | m << 13, normal = sign | (e + 112) << 23 | m << 13;
    const uint32_t bits = e == 31 ? inf : normal;
    float f;
    memcpy(&f, &bits, sizeof f);
    if (e != 0) return f;
    f = (float)m * 0x1p-24f;
    return sign ? -f : f;
}

#endif
