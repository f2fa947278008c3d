#include "kernels/gemm/gather_gemm.h"
#include "kernels/gemm/tile.h"
#include "kernels/view.h"
#include <cblas.h>
#include <omp.h>
#include <string.h>

/* Work units are (input block, group of D channels, part of the tiles). When the first two are few,
 * the tiles are cut into parts with sums of their own, which a fixed tree then combines. */
enum { GROUP = 128, WANTED_UNITS = 16 };

typedef struct {
    sf_tiling t;
    int64_t grid[3], tiles, parts;
    int64_t d_pad, groups;
    int64_t rows; /* taps * A channels; sums are [part][rows][d_pad] */
    int64_t per_thread;
} plan;

static plan make_plan(const sf_gather_axis axis[3], const int64_t extent[3], int64_t a_channels,
                      int64_t d_channels)
{
    plan p = { .d_pad = sf_cpad(d_channels) };
    p.t = sf_tiling_make(axis, extent);
    p.tiles = 1;
    for (int a = 0; a < 3; a++) {
        p.grid[a] = (extent[a] + p.t.size[a] - 1) / p.t.size[a];
        p.tiles *= p.grid[a];
    }
    p.groups = (p.d_pad + GROUP - 1) / GROUP;
    const int64_t units = sf_blocks(a_channels) * p.groups;
    p.parts = (WANTED_UNITS + units - 1) / units;
    if (p.parts > SF_MAX_PARTS) p.parts = SF_MAX_PARTS;
    if (p.parts > p.tiles) p.parts = p.tiles;
    p.rows = p.t.taps * a_channels;
    p.per_thread = sf_tiling_patch_floats(&p.t) + sf_tiling_column_floats(&p.t) +
                   p.t.max_voxels * (p.d_pad < GROUP ? p.d_pad : GROUP);
    p.per_thread = (p.per_thread + 15) / 16 * 16;
    return p;
}

/* Any leaf is at most the whole volume; thin leaves may have fewer parts, never more floats. */
size_t sf_wgrad_gemm_scratch(const sf_gather_axis axis[3], int64_t a_channels, int64_t d_channels,
                             int threads)
{
    size_t most = 0;
    const int cut = axis[0].extent > 1 ? 0 : 1;
    int64_t extent[3] = { axis[0].extent, axis[1].extent, axis[2].extent };
    for (int64_t slices = axis[cut].extent; slices > 0; slices--) {
        extent[cut] = slices;
        const plan p = make_plan(axis, extent, a_channels, d_channels);
        const size_t floats = (size_t)(SF_MAX_PARTS * p.rows * p.d_pad + p.per_thread * threads);
        if (floats > most) most = floats;
    }
    return (most + 16) * sizeof(float);
}

/* D side of a tile: [voxels][width] from 16-lane rows. */
static void load_d(const sf_wgrad *g, const sf_tile *tile, int64_t first, int64_t width, float *row,
                   float *d)
{
    const int64_t w = tile->hi[2] - tile->lo[2];
    for (int64_t o = 0; o < width; o += SF_CBLOCK) {
        const sf_block_at b = { 0, (first + o) / SF_CBLOCK, SF_CBLOCK, first + o };
        float *to = d + o;
        for (int64_t z = tile->lo[0]; z < tile->hi[0]; z++)
            for (int64_t y = tile->lo[1]; y < tile->hi[1]; y++) {
                const int64_t at[3] = { z, y, tile->lo[2] };
                sf_gather_row(&g->d, &b, g->n, at, w, row);
                for (int64_t x = 0; x < w; x++, to += width)
                    memcpy(to, row + x * SF_CBLOCK, SF_CBLOCK * sizeof *to);
            }
    }
}

static sf_tile tile_at(const sf_wgrad *g, const plan *p, int64_t i)
{
    const int64_t at[3] = { i / (p->grid[1] * p->grid[2]), i / p->grid[2] % p->grid[1],
                            i % p->grid[2] };
    sf_tile t = { .voxels = 1 };
    for (int a = 0; a < 3; a++) {
        t.lo[a] = g->lo[a] + at[a] * p->t.size[a];
        t.hi[a] = t.lo[a] + p->t.size[a] < g->hi[a] ? t.lo[a] + p->t.size[a] : g->hi[a];
        t.voxels *= t.hi[a] - t.lo[a];
    }
    return t;
}

static void run_unit(const sf_wgrad *g, const plan *p, int64_t block, int64_t group, int64_t part,
                     float *sums, float *mine)
{
    const sf_block_at b = sf_inputs_block(g->a, g->n_a, block);
    const int64_t k = p->t.taps * b.lanes, first = group * GROUP;
    const int64_t width = p->d_pad - first < GROUP ? p->d_pad - first : GROUP;
    float *patch = mine, *col = patch + sf_tiling_patch_floats(&p->t);
    float *d = col + sf_tiling_column_floats(&p->t);
    float *c = sums + (part * p->rows + b.first * p->t.taps) * p->d_pad + first;
    const int64_t t0 = p->tiles * part / p->parts, t1 = p->tiles * (part + 1) / p->parts;
    for (int64_t i = t0; i < t1; i++) {
        const sf_tile tile = tile_at(g, p, i);
        load_d(g, &tile, first, width, patch, d);
        sf_tile_columns(&p->t, g->axis, &tile, &g->a[b.entry], &b, g->n, patch, col);
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)k, (int)width, (int)tile.voxels,
                    1.0f, col, (int)k, d, (int)width, i > t0 ? 1.0f : 0.0f, c, (int)p->d_pad);
    }
}

/* Write the gradient of 16 D channels in the order of the weights. */
static void write_block(const sf_wgrad *g, const plan *p, int64_t d_block, const float *sums)
{
    const sf_gather_axis *ax = g->axis;
    const int64_t lanes = sf_block_lanes(g->d.x.shape.c, d_block), first = d_block * SF_CBLOCK;
    const int64_t blocks = sf_inputs_blocks(g->a, g->n_a);
    const float *row = sums + first;
    float v[SF_CBLOCK];
    for (int64_t i = 0; i < blocks; i++) {
        const sf_block_at b = sf_inputs_block(g->a, g->n_a, i);
        for (int64_t t = 0; t < p->t.taps; t++) {
            const int64_t tap = ax[0].tap[t / (ax[1].n * ax[2].n)] * g->w_tap[0] +
                                ax[1].tap[t / ax[2].n % ax[1].n] * g->w_tap[1] +
                                ax[2].tap[t % ax[2].n] * g->w_tap[2];
            for (int64_t a = 0; a < b.lanes; a++, row += p->d_pad) {
                float *dw = g->dweight + tap + (b.first + a) * g->w_a + first * g->w_d;
                sf_parts_sum16(row, p->rows * p->d_pad, p->parts, v);
                for (int64_t l = 0; l < lanes; l++) dw[l * g->w_d] = v[l];
            }
        }
    }
}

void sf_wgrad_gemm(const sf_wgrad *g, void *scratch)
{
    int64_t extent[3];
    for (int a = 0; a < 3; a++) extent[a] = g->hi[a] - g->lo[a];
    const plan p = make_plan(g->axis, extent, sf_inputs_channels(g->a, g->n_a), g->d.x.shape.c);
    const int64_t blocks = sf_inputs_blocks(g->a, g->n_a);
    float *sums = scratch, *rest = sums + p.parts * p.rows * p.d_pad;
#pragma omp parallel num_threads(g->threads)
    {
        omp_set_num_threads(1); /* keeps BLAS serial also in a region of one thread */
        float *mine = rest + omp_get_thread_num() * p.per_thread;
#pragma omp for schedule(dynamic)
        for (int64_t u = 0; u < blocks * p.groups * p.parts; u++)
            run_unit(g, &p, u / (p.groups * p.parts), u / p.parts % p.groups, u % p.parts, sums,
                     mine);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < p.d_pad / SF_CBLOCK; i++) write_block(g, &p, i, sums);
    }
    sf_gather_bias(g);
}
