/** What all operations share: shapes, element types, the one activation layout, loading rules.
 *
 *  Layout nC[d]hw16c: channels in blocks of 16, innermost; element (n,c,z,y,x) of a view lies at
 *      data[n*stride_n + (c/16)*stride_c + z*stride_d + y*stride_h + x*16 + c%16].
 *  Lanes of the last block beyond the channel count are zero in every tensor and stay zero.
 *  2-D is d = 1. Plain layout ([n][c][z][y][x]) only at the network's input and at the logits.
 *
 *  Slabs: a view may hold a part of a volume. `origin`/`extent` place it in the whole volume, and
 *  `halo[a][0|1]` says how many neighbouring planes exist in memory before index 0 and after the
 *  last index of axis a. A coordinate outside the whole volume reads as zero *after* the load rule.
 *
 *  Sums have one fixed tree: statistics and loss terms are first summed per *slice* (one index of
 *  the first spatial axis whose whole extent is > 1: z in 3-D, y in 2-D), in an order that depends
 *  on the shape alone; slices are then combined by sf_tree_sum. Threads share work, never sums.
 *
 *  No function here allocates, prints, or knows files or MPI. All are thread-safe on disjoint data.
 *  Source: decisions.md "Numbers and bits"; conv-study section 7. */
#ifndef SF_KERNELS_OP_H
#define SF_KERNELS_OP_H
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SF_CBLOCK = 16 };
typedef enum { SF_F32, SF_F64, SF_BF16 } sf_dtype;
typedef struct {
    int64_t n, c, d, h, w;
} sf_shape;

static inline size_t sf_dtype_size(sf_dtype t) { return t == SF_F64 ? 8 : t == SF_F32 ? 4 : 2; }
static inline int64_t sf_cpad(int64_t c) { return (c + SF_CBLOCK - 1) / SF_CBLOCK * SF_CBLOCK; }
static inline int64_t sf_voxels(sf_shape s) { return s.d * s.h * s.w; }
/** Number of slices of a whole volume (see above). */
static inline int64_t sf_slices(sf_shape s) { return s.d > 1 ? s.d : s.h; }

/* SF_BF16 is a type of storage (kernels/bf16.h): views hold it, sums are made in float, and all
 * arrays beside views (weights, scale, shift, statistics, plain tensors) are what they are for
 * SF_F32. An operation of type BF16 takes views of BF16 and of F32; those that one call writes are
 * of one type. What is written to a BF16 view is rounded once, from the whole sum; what is added to
 * one, from the sum with the element that stood there. */

/** A borrowed view of blocked activations; owns nothing. */
typedef struct {
    void *data;
    sf_dtype dtype;
    sf_shape shape;                                 /* of the part held here, without halo */
    int64_t stride_n, stride_c, stride_d, stride_h; /* in elements */
    int64_t halo[3][2], origin[3],
        extent[3]; /* axes z,y,x; whole volume: halo 0, origin 0, extent = d,h,w */
} sf_view;

/** Dense view of a whole volume at `data` (sf_view_bytes bytes). */
sf_view sf_view_dense(void *data, sf_dtype dtype, sf_shape shape);
size_t sf_view_bytes(sf_dtype dtype, sf_shape shape);
/** The slices [lo, hi) of a view of a whole volume, in place: its other slices are the halo. */
sf_view sf_view_slab(const sf_view *whole, int64_t lo, int64_t hi);
/** Dense view at `data` of the slices [lo, hi) of a volume whose other slices are nowhere. */
sf_view sf_view_chunk(void *data, sf_dtype dtype, sf_shape whole, int64_t lo, int64_t hi);

/** A block of input channels with its load rule: value = act(scale[n][c]*x + shift[n][c]),
 *  act(t) = t > 0 ? t : slope*t. scale == NULL: the raw value. scale and shift are arrays
 *  [n][sf_cpad(c)] of float (dtype F32, BF16) or double (F64); pad lanes hold 0. */
typedef struct {
    sf_view x;
    const void *scale, *shift;
    double slope;
} sf_input;

/** Fixed pairwise tree over v[0], v[stride], ...: left half + right half, halves split at the
 *  largest power of two below n. The one way in which partial sums are combined. */
double sf_tree_sum(const double *v, int64_t n, int64_t stride);

/** Plain [n][c][d][h][w] <-> blocked; pad lanes are set to zero. Element types: that of the
 * view, float for BF16. The plain array is the whole volume; of it, what the view holds is copied.
 */
void sf_block(const void *plain, const sf_view *dst, int threads);
void sf_unblock(const sf_view *src, void *plain, int threads);

#endif
