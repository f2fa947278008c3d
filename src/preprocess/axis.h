/** Resampling along one axis: the separable building block of resample.c (nnunet-planning.md 6.6).
 *
 *  Output sample k of an axis that goes from n to N samples lies at x = (n/N)*(k+0.5) - 0.5 (pixel
 * areas are aligned). Order 0: nearest, halves go up. Order 1: linear, clamped. Order 3: cubic
 * B-spline of the line extended by 12 copies of its end values, which makes the signal constant
 * outside. Everything is double; every line is independent of all others, so the bits do not depend
 * on threads or on which part of the outputs is asked for. Not collective; thread-safe. */
#ifndef SF_PREPROCESS_AXIS_H
#define SF_PREPROCESS_AXIS_H
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

/** Taps of the outputs [lo, hi) of one axis. Owner: the caller, sf_axis_map_free. */
typedef struct {
    int order, taps;     /* taps per output: 1, 2 or 4 */
    int64_t n, count;    /* inputs of the whole axis; outputs = hi - lo */
    int64_t first, last; /* inputs [first, last) are all that the outputs need */
    bool identity;       /* nothing changes: outputs = inputs [first, last) */
    int64_t *start; /* [count] first tap, counted from `first` (order 3: in the extended line) */
    double *weight; /* [count][taps] */
} sf_axis_map;

/** n, to >= 1; 0 <= lo <= hi <= to. SF_EINVAL for another order than 0, 1, 3. */
sf_status sf_axis_map_make(sf_axis_map *m, int64_t n, int64_t to, int64_t lo, int64_t hi,
                           int order);
void sf_axis_map_free(sf_axis_map *m);

/** src [outer][last-first][inner] -> dst [outer][count][inner]; must not overlap. SF_ENOMEM. */
sf_status sf_axis_apply(const sf_axis_map *m, const double *src, int64_t outer, int64_t inner,
                        double *dst, int threads);

#endif
