/** Rows 9 to 11 of nnunet-training.md 6.1: mirroring, masking, label -1.
 *  Volumes are [n0][n1][n2] with axis 2 contiguous. Everything works in place and cannot fail.
 *  Thread-safe on different volumes. Not collective. */
#ifndef SF_BATCH_LABELS_OPS_H
#define SF_BATCH_LABELS_OPS_H
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

/** Reverse the given axes in place. */
void sf_mirror_f32(float *x, const int64_t n[3], const bool axis[3]);
void sf_mirror_i16(int16_t *x, const int64_t n[3], const bool axis[3]);
/** x := 0 where seg < 0 (for channels that were normalised with a mask). */
void sf_mask_outside(float *x, const int16_t *seg, int64_t count);
/** Label -1 becomes 0. */
void sf_remove_label(int16_t *seg, int64_t count);

#endif
