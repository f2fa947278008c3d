/** Names of everything in a work folder, in one place (docs/work-folder.md). A task is keyed by
 *  (variant, seed, configuration, fold). Pure functions on text: no file is touched; thread-safe.
 *
 *  W/{run.json, dataset.json, dataset_fingerprint.json, plans.json, splits_final.json,
 *     preprocessed/CONFIG.h5,
 *     results/CONFIG/{plans.json, dataset.json,
 *                     fold_K/{checkpoint_*.h5, training.log, history.jsonl, validation/}}}
 *
 *  A work folder belongs to one seed (run.json says which), so the seed is part of the path only
 *  together with a variant: results/CONFIG/VARIANT_seed_S/fold_K. */
#ifndef SF_PLAN_WORK_H
#define SF_PLAN_WORK_H
#include "base/path.h"

typedef struct {
    const char *variant; /* NULL = none; at most 63 characters */
    uint64_t seed;
    const char *config; /* configuration of the plans */
    int fold;           /* SF_FOLD_ALL = "all" */
} sf_task_key;

/** W/name. SF_EINVAL when the path is too long; the same holds for all below. */
sf_status sf_work_file(char out[SF_PATH_MAX], const char *work, const char *name);
/** W/preprocessed/NAME.h5; NAME = the configuration whose data it is. */
sf_status sf_work_container(char out[SF_PATH_MAX], const char *work,
                            const char *data_identifier_config);
/** W/results/CONFIG, or W/results/CONFIG/VARIANT_seed_S: a model folder; the fold does not matter.
 */
sf_status sf_work_model_dir(char out[SF_PATH_MAX], const char *work, const sf_task_key *key);
/** Folder of one training: fold_K in the model folder. */
sf_status sf_work_fold_dir(char out[SF_PATH_MAX], const char *work, const sf_task_key *key);

/** "variant=none seed=7 cfg=2d fold=0": for logs. Long names are cut. */
void sf_work_key_text(char out[256], const sf_task_key *key);
/** "none/2d/0": scope of random numbers (base/rng.h); the seed is a key of its own there. */
void sf_work_scope(char out[256], const sf_task_key *key);

#endif
