#include "kernels/x86/direct_plan.h"
#include "kernels/view.h"
#include <string.h>

/* A patch of two blocks of 3072 voxels is 384 KiB; with 110 KiB of weights it fits an L2 of 512
 * KiB. */
enum {
    PATCH_VOXELS = 3072,
    CHUNK_VOXELS = 2 * PATCH_VOXELS,
    TILE_WIDTH = 64,
    TILE_DEPTH = 4,
    MANY_UNITS = 64,
    UNIT_BLOCKS = 4
};
enum { WANTED_WUNITS = 16 };

static int64_t min64(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t reach(const sf_gather_axis *x, int64_t size)
{
    return (size - 1) * x->istep + (x->n > 0 ? x->n : 1);
}

/* The size of tiles whose patches are at most `most` long, or 1. */
static int64_t fit(const sf_gather_axis *x, int64_t extent, int64_t most)
{
    const int64_t size = (most - x->n) / x->istep + 1;
    return sf_even_size(extent, size > 1 ? size : 1);
}

sf_direct_tiles sf_direct_tiles_make(const sf_gather_axis axis[3], const int64_t extent[3],
                                     int64_t voxels)
{
    sf_direct_tiles t = { .tiles = 1, .taps = axis[0].n * axis[1].n * axis[2].n };
    t.size[2] = sf_even_size(extent[2], TILE_WIDTH);
    t.size[0] = axis[0].n > axis[0].istep ? sf_even_size(extent[0], TILE_DEPTH) : 1;
    const int64_t width = reach(&axis[2], t.size[2]);
    t.size[1] = fit(&axis[1], extent[1], voxels / (width * reach(&axis[0], t.size[0])));
    if (t.size[0] == 1) /* planes share nothing: only as many as it takes to fill the tile */
        t.size[0] = fit(&axis[0], extent[0], voxels / (width * reach(&axis[1], t.size[1])));
    for (int a = 0; a < 3; a++) {
        t.grid[a] = (extent[a] + t.size[a] - 1) / t.size[a];
        t.patch[a] = reach(&axis[a], t.size[a]);
        t.tiles *= t.grid[a];
    }
    t.patch_floats = t.patch[0] * t.patch[1] * t.patch[2] * SF_CBLOCK;
    return t;
}

bool sf_direct_tile_at(const sf_direct_tiles *t, const sf_gather_axis axis[3], int64_t i,
                       const int64_t base[3], const int64_t lo[3], const int64_t hi[3],
                       sf_direct_tile *out)
{
    const int64_t at[3] = { i / (t->grid[1] * t->grid[2]), i / t->grid[2] % t->grid[1],
                            i % t->grid[2] };
    for (int a = 0; a < 3; a++) {
        const int64_t first = base[a] + at[a] * t->size[a];
        out->lo[a] = first > lo[a] ? first : lo[a];
        out->hi[a] = min64(first + t->size[a], hi[a]);
        if (out->hi[a] <= out->lo[a]) return false;
        out->patch[a] = reach(&axis[a], out->hi[a] - out->lo[a]);
    }
    return true;
}

sf_direct_values sf_direct_in_patch(const sf_direct_tile *t, const float *patch,
                                    int64_t block_floats, int64_t blocks)
{
    sf_direct_values v = { .y = t->patch[2] * SF_CBLOCK };
    v.z = t->patch[1] * v.y;
    for (int64_t b = 0; b < blocks; b++) v.block[b] = patch + b * block_floats;
    return v;
}

bool sf_direct_in_place(const sf_gather_axis axis[3], const sf_direct_tile *t, const sf_input *in,
                        int64_t n, int64_t cb, int64_t blocks, sf_direct_values *v)
{
    const sf_view *x = &in->x;
    int64_t at[3];
    if (in->scale || x->dtype != SF_F32) return false;
    for (int a = 0; a < 3; a++) {
        const int64_t lo = t->lo[a] * axis[a].istep + axis[a].first;
        if (lo < 0 || lo + t->patch[a] > x->extent[a]) return false;
        at[a] = lo - x->origin[a];
    }
    v->z = x->stride_d;
    v->y = x->stride_h;
    for (int64_t b = 0; b < blocks; b++)
        v->block[b] = (const float *)x->data + sf_view_offset(x, n, cb + b, at[0], at[1], at[2]);
    return true;
}

void sf_direct_offsets(const sf_gather_axis axis[3], const sf_direct_values *v, int64_t *offset)
{
    for (int z = 0; z < axis[0].n; z++)
        for (int y = 0; y < axis[1].n; y++)
            for (int x = 0; x < axis[2].n; x++) *offset++ = z * v->z + y * v->y + x * SF_CBLOCK;
}

/* Two blocks per pass: the weights of a pass stay in L2. One tap means few weights, and few
 * products between loading and storing a sum: more blocks of smaller patches. */
static int64_t patch_voxels(int taps, int64_t in_channels)
{
    if (taps > 1 || sf_blocks(in_channels) <= 2) return PATCH_VOXELS;
    const int64_t chunk = min64(sf_blocks(in_channels), SF_MOST_CHUNK);
    return CHUNK_VOXELS / chunk;
}

sf_direct_plan sf_direct_plan_make(const sf_gather_axis axis[3], int64_t n, int64_t in_channels,
                                   int64_t in_blocks, int64_t out_blocks, int rounded)
{
    const int64_t extent[3] = { axis[0].extent, axis[1].extent, axis[2].extent };
    const int64_t voxels = patch_voxels(axis[0].n * axis[1].n * axis[2].n, in_channels);
    sf_direct_plan p = { .t = sf_direct_tiles_make(axis, extent, voxels),
                         .out_blocks = out_blocks,
                         .in_blocks = in_blocks,
                         .in_channels = in_channels };
    p.chunk = CHUNK_VOXELS / voxels;
    p.stage_blocks = rounded && in_blocks > p.chunk ? UNIT_BLOCKS : 0;
    p.unit_blocks = n * p.t.tiles < MANY_UNITS || p.stage_blocks ? UNIT_BLOCKS : out_blocks;
    p.groups = (out_blocks + p.unit_blocks - 1) / p.unit_blocks;
    p.weights = p.t.taps * in_channels * out_blocks * SF_CBLOCK;
    p.tile_stats = p.t.size[axis[0].extent > 1 ? 0 : 1] * 2 * out_blocks * SF_CBLOCK;
    p.patches = p.chunk * p.t.patch_floats + SF_CBLOCK;
    p.per_thread =
        p.patches + rounded * p.stage_blocks * p.t.size[0] * p.t.size[1] * p.t.size[2] * SF_CBLOCK;
    return p;
}

bool sf_direct_fuses_stats(const sf_gather *g, const sf_direct_plan *p)
{
    const sf_view *v = &g->out[0];
    const int64_t shape[3] = { v->shape.d, v->shape.h, v->shape.w };
    for (int a = sf_slice_axis(v->extent) + 1; a < 3; a++)
        if (shape[a] != v->extent[a]) return false;
    return p->stage_blocks == 0;
}

void sf_direct_stats(const sf_gather *g, const sf_direct_plan *p, const int64_t lo[3],
                     const int64_t hi[3], const double *tiles)
{
    const sf_view *v = &g->out[0];
    const int axis = sf_slice_axis(v->extent);
    const int64_t row = p->out_blocks * SF_CBLOCK, slices = v->extent[axis];
    /* tiles that share a slice follow each other: along y and x in 3-D, along x in 2-D */
    const int64_t size = p->t.size[axis], sharing = p->t.tiles / p->t.grid[axis];
#pragma omp parallel for collapse(2) num_threads(g->threads) schedule(static)
    for (int64_t n = 0; n < v->shape.n; n++)
        for (int64_t s = lo[axis]; s < hi[axis]; s++) {
            const int64_t base = s / size * size, first = base > lo[axis] ? base : lo[axis];
            const double *of = tiles + (n * p->t.tiles + s / size * sharing) * p->tile_stats +
                               2 * (s - first) * row;
            for (int64_t c = 0; c < row; c++) {
                double *out = g->stats + ((n * row + c) * slices + s) * 2;
                out[0] = out[1] = 0;
                for (int64_t i = 0; i < sharing; i++) {
                    out[0] += of[i * p->tile_stats + c];
                    out[1] += of[i * p->tile_stats + row + c];
                }
            }
        }
}

bool sf_gather_rounds(const sf_gather *g) { return g->out[0].dtype == SF_BF16; }

void sf_direct_pack(const sf_gather *g, int64_t in, int64_t o, int64_t count, float *packed)
{
    const sf_block_at b = sf_inputs_block(g->in, g->n_in, in);
    const int n[3] = { g->axis[0].n, g->axis[1].n, g->axis[2].n };
    const int taps = n[0] * n[1] * n[2];
    int64_t tap[SF_MAX_TAPS];
    for (int t = 0; t < taps; t++)
        tap[t] = g->axis[0].tap[t / (n[1] * n[2])] * g->w_tap[0] +
                 g->axis[1].tap[t / n[2] % n[1]] * g->w_tap[1] +
                 g->axis[2].tap[t % n[2]] * g->w_tap[2];
    for (int64_t k = 0; k < count; k++) {
        const sf_block_at q = sf_views_block(g->out, g->n_out, o + k);
        for (int64_t ci = 0; ci < b.lanes; ci++) {
            const float *w = g->weight + (b.first + ci) * g->w_in + q.first * g->w_out;
            for (int t = 0; t < taps; t++) {
                float *to = packed + ((t * b.lanes + ci) * count + k) * SF_CBLOCK;
                for (int64_t l = 0; l < SF_CBLOCK; l++)
                    to[l] = l < q.lanes ? w[l * g->w_out + tap[t]] : 0.0f;
            }
        }
    }
}

sf_direct_wplan sf_direct_wplan_make(const sf_gather_axis axis[3], const int64_t extent[3],
                                     int64_t a_blocks, int64_t a_channels, int64_t d_channels)
{
    sf_direct_wplan p = { .t = sf_direct_tiles_make(axis, extent, PATCH_VOXELS),
                          .a_blocks = a_blocks };
    p.d_blocks = (sf_blocks(d_channels) + 1) / 2 * 2; /* pairs; the odd one out is zeros */
    p.d_pad = p.d_blocks * SF_CBLOCK;
    p.groups = (p.d_blocks + SF_D_GROUP - 1) / SF_D_GROUP;
    const int64_t units = sf_blocks(a_channels) * p.groups;
    p.parts = min64(min64((WANTED_WUNITS + units - 1) / units, SF_MAX_PARTS), p.t.tiles);
    p.bias = a_blocks * SF_CBLOCK * p.t.taps * p.d_pad;
    p.sums = p.bias + (a_blocks > p.d_blocks ? a_blocks : p.d_blocks) * SF_CBLOCK;
    const int64_t voxels = p.t.size[0] * p.t.size[1] * p.t.size[2];
    p.per_thread =
        p.t.patch_floats + min64(p.d_blocks, SF_D_GROUP) * voxels * SF_CBLOCK + SF_CBLOCK;
    return p;
}

/* Block by block through the nearest cache: the weights of one D channel are written from end to
 * end, A channel after A channel. */
void sf_direct_write(const sf_wgrad *g, const sf_direct_wplan *p, int64_t d_block,
                     const float *sums)
{
    const sf_gather_axis *ax = g->axis;
    const int64_t lanes = sf_block_lanes(g->d.x.shape.c, d_block), first = d_block * SF_CBLOCK;
    const int taps = p->t.taps;
    int64_t tap[SF_MAX_TAPS];
    float v[SF_CBLOCK * SF_MAX_TAPS][SF_CBLOCK];
    for (int t = 0; t < taps; t++)
        tap[t] = ax[0].tap[t / (ax[1].n * ax[2].n)] * g->w_tap[0] +
                 ax[1].tap[t / ax[2].n % ax[1].n] * g->w_tap[1] +
                 ax[2].tap[t % ax[2].n] * g->w_tap[2];
    for (int64_t i = 0; i < p->a_blocks; i++) {
        const sf_block_at b = sf_inputs_block(g->a, g->n_a, i);
        for (int64_t a = 0; a < b.lanes; a++)
            for (int t = 0; t < taps; t++)
                sf_parts_sum16(sums + ((i * taps + t) * SF_CBLOCK + a) * p->d_pad + first, p->sums,
                               p->parts, v[a * taps + t]);
        for (int64_t l = 0; l < lanes; l++) {
            float *dw = g->dweight + b.first * g->w_a + (first + l) * g->w_d;
            for (int64_t a = 0; a < b.lanes; a++)
                for (int t = 0; t < taps; t++) dw[a * g->w_a + tap[t]] = v[a * taps + t][l];
        }
    }
}

void sf_direct_write_bias(const sf_wgrad *g, const sf_direct_wplan *p, const float *sums)
{
    const int64_t c = g->dbias_of_a ? g->a->x.shape.c : g->d.x.shape.c;
    float v[SF_CBLOCK];
    for (int64_t b = 0; g->dbias && b < sf_blocks(c); b++) {
        sf_parts_sum16(sums + p->bias + b * SF_CBLOCK, p->sums, p->parts, v);
        memcpy(g->dbias + b * SF_CBLOCK, v, (size_t)sf_block_lanes(c, b) * sizeof *v);
    }
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static size_t gather_bytes(const sf_gather_axis axis[3], int64_t n, int64_t in_channels,
                           int64_t in_blocks, int64_t out_blocks, int phases, bool rounded,
                           bool stats, int threads)
{
    for (int a = 0; a < 3; a++)
        if (axis[a].extent == 0) return 0;
    const sf_direct_plan p =
        sf_direct_plan_make(axis, n, in_channels, in_blocks, out_blocks, rounded ? phases : 0);
    return (size_t)(p.weights * phases + p.per_thread * threads) * sizeof(float) +
           (size_t)(stats ? n * p.t.tiles * p.tile_stats : 0) * sizeof(double);
}

/* Leaves may be any range of slices, and a thinner one can have a larger tile along other axes. */
static size_t wgrad_bytes(const sf_gather_axis axis[3], int64_t a_blocks, int64_t a_channels,
                          int64_t d_channels, int threads)
{
    size_t most = 0;
    const int cut = axis[0].extent > 1 ? 0 : 1;
    int64_t extent[3] = { axis[0].extent, axis[1].extent, axis[2].extent };
    for (int64_t slices = axis[cut].extent; slices > 0; slices--) {
        extent[cut] = slices;
        const sf_direct_wplan p =
            sf_direct_wplan_make(axis, extent, a_blocks, a_channels, d_channels);
        most = larger(most, (size_t)(p.sums * p.parts + p.per_thread * threads) * sizeof(float));
    }
    return most;
}

size_t sf_direct_conv_scratch(const sf_conv *c, int threads)
{
    sf_gather_axis axis[3];
    const int64_t spread =
        sf_blocks(c->in.c) + SF_MAX_INPUTS - 1; /* concatenation pads each input */
    sf_gather_conv_axes(c, axis);
    const bool rounded = c->dtype == SF_BF16;
    size_t s = gather_bytes(axis, c->out.n, c->in.c, c->in_blocks, sf_blocks(c->out.c), 1, rounded,
                            true, threads);
    s = larger(s, wgrad_bytes(axis, spread, c->in.c, c->out.c, threads));
    for (int phase = 0; sf_gather_conv_data_axes(c, phase, axis); phase++)
        s = larger(s, gather_bytes(axis, c->in.n, c->out.c, sf_blocks(c->out.c), spread, 1, rounded,
                                   false, threads));
    return s;
}

size_t sf_direct_convt_scratch(const sf_convt *c, int threads)
{
    sf_gather_axis axis[3];
    sf_gather_convt_axes(c, axis);
    const bool rounded = c->dtype == SF_BF16;
    size_t s = gather_bytes(axis, c->in.n, c->out.c, sf_blocks(c->out.c), sf_blocks(c->in.c), 1,
                            rounded, false, threads);
    s = larger(s, wgrad_bytes(axis, sf_blocks(c->out.c), c->out.c, c->in.c, threads));
    sf_gather_convt_phase_axes(c, 0, axis);
    return larger(s, gather_bytes(axis, c->in.n, c->in.c, sf_blocks(c->in.c), sf_blocks(c->out.c),
                                  SF_MAX_PHASES, rounded, false, threads));
}
