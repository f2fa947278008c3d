/** Names of everything in a work folder, in one place. A task is keyed by (variant, seed,
 * configuration, fold). W/{dataset_fingerprint.json, dataset.json, plans.json, splits_final.json,
 * run.json, preprocessed/CONFIG.h5, results/CONFIG/{plans.json, dataset.json,
 * fold_K/{checkpoint_*.h5, training.log, history.jsonl, validation/}}, ...} */
#ifndef SF_PLAN_WORK_H
#define SF_PLAN_WORK_H
#include "base/path.h"

typedef struct {
    const char *variant; /* NULL = none */
    uint64_t seed;
    const char *config;
    int fold; /* SF_FOLD_ALL = "all" */
} sf_task_key;

sf_status sf_work_file(char out[SF_PATH_MAX], const char *work, const char *name);
sf_status sf_work_container(char out[SF_PATH_MAX], const char *work,
                            const char *data_identifier_config);
sf_status sf_work_config_dir(char out[SF_PATH_MAX], const char *work, const char *config);
sf_status sf_work_fold_dir(char out[SF_PATH_MAX], const char *work, const sf_task_key *key);
/** "variant=none seed=7 cfg=2d fold=0": for logs, random-number scopes ("none/2d/0") use
 * sf_work_scope. */
void sf_work_key_text(char out[256], const sf_task_key *key);
void sf_work_scope(char out[256], const sf_task_key *key);

#endif
