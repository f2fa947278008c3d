/** One model, or an ensemble of models, applied to new images over all ranks. */
#ifndef SF_FLEET_APPLY_H
#define SF_FLEET_APPLY_H
#include "evaluate/postproc.h"
#include "mpi/comm.h"
#include "predict/probabilities.h"

enum { SF_APPLY_MAX = 4 };

typedef struct {
    const char *model[SF_APPLY_MAX]; /* model folders; more than one: probabilities are averaged */
    int n_models;
    /* Labels of the first stage, CASE.ending in the images' geometry, for models that are the
     * second stage of a cascade. NULL: the first stage, all its folds, is found beside the model's
     * folder and run on each case. */
    const char *previous_dir;
    const int *folds;
    int n_folds;            /* NULL: all that are there */
    const char *checkpoint; /* "checkpoint_final" or "checkpoint_best" */
    double step;            /* <= 0: the recipe's */
    bool mirror, exact;     /* exact: --conv exact */
    sf_dtype precision;     /* SF_F32, SF_BF16 */
    int threads;
    const sf_postproc *postproc; /* NULL = none */
    bool save_probabilities;     /* CASE.npz and CASE.json, or CASE.h5, beside the segmentation */
    sf_probabilities_format probabilities_format;
    bool keep_existing;       /* do not redo cases whose files are all there; else their older files
                                 are removed first, so that what is there later is of this call */
    bool describe;            /* leave dataset.json, plans.json and the options in out_dir */
    bool shared_folder;       /* other processes write there too: keep their temporary files */
    bool (*stop)(void *user); /* asked before every case, may be NULL; true: SF_ESTOP */
    void *stop_user;
    sf_prof *prof; /* seconds per stage are added; may be NULL */
} sf_apply_options;

/** Collective. Segments the cases into out_dir/CASE.ending: one by one on each rank, and those left
 * over, when fewer than ranks remain, each by a group of ranks that share its windows, mirrorings
 * and folds (train/spread.h). The result does not depend on the number of ranks or threads. A case
 * that fails is logged and the others go on; the call then ends with SF status and text of the
 * first failure. Memory per rank: 3 GiB beyond the case's image and its results, where the network
 * allows it; sums that need more go to a working file in out_dir that has no name.
 *
 *  describe: what nnU-Net leaves in a folder of predictions: dataset.json, plans.json (of the first
 * model) and predict_from_raw_data_args.json with the options that decide the result; no paths, no
 * times. With keep_existing, options there that would give other segmentations are SF_EINVAL; so is
 * a result in the place of an input. */
sf_status sf_apply_cases(sf_comm *world, const sf_apply_options *o, const sf_case *cases, int n,
                         const char *out_dir);

#endif
