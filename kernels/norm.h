/** Instance norm + leaky ReLU, never stored: the convolution's raw output x is kept, and whoever
 *  loads it applies t = scale*x + shift and act(t). These functions make scale and shift from the
 *  convolution's statistics, and turn the gradient of act(t) into the gradient of x in place.
 *  xhat = (x-mean)*rstd, t = gamma*xhat + beta, variance biased, eps inside the root.
 *  Arrays [n][sf_cpad(c)] and gamma/beta are float (F32, BF16) or double (F64); pad lanes 0.
 *  Source: nnunet-training.md 1.1. */
#ifndef SF_KERNELS_NORM_H
#define SF_KERNELS_NORM_H
#include "kernels/op.h"

/** Statistics of a view, as a convolution's epilogue writes them: [n][cpad][slices][2]. */
void sf_norm_stats(const sf_view *x, double *stats, int threads);

/** stats [n][cpad][slices][2] of a whole volume of `voxels` voxels -> mean, rstd, scale, shift. */
void sf_norm_finish(sf_dtype dtype, int64_t n, int64_t c, int64_t slices, int64_t voxels,
                    double eps, const double *stats, const void *gamma, const void *beta,
                    void *mean, void *rstd, void *scale, void *shift);

typedef struct {
    sf_view x, g; /* raw output; gradient of act(t) on entry, of x after _apply */
    const void *mean, *rstd, *gamma, *beta;
    double slope;
    int64_t voxels; /* of the whole volume */
    double *sums;   /* [n][cpad][slices][2]: sum of gt and of gt*xhat, gt = g*act'(t) */
    int threads;
} sf_norm_bwd;
/** First pass: fills sums (per slice). */
void sf_norm_backward_reduce(const sf_norm_bwd *b);
/** total [n][cpad][2] = tree over slices; dgamma/dbeta of sample n are total[n][c][1] and [0]. */
void sf_norm_backward_total(int64_t n, int64_t c, int64_t slices, const double *sums,
                            double *total);
/** Second pass: g becomes the gradient of x. */
void sf_norm_backward_apply(const sf_norm_bwd *b, const double *total);

#endif
