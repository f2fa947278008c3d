/** The passes of instance norm over tensors of float [0] and bfloat16 [1], once per instruction set
 *  (internal; see norm.h).
 *  All of them give the same bits: one source, no contraction, no reassociation. */
#ifndef SF_KERNELS_NORM_PASSES_H
#define SF_KERNELS_NORM_PASSES_H
#include "kernels/norm.h"

typedef struct {
    void (*stats)(const sf_view *x, double *stats, int threads);
    void (*reduce)(const sf_norm_bwd *b);
    void (*apply)(const sf_norm_bwd *b, const double *total);
} sf_norm_passes;

extern const sf_norm_passes sf_norm_passes_bf16; /* bfloat16 by AVX512_BF16 */
extern const sf_norm_passes sf_norm_passes_ref[2], sf_norm_passes_avx2[2], sf_norm_passes_avx512[2];

#endif
