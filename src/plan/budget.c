#include "plan/budget.h"

static bool changes(const sf_arch *a, int s)
{
    const int *st = a->stride[s];
    return st[0] != 1 || st[1] != 1 || st[2] != 1 || a->features[s] != a->features[s - 1];
}

/** Encoder stage: convolutions, or residual blocks of two with a projection where shape changes. */
static double encoder_stage(const sf_arch *a, int s, double maps)
{
    if (a->net == SF_NET_PLAIN) return a->blocks[s] * maps;
    const double stem = s == 0 ? maps : 0, projection = s > 0 && changes(a, s) ? maps : 0;
    return stem + 2.0 * a->blocks[s] * maps + projection;
}

double sf_budget_estimate(const sf_arch *a, const int64_t patch[3], int n_entries)
{
    int64_t size[3] = { patch[0], patch[1], patch[2] };
    double sum = 0;
    for (int s = 0; s < a->n_stages; s++) {
        double voxels = 1;
        for (int i = 0; i < 3; i++) {
            size[i] /= a->stride[s][i];
            voxels *= (double)size[i];
        }
        const double maps = voxels * (double)a->features[s];
        sum += encoder_stage(a, s, maps);
        /* the decoder's convolutions of this level and the transposed convolution into it */
        if (s < a->n_stages - 1) sum += (a->decoder_convs[a->n_stages - 2 - s] + 1) * maps;
    }
    if (a->n_stages > 1)
        sum += (double)n_entries * (double)patch[0] * (double)patch[1] * (double)patch[2];
    return sum;
}
