/** Timing of a configuration's whole training augmentation on made-up cases in memory. */
#ifndef SF_BATCH_BENCH_H
#define SF_BATCH_BENCH_H
#include "batch/augment.h"

typedef struct {
    const sf_config *cfg;
    const sf_recipe *recipe;
    int channels, labels; /* of the image; number of labels, background included */
    int threads;          /* >= 1; each makes whole patches, as the loader's workers do */
    int64_t patches;      /* timed patches, >= 1; eight more warm up */
} sf_bench_augment;

typedef struct {
    double seconds, cpu_seconds; /* of all patches together: wall clock; all threads */
    double stage[SF_AUG_STAGES]; /* thread seconds of each stage */
    int64_t patch_bytes;         /* what one patch hands to the network: image and labels */
    uint64_t hash;               /* of the first patches: equal for any number of threads */
} sf_bench_augment_result;

/** The image is noise of the initial patch's size, the labels are constant in blocks of 8 voxels
 * per axis. Patch i draws what step i of a training with seed 1 draws, so that two builds do the
 * same work. Not collective. SF_EDATA for a recipe that says nothing of augmentation; SF_ENOMEM. */
sf_status sf_bench_augment_run(const sf_bench_augment *b, sf_bench_augment_result *out);

#endif
