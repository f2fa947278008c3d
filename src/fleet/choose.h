/** Cross-validation results -> the chosen model or pair, its post-processing (paper, Methods:
 * Ensembling, Post-processing; nnunet-training.md 10). Writes
 * W/results/CONFIG/crossval_results_folds_LIST/summary.json, W/results/ensembles/NAME/summary.json,
 *  W/selection.json and W/postprocessing.json. */
#ifndef SF_FLEET_CHOOSE_H
#define SF_FLEET_CHOOSE_H
#include "evaluate/select.h"
#include "mpi/comm.h"
#include "plan/splits.h"

typedef struct {
    const char *work;
    const char *variant; /* NULL = none; with it, seed says which trainings */
    uint64_t seed;
    const sf_dataset *dataset;
    char *const *configs;
    int n_configs; /* in the order of "first wins" */
    const int *folds;
    int n_folds;
    bool ensembles;
    int threads;
} sf_choose_options;

/** Collective. Every named fold must have validation/summary.json (SF_EINVAL says which is
 * missing) and, with ensembles, the probabilities of its cases. selection.json comes last; folds
 * are numbers or "all". */
sf_status sf_choose(sf_comm *world, const sf_choose_options *o);

/** Fold number of an entry of "folds" in selection.json; SF_FOLD_ALL for "all", -2 for anything
 * else. */
int sf_choice_fold(const json_t *entry);

/** What selection.json says: model folder names (configurations) of the winner; caller sets both
 * to NULL before and frees them with sf_mem_free, also after a failure. Not collective. */
sf_status sf_choice_load(char *model[2], int *n_models, const char *work);

#endif
