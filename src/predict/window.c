#include "predict/window.h"
#include "base/mem.h"
#include <math.h>

sf_status sf_window_steps(int64_t **start, int *count, int64_t n, int64_t patch, double step)
{
    SF_CHECK(patch > 0 && n >= patch, SF_EINTERNAL, "a window of %lld in %lld voxels",
             (long long)patch, (long long)n);
    SF_CHECK(step > 0 && step <= 1, SF_EINVAL, "tile step %g: must be above 0 and at most 1", step);
    const double tiles = ceil((double)(n - patch) / ((double)patch * step)) + 1;
    SF_CHECK(tiles < 1e6, SF_EINVAL,
             "tile step %g gives %g windows along one axis; use a larger step", step, tiles);
    *count = (int)tiles;
    const double actual = *count > 1 ? (double)(n - patch) / (double)(*count - 1) : 0.0;
    SF_TRY(sf_mem_alloc(start, (size_t)*count, sizeof **start, SF_MEM_MISC));
    for (int i = 0; i < *count; i++) (*start)[i] = (int64_t)rint(actual * (double)i);
    return SF_OK;
}

/** One axis of the map, peak 1. */
static void line(int64_t n, double sigma_scale, double *w)
{
    const double sigma = (double)n * sigma_scale, radius = floor(4.0 * sigma + 0.5);
    for (int64_t i = 0; i < n; i++) {
        const double d = (double)(i - n / 2);
        w[i] = fabs(d) > radius ? 0.0 : d == 0.0 ? 1.0 : exp(-0.5 * d * d / (sigma * sigma));
    }
}

/** A voxel without weight would divide 0 by 0 where a single window covers it. */
static void replace_zeros(float *map, int64_t n)
{
    float least = INFINITY;
    for (int64_t i = 0; i < n; i++)
        if (map[i] > 0.0f && map[i] < least) least = map[i];
    for (int64_t i = 0; i < n; i++)
        if (map[i] == 0.0f) map[i] = least;
}

sf_status sf_window_gaussian(const int64_t patch[3], double sigma_scale, double scale, float *map)
{
    const int64_t d = patch[0], h = patch[1], w = patch[2];
    SF_CHECK(sigma_scale > 0 && scale > 0, SF_EINVAL, "importance map of width %g and height %g",
             sigma_scale, scale);
    double *lines;
    SF_TRY(sf_mem_alloc(&lines, (size_t)(d + h + w), sizeof *lines, SF_MEM_SCRATCH));
    double *wz = lines, *wy = lines + d, *wx = lines + d + h;
    line(d, sigma_scale, wz);
    line(h, sigma_scale, wy);
    line(w, sigma_scale, wx);
    for (int64_t z = 0; z < d; z++)
        for (int64_t y = 0; y < h; y++)
            for (int64_t x = 0; x < w; x++)
                map[(z * h + y) * w + x] = (float)(scale * (wz[z] * wy[y] * wx[x]));
    replace_zeros(map, d * h * w);
    sf_mem_free(lines);
    return SF_OK;
}
