#include "fleet/cost.h"
#include "network/slabs.h"

_Static_assert((int)SF_LAYOUT_SLABS == (int)SF_MAX_SLABS, "one entry per number of slabs");

static double stage_cost(const sf_config *c, int stage)
{
    double voxels = (double)(c->patch[0] * c->patch[1] * c->patch[2]);
    int kernel = 1;
    for (int s = 0; s <= stage; s++)
        for (int a = 0; a < 3; a++) voxels /= c->arch.stride[s][a];
    for (int a = 0; a < 3; a++) kernel *= c->arch.kernel[stage][a];
    /* two convolutions on the way down, or two in each block, and two on the way up */
    const int convs = 2 + (c->arch.net == SF_NET_RESENC ? 2 * c->arch.blocks[stage] : 2);
    return voxels * (double)(c->arch.features[stage] * c->arch.features[stage]) * kernel * convs;
}

void sf_cost_of(sf_layout_task *out, const sf_config *c, int64_t batch)
{
    double all = 0;
    *out = (sf_layout_task){ .batch = batch, .slabs = sf_slabs_most(c->patch) };
    for (int s = 0; s < c->arch.n_stages; s++) all += stage_cost(c, s);
    out->work = all * (double)batch;
    for (int n = 2; n <= out->slabs; n++) {
        sf_slabs slabs;
        double thin = 0;
        if (sf_slabs_plan(&slabs, &c->arch, c->patch, n) != SF_OK) continue;
        for (int s = slabs.n_split; s < c->arch.n_stages; s++) thin += stage_cost(c, s);
        out->thin[n] = thin / all;
    }
}
