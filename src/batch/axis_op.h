/** Linear operators along one axis of a volume: blur, linear and cubic resizing.
 *
 *  All of them are out[i] = sum_k weight[i][k] * in[start[i] + k]: a band matrix whose boundary
 * rule is folded into the weights. Weights are computed in double and stored as float. Pure; every
 * function is thread-safe on its own operands. Not collective. */
#ifndef SF_BATCH_AXIS_OP_H
#define SF_BATCH_AXIS_OP_H
#include "batch/workspace.h"
#include <stdint.h>

typedef struct {
    int64_t n_in, n_out, taps; /* taps <= n_in */
    int64_t *start;            /* [n_out], 0 <= start <= n_in - taps */
    float *weight;             /* [n_out][taps] */
} sf_axis_op;

/** Free what an operator holds; a zeroed operator is fine. */
void sf_axis_op_free(sf_axis_op *op);

/** Gaussian filter of v1 (SciPy): radius floor(4 sigma + 0.5), edges repeated (symmetric). sigma >
 * 0. */
sf_status sf_axis_op_blur_v1(sf_axis_op *out, int64_t n, double sigma);
/** Gaussian filter of v2: 3, 5 or 7 taps by sigma, reflected without repeating the edge. */
sf_status sf_axis_op_blur_v2(sf_axis_op *out, int64_t n, double sigma);

/** Linear resize: position (i + 0.5) * n_in / n_out - 0.5, clamped to the array. */
sf_status sf_axis_op_linear(sf_axis_op *out, int64_t n_in, int64_t n_out);
/** Cubic B-spline interpolation at the same positions: the line is extended by 12 copies of its
 * edge on both sides, spline coefficients with mirror boundary (scikit-image, order 3, mode edge).
 */
sf_status sf_axis_op_cubic(sf_axis_op *out, int64_t n_in, int64_t n_out);

/** Apply along the middle axis of in [outer][n_in][inner] -> out [outer][n_out][inner], no overlap.
 *  Uses SF_WS_LINES when inner is 1. SF_ENOMEM. */
sf_status sf_axis_op_apply(const sf_axis_op *op, const float *in, int64_t outer, int64_t inner,
                           float *out, sf_workspace *ws);

#endif
