/** Addresses inside views, shared by the kernels' own files (not by callers).
 *  Local coordinates count from the first element of the part that a view holds; global ones from
 *  the first element of the whole volume. */
#ifndef SF_KERNELS_VIEW_H
#define SF_KERNELS_VIEW_H
#include "kernels/op.h"

/** Offset in elements of lane 0 of channel block `cb` at local (z,y,x). */
static inline int64_t sf_view_offset(const sf_view *v, int64_t n, int64_t cb, int64_t z, int64_t y,
                                     int64_t x)
{
    return n * v->stride_n + cb * v->stride_c + z * v->stride_d + y * v->stride_h + x * SF_CBLOCK;
}

/** The axis that slices are counted along: z in 3-D, y in 2-D. */
static inline int sf_slice_axis(const int64_t extent[3]) { return extent[0] > 1 ? 0 : 1; }

/** Global slice index of local row (z,y). */
static inline int64_t sf_slice_of(const sf_view *v, int64_t z, int64_t y)
{
    return sf_slice_axis(v->extent) == 0 ? v->origin[0] + z : v->origin[1] + y;
}

/** Number of channels of the lanes of block cb (16, or fewer in the last block). */
static inline int64_t sf_block_lanes(int64_t c, int64_t cb)
{
    return c - cb * SF_CBLOCK < SF_CBLOCK ? c - cb * SF_CBLOCK : SF_CBLOCK;
}

static inline int64_t sf_blocks(int64_t c) { return (c + SF_CBLOCK - 1) / SF_CBLOCK; }

/** The local box [lo, hi) of rows that belongs to slice `s` (local index) of a view. */
typedef struct {
    int64_t z0, z1, y0, y1;
} sf_slice_box;
static inline sf_slice_box sf_slice_rows(const sf_view *v, int64_t s)
{
    const bool deep = sf_slice_axis(v->extent) == 0;
    const sf_slice_box b = { deep ? s : 0, deep ? s + 1 : v->shape.d, deep ? 0 : s,
                             deep ? v->shape.h : s + 1 };
    return b;
}
/** Slices that the view itself holds. */
static inline int64_t sf_slices_held(const sf_view *v)
{
    return sf_slice_axis(v->extent) == 0 ? v->shape.d : v->shape.h;
}

#endif
