/** Direct convolution for AVX-512 (with AVX512_BF16: bfloat16 storage) and AVX2: see conv.h and
 * convt.h for what a variant promises. Present only in builds for x86-64 (SEGFLEET_HAVE_X86). */
#ifndef SF_KERNELS_X86_DIRECT_H
#define SF_KERNELS_X86_DIRECT_H
#include "kernels/conv.h"
#include "kernels/convt.h"

extern const sf_conv_impl sf_conv_direct_bf16, sf_conv_direct_avx512, sf_conv_direct_avx2;
extern const sf_convt_impl sf_convt_direct_bf16, sf_convt_direct_avx512, sf_convt_direct_avx2;

#endif
