/** How the volume of one sample is cut into slabs for several ranks: along the axis of the slices
 *  (kernels/op.h), between leaves of the weight gradient, so that no sum and no tile of a kernel is
 *  cut. A resolution is *split* when the cuts fall between its leaves and all finer ones are split;
 *  the coarser ones are *thin*: every rank of the sample computes them whole, and the first one
 *  their weight gradients.
 *  Pure functions of architecture and patch: every rank knows the cuts of all others.
 *  Source: decisions.md "Numbers and bits" 2, 3. */
#ifndef SF_NETWORK_SLABS_H
#define SF_NETWORK_SLABS_H
#include "kernels/op.h"
#include "plan/plans.h"

enum { SF_MAX_SLABS = 16 };

/** One way of cutting; a plain value. */
typedef struct {
    int n;                            /* slabs; 1: nothing is split */
    int64_t border[SF_MAX_SLABS + 1]; /* in slices of the full resolution */
    int n_split;                      /* split resolutions, finest first */
    int64_t split[SF_MAX_STAGES][3];  /* their extents */
} sf_slabs;

/** Cut into n slabs such that as many resolutions as possible are split. SF_EINVAL: n is more than
 *  sf_slabs_most. */
sf_status sf_slabs_plan(sf_slabs *out, const sf_arch *arch, const int64_t patch[3], int n);
/** The most slabs: leaves of the full resolution. */
int sf_slabs_most(const int64_t patch[3]);
/** Is the resolution with the extents of `shape` (n and c do not count) cut? */
bool sf_slabs_split(const sf_slabs *s, sf_shape shape);
/** First slice of slab h (0..n; n: the end) of a split resolution. */
int64_t sf_slabs_slice(const sf_slabs *s, sf_shape shape, int h);
/** First of the leaves (`leaves` of them over `shape`) whose sums slab h makes; thin: slab 0 all.
 */
int64_t sf_slabs_leaf(const sf_slabs *s, sf_shape shape, int64_t leaves, int h);

#endif
