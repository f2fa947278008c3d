/** The passes of instance norm over float tensors, once per instruction set (internal; see norm.h).
 *  All of them give the same bits: one source, no contraction, no reassociation. */
#ifndef SF_KERNELS_NORM_PASSES_H
#define SF_KERNELS_NORM_PASSES_H
#include "kernels/norm.h"

typedef struct {
    void (*stats)(const sf_view *x, double *stats, int threads);
    void (*reduce)(const sf_norm_bwd *b);
    void (*apply)(const sf_norm_bwd *b, const double *total);
} sf_norm_passes;

extern const sf_norm_passes sf_norm_passes_ref, sf_norm_passes_avx2, sf_norm_passes_avx512;

#endif
