#include "kernels/convt.h"
#include "kernels/x86/direct.h"
#include <inttypes.h>

sf_status sf_convt_make(sf_convt *c, sf_shape in, int64_t out_channels, const int stride[3],
                        sf_dtype dtype)
{
    SF_CHECK(in.n > 0 && in.c > 0 && in.d > 0 && in.h > 0 && in.w > 0 && out_channels > 0,
             SF_EINVAL,
             "transposed convolution of an empty tensor (%" PRId64 " -> %" PRId64 " channels)",
             in.c, out_channels);
    for (int a = 0; a < 3; a++)
        SF_CHECK(stride[a] == 1 || stride[a] == 2, SF_EINVAL,
                 "transposed convolution: stride %d on axis %d, must be 1 or 2", stride[a], a);
    *c = (sf_convt){ .in = in, .dtype = dtype };
    for (int a = 0; a < 3; a++) c->stride[a] = stride[a];
    c->out = (sf_shape){ in.n, out_channels, in.d * stride[0], in.h * stride[1], in.w * stride[2] };
    return SF_OK;
}

double sf_convt_macs(const sf_convt *c)
{
    return (double)c->out.n * (double)c->out.c * (double)sf_voxels(c->out) * (double)c->in.c;
}

const sf_convt_impl *const sf_convt_impls[] = {
#ifdef SEGFLEET_HAVE_X86
    &sf_convt_direct_bf16, &sf_convt_direct_avx512, &sf_convt_direct_avx2,
#endif
    &sf_convt_gemm,        &sf_convt_ref,           NULL
};
