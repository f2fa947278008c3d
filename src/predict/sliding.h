/** The sliding window: which windows a case has, how a sample is cut, and how answers are summed
 * (nnunet-training.md 8).
 *
 *  A sample is (window, mirroring). Samples come in one fixed order: windows along z outermost,
 * then y, then x; the mirrorings of a window inside, identity first, then in the order of binary
 * counting over the allowed axes. Answers are added in that order, voxel by voxel, so the bits do
 * not depend on threads or on the number of samples per forward pass. Windows that start at the
 * same z form a layer. Rows above a layer's first row get nothing more from later layers, which is
 * what lets a caller keep only a slab of the sums. Not collective; one sum is driven by one thread.
 */
#ifndef SF_PREDICT_SLIDING_H
#define SF_PREDICT_SLIDING_H
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

/** What the network sees: image channels and, for the second stage of a cascade, one channel per
 * label 1..one_hot of seg. */
typedef struct {
    const float *data; /* [channels][shape] */
    int channels;
    const int16_t *seg; /* [shape]; NULL when one_hot is 0 */
    int one_hot;
    int64_t shape[3];
} sf_source;

/** Windows and mirrorings of one case. Owner: the caller, sf_sliding_free. */
typedef struct {
    int64_t shape[3], patch[3],
        pad[3];        /* pad: zeros below index 0, where the image is smaller than the patch */
    int64_t *start[3]; /* in the padded image */
    int count[3];
    int n_mirrors;
    bool mirror[8][3];
    int64_t samples; /* windows x mirrorings */
} sf_sliding;

/** dim 2: the patch has one slice and every slice is a layer of its own. */
sf_status sf_sliding_make(sf_sliding *t, const int64_t shape[3], const int64_t patch[3], int dim,
                          double step, const bool mirror_axis[3]);
void sf_sliding_free(sf_sliding *t);

/** Cut sample number `index`: out [channels + one_hot][patch], mirrored, zero outside the image. */
void sf_sliding_cut(const sf_sliding *t, int64_t index, const sf_source *src, float *out,
                    int threads);

/** First voxel of a sample's window in the image (negative: in the padding).
 *  @return its mirroring, three booleans (borrowed from t) */
const bool *sf_sliding_locate(const sf_sliding *t, int64_t index, int64_t corner[3]);
/** Rows [lo, hi) of the image that the windows of layer l cover. */
void sf_sliding_layer(const sf_sliding *t, int l, int64_t *lo, int64_t *hi);
/** Samples per layer. */
int64_t sf_sliding_layer_samples(const sf_sliding *t);

#endif
