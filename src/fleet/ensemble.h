/** Ensembling of predictions that were stored with their probabilities (paper, Methods: Ensembling;
 *  nnunet-training.md 10.2). */
#ifndef SF_FLEET_ENSEMBLE_H
#define SF_FLEET_ENSEMBLE_H
#include "mpi/comm.h"
#include "predict/probabilities.h"

typedef struct {
    const char *const *dir; /* folders with CASE.npz or CASE.h5; the first also with CASE.ending */
    int n_dirs;             /* >= 1 */
    const char *dataset_json; /* NULL: that of the first folder */
    bool save_probabilities;
    sf_probabilities_format format;
} sf_ensemble_options;

/** Collective; cases are dealt to the ranks. Writes OUT/CASE.ending with the labels of the mean of
 *  all folders' probabilities (float32, summed in the order of the folders), in the geometry of the
 *  first folder's segmentation. Copies dataset.json and plans.json; with probabilities also
 *  CASE.json or nnU-Net's CASE.pkl.
 *  @param[out] n_cases  how many; may be NULL
 *  @return SF_EDATA: folders with different cases, shapes or label counts; SF_EINVAL: no
 *          dataset.json, OUT is an input; SF_EIO. The same on all ranks. */
sf_status sf_ensemble_folders(sf_comm *world, const sf_ensemble_options *o, const char *out,
                              int *n_cases);

#endif
