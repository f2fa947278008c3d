/** Finding the files of cases (nnunet-planning.md 1.1). Private to src/plan; sf_dataset_find_cases
 * is public. */
#ifndef SF_PLAN_CASES_H
#define SF_PLAN_CASES_H
#include "plan/dataset.h"

/** The `dataset` key of dataset.json: explicit files. $VAR and ${VAR} are expanded, relative paths
 *  start at the dataset folder, order = JSON order. SF_EDATA lists missing files. */
sf_status sf_cases_from_list(sf_case **out, int *count, const json_t *list, const sf_dataset *d,
                             const char *where);
/** Set each case's label to labels_dir/ID+ending where it exists. required: a missing one is
 *  SF_EDATA; labels without a case are a warning. */
sf_status sf_cases_find_labels(sf_case *cases, int count, const char *labels_dir,
                               const char *file_ending, bool required);
/** One file per channel, or one file that holds all of them (colour images, 4-D NIfTI). */
sf_status sf_cases_check_channels(const sf_case *cases, int count, int n_channels);

#endif
