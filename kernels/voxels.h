/** Inner loops of augmentation: over rows and lanes of plain voxels, once per instruction set.
 *
 *  All of them give the same bits on every instruction set: one source without contraction or
 *  reassociation; sums run in 16 lanes, element i in lane i mod 16, that are added pairwise at the
 *  end. Every function is thread-safe on its own output and cannot fail. Not collective.
 *  Sources: nnunet-training.md 6.2 (formulas); Salmon et al., SC 2011 (Philox). */
#ifndef SF_KERNELS_VOXELS_H
#define SF_KERNELS_VOXELS_H
#include <stdbool.h>
#include <stdint.h>

/** A volume that is read at positions x = (x0, x1, x2) in voxels; borrowed. */
typedef struct {
    const float *x;           /* the sample at position 0 of the lowest tap */
    int64_t stride0, stride1; /* in elements; axis 2 is contiguous; volume < 2^31 elements */
    bool planar;              /* x0 is a whole number: one tap along axis 0 */
} sf_voxel_grid;

/** Positions of neighbouring voxels of one output row: voxel k reads at start + k * step. */
typedef struct {
    double start[3], step[3];
} sf_voxel_row;

/** Extremes, and sums of (x - x[0]) and of its square. */
typedef struct {
    float lo, hi;
    double sum, squares;
} sf_voxel_stats;

/** x -> x^gamma * scale + shift after (x - lo) * inverse; negative bases count as 0. */
typedef struct {
    float lo, inverse, gamma, scale, shift;
} sf_voxel_power;

typedef struct {
    const char *name;
    unsigned isa; /* SF_ISA_* bits that it needs (cpu.h) */

    /** Cubic B-spline: grid->x are coefficients; taps floor(x)..floor(x)+3 of every axis, so a grid
     *  with one sample in front begins at position 0. All positions >= 0. */
    void (*cubic_row)(float *dst, int64_t count, const sf_voxel_grid *grid,
                      const sf_voxel_row *row);
    /** Linear: taps floor(x) and floor(x)+1; all positions >= 0. */
    void (*linear_row)(float *dst, int64_t count, const sf_voxel_grid *grid,
                       const sf_voxel_row *row);
    /** Element number of floor(x): offset[k] = f0 * stride0 + f1 * stride1 + f2. */
    void (*offset_row)(int32_t *offset, int64_t count, int64_t stride0, int64_t stride1,
                       const sf_voxel_row *row);
    /** Samples -> cubic B-spline coefficients in place, `lanes` neighbouring lines at once whose
     *  samples are `stride` floats apart. first [n_first]: weights of the samples in the first
     *  causal coefficient; n >= 2. */
    void (*spline)(float *x, int64_t n, int64_t stride, int64_t lanes, const float *first,
                   int64_t n_first);
    /** dst[i] = sum over k of weight[k] * src[k * stride + i], i < inner; no overlap. */
    void (*band)(float *dst, const float *src, int64_t stride, int64_t inner, const float *weight,
                 int64_t taps);
    /** dst [columns][rows] = src [rows][columns], rows src_stride and dst_stride apart. */
    void (*transpose)(float *dst, int64_t dst_stride, const float *src, int64_t src_stride,
                      int64_t rows, int64_t columns);
    /** x[i] += sigma * N(0,1): Box-Muller on the Philox blocks that begin at ctr, two numbers per
     *  block; equal to sf_rng_fill_normal but for the last bit of few numbers. */
    void (*add_normal)(float *x, int64_t count, float sigma, const uint32_t key[2],
                       const uint32_t ctr[4]);
    /** count >= 1. */
    void (*stats)(sf_voxel_stats *out, const float *x, int64_t count);
    /** In place; stats of the result. Error of the power below 3e-7. count >= 1. */
    void (*power)(float *x, int64_t count, const sf_voxel_power *p, sf_voxel_stats *out);
} sf_voxel_ops;

/** The best for this processor and SEGFLEET_ISA; never NULL. */
const sf_voxel_ops *sf_voxel_ops_pick(void);
/** All, best first, ended by the reference (isa 0): for tests. */
extern const sf_voxel_ops *const sf_voxel_ops_all[];

#endif
