/** Choice of a variant: the first in the list of an operation whose instruction set is there and
 *  that accepts the problem. Choose once, when a network is built, and keep the pointer.
 *  The choice and every refusal go to the debug log:
 *      dispatch conv n=2 ci=32 co=64 k=3x3x3 s=2x2x2 -> gemm (direct_avx512: isa)
 *  Never NULL: the reference accepts everything. The choice depends on the problem and on
 *  sf_cpu_isa() alone, never on timing. Thread-safe, not collective. */
#ifndef SF_KERNELS_PICK_H
#define SF_KERNELS_PICK_H
#include "kernels/conv.h"
#include "kernels/convt.h"

const sf_conv_impl *sf_conv_pick(const sf_conv *c);
const sf_convt_impl *sf_convt_pick(const sf_convt *c);

#endif
