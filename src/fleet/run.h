/** Everything in order, resumable: fingerprint, plan, splits, preprocessing, trainings, selection,
 * test predictions. Run again, it continues and redoes nothing. All collective over `world`. */
#ifndef SF_FLEET_RUN_H
#define SF_FLEET_RUN_H
#include "fleet/settings.h"
#include "mpi/comm.h"
#include "train/trainer.h"

typedef struct {
    const char *work;
    sf_settings settings;
    const sf_settings *stored; /* what W/run.json must agree with; NULL: settings */
    const char *configs;       /* "2d,3d_fullres"; NULL: all of the plan */
    const char *folds;         /* "all" = every fold of the split, or "0,1" */
    int threads;               /* per rank; 0 = automatic */
    const char *layout;        /* groups of ranks (fleet/layout.h); NULL or "auto": by cost */
    bool no_regroup;           /* ranks without a task stay so: groups do not grow */
    bool ensembles;
    const char *cache, *stage; /* where containers are read (train/near.h): words as given */
    const char *io_hints;      /* file of MPI-IO hints (mpi/io_hints.h), or NULL */
    double checkpoint_seconds;
    bool (*stop)(void *user);
    void *stop_user;
    /* sf_run_training only; see train/trainer.h */
    const char *pretrained;
    sf_train_part part;
    bool no_checkpoints;
} sf_run_options;

sf_status sf_run(sf_comm *world, const sf_run_options *o);

/** One training in a work folder that is already preprocessed (`segfleet train`). fold: SF_FOLD_ALL
 * possible. Trainings of other folds or configurations may run at the same time, by other
 * processes; everything else takes the work folder alone and refuses what it finds in use. */
sf_status sf_run_training(sf_comm *world, const sf_run_options *o, const char *config, int fold);
/** Selection over what is trained (`segfleet select`): configs and folds NULL = all that have
 * results. */
sf_status sf_run_selection(sf_comm *world, const sf_run_options *o);
/** Preprocess into a work folder with a given plans file (`segfleet preprocess`). */
sf_status sf_run_preprocess(sf_comm *world, const sf_run_options *o, const char *plans_file);

#endif
