/** PyTorch checkpoints, read safely: zip container (stored members, central directory) + a closed
 * subset of pickle; nothing is ever executed, unknown opcodes and globals are refused by name
 * (nnunet-training.md 11). Not collective. */
#ifndef SF_INTEROP_TORCH_H
#define SF_INTEROP_TORCH_H
#include "base/error.h"
#include "base/json.h"
#include <stdint.h>

/** One tensor of the file, converted to float32 in C order whatever its type and strides were. */
typedef struct {
    char *name; /* prefixes module. and _orig_mod. are stripped */
    int ndim;
    int64_t dim[8];
    int64_t count;
    float *data; /* owned by the checkpoint; tensors that share storage share this memory */
} sf_torch_tensor;

typedef struct {
    sf_torch_tensor *tensor; /* network_weights in the file's order, duplicates included */
    int count;
    json_t *meta; /* everything else that is plain data: init_args, current_epoch, logging,
                     _best_ema, trainer_name, inference_allowed_mirroring_axes */
} sf_torch_checkpoint;

/** Read an nnU-Net v2 checkpoint. Caller destroys.
 *  @return SF_EIO when it cannot be read; SF_EDATA (file and what is broken) for damage or when it
 * is no nnU-Net checkpoint; SF_EUNSUPPORTED by name for compression, PyTorch's old format,
 * big-endian files and anything outside the closed lists. *out is NULL then. Thread-safe. */
sf_status sf_torch_load(sf_torch_checkpoint **out, const char *path);
/** NULL and *NULL are fine. */
void sf_torch_destroy(sf_torch_checkpoint **c);
/** First tensor of that name, borrowed; NULL when absent. */
const sf_torch_tensor *sf_torch_find(const sf_torch_checkpoint *c, const char *name);

#endif
