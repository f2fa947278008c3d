/** Transposed convolution with kernel = stride (1 or 2 per axis), no padding: outputs do not
 * overlap, out[co][z*t+r] = bias[co] + sum_ci in[ci][z] * w[ci][co][r]. Weights (in, out, tz, ty,
 * tx). One input block with its load rule; the output is raw (no norm follows) and is written
 * whole. Source: nnunet-training.md 1.1. */
#ifndef SF_KERNELS_CONVT_H
#define SF_KERNELS_CONVT_H
#include "kernels/op.h"

typedef struct {
    sf_shape in, out;
    int stride[3];
    sf_dtype dtype;
} sf_convt;

sf_status sf_convt_make(sf_convt *c, sf_shape in, int64_t out_channels, const int stride[3],
                        sf_dtype dtype);

typedef struct {
    sf_input in;
    const void *weight, *bias;
    sf_view out;
    int threads;
} sf_convt_fwd;
typedef struct {
    const void *weight;
    sf_view dout, din;
    bool accumulate;
    int threads;
} sf_convt_bwd_data;
/** One leaf: sample n, *input* slices [slice0, slice1). dweight and dbias are overwritten. */
typedef struct {
    sf_input in;
    sf_view dout;
    int64_t n, slice0, slice1;
    void *dweight, *dbias;
    int threads;
} sf_convt_bwd_weight;

typedef struct {
    const char *name;
    unsigned isa;
    bool (*accepts)(const sf_convt *);
    size_t (*scratch)(const sf_convt *, int threads);
    sf_status (*forward)(const sf_convt *, const sf_convt_fwd *, void *scratch);
    sf_status (*backward_data)(const sf_convt *, const sf_convt_bwd_data *, void *scratch);
    sf_status (*backward_weight)(const sf_convt *, const sf_convt_bwd_weight *, void *scratch);
} sf_convt_impl;

extern const sf_convt_impl sf_convt_ref, sf_convt_gemm;
extern const sf_convt_impl *const sf_convt_impls[];
double sf_convt_macs(const sf_convt *c);

#endif
