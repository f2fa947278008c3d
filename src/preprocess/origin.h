/** Which plan a container of preprocessed cases was made by: plans may be edited by hand, and data
 *  of another spacing or normalisation must never pass for those of the edited plan. Thread-safe.
 *  Not collective. */
#ifndef SF_PREPROCESS_ORIGIN_H
#define SF_PREPROCESS_ORIGIN_H
#include "plan/plans.h"

/** SHA-256 (hex) of all that decides the voxels of `cfg`: axis order, spacing, normalisation with
 *  its statistics, resampling of image and labels, the recipe's "prep". Other keys of the plan
 *  (patch, batch, network, names) do not count. */
sf_status sf_data_origin(char hex[65], const sf_plans *plans, const sf_config *cfg);

/** Is the container `path` (it exists) made by this plan? SF_EINVAL says what to do when not. */
sf_status sf_data_origin_check(const char *path, const sf_plans *plans, const sf_config *cfg);

#endif
