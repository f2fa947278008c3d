/** The passes of the loss over float logits, once per instruction set (internal; see loss.h).
 *  All of them give the same bits: one source, no contraction, no reassociation. */
#ifndef SF_KERNELS_LOSS_PASSES_H
#define SF_KERNELS_LOSS_PASSES_H
#include "kernels/loss.h"

enum { SF_LOSS_CHUNK = 64, SF_LOSS_LANES = 16 }; /* voxels at a time; running sums of a chunk */

typedef struct {
    void (*forward)(const sf_loss_desc *d, const float *logits, const int16_t *labels,
                    double *sums);
    void (*backward)(const sf_loss_desc *d, const float *logits, const int16_t *labels, double ce,
                     const double *a, const double *b, float *dlogits);
    void (*probabilities)(const sf_loss_desc *d, const float *logits, float *p);
} sf_loss_passes;

extern const sf_loss_passes sf_loss_passes_ref, sf_loss_passes_avx2, sf_loss_passes_avx512;

#endif
