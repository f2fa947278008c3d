/** Running sums of what the network answers to the windows of a case, for one or several folds.
 *
 *  Answers are added voxel by voxel in the order of the samples (sliding.h), fold by fold, so the
 *  bits do not depend on threads, on samples per forward pass, or on where the sums are kept: only
 *  the rows that windows still reach are, in memory or, where they are too many, in a working file.
 *  Not collective; one object is driven by one thread (it uses `threads` OpenMP threads inside).
 *  Source: paper, Methods: Inference; nnunet-training.md 8.4. */
#ifndef SF_PREDICT_SUMS_H
#define SF_PREDICT_SUMS_H
#include "predict/sliding.h"

/** What becomes of the network's logits before they are averaged. */
typedef enum { SF_AVERAGE_LOGITS, SF_AVERAGE_SOFTMAX, SF_AVERAGE_SIGMOID } sf_average;

typedef struct {
    int heads, folds;
    sf_average average;
    const float *map; /* [patch] importance, or NULL: 1 everywhere; borrowed */
    int64_t rows;     /* sums are kept for this many rows at once, >= patch[0] */
    int64_t memory;   /* bytes that the sums may take; beyond: a working file. 0 = no bound */
    const char *scratch_dir; /* folder of that file; NULL: there is none */
    int threads;
} sf_sums_options;

typedef struct sf_sums sf_sums;

/** Bytes of the sums alone, which is what `memory` bounds. */
int64_t sf_sums_bytes(const sf_sliding *t, const sf_sums_options *o);
/** All sums zero. Borrows t. Caller destroys. SF_ENOMEM; SF_EIO: no working file. */
sf_status sf_sums_create(sf_sums **out, const sf_sliding *t, const sf_sums_options *o);
void sf_sums_destroy(sf_sums **s);
/** Add the logits [heads][patch] of sample `index`; for each fold every index in ascending order.
 *  The rows of its window must be within `rows` of the first row that was not taken. */
sf_status sf_sums_add(sf_sums *s, int fold, int64_t index, const float *logits);
/** Rows [lo, hi), which must be the next ones and final: sum / weight per fold, mean over the
 * folds.
 *  @param[out] out  [heads][hi-lo][shape[1]][shape[2]], caller's */
sf_status sf_sums_take(sf_sums *s, int64_t lo, int64_t hi, float *out);

/** Softmax over heads, or a sigmoid per head, in place: v [heads][voxels]. Thread-safe. */
void sf_to_probabilities(float *v, int heads, int64_t voxels, bool sigmoid, int threads);

#endif
