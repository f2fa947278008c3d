/** Out-of-fold labels between the stages of a cascade (paper, Methods: Cascade; nnunet-training.md
 * 7). The validation of each fold of the first stage leaves one file per validation case,
 *      results/FIRST/fold_K/predicted_next_stage/SECOND/CASE.h5,
 * labels on the grid of the second stage's preprocessed case, written by a network that has not
 * seen the case. One small container (store/cases.h, labels alone) per case: an interrupted
 * validation goes on with the next case, and the files do not depend on ranks. Not collective. */
#ifndef SF_TRAIN_HANDOVER_H
#define SF_TRAIN_HANDOVER_H
#include "plan/splits.h"
#include "plan/work.h"
#include "store/cases.h"

/** fold_dir is that of the training that writes, `second` the configuration that reads. */
sf_status sf_handover_path(char out[SF_PATH_MAX], const char *fold_dir, const char *second,
                           const char *id);
/** Make the folder, without what an interrupted run left half-written. */
sf_status sf_handover_begin(const char *fold_dir, const char *second);
/** Write one file (atomic). labels [shape]. */
sf_status sf_handover_save(const char *path, const char *id, const int64_t shape[3],
                           int16_t *labels);
/** Are the files of all these cases there? */
bool sf_handover_complete(const char *fold_dir, const char *second, const sf_id_list *ids);

typedef struct sf_handover sf_handover;
/** Labels of the first stage for the given cases of a second-stage training, mapped into memory. A
 * case's labels come from the lowest fold of `splits` that validates it; where that fold has left
 * none, from fold "all" (which has seen the case: said in the log).
 *  @param second  key of the training that reads;  @param cfg  its configuration
 *  @param cases   its preprocessed cases: the shapes must agree
 *  @return SF_EINVAL names the fold of the first stage that must be trained before; SF_EDATA: a
 * damaged file or one of another shape. Caller closes. */
sf_status sf_handover_open(sf_handover **out, const char *work, const sf_task_key *second,
                           const sf_config *cfg, const sf_splits *splits, const sf_id_list *ids,
                           const sf_cases *cases);
/** [ids->count] in the order of ids; valid until close; any thread may read. NULL inside: NULL. */
const int16_t *const *sf_handover_labels(const sf_handover *h);
void sf_handover_close(sf_handover **h);

#endif
