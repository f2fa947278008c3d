/** Tile grid and Gaussian importance map (paper, Methods: Inference; nnunet-training.md 8.1, 8.2).
 *  Not collective; thread-safe. */
#ifndef SF_PREDICT_WINDOW_H
#define SF_PREDICT_WINDOW_H
#include "base/error.h"
#include <stdint.h>

/** Starts of the windows along one axis: ceil((n-patch)/(patch*step)) + 1 of them, evenly spread
 * from 0 to n-patch, rounded half to even. n >= patch (the caller pads).
 *  @param[in] step  0 < step <= 1, part of the patch
 *  @param[out] start  `count` entries, caller frees with sf_mem_free
 *  @return SF_EINVAL for another step. */
sf_status sf_window_steps(int64_t **start, int *count, int64_t n, int64_t patch, double step);

/** map [patch] (the caller's): a Gaussian around patch/2 with sigma = patch*sigma_scale per axis,
 * highest value `scale`, cut off beyond floor(4 sigma + 0.5); zeros become the smallest value that
 * is not zero. */
sf_status sf_window_gaussian(const int64_t patch[3], double sigma_scale, double scale, float *map);

#endif
