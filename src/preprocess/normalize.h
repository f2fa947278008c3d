/** Intensity normalisation (paper, Methods: Intensity normalization; nnunet-planning.md 5). Not collective; thread-safe. */
#ifndef SF_PREPROCESS_NORMALIZE_H
#define SF_PREPROCESS_NORMALIZE_H
#include "plan/plans.h"

/** One channel in place. seg: cropped labels with -1 outside the mask, or NULL (no mask). voxels > 0.
 *  mask_outside_zero (recipe): with a mask, outside becomes 0. SF_EDATA: RGB01 outside 0..255. */
sf_status sf_normalize(sf_norm_scheme scheme, bool use_mask, const sf_intensity *stats, bool mask_outside_zero, int64_t voxels, float *x, const int16_t *seg);

#endif
