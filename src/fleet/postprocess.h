/** Post-processing of folders, and folds gathered in one folder (paper, Methods: Post-processing;
 *  nnunet-training.md 10.1, 10.3). Not collective. */
#ifndef SF_FLEET_POSTPROCESS_H
#define SF_FLEET_POSTPROCESS_H
#include "evaluate/postproc.h"

/** Decide on the files of pred_dir, each of which needs a reference of the same name, and write
 *  nnU-Net's postprocessing.json to `file`. All cases are held in memory.
 *  @param[out] pp  what was decided; caller destroys. before, after: caller destroys
 *  @return SF_EDATA: no prediction, no reference (both ways), different shapes */
sf_status sf_postprocess_determine(sf_postproc **pp, sf_summary **before, sf_summary **after,
                                   const char *pred_dir, const char *ref_dir, const char *ending,
                                   const sf_labels *labels, const char *file);
/** Every file of pred_dir that ends in `ending`, treated, into out_dir; dataset.json and plans.json
 *  are copied.
 *  @param[out] n_cases  how many
 *  @return SF_EDATA: nothing there; SF_EINVAL: out_dir is pred_dir */
sf_status sf_postprocess_apply(int *n_cases, const sf_postproc *pp, const char *pred_dir,
                               const char *ending, int max_label, const char *out_dir);

/** The validation segmentations of a configuration's folds in one new folder, with summary.json
 *  over all of them, dataset.json and plans.json.
 *  @param variant  name or file; "" = none, NULL = the work folder's
 *  @param folds    NULL = every fold of the split
 *  @param[out] s   the summary; caller destroys; labels: those of the data set, caller destroys d
 *  @return SF_EINVAL: out is not empty, a case is not validated yet (says which training is
 *          missing); SF_EDATA: a case is validated by two folds */
sf_status sf_accumulate_folds(sf_summary **s, sf_dataset **d, const char *work, const char *config,
                              const char *variant, const int *folds, int n_folds, const char *out);

#endif
