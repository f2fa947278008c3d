/** Batches of patches: sampler + augmentation in worker threads, filling a ring. Batch content is
 *  a function of (key, epoch, iteration, global sample index) alone (decisions.md 6).
 *  Not collective.
 *  Training batches are augmented as the recipe's "augment" object says (augment.h); with its key
 *  "enabled" false, and in validation, the patch is cut directly.
 *  Lifetimes: cases, cfg, recipe and labels must outlive the loader; ids only sf_loader_create.
 *  Threads: one thread drives a loader; workers never call into it, use no OpenMP and no HDF5.
 *  Source: paper, Methods: Training, Data augmentation; nnunet-training.md 5, 6. */
#ifndef SF_BATCH_LOADER_H
#define SF_BATCH_LOADER_H
#include "base/prof.h"
#include "plan/work.h"
#include "store/cases.h"

typedef struct {
    const sf_cases *cases;
    const char *const *ids;
    int n_ids; /* the fold's training or validation cases */
    const sf_config *cfg;
    const sf_recipe *recipe;
    const sf_labels *labels;
    /* [n_ids] labels of the previous stage on each case's grid, borrowed for the loader's life;
     * NULL: no cascade. Then one channel per label 1..labels->n_labels-1 follows the image's:
     * one-hot, in training disturbed as cascade.h says. */
    const int16_t *const *previous;
    sf_task_key key;
    int64_t batch;        /* samples of the whole group's batch */
    int64_t first, count; /* this rank's global sample range */
    bool training;        /* false: validation: no augmentation, own draws */
    bool mirror;          /* false: --no-mirroring */
    int threads;          /* workers; 0 = compute in the caller */
    int depth;            /* batches kept ready, >= 1 */
} sf_loader_options;

typedef struct {
    int64_t epoch, iteration, count;
    float *data;     /* [count][channels][patch] plain; channels: image, then previous labels */
    int16_t *seg;    /* [count][patch]; -1 already 0 */
    int *case_index; /* [count], into ids */
} sf_batch;

typedef struct sf_loader sf_loader;
/** Check the options, find the cases, start the workers; nothing is produced before sf_loader_seek.
 *  SF_EDATA names a case that is missing or unusable, or the recipe's key that is wrong. */
sf_status sf_loader_create(sf_loader **out, const sf_loader_options *opt);
/** Start producing at (epoch, iteration), `iterations` per epoch; drops what was in flight, unless
 *  that is what comes next anyway: so the workers fill the ring for the next epoch while the
 *  validation runs. */
sf_status sf_loader_seek(sf_loader *l, int64_t epoch, int64_t iteration, int64_t iterations);
/** Next batch in order; valid until the next call. A worker's failure is returned here.
 *  prof (may be NULL) gets the wait, with threads = 0 the work. */
sf_status sf_loader_next(sf_loader *l, const sf_batch **out, sf_prof *prof);
/** Stops the workers at their next sample. NULL inside is allowed; *l becomes NULL. */
void sf_loader_destroy(sf_loader **l);
/** One sample, computed here and now (tests). data [channels][patch], seg [patch]. */
sf_status sf_loader_sample(sf_loader *l, int64_t epoch, int64_t iteration, int64_t sample,
                           float *data, int16_t *seg, int *case_index);

#endif
