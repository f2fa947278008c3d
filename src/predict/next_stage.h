/** What the first stage of a cascade hands to the second: labels on the grid of the next stage's
 * preprocessed case (paper, Methods: Cascade; nnunet-training.md 7). Not collective; thread-safe.
 */
#ifndef SF_PREDICT_NEXT_STAGE_H
#define SF_PREDICT_NEXT_STAGE_H
#include "predict/predict.h"

/** Grid of a case in configuration `next`, from its properties in any other configuration. */
void sf_next_stage_shape(int64_t shape[3], const sf_case_props *props, const sf_config *next);

/** Resample what the network answered and decide. Whether an axis is treated separately follows
 * from the first stage's spacing alone. Works row by row; same bits for any number of threads.
 *  @param[in] cfg     the first stage;  @param[in] props  of the case in it
 *  @param[in] values  [heads][props->shape], logits (are_logits) or probabilities
 *  @param[in] shape   from sf_next_stage_shape
 *  @param[out] out    [shape], caller's
 *  @return SF_ENOMEM; SF_EINVAL for an interpolation order that the plan may not ask for. */
sf_status sf_next_stage_labels(const sf_plans *plans, const sf_config *cfg, const sf_labels *labels,
                               const sf_case_props *props, const float *values, bool are_logits,
                               const int64_t shape[3], int16_t *out, int threads);

#endif
