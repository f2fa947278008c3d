#include "kernels/gemm/tile.h"
#include "kernels/view.h"
#include <string.h>

enum { TILE_VOXELS = 512, TILE_WIDTH = 32, TILE_DEPTH = 4 };

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

sf_tiling sf_tiling_make(const sf_gather_axis axis[3], const int64_t extent[3])
{
    sf_tiling t;
    /* 4 slices (rows in 2-D), as slabs and leaves end there: no slab cuts a tile, whose height may
       decide how BLAS adds */
    const bool flat = extent[0] == 1;
    t.size[2] = sf_even_size(extent[2], flat ? TILE_DEPTH * TILE_WIDTH : TILE_WIDTH);
    t.size[0] = min64(extent[0], TILE_DEPTH);
    t.size[1] = flat ? min64(extent[1], TILE_DEPTH)
                     : sf_even_size(extent[1], TILE_VOXELS / (t.size[2] * t.size[0]));
    t.taps = 1;
    for (int a = 0; a < 3; a++) {
        t.patch[a] = (t.size[a] - 1) * axis[a].istep + (axis[a].n > 0 ? axis[a].n : 1);
        t.taps *= axis[a].n;
    }
    t.max_voxels = t.size[0] * t.size[1] * t.size[2];
    return t;
}

int64_t sf_tiling_patch_floats(const sf_tiling *t)
{
    return t->patch[0] * t->patch[1] * t->patch[2] * SF_CBLOCK;
}

int64_t sf_tiling_column_floats(const sf_tiling *t) { return t->max_voxels * t->taps * SF_CBLOCK; }

/* Copies of a few tens of floats: fixed lengths become straight vector code. */
static inline float *copy(float *dst, const float *src, int64_t n)
{
    if (n == 3 * SF_CBLOCK)
        memcpy(dst, src, 3 * SF_CBLOCK * sizeof *dst);
    else if (n == SF_CBLOCK)
        memcpy(dst, src, SF_CBLOCK * sizeof *dst);
    else
        memcpy(dst, src, (size_t)n * sizeof *dst);
    return dst + n;
}

static void load_patch(const int64_t size[3], const sf_gather_axis axis[3], const sf_tile *tile,
                       const sf_input *in, const sf_block_at *b, int64_t n, float *patch)
{
    for (int64_t z = 0; z < size[0]; z++)
        for (int64_t y = 0; y < size[1]; y++) {
            const int64_t g[3] = { tile->lo[0] * axis[0].istep + axis[0].first + z,
                                   tile->lo[1] * axis[1].istep + axis[1].first + y,
                                   tile->lo[2] * axis[2].istep + axis[2].first };
            sf_gather_row(in, b, n, g, size[2], patch);
            patch += size[2] * b->lanes;
        }
}

void sf_tile_columns(const sf_tiling *t, const sf_gather_axis axis[3], const sf_tile *tile,
                     const sf_input *in, const sf_block_at *b, int64_t n, float *patch, float *col)
{
    int64_t size[3];
    (void)t;
    for (int a = 0; a < 3; a++)
        size[a] = (tile->hi[a] - tile->lo[a] - 1) * axis[a].istep + axis[a].n;
    load_patch(size, axis, tile, in, b, n, patch);
    const int64_t row = size[2] * b->lanes, plane = size[1] * row;
    for (int64_t z = 0; z < tile->hi[0] - tile->lo[0]; z++)
        for (int64_t y = 0; y < tile->hi[1] - tile->lo[1]; y++)
            for (int64_t x = 0; x < tile->hi[2] - tile->lo[2]; x++) {
                const float *p = patch + z * axis[0].istep * plane + y * axis[1].istep * row +
                                 x * axis[2].istep * b->lanes;
                for (int kz = 0; kz < axis[0].n; kz++)
                    for (int ky = 0; ky < axis[1].n; ky++)
                        col = copy(col, p + kz * plane + ky * row, axis[2].n * b->lanes);
            }
}
