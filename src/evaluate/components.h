/** Connected components by runs and union-find: linear time. Not collective; thread-safe. */
#ifndef SF_EVALUATE_COMPONENTS_H
#define SF_EVALUATE_COMPONENTS_H
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

/** Number the components of mask != 0.
 *  @param[in]  full   26 neighbours (8 in a plane; v2, our default), else faces only
 *  @param[out] label  [shape], the caller's: 0 background, 1..count in order of first voxel
 *  @return SF_OK, SF_ENOMEM, SF_EUNSUPPORTED beyond 2^31 runs */
sf_status sf_components_label(const uint8_t *mask, const int64_t shape[3], bool full,
                              int32_t *label, int32_t *count);
/** Keep the largest component (full connectivity) of the union of `values`, all that tie for it,
 * and set the other voxels of that union to 0.
 *  @param[in,out] seg      [shape]
 *  @param[out]    removed  voxels set to 0; may be NULL */
sf_status sf_components_keep_largest(int32_t *seg, const int64_t shape[3], const int *values,
                                     int n_values, int64_t *removed);

#endif
