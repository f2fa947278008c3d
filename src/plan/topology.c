#include "plan/topology.h"
#include <math.h>

/** Spacing of the finest axis among those of `mask`. */
static double finest(const double sp[3], unsigned mask)
{
    double m = INFINITY;
    for (int i = 0; i < 3; i++)
        if (mask >> i & 1 && sp[i] < m) m = sp[i];
    return m;
}

static unsigned large_enough(const double size[3], unsigned axes, double edge)
{
    unsigned mask = 0;
    for (int i = 0; i < 3; i++)
        if (axes >> i & 1 && size[i] >= edge) mask |= 1u << i;
    return mask;
}

static unsigned near_finest(const double sp[3], unsigned mask, double fine, double ratio)
{
    unsigned out = 0;
    for (int i = 0; i < 3; i++)
        if (mask >> i & 1 && sp[i] / fine < ratio) out |= 1u << i;
    return out;
}

/** v2: size first, then within the ratio of the finest axis that is left; a lone axis must be
 *  larger. */
static unsigned pool_v2(const sf_recipe_plan *r, const double sp[3], const double size[3],
                        unsigned axes)
{
    unsigned v = large_enough(size, axes, 2.0 * (double)r->min_edge);
    if (!v) return 0;
    v = near_finest(sp, v, finest(sp, v), r->pool_ratio);
    const bool lone = (v & (v - 1)) == 0;
    if (lone) v = large_enough(size, v, (double)(r->lone_axis_factor * r->min_edge));
    return v;
}

/** Paper: an axis is pooled until its map would have fewer than min_edge voxels or the spacings
 *  would become anisotropic, seen from the finest axis of all. */
static unsigned pool_paper(const sf_recipe_plan *r, const double sp[3], const double size[3],
                           unsigned axes)
{
    const unsigned v = near_finest(sp, axes, finest(sp, axes), r->pool_ratio);
    return large_enough(size, v, 2.0 * (double)r->min_edge);
}

/** Kernel 1 along axes that are much coarser than the finest one; once 3, always 3. */
static void widen_kernels(int k[3], const sf_recipe_plan *r, const double sp[3], unsigned axes)
{
    const double fine = finest(sp, axes);
    for (int i = 0; i < 3; i++) {
        const double ratio = sp[i] / fine;
        const bool near =
            r->kernel_size == SF_RULE_PAPER ? ratio <= r->kernel_ratio : ratio < r->kernel_ratio;
        if (axes >> i & 1 && near) k[i] = 3;
    }
}

static void add_stage(sf_topology *t, const int stride[3])
{
    for (int i = 0; i < 3; i++) t->stride[t->n_stages][i] = stride[i];
    t->n_stages++;
}

static void finish(sf_topology *t, unsigned axes, const double size[3])
{
    for (int i = 0; i < 3; i++) {
        const bool used = axes >> i & 1;
        t->kernel[t->n_stages - 1][i] = used ? 3 : 1;
        t->div[i] = 1;
        for (int s = 0; s < t->n_stages; s++) t->div[i] *= t->stride[s][i];
        t->patch[i] = used ? (int64_t)ceil(size[i] / (double)t->div[i]) * t->div[i] : 1;
    }
}

void sf_topology_make(sf_topology *t, const sf_recipe_plan *r, int dim, const double spacing[3],
                      const double size[3])
{
    const unsigned axes = dim == 2 ? 6u : 7u;
    const int ones[3] = { 1, 1, 1 };
    double sp[3] = { spacing[0], spacing[1], spacing[2] }, sz[3] = { size[0], size[1], size[2] };
    int k[3] = { 1, 1, 1 };
    t->n_stages = 0;
    add_stage(t, ones);
    while (t->n_stages < SF_MAX_STAGES) {
        const unsigned v =
            r->pooling == SF_RULE_PAPER ? pool_paper(r, sp, sz, axes) : pool_v2(r, sp, sz, axes);
        int stride[3];
        if (!v) break;
        widen_kernels(k, r, sp, axes);
        for (int i = 0; i < 3; i++) {
            t->kernel[t->n_stages - 1][i] = k[i];
            stride[i] = v >> i & 1 ? 2 : 1;
            if (stride[i] == 1) continue;
            sp[i] *= 2;
            sz[i] = ceil(sz[i] / 2);
        }
        add_stage(t, stride);
    }
    finish(t, axes, size);
}
