#include "kernels/gemm/gather_gemm.h"
#include "kernels/bf16.h"
#include "kernels/gemm/tile.h"
#include "kernels/norm.h"
#include "kernels/view.h"
#include <cblas.h>
#include <omp.h>
#include <string.h>

/* Output channels go in groups when there are few tiles, so that many threads find work. */
enum { FEW_TILES = 16, GROUP = 64 };

/* Layout of the scratch memory and of the work units; from the problem alone. */
typedef struct {
    sf_tiling t;
    int64_t grid[3], tiles;      /* of the whole volume */
    int64_t group, groups;       /* padded output channels per unit */
    int64_t c_pad;               /* all of them */
    int64_t depth;               /* rows of the packed weights: taps * input channels */
    int64_t weights, per_thread; /* floats */
} plan;

static plan make_plan(const sf_gather_axis axis[3], int64_t in_channels, int64_t out_blocks)
{
    plan p = { .c_pad = out_blocks * SF_CBLOCK };
    const int64_t extent[3] = { axis[0].extent, axis[1].extent, axis[2].extent };
    p.t = sf_tiling_make(axis, extent);
    p.tiles = 1;
    for (int a = 0; a < 3; a++) {
        p.grid[a] = (extent[a] + p.t.size[a] - 1) / p.t.size[a];
        p.tiles *= p.grid[a];
    }
    p.group = p.tiles < FEW_TILES && p.c_pad > GROUP ? GROUP : p.c_pad;
    p.groups = (p.c_pad + p.group - 1) / p.group;
    p.depth = p.t.taps * in_channels;
    p.weights = p.depth * p.c_pad;
    p.per_thread =
        sf_tiling_patch_floats(&p.t) + sf_tiling_column_floats(&p.t) + p.t.max_voxels * p.group;
    p.per_thread = (p.per_thread + 15) / 16 * 16;
    return p;
}

size_t sf_gather_gemm_scratch(const sf_gather_axis axis[3], int64_t in_channels, int64_t out_blocks,
                              int threads)
{
    for (int a = 0; a < 3; a++)
        if (axis[a].extent == 0) return 0;
    const plan p = make_plan(axis, in_channels, out_blocks);
    return (size_t)(p.weights + 16 + p.per_thread * threads) * sizeof(float);
}

/* Rows of one input block: packed[tap][lane][c_pad], zero in pad lanes. */
static void pack_block(const sf_gather *g, const plan *p, int64_t block, float *packed)
{
    const sf_block_at b = sf_inputs_block(g->in, g->n_in, block);
    const int64_t blocks = sf_views_blocks(g->out, g->n_out);
    float *row = packed + b.first * p->t.taps * p->c_pad;
    for (int z = 0; z < g->axis[0].n; z++)
        for (int y = 0; y < g->axis[1].n; y++)
            for (int x = 0; x < g->axis[2].n; x++) {
                const float *w = g->weight + g->axis[0].tap[z] * g->w_tap[0] +
                                 g->axis[1].tap[y] * g->w_tap[1] + g->axis[2].tap[x] * g->w_tap[2] +
                                 b.first * g->w_in;
                for (int64_t o = 0; o < blocks; o++) {
                    const sf_block_at q = sf_views_block(g->out, g->n_out, o);
                    for (int64_t ci = 0; ci < b.lanes; ci++)
                        for (int64_t l = 0; l < SF_CBLOCK; l++)
                            row[ci * p->c_pad + o * SF_CBLOCK + l] =
                                l < q.lanes ? w[ci * g->w_in + (q.first + l) * g->w_out] : 0.0f;
                }
                row += b.lanes * p->c_pad;
            }
}

static inline void store_float(float *out, const float *c, const float *bias, bool add)
{
#pragma omp simd
    for (int l = 0; l < SF_CBLOCK; l++) out[l] = c[l] + bias[l] + (add ? out[l] : 0.0f);
}

static inline void store_half(uint16_t *out, const float *c, const float *bias, bool add)
{
    for (int l = 0; l < SF_CBLOCK; l++)
        out[l] = sf_bf16_round(c[l] + bias[l] + (add ? sf_bf16_widen(out[l]) : 0.0f));
}

/* Add the bias and write (or add to) one 16-channel block of the tile; c is [voxels][group]. */
static void store_block(const sf_gather *g, const plan *p, const sf_tile *tile, int64_t n,
                        int64_t block, const float *c)
{
    const sf_block_at q = sf_views_block(g->out, g->n_out, block);
    const sf_view *v = &g->out[q.entry];
    const bool add = g->accumulate && g->accumulate[q.entry];
    float bias[SF_CBLOCK] = { 0 };
    for (int64_t l = 0; l < q.lanes && g->bias; l++) bias[l] = g->bias[q.first + l];
    const sf_gather_axis *ax = g->axis;
    for (int64_t z = tile->lo[0]; z < tile->hi[0]; z++)
        for (int64_t y = tile->lo[1]; y < tile->hi[1]; y++) {
            int64_t at = sf_view_offset(v, n, q.cb, z * ax[0].ostep + ax[0].phase - v->origin[0],
                                        y * ax[1].ostep + ax[1].phase - v->origin[1],
                                        tile->lo[2] * ax[2].ostep + ax[2].phase - v->origin[2]);
            for (int64_t x = tile->lo[2]; x < tile->hi[2]; x++) {
                if (v->dtype == SF_BF16)
                    store_half((uint16_t *)v->data + at, c, bias, add);
                else
                    store_float((float *)v->data + at, c, bias, add);
                c += p->group;
                at += ax[2].ostep * SF_CBLOCK;
            }
        }
}

/* One unit: a tile of one sample and one group of output channels. */
static void run_unit(const sf_gather *g, const plan *p, const sf_tile *tile, int64_t n,
                     int64_t group, const float *packed, float *mine)
{
    float *patch = mine, *col = patch + sf_tiling_patch_floats(&p->t);
    float *c = col + sf_tiling_column_floats(&p->t);
    const int64_t first = group * p->group;
    const int64_t width = p->c_pad - first < p->group ? p->c_pad - first : p->group;
    const int64_t in_blocks = sf_inputs_blocks(g->in, g->n_in);
    if (p->t.taps == 0) memset(c, 0, (size_t)(tile->voxels * p->group) * sizeof *c);
    for (int64_t i = 0; i < in_blocks && p->t.taps > 0; i++) {
        const sf_block_at b = sf_inputs_block(g->in, g->n_in, i);
        const int64_t k = p->t.taps * b.lanes;
        sf_tile_columns(&p->t, g->axis, tile, &g->in[b.entry], &b, n, patch, col);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)tile->voxels, (int)width,
                    (int)k, 1.0f, col, (int)k, packed + b.first * p->t.taps * p->c_pad + first,
                    (int)p->c_pad, i > 0 ? 1.0f : 0.0f, c, (int)p->group);
    }
    for (int64_t o = 0; o < width / SF_CBLOCK; o++)
        store_block(g, p, tile, n, first / SF_CBLOCK + o, c + o * SF_CBLOCK);
}

/* Tile number i of the global grid, cut to the box; false when nothing is left. */
static bool make_tile(const plan *p, int64_t i, const int64_t lo[3], const int64_t hi[3],
                      sf_tile *t)
{
    const int64_t at[3] = { i / (p->grid[1] * p->grid[2]), i / p->grid[2] % p->grid[1],
                            i % p->grid[2] };
    t->voxels = 1;
    for (int a = 0; a < 3; a++) {
        t->lo[a] = at[a] * p->t.size[a] > lo[a] ? at[a] * p->t.size[a] : lo[a];
        t->hi[a] = (at[a] + 1) * p->t.size[a] < hi[a] ? (at[a] + 1) * p->t.size[a] : hi[a];
        if (t->hi[a] <= t->lo[a]) return false;
        t->voxels *= t->hi[a] - t->lo[a];
    }
    return true;
}

static void run_one(const sf_gather *g, void *scratch)
{
    int64_t lo[3], hi[3];
    for (int a = 0; a < 3; a++)
        if (g->axis[a].extent == 0) return;
    const int64_t n = g->out[0].shape.n, in_blocks = sf_inputs_blocks(g->in, g->n_in);
    const plan p =
        make_plan(g->axis, sf_inputs_channels(g->in, g->n_in), sf_views_blocks(g->out, g->n_out));
    float *packed = scratch, *rest = packed + (p.weights + 15) / 16 * 16;
    sf_gather_box(g, lo, hi);
#pragma omp parallel num_threads(g->threads)
    {
        /* A region of one thread is inactive: without this BLAS would start threads of its own. It
         * sets the value of this region's task alone. */
        omp_set_num_threads(1);
        float *mine = rest + omp_get_thread_num() * p.per_thread;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < in_blocks; i++) pack_block(g, &p, i, packed);
#pragma omp for schedule(dynamic)
        for (int64_t u = 0; u < n * p.tiles * p.groups; u++) {
            sf_tile tile;
            if (make_tile(&p, u / p.groups % p.tiles, lo, hi, &tile))
                run_unit(g, &p, &tile, u / (p.groups * p.tiles), u % p.groups, packed, mine);
        }
    }
}

void sf_gather_gemm(const sf_gather *g, int n, void *scratch)
{
    for (int i = 0; i < n; i++) run_one(&g[i], scratch);
    if (g->stats) sf_norm_stats(g->out, g->stats, g->threads);
}
