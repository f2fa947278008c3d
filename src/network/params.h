/** Named parameters: values, gradients, momentum; He initialisation; the hash of decisions.md.
 *  Order = PyTorch's parameter order (nnunet-training.md 11.2); names = the first name of each
 *  tensor in PyTorch ("encoder.stages.0.0.convs.0.conv.weight"). Arrays hold PyTorch's axis order.
 */
#ifndef SF_NETWORK_PARAMS_H
#define SF_NETWORK_PARAMS_H
#include "base/error.h"
#include "kernels/op.h"

typedef enum {
    SF_PARAM_CONV,
    SF_PARAM_CONVT,
    SF_PARAM_BIAS,
    SF_PARAM_GAMMA,
    SF_PARAM_BETA
} sf_param_kind;

typedef struct {
    char name[96];
    sf_param_kind kind;
    int ndim;
    int64_t dim[5]; /* as PyTorch prints it: 2-D convolutions have 4 entries */
    int64_t count;
    void *value, *grad, *velocity; /* grad and velocity are NULL when not training */
    bool has_grad;                 /* false: skipped by clipping and by the optimiser */
    bool has_velocity;             /* false until its first step */
} sf_param;

typedef struct {
    sf_param *item;
    int count;
    sf_dtype dtype;
    int64_t total; /* elements over all parameters */
} sf_params;

/** Borrowed; NULL when absent. */
sf_param *sf_params_find(const sf_params *p, const char *name);
/** weight ~ N(0, gain^2/fan_in), gain = sqrt(2/(1+slope^2)), fan_in = dim[1]*kernel voxels (also
 * for transposed convolutions); biases 0, gamma 1, beta 0. Depends on (seed, scope, name) only. */
void sf_params_init(sf_params *p, uint64_t seed, const char *scope, double slope);
/** SHA-256 over all parameter tensors in name order, float32 little-endian, PyTorch's axis order.
 */
sf_status sf_params_hash(const sf_params *p, char hex[65]);

#endif
