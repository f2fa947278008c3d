#include "kernels/bf16.h"
#include "kernels/op.h"
#include "kernels/view.h"

sf_view sf_view_dense(void *data, sf_dtype dtype, sf_shape s)
{
    sf_view v = { .data = data, .dtype = dtype, .shape = s };
    v.stride_h = s.w * SF_CBLOCK;
    v.stride_d = s.h * v.stride_h;
    v.stride_c = s.d * v.stride_d;
    v.stride_n = sf_blocks(s.c) * v.stride_c;
    v.extent[0] = s.d;
    v.extent[1] = s.h;
    v.extent[2] = s.w;
    return v;
}

size_t sf_view_bytes(sf_dtype dtype, sf_shape s)
{
    return (size_t)(s.n * sf_cpad(s.c) * sf_voxels(s)) * sf_dtype_size(dtype);
}

sf_view sf_view_slab(const sf_view *whole, int64_t lo, int64_t hi)
{
    sf_view v = *whole;
    const int axis = sf_slice_axis(v.extent);
    const int64_t step = axis == 0 ? v.stride_d : v.stride_h;
    v.data = (char *)v.data + lo * step * (int64_t)sf_dtype_size(v.dtype);
    *(axis == 0 ? &v.shape.d : &v.shape.h) = hi - lo;
    v.origin[axis] = lo;
    v.halo[axis][0] = lo;
    v.halo[axis][1] = v.extent[axis] - hi;
    return v;
}

sf_view sf_view_chunk(void *data, sf_dtype dtype, sf_shape whole, int64_t lo, int64_t hi)
{
    const int64_t extent[3] = { whole.d, whole.h, whole.w };
    const int axis = sf_slice_axis(extent);
    *(axis == 0 ? &whole.d : &whole.h) = hi - lo;
    sf_view v = sf_view_dense(data, dtype, whole);
    v.origin[axis] = lo;
    v.extent[axis] = extent[axis];
    return v;
}

double sf_tree_sum(const double *v, int64_t n, int64_t stride)
{
    if (n <= 0) return 0.0;
    if (n == 1) return v[0];
    int64_t half = 1;
    while (half * 2 < n) half *= 2;
    return sf_tree_sum(v, half, stride) + sf_tree_sum(v + half * stride, n - half, stride);
}

#define REAL    float
#define NAME(x) x##_f32
#include "kernels/ref/layout_ref.inc"
#undef REAL
#undef NAME
#define REAL    double
#define NAME(x) x##_f64
#include "kernels/ref/layout_ref.inc"
#undef REAL
#undef NAME

void sf_block(const void *plain, const sf_view *dst, int threads)
{
    if (dst->dtype == SF_F64)
        block_f64(plain, dst, threads);
    else
        block_f32(plain, dst, threads);
}

void sf_unblock(const sf_view *src, void *plain, int threads)
{
    if (src->dtype == SF_F64)
        unblock_f64(src, plain, threads);
    else
        unblock_f32(src, plain, threads);
}
