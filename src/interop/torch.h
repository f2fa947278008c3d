/** PyTorch checkpoints, read safely: zip container (stored members, central directory) + a closed
 * subset of pickle; nothing is ever executed, unknown opcodes and globals are refused by name
 * (nnunet-training.md 11). Not collective. */
#ifndef SF_INTEROP_TORCH_H
#define SF_INTEROP_TORCH_H
#include "base/error.h"
#include "base/json.h"
#include <stdint.h>

typedef struct {
    char *name;
    int ndim;
    int64_t dim[8];
    int64_t count;
    float *data;
} sf_torch_tensor; /* converted to float32, C order */
typedef struct {
    sf_torch_tensor *tensor;
    int count;    /* network_weights, duplicates included, prefixes module./_orig_mod. stripped */
    json_t *meta; /* everything else that is plain data: init_args, current_epoch, logging,
                     _best_ema, trainer_name, inference_allowed_mirroring_axes */
} sf_torch_checkpoint;
sf_status sf_torch_load(sf_torch_checkpoint **out, const char *path);
void sf_torch_destroy(sf_torch_checkpoint **c);
const sf_torch_tensor *sf_torch_find(const sf_torch_checkpoint *c, const char *name);

#endif
