/** Convolution (cross-correlation), kernel 1 or 3 per axis, stride 1 or 2 per axis, zero padding
 *  (k-1)/2; output extent = (in + 2*pad - k)/stride + 1. Weights in files' and PyTorch's order
 *  (out, in, kz, ky, kx), in the compute type (float for F32 and BF16, double for F64).
 *  Input = a list of channel blocks, which is how concatenation works: block i covers the weight's
 *  input channels after those of blocks 0..i-1.
 *  Every variant gives the same bits for any number of threads. Source: paper, Methods: Network
 *  architecture; nnunet-training.md 1.1. */
#ifndef SF_KERNELS_CONV_H
#define SF_KERNELS_CONV_H
#include "kernels/op.h"

/** The problem: whole-volume shapes; in.c is the sum over all input blocks. */
typedef struct {
    sf_shape in, out;
    int kernel[3], stride[3]; /* z,y,x */
    sf_dtype dtype;
    int64_t in_blocks; /* 16-channel blocks of all input blocks together; more than in.c needs when
                          concatenated ones are padded. sf_conv_make: one input */
    bool exact; /* only variants that sum the products themselves (--conv exact): no Winograd */
} sf_conv;

/** Fill `out` from the input shape. SF_EINVAL for a kernel or stride outside the contract. */
sf_status sf_conv_make(sf_conv *c, sf_shape in, int64_t out_channels, const int kernel[3],
                       const int stride[3], sf_dtype dtype);

typedef struct {
    const sf_input *in;
    int n_in;
    const void *weight, *bias; /* bias [out.c] or NULL */
    sf_view out;               /* forward: written; pad lanes get 0 */
    double *stats; /* [n][sf_cpad(out.c)][slices][2] sum and sum of squares of the output per slice,
                      or NULL */
    int threads;
} sf_conv_fwd;

typedef struct {
    const void *weight;
    sf_view dout;       /* gradient of the convolution's output */
    const sf_view *din; /* one view per input block: gradient with respect to the *loaded* value */
    const bool *accumulate; /* per block: add to din instead of overwriting */
    int n_in;
    int threads;
} sf_conv_bwd_data;

/** One leaf of the weight gradient: sample `n`, output slices [slice0, slice1). Of `dout` nothing
 *  else is read: it may hold these slices alone, and with stride_n 0 this sample alone. */
typedef struct {
    const sf_input *in;
    int n_in;
    sf_view dout;
    int64_t n, slice0, slice1;
    void *dweight; /* overwritten with this leaf's sum, PyTorch order */
    void *dbias;   /* [out.c] or NULL, overwritten */
    int threads;
} sf_conv_bwd_weight;

/** A variant: refuses what it cannot do; the reference is last in every list and accepts all. */
typedef struct {
    const char *name;                 /* "gemm", "ref": in logs, tests and benchmarks */
    unsigned isa;                     /* SF_ISA_* bits it needs (kernels/cpu.h) */
    bool (*accepts)(const sf_conv *); /* NULL = always */
    size_t (*scratch)(const sf_conv *, int threads); /* bytes of workspace; NULL = none */
    sf_status (*forward)(const sf_conv *, const sf_conv_fwd *, void *scratch);
    sf_status (*backward_data)(const sf_conv *, const sf_conv_bwd_data *, void *scratch);
    sf_status (*backward_weight)(const sf_conv *, const sf_conv_bwd_weight *, void *scratch);
} sf_conv_impl;

extern const sf_conv_impl sf_conv_ref, sf_conv_gemm;
#ifdef SEGFLEET_HAVE_X86
extern const sf_conv_impl sf_conv_wino_bf16, sf_conv_wino_avx512, sf_conv_wino_avx2;
extern const sf_conv_impl sf_conv_head_bf16, sf_conv_head_avx512, sf_conv_head_avx2;
#endif
extern const sf_conv_impl *const sf_conv_impls[]; /* best first, NULL-terminated */

/** Multiply-adds of one forward pass. */
double sf_conv_macs(const sf_conv *c);

#endif
