/** Gathers and weight gradients by im2col and sgemm, on fixed tiles (internal; see
 * kernels/gather.h). OpenBLAS is only ever called inside a parallel region, where it stays on the
 * calling thread. Scratch sizes are in bytes and hold for every slab of the volume. */
#ifndef SF_KERNELS_GEMM_GATHER_GEMM_H
#define SF_KERNELS_GEMM_GATHER_GEMM_H
#include "kernels/gather.h"

sf_gather_run sf_gather_gemm;
size_t sf_gather_gemm_scratch(const sf_gather_axis axis[3], int64_t in_channels, int64_t out_blocks,
                              int threads);

sf_wgrad_run sf_wgrad_gemm;
/** For any leaf of the volume. */
size_t sf_wgrad_gemm_scratch(const sf_gather_axis axis[3], int64_t a_channels, int64_t d_channels,
                             int threads);

#endif
