/** Network grid -> image grid: resample, decide, un-crop, un-transpose
 * (nnunet-training.md 8.5, 8.6). Works slab by slab along the first transposed axis; a slab holds
 * all heads of some rows and nothing else is copied. Not collective; thread-safe on disjoint
 * outputs. Same bits for any number of threads. */
#ifndef SF_PREDICT_EXPORT_H
#define SF_PREDICT_EXPORT_H
#include "predict/predict.h"

/** One case. Outside the crop box the label is 0.
 *  @param[in]  values  [heads][props.shape]: logits (are_logits) or probabilities, as the recipe
 * averages them
 *  @param[out] labels_out  file order, shape before cropping, caller's: arg max (lowest wins), or
 * with regions the class order
 *  @param[out] probabilities  NULL, or [heads][file-order shape before cropping], caller's:
 * softmax/sigmoid of what was resampled; outside the box channel 0 = 1 (regions: all 0)
 *  @return SF_ENOMEM; SF_EINVAL for an interpolation order that the plan may not ask for. */
sf_status sf_export_case(const sf_plans *plans, const sf_config *cfg, const sf_labels *labels,
                         const sf_case_props *props, const float *values, bool are_logits,
                         int32_t *labels_out, float *probabilities, int threads);

/** Probabilities file of ours: HDF5 (store/arrays.h), group "prediction", array "probabilities"
 *  [heads][z][y][x] float32. Atomic. SF_EIO names the file. */
sf_status sf_probabilities_save(const char *path, const float *p, int heads,
                                const int64_t shape[3]);
/** @param[out] p  caller frees with sf_mem_free; NULL after a failure. SF_EDATA: damaged, or
 * another file. */
sf_status sf_probabilities_load(const char *path, float **p, int *heads, int64_t shape[3]);

#endif
