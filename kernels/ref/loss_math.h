/** exp, log and log1p for the loss in float, made of additions, multiplications and integer
 *  operations only, so that loops over voxels run in vectors and every instruction set gives the
 *  same bits (files that include this are compiled without contraction). Within 2 units in the last
 *  place (tests/kernels/loss_test.c). Polynomials: Cephes (S. Moshier), expf and logf. */
#ifndef SF_KERNELS_REF_LOSS_MATH_H
#define SF_KERNELS_REF_LOSS_MATH_H
#include <stdint.h>

typedef union {
    float f;
    int32_t i;
} sf_float_bits;

/** x <= 0; below -87 the result is about 1e-38, never less. */
static inline float sf_fast_exp(float x)
{
    const float round = 12582912.0f; /* 1.5 * 2^23: adding it rounds to whole numbers */
    const float c = x > -87.0f ? x : -87.0f;
    const float n = (c * 1.44269504088896341f + round) - round;
    const float r = (c - n * 0.693359375f) + n * 2.12194440e-4f;
    const float p = ((((1.9875691500e-4f * r + 1.3981999507e-3f) * r + 8.3334519073e-3f) * r +
                      4.1665795894e-2f) *
                         r +
                     1.6666665459e-1f) *
                        r +
                    5.0000001201e-1f;
    const sf_float_bits two_n = { .i = ((int32_t)n + 127) << 23 };
    return ((p * r * r + r) + 1.0f) * two_n.f;
}

/** x >= 1e-37, finite */
static inline float sf_fast_log(float x)
{
    const sf_float_bits b = { .f = x };
    const sf_float_bits half = { .i = (b.i & 0x007fffff) | 0x3f000000 }; /* mantissa in [0.5, 1) */
    const int32_t below = half.f < 0.707106781186547524f;
    const float e = (float)(((b.i >> 23) & 0xff) - 126 - below);
    const float m = (half.f + (float)below * half.f) - 1.0f;
    const float z = m * m;
    float p = 7.0376836292e-2f * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    return ((m * z * p + e * -2.12194440e-4f) - 0.5f * z + m) + e * 0.693359375f;
}

/** 0 <= x <= 1 */
static inline float sf_fast_log1p(float x)
{
    const float u = 1.0f + x;
    return sf_fast_log(u) - ((u - 1.0f) - x) / u; /* what 1 + x lost */
}

#endif
