/** Rotation, scaling and cropping of one sample (nnunet-training.md 6.1 row 1, 6.2 "Spatial").
 *
 *  The output voxel i of a patch P takes its value at x = A (i - (P-1)/2) + (Q-1)/2 in the box Q
 * that was cut around it. A factor above 1 enlarges the field of view: objects shrink. Planar (2-D,
 * dummy 2D): every slice of axis 0 is transformed alike in axes 1 and 2, and Q[0] = P[0].
 *
 *  Pure functions of drawn parameters; thread-safe; not collective. Volumes are [n0][n1][n2]. */
#ifndef SF_BATCH_SPATIAL_H
#define SF_BATCH_SPATIAL_H
#include "batch/workspace.h"
#include <stdbool.h>
#include <stdint.h>

typedef enum {
    SF_FORMULAS_V1, /* row vectors times Rx Ry Rz, then the scale; no-transform crop at
                       floor((Q-P)/2) */
    SF_FORMULAS_V2  /* column vectors, Rz Ry Rx diag(scale); no-transform crop at Q/2 - P/2 */
} sf_formulas;

typedef enum { SF_IMAGE_LINEAR, SF_IMAGE_CUBIC } sf_image_rule;

typedef enum {
    SF_LABEL_THRESHOLD, /* linear indicator >= 0.5, highest such label; none: 0; outside the box: 0
                         */
    SF_LABEL_ARGMAX /* largest linear indicator (in steps of half precision x 1000), lowest label
                       on ties; outside the box: -1 */
} sf_label_rule;

/** What was drawn for one sample. */
typedef struct {
    bool rotate, scale;
    double angle[3]; /* radians about the array axes 0, 1, 2; planar: angle[0] alone */
    double factor;
} sf_spatial_draw;

/** Source position of output voxel i in the box, both in voxels: x = factor * (m (i - from)) + to.
 */
typedef struct {
    double m[3][3], factor, from[3], to[3];
    bool planar;
} sf_affine;

void sf_spatial_affine(sf_affine *out, const sf_spatial_draw *draw, bool planar,
                       sf_formulas formulas, const int64_t box[3], const int64_t patch[3]);
/** First voxel of the plain crop inside the box, when neither rotation nor scaling fires. */
void sf_spatial_crop_start(int64_t start[3], sf_formulas formulas, const int64_t box[3],
                           const int64_t patch[3]);

/** A box of an image in memory. Voxels outside the image are padding. */
typedef struct {
    int64_t image[3]; /* size of the stored image */
    int64_t lo[3];    /* lower corner of the box in the image; may be negative */
    int64_t size[3];
} sf_box;

/** Copy the box to dst [size], padded where it leaves the image: images with 0, labels with -1. */
void sf_cut_image(float *dst, const float *image, const sf_box *box);
void sf_cut_labels(int16_t *dst, const int16_t *seg, const sf_box *box);

/** Bytes of the workspace buffers that the two below take for a box of this size. */
int64_t sf_spatial_bytes(const int64_t box[3], bool planar);
/** One image channel through the affine map: dst [patch]; padding and everything outside the box 0.
 *  Uses the workspace buffers SF_WS_CUT and SF_WS_LINES. */
sf_status sf_spatial_image(float *dst, const int64_t patch[3], const float *image,
                           const sf_box *box, const sf_affine *map, sf_image_rule rule,
                           sf_workspace *ws);
/** Labels through the affine map: dst [patch]; the box is padded with -1 outside the image.
 *  Uses SF_WS_CUT_SEG. */
sf_status sf_spatial_labels(int16_t *dst, const int64_t patch[3], const int16_t *seg,
                            const sf_box *box, const sf_affine *map, sf_label_rule rule,
                            sf_workspace *ws);

#endif
