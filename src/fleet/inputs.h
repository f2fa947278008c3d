/** Which images a prediction is asked for. Not collective. */
#ifndef SF_FLEET_INPUTS_H
#define SF_FLEET_INPUTS_H
#include "plan/dataset.h"

/** A folder of images (sf_dataset_find_cases), or image files: CASE_dddd.ending, channels of one
 * case together whatever their folders; a file that holds all channels may also be CASE.ending.
 *  @param[in] word  one folder, or n files
 *  @param[out] cases  sorted by id, without labels; caller frees with sf_cases_free
 *  @return SF_EINVAL: a folder among files, a file of another ending; SF_EDATA: no such file or
 *          folder, no case, a missing channel */
sf_status sf_inputs_find(sf_case **cases, int *n_cases, const char *const *word, int n,
                         const sf_dataset *d);

#endif
