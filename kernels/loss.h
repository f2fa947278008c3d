/** Cross-entropy + soft Dice on plain logits, in two passes with the sums in between, so that batch
 *  Dice and a group of ranks need nothing special: (1) per-slice sums, (2) the caller combines them
 *  into coefficients, (3) the gradient. Logits [n][heads][voxels] float or double; labels int16
 *  [n][voxels]. Softmax heads: label k is head k. Sigmoid heads (regions): head r is 1 where
 *  region_of[label] has bit r. Voxels with label == ignore do not count (ignore < -1000: none).
 *  Labels < 0 count as 0. Source: nnunet-training.md 3. */
#ifndef SF_KERNELS_LOSS_H
#define SF_KERNELS_LOSS_H
#include "kernels/op.h"

enum { SF_NO_IGNORE = -32768 };

typedef struct {
    sf_dtype dtype;
    sf_shape shape; /* n, heads, d, h, w */
    bool sigmoid;
    const uint64_t
        *region_of; /* sigmoid only: [label] -> bit set of regions (at most 64), n_labels entries */
    int n_labels;
    int ignore;
    int threads;
    int64_t slice0, slice1; /* only these slices are read and written; 0, 0: all */
} sf_loss_desc;

/** Sums of one (sample, slice): [0] cross-entropy (softmax: sum of -log p[label]; sigmoid: sum over
 *  voxels and regions of BCE-with-logits), [1] counted voxels, then per head I, P, G
 *  (sum of p*y, of p, of y). Length 2 + 3*heads. */
static inline int64_t sf_loss_terms(int64_t heads) { return 2 + 3 * heads; }
/** sums: [n][slices][terms]. */
void sf_loss_forward(const sf_loss_desc *d, const void *logits, const int16_t *labels,
                     double *sums);

/** dlogits = ce * dCE/dz + sum_h (a[n][h]*y + b[n][h]) * dp_h/dz, masked by the ignore label:
 *  ce multiplies each voxel's cross-entropy gradient (weight / counted voxels);
 *  a, b [n][heads] are dLoss/dI and dLoss/dP of that sample and head (zero for background heads).
 */
void sf_loss_backward(const sf_loss_desc *d, const void *logits, const int16_t *labels, double ce,
                      const double *a, const double *b, void *dlogits);

/** p = softmax over heads (or sigmoid); may be in place. */
void sf_loss_probabilities(sf_dtype dtype, bool sigmoid, int64_t n, int64_t heads, int64_t voxels,
                           const void *logits, void *p, int threads);

#endif
