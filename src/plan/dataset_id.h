/** Dataset numbers and names, for users who have nnU-Net's folders (nnunet-planning.md 1.1, 11):
 *  nnUNet_raw holds DatasetXXX_Name folders, nnUNet_results is where models go. None is ever
 *  needed: a path always works, and wins. Reads the environment and lists folders; not collective.
 */
#ifndef SF_PLAN_DATASET_ID_H
#define SF_PLAN_DATASET_ID_H
#include "base/path.h"

/** The folder of a dataset: an existing folder as it is; else a number ("4", "004") or a name
 *  ("Dataset004_Hippocampus") in $nnUNet_raw. A number is looked up, as nnU-Net does, among the
 *  names in nnUNet_raw, nnUNet_preprocessed and nnUNet_results, those that are set.
 *  @return SF_EINVAL: no such folder; SF_EDATA: two datasets with one number, which lists them. */
sf_status sf_dataset_resolve(char out[SF_PATH_MAX], const char *word);
/** $nnUNet_results/DatasetXXX_Name/segfleet: the work folder of a dataset where none is named.
 *  SF_EINVAL when the variable is not set, or the dataset's folder is not called DatasetXXX_... */
sf_status sf_dataset_default_work(char out[SF_PATH_MAX], const char *dataset_dir);
/** 0..999 from "DatasetXXX_Name", else -1. */
int sf_dataset_number(const char *name);
/** Append to *text (NULL = empty) the names of the folders in `dir` that have this number, ", "
 *  between them, each once. Caller frees with sf_mem_free. */
sf_status sf_dataset_names(char **text, const char *dir, int number);

#endif
