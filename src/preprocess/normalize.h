/** Intensity normalisation of one channel (paper, Methods: Intensity normalization;
 * nnunet-planning.md 5). Statistics are double sums in a fixed tree over blocks of voxels. Not
 * collective; thread-safe. */
#ifndef SF_PREPROCESS_NORMALIZE_H
#define SF_PREPROCESS_NORMALIZE_H
#include "plan/plans.h"

/** One channel in place; voxels > 0.
 *  @param[in] use_mask  z-score only: statistics and result over voxels with seg >= 0; an empty
 * mask changes nothing
 *  @param[in] stats     the plan's foreground statistics of the channel; needed by CT only, else
 * may be NULL
 *  @param[in] mask_outside_zero  recipe: with a mask, voxels outside become 0; else they stay as
 * they are
 *  @param[in] seg       [voxels], -1 outside the mask; NULL = no mask
 *  @return SF_EDATA: a channel declared rgb_to_0_1 holds a value outside 0..255. SF_ENOMEM. */
sf_status sf_normalize(sf_norm_scheme scheme, bool use_mask, const sf_intensity *stats,
                       bool mask_outside_zero, int64_t voxels, float *x, const int16_t *seg);

#endif
