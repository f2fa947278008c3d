/** The few operations of the graph that are not kernels: adding partial sums, residual sums,
 *  average pooling, on blocked tensors or slabs of them (or plain arrays where said). They read and
 *  write the part that a view holds, never its halo.
 *  All in float or double (views of bfloat16: in float; all views of a call of one type), same bits
 * for any number of threads, cannot fail. Thread-safe. */
#ifndef SF_NETWORK_POINTWISE_H
#define SF_NETWORK_POINTWISE_H
#include "kernels/op.h"

/** dst[i] += src[i], plain arrays of n elements. */
void sf_add_into(sf_dtype dtype, int64_t n, void *dst, const void *src, int threads);

/** out = load(a) + load(b); all of one shape (the slab's). */
void sf_residual_add(const sf_input *a, const sf_input *b, const sf_view *out, int threads);
/** Gradient of act(sum) in g -> gradient of the sum, written (or added) to ga and gb. */
typedef struct {
    sf_view sum, g, ga, gb;
    double slope;
    bool accumulate_a, accumulate_b;
    int threads;
} sf_residual_bwd;
void sf_residual_backward(const sf_residual_bwd *r);

/** out = mean of load(in) over windows that do not overlap; out.shape * window = in.shape. A slab
 *  begins and ends between two windows. */
void sf_pool_forward(const sf_input *in, const int window[3], const sf_view *out, int threads);
/** din (= or +=) dout / voxels of the window. */
void sf_pool_backward(const sf_view *dout, const int window[3], const sf_view *din, bool accumulate,
                      int threads);

#endif
