#include "network/slabs.h"
#include "network/graph.h"
#include <inttypes.h>
#include <string.h>

static sf_shape shape_of(const int64_t extent[3])
{
    return (sf_shape){ 1, 1, extent[0], extent[1], extent[2] };
}

/** Extents of stage s. */
static void stage_extent(const sf_arch *a, const int64_t patch[3], int s, int64_t extent[3])
{
    memcpy(extent, patch, 3 * sizeof *extent);
    for (int i = 0; i <= s; i++)
        for (int d = 0; d < 3; d++) extent[d] /= a->stride[i][d];
}

int sf_slabs_most(const int64_t patch[3]) { return (int)sf_graph_leaves(shape_of(patch)); }

/** The leaf that starts at this slice; -1: none does. */
static int64_t leaf_at(sf_shape shape, int64_t slice)
{
    const int64_t slices = sf_slices(shape), leaves = sf_graph_leaves(shape);
    for (int64_t l = 0; l <= leaves; l++)
        if (sf_graph_leaf_start(slices, leaves, l) == slice) return l;
    return -1;
}

/** Do all cuts fall between leaves of this resolution? */
static bool fits(const sf_slabs *s, const int64_t patch[3], const int64_t extent[3])
{
    const int64_t full = sf_slices(shape_of(patch)), slices = sf_slices(shape_of(extent));
    if ((patch[0] > 1) != (extent[0] > 1) || full % slices != 0) return false;
    for (int h = 0; h <= s->n; h++)
        if (s->border[h] % (full / slices) != 0 ||
            leaf_at(shape_of(extent), s->border[h] / (full / slices)) < 0)
            return false;
    return true;
}

/** Cuts between even shares of the leaves of stage `deepest`; counts the split stages. */
static void try_cuts(sf_slabs *s, const sf_arch *a, const int64_t patch[3], int deepest)
{
    int64_t extent[3];
    stage_extent(a, patch, deepest, extent);
    const sf_shape shape = shape_of(extent);
    const int64_t leaves = sf_graph_leaves(shape), slices = sf_slices(shape);
    s->n_split = 0;
    if (leaves < s->n || (patch[0] > 1) != (extent[0] > 1)) return;
    for (int h = 0; h <= s->n; h++)
        s->border[h] = sf_graph_leaf_start(slices, leaves, leaves * h / s->n) *
                       (sf_slices(shape_of(patch)) / slices);
    for (int i = 0; i < a->n_stages; i++) {
        stage_extent(a, patch, i, extent);
        if (!fits(s, patch, extent)) break;
        memcpy(s->split[s->n_split++], extent, sizeof extent);
    }
}

sf_status sf_slabs_plan(sf_slabs *out, const sf_arch *arch, const int64_t patch[3], int n)
{
    *out = (sf_slabs){ .n = n };
    out->border[1] = sf_slices(shape_of(patch));
    if (n == 1) return SF_OK;
    const int most = sf_slabs_most(patch);
    SF_CHECK(n > 0 && n <= most, SF_EINVAL,
             "a patch of %" PRId64 "x%" PRId64 "x%" PRId64 " of this network can be cut into at "
             "most %d slabs, not %d",
             patch[0], patch[1], patch[2], most, n);
    for (int deepest = arch->n_stages - 1; deepest >= 0; deepest--) {
        try_cuts(out, arch, patch, deepest);
        if (out->n_split > deepest) return SF_OK;
    }
    return SF_FAIL(SF_EINTERNAL, "no cuts for %d slabs", n);
}

bool sf_slabs_split(const sf_slabs *s, sf_shape shape)
{
    const int64_t extent[3] = { shape.d, shape.h, shape.w };
    for (int i = 0; s->n > 1 && i < s->n_split; i++)
        if (memcmp(s->split[i], extent, sizeof extent) == 0) return true;
    return false;
}

int64_t sf_slabs_slice(const sf_slabs *s, sf_shape shape, int h)
{
    return s->border[h] / (s->border[s->n] / sf_slices(shape));
}

int64_t sf_slabs_leaf(const sf_slabs *s, sf_shape shape, int64_t leaves, int h)
{
    if (!sf_slabs_split(s, shape)) return h == 0 ? 0 : leaves;
    return leaf_at(shape, sf_slabs_slice(s, shape, h));
}
