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
/** Gradients are squared and summed in blocks of this many elements, then by sf_tree_sum over the
 *  blocks of a parameter, then over all parameters (0 where there is no gradient). */
enum { SF_OPTIM_BLOCK = 4096 };
/** The sums of the blocks of elements [begin, end) of a gradient, begin a multiple of the block.
 *  @return how many */
int64_t sf_optim_squares(sf_dtype dtype, const sf_param *q, int64_t begin, int64_t end,
                         double *out);
/** Factor that clips gradients of this norm: min(1, clip_norm/(norm + 1e-6)), 1 when off. */
double sf_optim_clip(const sf_optim *o, double norm);
/** Step elements [begin, end) of one parameter of a set of type `dtype`; has_velocity is left as it
 *  is (a first step while it is false). Parts may be stepped in any order: the same bits. */
void sf_optim_step_part(const sf_optim *o, double lr, double clip, sf_dtype dtype,
                        const sf_param *q, int64_t begin, int64_t end, int threads);
/** Clip to clip_norm (factor min(1, clip/(norm+1e-6))) and step every parameter that has a
 * gradient. @param[out] norm may be NULL. */
void sf_optim_step(const sf_optim *o, double lr, sf_params *p, int threads, double *norm);

#endif
