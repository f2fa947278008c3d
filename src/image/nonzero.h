/** Cropping to the non-zero region (nnunet-planning.md 3). Not collective. */
#ifndef SF_IMAGE_NONZERO_H
#define SF_IMAGE_NONZERO_H
#include "base/error.h"
#include <stdint.h>

typedef struct { int64_t lo[3], hi[3]; } sf_box; /* half open */

/** mask[v] = any channel non-zero, holes filled (face-connected background not reaching the border).
 *  data [channels][s0][s1][s2]; mask [s0][s1][s2] is the caller's. */
sf_status sf_nonzero_mask(const float *data, int channels, const int64_t shape[3], uint8_t *mask);
/** Bounding box of the mask; the full extent when it is empty. */
void sf_nonzero_box(const uint8_t *mask, const int64_t shape[3], sf_box *box);

#endif
