/** Cropping to the non-zero region (nnunet-planning.md 3). Linear time; the fingerprint and the
 *  preprocessing both use it. Not collective; thread-safe. */
#ifndef SF_IMAGE_NONZERO_H
#define SF_IMAGE_NONZERO_H
#include "base/error.h"
#include <stdint.h>

/** Voxels lo[a] <= i < hi[a] per axis, in the axis order of the array. */
typedef struct {
    int64_t lo[3], hi[3];
} sf_box;

/** mask[v] = 1 where any channel is not 0, or in a hole: background that no path over faces joins
 *  to the border of the array. Else 0. So nothing is filled in a volume of one or two planes.
 *  @param[in]  data  [channels][s0][s1][s2]
 *  @param[out] mask  [s0][s1][s2], the caller's
 *  @return SF_OK or SF_ENOMEM (16 bytes per run of background voxels are needed) */
sf_status sf_nonzero_mask(const float *data, int channels, const int64_t shape[3], uint8_t *mask);
/** Bounding box of the voxels with mask != 0; the full extent when there are none. */
void sf_nonzero_box(const uint8_t *mask, const int64_t shape[3], sf_box *box);

#endif
