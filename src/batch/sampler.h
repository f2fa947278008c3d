/** Which case, where, and how large: the rules of nnunet-training.md section 5 (paper, Methods:
 *  Training). Pure functions and draws from a generator that the caller keyed; no voxel is read.
 *
 *  All triples are in the plans' transposed axis order. A 2-D configuration is a 3-D one whose axis
 * 0 has size 1: a random box then is a uniform slice, a forced one the slice of the drawn voxel.
 *  Thread-safe. Not collective. */
#ifndef SF_BATCH_SAMPLER_H
#define SF_BATCH_SAMPLER_H
#include "base/rng.h"
#include "plan/dataset.h"
#include "store/cases.h"
#include <stdbool.h>
#include <stdint.h>

/** What follows from the patch size alone (table "Rotation, dummy 2D, mirror axes"). */
typedef struct {
    double angle;       /* rotation angles are drawn from U(-angle, angle), radians */
    bool planar;        /* 2-D patch or dummy 2D: rotate and scale in axes 1 and 2 only */
    bool dummy_2d;      /* planar although the patch is 3-D */
    int64_t initial[3]; /* size Q >= patch that the training loader cuts before augmentation */
    bool mirror[3];     /* axes that may be mirrored */
} sf_patch_setup;

/** @param setup  the recipe's augment.setup object: angles in degrees, thresholds, divisor
 *  @param dim    2 or 3; with 2, patch[0] is 1
 *  @return SF_EDATA when a number of the recipe is missing. */
sf_status sf_patch_setup_make(sf_patch_setup *out, const json_t *setup, int dim,
                              const int64_t patch[3]);

/** Is global sample j of a batch of `batch` forced to contain foreground?
 *  j >= rint(batch * (1 - fraction)); with at_least_one also the last sample of any batch. */
bool sf_sample_is_forced(int64_t batch, int64_t j, double fraction, bool at_least_one);

/** Inclusive range of the lower corner of a random box: image size, loaded size Q, patch size P per
 *  axis. Corners may be negative and boxes may pass the far end: what lies outside is padded. */
void sf_box_range(int64_t lo[3], int64_t hi[3], const int64_t image[3], const int64_t loaded[3],
                  const int64_t patch[3]);
/** Lower corner of a box around a voxel: max(lo, voxel - Q/2); there is no upper clamp. */
void sf_box_around(int64_t start[3], const int64_t lo[3], const int32_t voxel[3],
                   const int64_t loaded[3]);

/** Draw the lower corner of one box.
 *  Forced: a class uniformly among those with stored locations, then one of its locations
 * uniformly; random when the case has none. With an ignore label an unforced box is centred on an
 * annotated voxel, and a forced one falls back to that when the case has no foreground.
 *  @param loc     the case's locations (sf_labels.eval order, then "annotated"); may be NULL
 *  @param n_eval  number of foreground entries in loc; has_ignore: one more entry follows them */
void sf_box_draw(int64_t start[3], sf_rng *rng, bool forced, const sf_locations *loc, int n_eval,
                 bool has_ignore, const int64_t image[3], const int64_t loaded[3],
                 const int64_t patch[3]);

#endif
