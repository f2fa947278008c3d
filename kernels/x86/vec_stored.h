/** Vectors of a view's elements, float or (`half`, a constant after inlining) bfloat16; included
 * after the vec_*.h of an instruction set. Offsets in elements. */
#ifndef SF_KERNELS_X86_VEC_STORED_H
#define SF_KERNELS_X86_VEC_STORED_H
#include "kernels/op.h"

#define FLAT static inline __attribute__((always_inline))

FLAT const void *v_address(const void *base, int64_t at, const bool half)
{
    return (const char *)base + at * (half ? 2 : 4);
}

FLAT V v_get(const void *base, int64_t at, const bool half)
{
    const void *p = v_address(base, at, half);
    return half ? v_widen(v_load_half(p)) : v_load(p);
}

FLAT void v_put(void *base, int64_t at, V x, const bool half)
{
    if (half)
        v_store_half((uint16_t *)base + at, v_round(x));
    else
        v_store((float *)base + at, x);
}

#endif
