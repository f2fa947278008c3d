/** Network grid -> image grid: resample, decide, un-crop, un-transpose (nnunet-training.md 8.5, 8.6). Works slab by slab. */
#ifndef SF_PREDICT_EXPORT_H
#define SF_PREDICT_EXPORT_H
#include "predict/predict.h"

/** values [heads][props.shape]: logits (are_logits) or probabilities.
 *  @param[out] labels  file order, shape before cropping, caller's.
 *  @param[out] probabilities  NULL, or [heads][file-order shape before cropping], caller's: softmax/sigmoid of what was
 *              resampled; outside the box channel 0 = 1 (regions: all 0). */
sf_status sf_export_case(const sf_plans *plans, const sf_config *cfg, const sf_labels *labels, const sf_case_props *props,
                         const float *values, bool are_logits, int32_t *labels_out, float *probabilities, int threads);

/** Probabilities file of ours: HDF5 "probabilities" [heads][z][y][x] float32. Atomic. */
sf_status sf_probabilities_save(const char *path, const float *p, int heads, const int64_t shape[3]);
sf_status sf_probabilities_load(const char *path, float **p, int *heads, int64_t shape[3]);

#endif
