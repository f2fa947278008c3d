/** Tile grid and Gaussian importance map (paper, Methods: Inference; nnunet-training.md 8.1, 8.2). */
#ifndef SF_PREDICT_WINDOW_H
#define SF_PREDICT_WINDOW_H
#include "base/error.h"
#include <stdint.h>

/** Starts along one axis; n >= patch is required. Caller frees *start with sf_mem_free. */
sf_status sf_window_steps(int64_t **start, int *count, int64_t n, int64_t patch, double step);
/** map[patch], peak = scale, sigma = patch*sigma_scale per axis, truncated at floor(4 sigma + 0.5), zeros -> smallest non-zero. */
sf_status sf_window_gaussian(const int64_t patch[3], double sigma_scale, double scale, float *map);

#endif
