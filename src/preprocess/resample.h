/** Resampling (paper, Methods: Resampling; nnunet-planning.md 6). Exact semantics of 6.4-6.6:
 * positions (n/N)*(k+0.5) - 0.5, cubic B-splines of the edge-padded image clipped to the input's
 * range, linear interpolation, nearest neighbour. Double inside. Separable: axis by axis, first
 * axis first; an axis with much larger spacing is taken apart ("separate"): its slices are
 * resampled in-plane, then it itself. The same bits for any number of threads and any slab. Memory:
 * two copies of one channel in double. Nothing here is collective; everything is thread-safe on
 * disjoint outputs. */
#ifndef SF_PREPROCESS_RESAMPLE_H
#define SF_PREPROCESS_RESAMPLE_H
#include "plan/plans.h"

/** out[a] = rint((old/new) * shape[a]), half to even, at least 1. Spacings > 0. */
void sf_resampled_shape(int64_t out[3], const int64_t shape[3], const double old_spacing[3],
                        const double new_spacing[3]);

/** Shape of a case of `shape` voxels of `spacing` mm (transposed) on the network's grid of `cfg`: a
 *  2-D configuration keeps the first axis; one without resampling keeps all. */
void sf_config_shape(int64_t out[3], const sf_config *cfg, const int64_t shape[3],
                     const double spacing[3]);

/** Axis to treat separately, or -1 (6.4): where max/min of the spacing before (`cur`), else of the
 * one after
 *  (`next`), is strictly above the threshold, the one axis with the largest spacing. `r` may force
 * either, and may have a threshold of its own. */
int sf_resample_separate_axis(const sf_resampling *r, const double cur[3], const double next[3],
                              double threshold);

/** src [channels][from] -> dst [channels][to], both the caller's, no overlap. Equal shapes: a copy.
 *  @param[in] order    0, 1 or 3, in-plane or for all axes
 *  @param[in] order_z  0, 1 or 3, along the separate axis
 *  @param[in] axis     separate axis or -1
 *  @return SF_EINVAL for another order; SF_ENOMEM. */
sf_status sf_resample_data(const float *src, const int64_t from[3], float *dst, const int64_t to[3],
                           int channels, int order, int order_z, int axis, int threads);

/** Labels (any int16, -1 included): every distinct value's indicator is resampled like data.
 *  argmax = false: ascending, a value is written where its indicator is >= 0.5, 0 where none is
 * (v1, v2); argmax = true: the largest indicator wins, ties go to the lowest label (paper). */
sf_status sf_resample_labels(const int16_t *src, const int64_t from[3], int16_t *dst,
                             const int64_t to[3], int order, int order_z, int axis, bool argmax,
                             int threads);

/** Rows [lo, hi) of the first axis of sf_resample_data's result: dst
 * [channels][hi-lo][to[1]][to[2]]. With orders 0 and 1 only the input rows that these need are
 * touched. */
sf_status sf_resample_data_slab(const float *src, const int64_t from[3], float *dst,
                                const int64_t to[3], int64_t lo, int64_t hi, int channels,
                                int order, int order_z, int axis, int threads);

/** The same from a part of the input: src holds its rows [first, last), [channels][last-first]
 * [from[1]][from[2]]. This is how the export streams. SF_EINVAL when they are not enough. */
sf_status sf_resample_data_part(const float *src, const int64_t from[3], int64_t first,
                                int64_t last, float *dst, const int64_t to[3], int64_t lo,
                                int64_t hi, int channels, int order, int order_z, int axis,
                                int threads);
/** Input rows [first[k], last[k]) that row k of the result needs; both ascend. The arrays have
 * to[0] entries, the caller's. Order 3 anywhere: all rows. */
sf_status sf_resample_needs(const int64_t from[3], const int64_t to[3], int order, int order_z,
                            int axis, int64_t *first, int64_t *last);

#endif
