/** SGD + Nesterov + clipping + poly schedule over a parameter set (nnunet-training.md 4). Not
 * collective. */
#ifndef SF_NETWORK_OPTIM_H
#define SF_NETWORK_OPTIM_H
#include "network/params.h"

typedef struct {
    double lr0, momentum, decay, clip_norm, poly_power;
} sf_optim; /* from the recipe; clip_norm <= 0: off */

/** lr0 * (1 - epoch/epochs)^power */
double sf_optim_lr(const sf_optim *o, int64_t epoch, int64_t epochs);
/** L2 norm of all present gradients: per-parameter sf_sum_squares combined by sf_tree_sum in order.
 */
double sf_optim_grad_norm(const sf_params *p, int threads);
/** Clip to clip_norm (factor min(1, clip/(norm+1e-6))) and step every parameter that has a
 * gradient. @param[out] norm may be NULL. */
void sf_optim_step(const sf_optim *o, double lr, sf_params *p, int threads, double *norm);

#endif
