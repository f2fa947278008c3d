#include "kernels/conv.h"
#include "kernels/view.h"
#include "kernels/x86/direct.h"
#include <inttypes.h>

static bool positive(sf_shape s) { return s.n > 0 && s.c > 0 && s.d > 0 && s.h > 0 && s.w > 0; }

sf_status sf_conv_make(sf_conv *c, sf_shape in, int64_t out_channels, const int kernel[3],
                       const int stride[3], sf_dtype dtype)
{
    SF_CHECK(positive(in) && out_channels > 0, SF_EINVAL,
             "convolution of an empty tensor (%" PRId64 " -> %" PRId64 " channels)", in.c,
             out_channels);
    for (int a = 0; a < 3; a++) {
        SF_CHECK(kernel[a] == 1 || kernel[a] == 3, SF_EINVAL,
                 "convolution: kernel %d on axis %d, must be 1 or 3", kernel[a], a);
        SF_CHECK(stride[a] == 1 || stride[a] == 2, SF_EINVAL,
                 "convolution: stride %d on axis %d, must be 1 or 2", stride[a], a);
    }
    *c = (sf_conv){ .in = in, .dtype = dtype, .in_blocks = sf_blocks(in.c) };
    for (int a = 0; a < 3; a++) {
        c->kernel[a] = kernel[a];
        c->stride[a] = stride[a];
    }
    /* in + 2 pad - k = in - 1 for k = 1 and k = 3 */
    c->out = (sf_shape){ in.n, out_channels, (in.d - 1) / stride[0] + 1, (in.h - 1) / stride[1] + 1,
                         (in.w - 1) / stride[2] + 1 };
    return SF_OK;
}

double sf_conv_macs(const sf_conv *c)
{
    return (double)c->out.n * (double)c->out.c * (double)sf_voxels(c->out) * (double)c->in.c *
           c->kernel[0] * c->kernel[1] * c->kernel[2];
}

const sf_conv_impl *const sf_conv_impls[] = {
#ifdef SEGFLEET_HAVE_X86
    &sf_conv_wino_bf16,   &sf_conv_head_bf16,   &sf_conv_direct_bf16,
    &sf_conv_wino_avx512, &sf_conv_head_avx512, &sf_conv_direct_avx512,
    &sf_conv_wino_avx2,   &sf_conv_head_avx2,   &sf_conv_direct_avx2,
#endif
    &sf_conv_gemm,        &sf_conv_ref,         NULL
};
