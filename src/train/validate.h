/** Final validation of one fold: sliding-window prediction of the validation cases with given
 * parameters, written in the source's geometry, scored against the untouched labels
 * (nnunet-training.md 9). Files that exist are kept. */
#ifndef SF_TRAIN_VALIDATE_H
#define SF_TRAIN_VALIDATE_H
#include "train/trainer.h"

/** Write DIR/validation/{CASE.ending, CASE.h5 (probabilities, when asked for), summary.json} (of
 * the best weights, as opt->part says: DIR/validation_best); summary.json comes last. The first
 * stage of a cascade also writes what the next stage needs (handover.h). previous: labels of the
 * first stage for each case of opt->val, or NULL.
 * Collective over `group`: the cases are spread over its ranks, the files do not depend on it.
 * opt->stop is asked between cases: SF_ESTOP. */
sf_status sf_validate_fold(sf_comm *group, const sf_train_options *opt, const sf_cases *cases,
                           const sf_params *trained, const int16_t *const *previous,
                           const char *dir);

/** Bytes that sf_validate_fold takes at most on one rank: its network and the largest case, up to
 * the buffers of files. */
sf_status sf_validate_bytes(int64_t *bytes, const sf_train_options *opt, const sf_cases *cases);

/** Is everything there that sf_validate_fold writes for these cases? Files are not opened. */
bool sf_validate_complete(const char *dir, const sf_id_list *val, bool probabilities);

/** Axes (z,y,x) that a configuration mirrors when it may: all of its own, or all but the last. */
void sf_mirror_axes(const sf_config *cfg, const sf_recipe *recipe, bool mirror, bool axis[3]);

#endif
