/** Network grid -> image grid: resample, decide, un-crop, un-transpose (nnunet-training.md 8.5,
 *  8.6), row by row along the first transposed axis, as the rows come: nothing but the results is
 *  held as a whole. Not collective; different exports are independent. Same bits for any number of
 *  threads and any division into rows. */
#ifndef SF_PREDICT_EXPORT_H
#define SF_PREDICT_EXPORT_H
#include "predict/predict.h"

typedef struct {
    const sf_plans *plans;
    const sf_config *cfg;
    const sf_labels *labels;
    const sf_case_props *props;
    bool are_logits; /* the values are logits, else probabilities, as the recipe averages them */
    int threads;
} sf_export_options; /* everything is borrowed */

/** The export of one case, open for its rows. */
typedef struct sf_export sf_export;
/** Outside the crop box the label is 0.
 *  @param[out] labels  file order, shape before cropping, caller's: arg max (lowest wins), or
 * with regions the class order
 *  @param[out] probabilities  NULL, or [heads][file-order shape before cropping], caller's:
 * softmax/sigmoid of what was resampled; outside the box channel 0 = 1 (regions: all 0)
 *  @return SF_ENOMEM; SF_EINVAL for an interpolation order that the plan may not ask for. Caller
 *          closes; the results are complete when all rows were taken. */
sf_status sf_export_open(sf_export **out, const sf_export_options *o, int32_t *labels,
                         float *probabilities);
/** Where the rows [heads][rows][plane] of the network grid go; borrows e. */
sf_row_sink sf_export_sink(sf_export *e);
void sf_export_close(sf_export **e);

/** All rows at once: values [heads][props.shape]. */
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
