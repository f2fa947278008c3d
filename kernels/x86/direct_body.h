/* Direct convolution in vector words; included once per instruction set, after its vec_*.h.
 * Register tile of a gather: TILE_W outputs along x times TILE_BLOCKS channel blocks; inputs are
 * broadcast from the patch, weights are loaded. Source: conv-study section 5.1. */
#include "kernels/norm.h"
#include "kernels/view.h"
#include "kernels/x86/direct_plan.h"
#include "kernels/x86/vec_stored.h"
#include <omp.h>
#include <string.h>

enum { NV = TILE_BLOCKS * BLOCK_V }; /* weight vectors of a full register tile */

/* The line of voxel i, `ahead` elements further. */
FLAT void SF_ISA_NAME(fetch)(const void *x, const bool half, int64_t i, int64_t ahead)
{
    if (half && i % 2) return; /* a line holds two voxels */
    _mm_prefetch(v_address(x, i * SF_CBLOCK + ahead, half), _MM_HINT_T0);
}

/* count voxels of 16 lanes through the load rule (mul and add, as the reference does it). */
FLAT void SF_ISA_NAME(act)(const void *x, const bool half, const float *scale, const float *shift,
                           float slope, int64_t count, int64_t ahead, float *dst)
{
    V a[BLOCK_V], b[BLOCK_V];
    const V s = v_set1(slope);
    for (int j = 0; j < BLOCK_V; j++) {
        a[j] = v_load(scale + j * VLEN);
        b[j] = v_load(shift + j * VLEN);
    }
    for (int64_t i = 0; i < count; i++) {
        SF_ISA_NAME(fetch)(x, half, i, ahead);
        for (int j = 0; j < BLOCK_V; j++) {
            const int64_t at = i * SF_CBLOCK + j * VLEN;
            const V t = v_add(v_mul(a[j], v_get(x, at, half)), b[j]);
            v_store(dst + at, v_positive_or(t, v_mul(s, t)));
        }
    }
}

FLAT void SF_ISA_NAME(raw)(const void *x, const bool half, int64_t count, int64_t ahead, float *dst)
{
    for (int64_t i = 0; i < count; i++) {
        SF_ISA_NAME(fetch)(x, half, i, ahead);
        for (int64_t at = i * SF_CBLOCK; at < (i + 1) * SF_CBLOCK; at += VLEN)
            v_store(dst + at, v_get(x, at, half));
    }
}

/* One row of a patch: 16 lanes of block cb, zero outside the volume. */
static void SF_ISA_NAME(fill_row)(const sf_input *in, int64_t cb, int64_t n, const int64_t g[3],
                                  int64_t count, float *dst)
{
    const sf_view *v = &in->x;
    int64_t before = g[2] < 0 ? -g[2] : 0, end = v->extent[2] - g[2];
    if (before > count) before = count;
    if (end > count) end = count;
    if (end < before || g[0] < 0 || g[0] >= v->extent[0] || g[1] < 0 || g[1] >= v->extent[1])
        end = before;
    memset(dst, 0, (size_t)(before * SF_CBLOCK) * sizeof *dst);
    memset(dst + end * SF_CBLOCK, 0, (size_t)((count - end) * SF_CBLOCK) * sizeof *dst);
    if (end == before) return;
    const bool half = v->dtype == SF_BF16;
    const void *x = v_address(v->data,
                              sf_view_offset(v, n, cb, g[0] - v->origin[0], g[1] - v->origin[1],
                                             g[2] - v->origin[2] + before),
                              half);
    const int64_t k = n * sf_cpad(v->shape.c) + cb * SF_CBLOCK;
    const float *scale = in->scale ? (const float *)in->scale + k : NULL;
    const float *shift = in->scale ? (const float *)in->shift + k : NULL;
    const int64_t next = v->stride_h; /* the row that is loaded after this one */
    dst += before * SF_CBLOCK;
    if (scale && half)
        SF_ISA_NAME(act)(x, true, scale, shift, (float)in->slope, end - before, next, dst);
    else if (scale)
        SF_ISA_NAME(act)(x, false, scale, shift, (float)in->slope, end - before, next, dst);
    else if (half)
        SF_ISA_NAME(raw)(x, true, end - before, next, dst);
    else
        SF_ISA_NAME(raw)(x, false, end - before, next, dst);
}

static void SF_ISA_NAME(fill_patch)(const sf_gather_axis axis[3], const sf_direct_tile *t,
                                    const sf_input *in, int64_t cb, int64_t n, float *patch)
{
    for (int64_t z = 0; z < t->patch[0]; z++)
        for (int64_t y = 0; y < t->patch[1]; y++, patch += t->patch[2] * SF_CBLOCK) {
            const int64_t g[3] = { t->lo[0] * axis[0].istep + axis[0].first + z,
                                   t->lo[1] * axis[1].istep + axis[1].first + y,
                                   t->lo[2] * axis[2].istep + axis[2].first };
            SF_ISA_NAME(fill_row)(in, cb, n, g, t->patch[2], patch);
        }
}

/* One register tile. */
typedef struct {
    const sf_direct_values *in;
    int64_t at;            /* from a block's start to tap 0 of the first output */
    const int64_t *offset; /* of the taps */
    int taps, blocks;
    int lanes[SF_MOST_CHUNK];
    const float *w;
    void *out[2]; /* float, or half */
    float bias[2][SF_CBLOCK];
    int64_t ostep;    /* elements between outputs */
    int64_t ahead;    /* from the values to those that are needed later */
    bool load[2];     /* continue the sum that stands there */
    bool stream;      /* the outputs are lines that leave past the caches */
    double *stats[2]; /* sums and, `squares` further, sums of squares; or NULL */
    int64_t squares;
} SF_ISA_NAME(reg_tile);

/* Adds the vectors of an output block to its statistics: as they are stored. */
FLAT void SF_ISA_NAME(add_stats)(V acc[TILE_W][NV], const int vox, const int j, double *sums,
                                 int64_t squares, const bool half)
{
    V s = v_zero(), q = v_zero();
#pragma GCC unroll 16
    for (int v = 0; v < vox; v++) {
        const V x = half ? v_widen(v_round(acc[v][j])) : acc[v][j];
        s = v_add(s, x);
        q = v_fma(x, x, q);
    }
    v_add_double(sums, s);
    v_add_double(sums + squares, q);
}

FLAT void SF_ISA_NAME(put_tile)(const SF_ISA_NAME(reg_tile) * a, V acc[TILE_W][NV], const int vox,
                                const int nv, const bool half)
{
#pragma GCC unroll 2
    for (int j = 0; j < nv; j++) {
        const int q = j / BLOCK_V, lane = j % BLOCK_V * VLEN;
        if (a->stats[q]) SF_ISA_NAME(add_stats)(acc, vox, j, a->stats[q] + lane, a->squares, half);
    }
    if (!half && a->stream) {
#pragma GCC unroll 16
        for (int v = 0; v < vox; v++)
#pragma GCC unroll 2
            for (int j = 0; j < nv; j++)
                v_stream((float *)a->out[j / BLOCK_V] + v * a->ostep + j % BLOCK_V * VLEN,
                         acc[v][j]);
        return;
    }
#pragma GCC unroll 16
    for (int v = 0; v < vox; v++)
#pragma GCC unroll 2
        for (int j = 0; j < nv; j++)
            v_put(a->out[j / BLOCK_V], v * a->ostep + j % BLOCK_V * VLEN, acc[v][j], half);
}

/* All arguments after `a` are constants after inlining, so that the sums stay in registers. */
FLAT void SF_ISA_NAME(compute)(const SF_ISA_NAME(reg_tile) * a, const int vox, const int nv,
                               const int step, const bool half)
{
    V acc[TILE_W][NV];
#pragma GCC unroll 16
    for (int v = 0; v < vox; v++)
#pragma GCC unroll 2
        for (int j = 0; j < nv; j++) {
            const int q = j / BLOCK_V, lane = j % BLOCK_V * VLEN;
            const V start = a->load[q] ? v_get(a->out[q], v * a->ostep + lane, half) : v_zero();
            acc[v][j] = v_add(start, v_load(a->bias[q] + lane));
        }
    const float *w = a->w;
    for (int b = 0; b < a->blocks; b++)
        for (int t = 0; t < a->taps; t++) {
            const float *p = a->in->block[b] + a->at + a->offset[t];
            const float *next = p + a->ahead;
            for (const float *end = p + a->lanes[b]; p < end; p++, w += nv * VLEN) {
                V wv[NV];
                _mm_prefetch(next, _MM_HINT_T0);
                next += step * SF_CBLOCK;
#pragma GCC unroll 2
                for (int j = 0; j < nv; j++) wv[j] = v_load(w + j * VLEN);
#pragma GCC unroll 16
                for (int v = 0; v < vox; v++) {
                    const V x = v_set1(p[v * step * SF_CBLOCK]);
#pragma GCC unroll 2
                    for (int j = 0; j < nv; j++) acc[v][j] = v_fma(x, wv[j], acc[v][j]);
                }
            }
        }
    SF_ISA_NAME(put_tile)(a, acc, vox, nv, half);
}

#define CASE(n)                                                                                    \
    case n:                                                                                        \
        if (n <= TILE_W) SF_ISA_NAME(compute)(a, n <= TILE_W ? n : 1, nv, step, half);             \
        break;
FLAT void SF_ISA_NAME(by_width)(const SF_ISA_NAME(reg_tile) * a, int vox, const int nv,
                                const int step, const bool half)
{
    switch (vox) {
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
        CASE(7)
        CASE(8)
        CASE(9)
        CASE(10)
        CASE(11)
        CASE(12)
        CASE(13)
        CASE(14)
    }
}
#undef CASE

typedef void SF_ISA_NAME(tile_fn)(const SF_ISA_NAME(reg_tile) * a, int vox);
#define TILE(name, nv, step, half)                                                                 \
    static void SF_ISA_NAME(name)(const SF_ISA_NAME(reg_tile) * a, int vox)                        \
    {                                                                                              \
        SF_ISA_NAME(by_width)(a, vox, nv, step, half);                                             \
    }
TILE(full1, NV, 1, false)
TILE(full2, NV, 2, false)
TILE(one1, BLOCK_V, 1, false)
TILE(one2, BLOCK_V, 2, false)
TILE(full1_half, NV, 1, true)
TILE(full2_half, NV, 2, true)
TILE(one1_half, BLOCK_V, 1, true)
TILE(one2_half, BLOCK_V, 2, true)
#undef TILE

/* [type of the outputs][all blocks of a tile, one][step - 1] */
static SF_ISA_NAME(tile_fn) *const
    SF_ISA_NAME(tiles)[2][2][2] = { { { SF_ISA_NAME(full1), SF_ISA_NAME(full2) },
                                      { SF_ISA_NAME(one1), SF_ISA_NAME(one2) } },
                                    { { SF_ISA_NAME(full1_half), SF_ISA_NAME(full2_half) },
                                      { SF_ISA_NAME(one1_half), SF_ISA_NAME(one2_half) } } };

/* What one pass (a chunk of input blocks) over a tile needs. */
typedef struct {
    const sf_gather *g;
    const sf_direct_tile *t;
    int64_t n;
    bool first, last; /* the first chunk starts the sums, the last one ends them */
    bool stream;
    double *stats; /* [slice of the tile][2][out blocks][16], or NULL */
    int64_t row;   /* half of a slice of these */
    float *stage;  /* sums of several passes that are rounded once: [block][z][y][x][16] of the
                      tile; NULL: they are made in the outputs */
} SF_ISA_NAME(pass);

/* The finished sums of `count` voxels, to (or added to) the view. */
FLAT void SF_ISA_NAME(finish)(const sf_view *v, int64_t at, int64_t ostep, bool add,
                              const float *sums, int64_t count)
{
    const bool half = v->dtype == SF_BF16;
    for (int64_t i = 0; i < count; i++, at += ostep)
        for (int j = 0; j < SF_CBLOCK; j += VLEN, sums += VLEN) {
            V x = v_load(sums);
            if (add) x = v_add(v_get(v->data, at + j, half), x);
            v_put(v->data, at + j, x, half);
        }
}

/* All rows of a tile for `count` output blocks starting with o. */
static void SF_ISA_NAME(rows)(const SF_ISA_NAME(pass) * s, SF_ISA_NAME(reg_tile) * a, int64_t o,
                              int count)
{
    const sf_gather_axis *ax = s->g->axis;
    const sf_direct_tile *t = s->t;
    const int64_t width = t->hi[2] - t->lo[2], parts = (width + TILE_W - 1) / TILE_W;
    const sf_view *v[2] = { NULL, NULL };
    int64_t cb[2] = { 0, 0 };
    bool add[2] = { false, false };
    const int64_t height = t->hi[1] - t->lo[1], ostep = ax[2].ostep * SF_CBLOCK;
    const int64_t block = (t->hi[0] - t->lo[0]) * height * width * SF_CBLOCK;
    for (int q = 0; q < count; q++) {
        const sf_block_at b = sf_views_block(s->g->out, s->g->n_out, o + q);
        v[q] = &s->g->out[b.entry];
        cb[q] = b.cb;
        add[q] = s->g->accumulate && s->g->accumulate[b.entry];
        a->load[q] = !s->first || (add[q] && !s->stage);
        for (int64_t l = 0; l < SF_CBLOCK; l++)
            a->bias[q][l] = s->first && s->g->bias && l < b.lanes ? s->g->bias[b.first + l] : 0.0f;
    }
    const int deep = sf_slice_axis(v[0]->extent);
    a->ostep = s->stage ? SF_CBLOCK : ostep;
    a->stream = s->stream && s->first && s->last;
    for (int q = 0; q < count; q++)
        a->stream = a->stream && !add[q] && (uintptr_t)v[q]->data % 64 == 0;
    a->squares = s->row;
    const bool half = !s->stage && v[0]->dtype == SF_BF16;
    SF_ISA_NAME(tile_fn) *const tile =
        SF_ISA_NAME(tiles)[half][count < TILE_BLOCKS][ax[2].istep - 1];
    for (int64_t z = t->lo[0]; z < t->hi[0]; z++)
        for (int64_t y = t->lo[1]; y < t->hi[1]; y++) {
            const int64_t row =
                (z - t->lo[0]) * ax[0].istep * a->in->z + (y - t->lo[1]) * ax[1].istep * a->in->y;
            for (int q = 0; q < count && s->stats; q++)
                a->stats[q] = s->stats + (deep == 0 ? z - t->lo[0] : y - t->lo[1]) * 2 * s->row +
                              (o + q) * SF_CBLOCK;
            for (int64_t i = 0; i < parts; i++) {
                const int64_t x0 = width * i / parts, x1 = width * (i + 1) / parts;
                a->at = row + x0 * ax[2].istep * SF_CBLOCK;
                const int64_t staged =
                    (((z - t->lo[0]) * height + y - t->lo[1]) * width + x0) * SF_CBLOCK;
                int64_t at[2] = { 0, 0 };
                for (int q = 0; q < count; q++) {
                    at[q] = sf_view_offset(
                        v[q], s->n, cb[q], z * ax[0].ostep + ax[0].phase - v[q]->origin[0],
                        y * ax[1].ostep + ax[1].phase - v[q]->origin[1],
                        (t->lo[2] + x0) * ax[2].ostep + ax[2].phase - v[q]->origin[2]);
                    a->out[q] = (char *)v[q]->data + at[q] * (half ? 2 : 4);
                    if (s->stage) a->out[q] = s->stage + q * block + staged;
                }
                tile(a, (int)(x1 - x0));
                for (int q = 0; q < count && s->stage && s->last; q++)
                    SF_ISA_NAME(finish)(v[q], at[q], ostep, add[q], a->out[q], x1 - x0);
            }
        }
}

/* Where the gathers of a call keep their packed weights, and where the threads work. */
typedef struct {
    const sf_gather *g;
    int n;
    sf_direct_plan p;
    double *stats; /* [sample][tile]..., or NULL */
    float *packed; /* [gather] */
    bool stream;
} SF_ISA_NAME(job);

/* Values of the input blocks [i, i+count) under a tile. */
static sf_direct_values SF_ISA_NAME(values)(const SF_ISA_NAME(job) * j, const sf_direct_tile *t,
                                            int64_t n, int64_t i, int count, float *patch)
{
    const sf_gather *g = j->g;
    const int64_t floats = j->p.t.patch_floats;
    sf_direct_values v;
    if (g->n_in == 1 && sf_direct_in_place(g->axis, t, g->in, n, i, count, &v)) return v;
    for (int b = 0; b < count; b++) {
        const sf_block_at q = sf_inputs_block(g->in, g->n_in, i + b);
        SF_ISA_NAME(fill_patch)(g->axis, t, &g->in[q.entry], q.cb, n, patch + b * floats);
    }
    return sf_direct_in_patch(t, patch, floats, count);
}

/* One unit: a tile and the output blocks [o0, o1), all input blocks chunk by chunk. */
static void SF_ISA_NAME(unit)(const SF_ISA_NAME(job) * j, const sf_direct_tile *t, int64_t n,
                              int64_t o0, int64_t o1, double *stats, float *patch)
{
    const sf_gather *g = j->g;
    const sf_direct_plan *p = &j->p;
    int64_t offset[SF_MAX_TAPS], channel = 0;
    int64_t voxels = SF_CBLOCK; /* floats of one block of the stage */
    float *stage = patch + p->patches;
    for (int a = 0; a < 3; a++) voxels *= t->hi[a] - t->lo[a];
    SF_ISA_NAME(reg_tile) a = { .offset = offset, .taps = p->t.taps };
    const int64_t row = p->out_blocks * SF_CBLOCK;
    const int deep = sf_slice_axis(g->out[0].extent);
    for (int64_t i = 0; stats && i < 2 * (t->hi[deep] - t->lo[deep]); i++)
        memset(stats + i * row + o0 * SF_CBLOCK, 0,
               (size_t)((o1 - o0) * SF_CBLOCK) * sizeof *stats);
    for (int64_t i = 0; i < p->in_blocks; i += p->chunk) {
        int64_t channels = 0;
        a.blocks = (int)(p->in_blocks - i < p->chunk ? p->in_blocks - i : p->chunk);
        const sf_direct_values v = SF_ISA_NAME(values)(j, t, n, i, a.blocks, patch);
        a.in = &v;
        a.ahead = v.block[0] == patch ? 0 : g->axis[1].istep * v.y; /* the row after this one */
        sf_direct_offsets(g->axis, &v, offset);
        for (int b = 0; b < a.blocks; b++) {
            a.lanes[b] = (int)sf_inputs_block(g->in, g->n_in, i + b).lanes;
            channels += a.lanes[b];
        }
        for (int k = 0; k < j->n; k++) {
            SF_ISA_NAME(pass)
            s = { .g = g + k, .t = t, .n = n, .first = i == 0, .stream = j->stream, .row = row };
            s.last = i + p->chunk >= p->in_blocks;
            if (s.last) s.stats = stats;
            for (int64_t o = o0; o < o1; o += TILE_BLOCKS) {
                if (p->stage_blocks > 0) s.stage = stage + (k * p->stage_blocks + o - o0) * voxels;
                const int count = o1 - o < TILE_BLOCKS ? (int)(o1 - o) : TILE_BLOCKS;
                a.w = j->packed + k * p->weights +
                      p->t.taps * SF_CBLOCK * (o * p->in_channels + channel * count);
                SF_ISA_NAME(rows)(&s, &a, o, count);
            }
        }
        channel += channels;
    }
}

/* The weights of gather k for one pair of output blocks and one input block. */
static void SF_ISA_NAME(pack)(const SF_ISA_NAME(job) * j, int k, int64_t o, int64_t i)
{
    const sf_direct_plan *p = &j->p;
    const int64_t left = p->out_blocks - o * TILE_BLOCKS;
    const int64_t count = left < TILE_BLOCKS ? left : TILE_BLOCKS;
    const int64_t first = sf_inputs_block(j->g->in, j->g->n_in, i).first;
    sf_direct_pack(j->g + k, i, o * TILE_BLOCKS, count,
                   j->packed + k * p->weights +
                       p->t.taps * SF_CBLOCK * (o * TILE_BLOCKS * p->in_channels + first * count));
}

/* Outputs beyond this do not stay in a cache until they are read. */
enum { DIRECT_STREAM_BYTES = 16 << 20 };

static bool SF_ISA_NAME(streams)(const sf_gather *g)
{
    int64_t bytes = g->out[0].shape.n * sf_views_blocks(g->out, g->n_out) * SF_CBLOCK * 4;
    for (int a = 0; a < 3; a++) bytes *= g->axis[a].extent * g->axis[a].ostep;
    return bytes > DIRECT_STREAM_BYTES && g->out[0].dtype == SF_F32;
}

/* All tiles, each with its output blocks in groups. */
static void SF_ISA_NAME(units)(const SF_ISA_NAME(job) * j, const int64_t lo[3], const int64_t hi[3],
                               float *mine)
{
    static const int64_t zero[3] = { 0, 0, 0 };
    const sf_direct_plan *p = &j->p;
    const int64_t samples = j->g->out[0].shape.n;
#pragma omp for schedule(dynamic)
    for (int64_t u = 0; u < samples * p->t.tiles * p->groups; u++) {
        sf_direct_tile t;
        const int64_t o0 = u % p->groups * p->unit_blocks, tile = u / p->groups;
        const int64_t o1 =
            o0 + p->unit_blocks < p->out_blocks ? o0 + p->unit_blocks : p->out_blocks;
        double *stats = j->stats ? j->stats + tile * p->tile_stats : NULL;
        if (sf_direct_tile_at(&p->t, j->g->axis, tile % p->t.tiles, zero, lo, hi, &t))
            SF_ISA_NAME(unit)(j, &t, tile / p->t.tiles, o0, o1, stats, mine);
        if (j->stream) _mm_sfence();
    }
}

void SF_ISA_NAME(sf_gather_direct)(const sf_gather *g, int n, void *scratch)
{
    int64_t lo[3], hi[3];
    for (int a = 0; a < 3; a++)
        if (g->axis[a].extent == 0) return;
    const int64_t samples = g->out[0].shape.n;
    SF_ISA_NAME(job)
    j = { g,
          n,
          sf_direct_plan_make(g->axis, samples, sf_inputs_channels(g->in, g->n_in),
                              sf_inputs_blocks(g->in, g->n_in), sf_views_blocks(g->out, g->n_out),
                              sf_gather_rounds(g) ? n : 0),
          NULL,
          scratch,
          SF_ISA_NAME(streams)(g) };
    const sf_direct_plan *p = &j.p;
    if (g->stats && sf_direct_fuses_stats(g, p)) {
        j.stats = scratch;
        j.packed = (float *)(j.stats + samples * p->t.tiles * p->tile_stats);
    }
    const int64_t pairs = (p->out_blocks + TILE_BLOCKS - 1) / TILE_BLOCKS;
    float *rest = j.packed + n * p->weights;
    sf_gather_box(g, lo, hi);
#pragma omp parallel num_threads(g->threads)
    {
        float *mine = rest + omp_get_thread_num() * p->per_thread;
#pragma omp for collapse(3) schedule(static)
        for (int k = 0; k < n; k++)
            for (int64_t o = 0; o < pairs; o++)
                for (int64_t i = 0; i < p->in_blocks; i++) SF_ISA_NAME(pack)(&j, k, o, i);
        SF_ISA_NAME(units)(&j, lo, hi, mine);
    }
    if (j.stats)
        sf_direct_stats(g, p, lo, hi, j.stats);
    else if (g->stats)
        sf_norm_stats(&g->out[0], g->stats, g->threads);
}
