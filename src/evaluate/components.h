/** Connected components. Not collective; thread-safe. */
#ifndef SF_EVALUATE_COMPONENTS_H
#define SF_EVALUATE_COMPONENTS_H
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

/** full: 26/8 neighbours (v2, our default), else faces. label [shape]: 0 background, 1..count in order of first voxel. */
sf_status sf_components_label(const uint8_t *mask, const int64_t shape[3], bool full, int32_t *label, int32_t *count);
/** Keep the largest component of the union of `values` (all that tie), set the other voxels of that union to 0. */
sf_status sf_components_keep_largest(int32_t *seg, const int64_t shape[3], const int *values, int n_values, int64_t *removed);

#endif
