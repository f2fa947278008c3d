/** One training: (configuration, fold) on one group. Epoch loop, checkpoints, final validation.
 *  Source: paper, Methods: Training; nnunet-training.md 4, 9. */
#ifndef SF_TRAIN_TRAINER_H
#define SF_TRAIN_TRAINER_H
#include "batch/loader.h"
#include "evaluate/metrics.h"
#include "mpi/comm.h"
#include "plan/splits.h"
#include "predict/export.h"

/** What is asked of a training. */
typedef enum {
    SF_TRAIN_WHOLE,        /* train what is left, validate what is left */
    SF_TRAIN_VALIDATE,     /* validate checkpoint_final.h5 anew */
    SF_TRAIN_VALIDATE_BEST /* validate checkpoint_best.h5, into validation_best: these segmentations
                              enter neither selection nor the next stage of a cascade */
} sf_train_part;

typedef struct {
    const char *work; /* work folder */
    sf_task_key key;
    const sf_plans *plans;
    const sf_dataset *dataset;
    const sf_id_list *train, *val;
    const sf_splits *splits; /* tells which fold of the first stage has not seen a case; needed by
                                the second stage of a cascade alone */
    int64_t epochs, iterations, val_iterations, batch; /* 0: recipe / plan */
    bool mirror, exact;
    sf_dtype precision; /* of the networks that train and validate: SF_F32, SF_BF16 */
    int threads, loader_threads;
    double checkpoint_seconds; /* also write checkpoint_latest after this many seconds (at the next
                                  epoch end or step); 0: by epochs only */
    bool (*stop)(void *user);
    void *stop_user; /* asked after every step; true: write checkpoint_latest and return SF_ESTOP */
    bool (*leave)(void *user); /* NULL: never */
    void *leave_user;          /* Asked by rank 0 after every epoch but the last; true: as for a
                         stop, since the caller will go on with another group of ranks */
    int ranks_before;          /* of the group that was at it until now, as its first rank knows; 0:
                                  none in this run (train/regroup.h) */
    bool save_probabilities;   /* of the validation cases, for ensembles */
    sf_train_part part;
    const char *pretrained;     /* checkpoint of ours or nnU-Net's .pth whose weights, but for the
                                   heads, a new training starts from; NULL: random weights */
    sf_prof *prof;              /* seconds per stage are added; may be NULL */
    const struct sf_near *near; /* where containers are read (near.h); NULL: where they lie */
    bool no_checkpoints; /* write none: a stop loses the training, and the fold is not done */
} sf_train_options;

/** Is nothing left to do: weights are there, validated, and what the next stage of a cascade needs
 * is written? Not collective. */
bool sf_train_is_done(const char *work, const sf_task_key *key, const sf_plans *plans,
                      const sf_id_list *val, bool probabilities);

/** Collective over `group`. Resumes from checkpoint_latest.h5 when it is there (rank 0 reads it and
 * sends it to the others), skips what is
 * finished (checkpoint_final.h5, validation/summary.json). Bits equal the uninterrupted run.
 *  @return SF_EINVAL: the checkpoint that is there was made with other options (names the first),
 * or there is none to validate; SF_EDATA: damaged files, a loss that is not finite; SF_ESTOP:
 * stopped, run again. */
sf_status sf_train_run(sf_comm *group, const sf_train_options *opt);

#endif
