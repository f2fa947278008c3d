/** Inside of sf_weights, shared by weights.c and model.c. Not collective. */
#ifndef SF_PREDICT_WEIGHTS_H
#define SF_PREDICT_WEIGHTS_H
#include "base/json.h"
#include "predict/predict.h"

/** sf_weights_load that also hands out what the file says beside the tensors: PyTorch's plain
 * entries, or the attributes of ours. @param[out] meta  caller decrefs; may be NULL (not wanted).
 */
sf_status sf_weights_load_meta(sf_weights **out, json_t **meta, bool *is_torch, const char *path);

#endif
