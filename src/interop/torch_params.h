/** PyTorch weights -> the parameters of a network. The names of PlainConvUNet and
 * ResidualEncoderUNet are our parameter names (nnunet-training.md 11.2); duplicates under other
 * names are ignored. Not collective. */
#ifndef SF_INTEROP_TORCH_PARAMS_H
#define SF_INTEROP_TORCH_PARAMS_H
#include "interop/torch.h"
#include "network/params.h"

/** Copy every parameter's value. Gradients and momentum are untouched.
 *  @return SF_EDATA naming the first parameter that is missing or has another shape (the plan and
 * the checkpoint do not belong together), or a weight of the checkpoint that the network does not
 * have. Values are unspecified after an error. */
sf_status sf_torch_to_params(const sf_torch_checkpoint *c, sf_params *p);

#endif
