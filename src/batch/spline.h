/** Cubic B-spline interpolation: coefficients and evaluation weights.
 *
 *  The coefficients of a line are its samples after one causal and one anti-causal recursion with
 * the pole sqrt(3) - 2, mirror boundary (x[-k] = x[k], x[n-1+k] = x[n-1-k]), the same boundary rule
 * that SciPy's spline filter uses for constant mode. Thread-safe. Not collective. */
#ifndef SF_BATCH_SPLINE_H
#define SF_BATCH_SPLINE_H
#include "batch/workspace.h"
#include <stdbool.h>
#include <stdint.h>

/** Weights of the samples floor(x)-1 .. floor(x)+2 for t = x - floor(x) in [0,1). */
void sf_spline_weights(double w[4], double t);

/** In place, one line in double. n >= 1; a single sample is its own coefficient. */
void sf_spline_filter_line(double *line, int64_t n);

/** In place along each of the axes [first_axis, 3) of the box of size n that begins at element
 *  `origin` of a volume with strides (stride0, stride1, 1), in float.
 *  Uses the workspace buffer SF_WS_LINES. @return SF_ENOMEM or SF_OK. */
sf_status sf_spline_filter_box(float *volume, const int64_t n[3], int64_t stride0, int64_t stride1,
                               int first_axis, sf_workspace *ws);

#endif
