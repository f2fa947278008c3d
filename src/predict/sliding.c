#include "predict/sliding.h"
#include "base/mem.h"
#include "predict/window.h"
#include <string.h>

void sf_sliding_free(sf_sliding *t)
{
    for (int a = 0; a < 3; a++) sf_mem_free(t->start[a]);
    memset(t, 0, sizeof *t);
}

/** All subsets of the allowed axes: bit i of the subset's number is the i-th allowed axis. */
static void set_mirrors(sf_sliding *t, const bool axis[3])
{
    int allowed[3], n = 0;
    for (int a = 0; a < 3; a++)
        if (axis[a]) allowed[n++] = a;
    t->n_mirrors = 1 << n;
    for (int s = 0; s < t->n_mirrors; s++)
        for (int i = 0; i < n; i++) t->mirror[s][allowed[i]] = (s >> i & 1) != 0;
}

/** A 2-D network goes over every slice. */
static sf_status slice_starts(int64_t **start, int *count, int64_t n)
{
    SF_CHECK(n < 1000000, SF_EDATA, "%lld slices", (long long)n);
    SF_TRY(sf_mem_alloc(start, (size_t)n, sizeof **start, SF_MEM_MISC));
    for (int64_t z = 0; z < n; z++) (*start)[z] = z;
    *count = (int)n;
    return SF_OK;
}

static sf_status set_starts(sf_sliding *t, int dim, double step)
{
    for (int a = 0; a < 3; a++) {
        const int64_t n = t->shape[a] > t->patch[a] ? t->shape[a] : t->patch[a];
        t->pad[a] = (n - t->shape[a]) / 2;
        if (dim == 2 && a == 0)
            SF_TRY(slice_starts(&t->start[0], &t->count[0], n));
        else
            SF_TRY(sf_window_steps(&t->start[a], &t->count[a], n, t->patch[a], step));
    }
    t->samples = (int64_t)t->count[0] * t->count[1] * t->count[2] * t->n_mirrors;
    return SF_OK;
}

sf_status sf_sliding_make(sf_sliding *t, const int64_t shape[3], const int64_t patch[3], int dim,
                          double step, const bool mirror_axis[3])
{
    memset(t, 0, sizeof *t);
    memcpy(t->shape, shape, sizeof t->shape);
    memcpy(t->patch, patch, sizeof t->patch);
    set_mirrors(t, mirror_axis);
    const sf_status st = set_starts(t, dim, step);
    if (st != SF_OK) sf_sliding_free(t);
    return st;
}

const bool *sf_sliding_locate(const sf_sliding *t, int64_t index, int64_t corner[3])
{
    int64_t w = index / t->n_mirrors;
    for (int a = 2; a >= 0; a--) {
        corner[a] = t->start[a][w % t->count[a]] - t->pad[a];
        w /= t->count[a];
    }
    return t->mirror[index % t->n_mirrors];
}

void sf_sliding_layer(const sf_sliding *t, int l, int64_t *lo, int64_t *hi)
{
    const int64_t first = t->start[0][l] - t->pad[0], last = first + t->patch[0];
    *lo = first < 0 ? 0 : first;
    *hi = last > t->shape[0] ? t->shape[0] : last;
}

int64_t sf_sliding_layer_samples(const sf_sliding *t)
{
    return (int64_t)t->count[1] * t->count[2] * t->n_mirrors;
}

/** One line of a channel: x from `corner`, clipped to [0, n), zeros elsewhere, backwards when
 * flipped. */
static void cut_line(const sf_source *src, int channel, int64_t offset, int64_t corner,
                     int64_t width, bool flip, float *out)
{
    const int64_t n = src->shape[2], voxels = src->shape[0] * src->shape[1] * n;
    for (int64_t i = 0; i < width; i++) {
        const int64_t x = corner + (flip ? width - 1 - i : i);
        if (x < 0 || x >= n)
            out[i] = 0.0f;
        else if (channel < src->channels)
            out[i] = src->data[channel * voxels + offset + x];
        else
            out[i] = src->seg[offset + x] == channel - src->channels + 1 ? 1.0f : 0.0f;
    }
}

void sf_sliding_cut(const sf_sliding *t, int64_t index, const sf_source *src, float *out,
                    int threads)
{
    int64_t corner[3];
    const bool *flip = sf_sliding_locate(t, index, corner);
    const int64_t d = t->patch[0], h = t->patch[1], w = t->patch[2];
    const int64_t lines = (src->channels + src->one_hot) * d * h;
#pragma omp parallel for num_threads(threads > 1 ? threads : 1) schedule(static)
    for (int64_t l = 0; l < lines; l++) {
        const int64_t y = l % h, z = l / h % d, c = l / (h * d);
        const int64_t sz = corner[0] + (flip[0] ? d - 1 - z : z),
                      sy = corner[1] + (flip[1] ? h - 1 - y : y);
        float *line = out + l * w;
        if (sz < 0 || sz >= t->shape[0] || sy < 0 || sy >= t->shape[1])
            memset(line, 0, (size_t)w * sizeof *line);
        else
            cut_line(src, (int)c, (sz * t->shape[1] + sy) * t->shape[2], corner[2], w, flip[2],
                     line);
    }
}
