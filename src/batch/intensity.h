/** Intensity transforms of one channel in place (nnunet-training.md 6.1 rows 2..8, 6.2). x
 * [n0][n1][n2].
 *
 *  Pure functions of drawn parameters: same input, same bits. Sums are taken in double in
 * 16 lanes (kernels/voxels.h). Thread-safe on different volumes. Not collective. Sources: v1 = the
 * code line of the paper, v2 = nnU-Net 2.8.1. */
#ifndef SF_BATCH_INTENSITY_H
#define SF_BATCH_INTENSITY_H
#include "base/rng.h"
#include "batch/spatial.h"

/** x += sigma * N(0,1), one draw per voxel from `field`: the numbers of sf_rng_fill_normal but for
 *  the last bit of few. sigma is a standard deviation. */
void sf_noise_add(float *x, int64_t count, double sigma, sf_rng *field);
/** Gaussian filter with one sigma per axis; axis 0 is skipped when planar_2d (a 2-D configuration).
 *  v1: radius floor(4 sigma + 0.5), edge repeated; v2: 3, 5 or 7 taps, reflected.
 *  Uses SF_WS_VOLUME_A and SF_WS_LINES. */
sf_status sf_blur(float *x, const int64_t n[3], const double sigma[3], sf_formulas formulas,
                  bool planar_2d, sf_workspace *ws);
/** x *= factor. */
void sf_brightness(float *x, int64_t count, double factor);
/** x = clip((x - mean) * factor + mean, min, max) with the values before the change. */
void sf_contrast(float *x, int64_t count, double factor);
/** Down to rint(n * zoom) with the nearest voxel and back with linear (v2) or cubic (v1, clipped to
 *  the range of the small volume) interpolation; axis 0 untouched when keep_axis0.
 *  Uses SF_WS_VOLUME_A, SF_WS_VOLUME_B and SF_WS_LINES. small_shape may be NULL (filled for tests).
 */
sf_status sf_low_resolution(float *x, const int64_t n[3], double zoom, bool keep_axis0,
                            sf_image_rule up, int64_t small_shape[3], sf_workspace *ws);
/** Gamma correction on [0,1]-scaled values, then mean and standard deviation restored; `inverted`
 *  works on -x. A constant image stays constant. */
void sf_gamma(float *x, int64_t count, double gamma, bool inverted, sf_formulas formulas);

#endif
