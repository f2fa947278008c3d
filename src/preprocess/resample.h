/** Resampling (paper, Methods: Resampling; nnunet-planning.md 6). Exact semantics of 6.4-6.6. Not collective; thread-safe. */
#ifndef SF_PREPROCESS_RESAMPLE_H
#define SF_PREPROCESS_RESAMPLE_H
#include "plan/plans.h"

/** rint((old/new)*n), at least 1. */
void sf_resampled_shape(int64_t out[3], const int64_t shape[3], const double old_spacing[3], const double new_spacing[3]);
/** Axis to treat separately, or -1 (6.4). */
int sf_resample_separate_axis(const sf_resampling *r, const double cur[3], const double next[3], double threshold);

/** src [channels][from] -> dst [channels][to] (caller's). axis = -1 or the separate axis. */
sf_status sf_resample_data(const float *src, const int64_t from[3], float *dst, const int64_t to[3], int channels, int order, int order_z, int axis, int threads);
/** Labels: per distinct value, indicator >= 0.5 ascending (argmax = false), or one-hot + argmax, ties to the lowest (paper). */
sf_status sf_resample_labels(const int16_t *src, const int64_t from[3], int16_t *dst, const int64_t to[3], int order, int order_z, int axis, bool argmax, int threads);
/** Rows [lo, hi) of the first axis only: what the export streams (same values as the whole). */
sf_status sf_resample_data_slab(const float *src, const int64_t from[3], float *dst, const int64_t to[3], int64_t lo, int64_t hi, int channels, int order, int order_z, int axis, int threads);

#endif
