/** SGD with Nesterov momentum, one pass: g = clip*g + decay*p; v = first ? g : momentum*v + g;
 *  p -= lr*(g + momentum*v). Source: nnunet-training.md 4. */
#ifndef SF_KERNELS_SGD_H
#define SF_KERNELS_SGD_H
#include "kernels/op.h"

typedef struct {
    double lr, momentum, decay, clip;
    bool first;
} sf_sgd;
void sf_sgd_step(sf_dtype dtype, int64_t n, const sf_sgd *s, void *p, const void *g, void *v,
                 int threads);
/** Sum of squares in double over fixed blocks of 4096, combined by sf_tree_sum. Same bits for any
 * threads. */
double sf_sum_squares(sf_dtype dtype, int64_t n, const void *g, int threads);

#endif
