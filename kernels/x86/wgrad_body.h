/* Direct weight gradients in vector words; included after direct_body.h of the same instruction
 * set. Register tile: the taps along x times a few A lanes times two D vectors; it stays in
 * registers over all rows of a tile of voxels and is then added to the sums, so each tile is a
 * partial sum. */

typedef struct {
    const float *a, *d[2];            /* A at the first tap; D of one or two blocks */
    const float *fetch;               /* a line of each voxel that is needed later */
    int64_t rows[2], width, a_row;    /* floats of A from tap to tap along y */
    int64_t a_stride[2], d_stride[2]; /* floats from row to row along z and y */
    int64_t fetch_stride[3];          /* also along x */
    float *sum;                       /* [tap][16 lanes][d_pad] */
    int64_t d_pad;
} SF_ISA_NAME(wtile);

/* All arguments after `t` are constants after inlining. */
FLAT void SF_ISA_NAME(wcompute)(const SF_ISA_NAME(wtile) * t, const int y_taps, const int x_taps,
                                const int lanes, const int step, const int nv)
{
    const int taps = y_taps * x_taps;
    V acc[16][NV];
#pragma GCC unroll 16
    for (int i = 0; i < taps * lanes; i++)
#pragma GCC unroll 2
        for (int j = 0; j < nv; j++) acc[i][j] = v_zero();
    for (int64_t z = 0; z < t->rows[0]; z++)
        for (int64_t y = 0; y < t->rows[1]; y++) {
            const float *a = t->a + z * t->a_stride[0] + y * t->a_stride[1];
            const float *d0 = t->d[0] + z * t->d_stride[0] + y * t->d_stride[1];
            const float *d1 = t->d[1] + z * t->d_stride[0] + y * t->d_stride[1];
            const float *f = t->fetch + z * t->fetch_stride[0] + y * t->fetch_stride[1];
            for (int64_t x = 0; x < t->width; x++) {
                V d[NV];
                _mm_prefetch(f, _MM_HINT_T1);
                f += t->fetch_stride[2];
#pragma GCC unroll 2
                for (int j = 0; j < nv; j++)
                    d[j] = v_load((j < BLOCK_V ? d0 : d1) + j % BLOCK_V * VLEN);
#pragma GCC unroll 16
                for (int i = 0; i < taps * lanes; i++) {
                    const V v = v_set1(a[i / lanes / x_taps * t->a_row +
                                         i / lanes % x_taps * SF_CBLOCK + i % lanes]);
#pragma GCC unroll 2
                    for (int j = 0; j < nv; j++) acc[i][j] = v_fma(v, d[j], acc[i][j]);
                }
                a += step * SF_CBLOCK;
                d0 += SF_CBLOCK;
                d1 += SF_CBLOCK;
            }
        }
#pragma GCC unroll 16
    for (int i = 0; i < taps * lanes; i++)
#pragma GCC unroll 2
        for (int j = 0; j < nv; j++) {
            float *s = t->sum + (i / lanes * SF_CBLOCK + i % lanes) * t->d_pad + j * VLEN;
            v_store(s, v_add(v_load(s), acc[i][j]));
        }
}

typedef void SF_ISA_NAME(wfn)(const SF_ISA_NAME(wtile) *);
#define WFN(name, y_taps, taps, lanes, step, nv)                                                   \
    static void SF_ISA_NAME(name)(const SF_ISA_NAME(wtile) * t)                                    \
    {                                                                                              \
        SF_ISA_NAME(wcompute)(t, y_taps, taps, lanes, step, nv);                                   \
    }
WFN(w31, 1, 3, WGRAD_CI3, 1, NV)
WFN(w32, 1, 3, WGRAD_CI3, 2, NV)
WFN(w21, 1, 2, WGRAD_CI2, 1, NV)
WFN(w22, 1, 2, WGRAD_CI2, 2, NV)
WFN(w11, 1, 1, WGRAD_CI1, 1, NV)
WFN(w12, 1, 1, WGRAD_CI1, 2, NV)
/* images of one or two channels */
WFN(few31, WGRAD_FEW_Y, 3, 1, 1, NV)
WFN(few32, WGRAD_FEW_Y, 3, 1, 2, NV)
WFN(flat31, 1, 3, 1, 1, NV)
WFN(flat32, 1, 3, 1, 2, NV)
#undef WFN

/* D values of a tile, of blocks [first, first+blocks); the second of a pair may be past the last:
 * its sums are never read. */
static sf_direct_values SF_ISA_NAME(d_values)(const sf_wgrad *g, const sf_direct_tile *t,
                                              int64_t first, int64_t blocks, float *space)
{
    const sf_gather_axis one = { .n = 1, .istep = 1 };
    const sf_gather_axis axis[3] = { one, one, one };
    sf_direct_tile own = *t; /* D has a patch of its own, the tile */
    for (int a = 0; a < 3; a++) own.patch[a] = t->hi[a] - t->lo[a];
    const int64_t floats = own.patch[0] * own.patch[1] * own.patch[2] * SF_CBLOCK;
    const int64_t there = sf_blocks(g->d.x.shape.c) - first;
    const int64_t count = blocks < there ? blocks : there;
    sf_direct_values v;
    if (!sf_direct_in_place(axis, &own, &g->d, g->n, first, count, &v)) {
        v = sf_direct_in_patch(&own, space, floats, count);
        for (int64_t b = 0; b < count; b++, space += floats)
            SF_ISA_NAME(fill_patch)(axis, &own, &g->d, first + b, g->n, space);
    }
    for (int64_t b = count; b < blocks; b++) v.block[b] = v.block[count - 1];
    return v;
}

static sf_direct_values SF_ISA_NAME(a_values)(const sf_wgrad *g, const sf_direct_tile *t,
                                              const sf_block_at *b, float *space)
{
    const sf_input *in = &g->a[b->entry];
    sf_direct_values v;
    if (sf_direct_in_place(g->axis, t, in, g->n, b->cb, 1, &v)) return v;
    SF_ISA_NAME(fill_patch)(g->axis, t, in, b->cb, g->n, space);
    return sf_direct_in_patch(t, space, 0, 1);
}

/* The register tile for A blocks of `lanes` channels, and what it takes of them at a time. */
typedef struct {
    SF_ISA_NAME(wfn) * run;
    int lanes, y_taps;
} SF_ISA_NAME(wchoice);

static SF_ISA_NAME(wchoice) SF_ISA_NAME(choose)(const sf_wgrad *g, int64_t lanes)
{
    static SF_ISA_NAME(wfn) *const fn[3][2] = { { SF_ISA_NAME(w11), SF_ISA_NAME(w12) },
                                                { SF_ISA_NAME(w21), SF_ISA_NAME(w22) },
                                                { SF_ISA_NAME(w31), SF_ISA_NAME(w32) } };
    static SF_ISA_NAME(wfn) *const few[2][2] = { { SF_ISA_NAME(flat31), SF_ISA_NAME(flat32) },
                                                 { SF_ISA_NAME(few31), SF_ISA_NAME(few32) } };
    static const int most[3] = { WGRAD_CI1, WGRAD_CI2, WGRAD_CI3 };
    const sf_gather_axis *x = &g->axis[2];
    SF_ISA_NAME(wchoice) c = { fn[x->n - 1][x->istep - 1], most[x->n - 1], 1 };
    if (x->n == 3 && 2 * lanes <= WGRAD_CI3) {
        const bool all = g->axis[1].n == WGRAD_FEW_Y;
        c = (SF_ISA_NAME(wchoice)){ few[all][x->istep - 1], 1, all ? WGRAD_FEW_Y : 1 };
    }
    return c;
}

/* One A block and a group of D blocks under one tile. */
typedef struct {
    const sf_wgrad *g;
    const sf_direct_wplan *p;
    sf_direct_values a, d;
    bool a_in_place;
    int64_t lanes, d_blocks;
    float *sums, *bias; /* bias: NULL where another unit has it */
} SF_ISA_NAME(wwork);

/* sum[16] += the lanes of a box of voxels */
static void SF_ISA_NAME(add_lanes)(const float *x, const sf_direct_values *v, const int64_t size[3],
                                   float *sum)
{
    V s[4][BLOCK_V];
    for (int j = 0; j < 4 * BLOCK_V; j++) s[j / BLOCK_V][j % BLOCK_V] = v_zero();
    for (int64_t z = 0; z < size[0]; z++)
        for (int64_t y = 0; y < size[1]; y++) {
            const float *p = x + z * v->z + y * v->y;
            int64_t i = 0;
            for (; i + 4 <= size[2]; i += 4)
#pragma GCC unroll 8
                for (int j = 0; j < 4 * BLOCK_V; j++)
                    s[j / BLOCK_V][j % BLOCK_V] =
                        v_add(s[j / BLOCK_V][j % BLOCK_V], v_load(p + i * SF_CBLOCK + j * VLEN));
            for (; i < size[2]; i++)
                for (int j = 0; j < BLOCK_V; j++)
                    s[0][j] = v_add(s[0][j], v_load(p + i * SF_CBLOCK + j * VLEN));
        }
    for (int j = 0; j < BLOCK_V; j++) {
        const V all = v_add(v_add(s[0][j], s[1][j]), v_add(s[2][j], s[3][j]));
        v_store(sum + j * VLEN, v_add(v_load(sum + j * VLEN), all));
    }
}

static void SF_ISA_NAME(add_bias)(const SF_ISA_NAME(wwork) * w, const int64_t at[2],
                                  const int64_t size[3])
{
    const sf_gather_axis *ax = w->g->axis;
    if (!w->g->dbias_of_a) {
        for (int64_t b = 0; b < w->d_blocks; b++) SF_ISA_NAME(add_lanes)
        (w->d.block[b] + at[0] * w->d.z + at[1] * w->d.y, &w->d, size, w->bias + b * SF_CBLOCK);
        return;
    }
    const int64_t under[3] = { size[0] * ax[0].n, size[1] * ax[1].n, size[2] * ax[2].n };
    SF_ISA_NAME(add_lanes)
    (w->a.block[0] + at[0] * ax[0].istep * w->a.z + at[1] * ax[1].istep * w->a.y, &w->a, under,
     w->bias);
}

/* What is read in place comes from memory: each pass over the box fetches one line per voxel of the
 * rows that follow it. */
static void SF_ISA_NAME(fetch_next)(const SF_ISA_NAME(wwork) * w, int64_t pass, bool first,
                                    SF_ISA_NAME(wtile) * k)
{
    const sf_gather_axis *x = &w->g->axis[2];
    const bool a = w->a_in_place && first && pass < x->istep;
    const bool d = !w->a_in_place && pass < TILE_BLOCKS;
    const int64_t *stride = a ? k->a_stride : k->d_stride;
    k->fetch = a ? k->a + pass * SF_CBLOCK : d ? k->d[pass] : k->d[0];
    if (a || d) k->fetch += k->rows[1] * stride[1];
    k->fetch_stride[0] = stride[0];
    k->fetch_stride[1] = stride[1];
    k->fetch_stride[2] = a ? x->istep * SF_CBLOCK : SF_CBLOCK;
}

/* All register tiles of the box of `size` from row `at` of a tile on. */
static void SF_ISA_NAME(wbox)(const SF_ISA_NAME(wwork) * w, const int64_t at[2],
                              const int64_t size[3])
{
    const sf_gather_axis *ax = w->g->axis;
    const sf_direct_values *a = &w->a, *d = &w->d;
    const SF_ISA_NAME(wchoice) c = SF_ISA_NAME(choose)(w->g, w->lanes);
    SF_ISA_NAME(wtile)
    k = { .rows = { size[0], size[1] },
          .width = size[2],
          .a_row = a->y,
          .a_stride = { a->z * ax[0].istep, a->y * ax[1].istep },
          .d_stride = { d->z, d->y },
          .d_pad = w->p->d_pad };
    const float *from = a->block[0] + at[0] * k.a_stride[0] + at[1] * k.a_stride[1];
    for (int64_t b = 0; b < w->d_blocks; b += TILE_BLOCKS) {
        for (int q = 0; q < TILE_BLOCKS; q++)
            k.d[q] = d->block[b + q] + at[0] * d->z + at[1] * d->y;
        k.d[1] = k.d[TILE_BLOCKS - 1];
        for (int zy = 0; zy < ax[0].n * ax[1].n; zy += c.y_taps)
            for (int64_t l = 0; l < w->lanes; l += c.lanes) {
                const int64_t pass = w->a_in_place ? l / c.lanes
                                     : l > 0       ? TILE_BLOCKS
                                                   : zy / c.y_taps;
                k.a = from + zy / ax[1].n * a->z + zy % ax[1].n * a->y;
                SF_ISA_NAME(fetch_next)(w, pass, b == 0, &k);
                k.a += l;
                k.sum = w->sums + (zy * ax[2].n * SF_CBLOCK + l) * k.d_pad + b * SF_CBLOCK;
                c.run(&k);
            }
    }
}

/* A tile in boxes of rows whose values stay in the first cache while all sums take from them. */
enum { WRUN_VOXELS = 128 };
static void SF_ISA_NAME(wboxes)(const SF_ISA_NAME(wwork) * w, const sf_direct_tile *t)
{
    const int64_t width = t->hi[2] - t->lo[2], h = t->hi[1] - t->lo[1];
    const int64_t depth = t->hi[0] - t->lo[0],
                  y_run = width < WRUN_VOXELS ? WRUN_VOXELS / width : 1;
    const int64_t z_run = h < y_run ? y_run / h : 1;
    for (int64_t z = 0; z < depth; z += z_run)
        for (int64_t y = 0; y < h; y += y_run) {
            const int64_t at[2] = { z, y };
            const int64_t size[3] = { depth - z < z_run ? depth - z : z_run,
                                      h - y < y_run ? h - y : y_run, width };
            SF_ISA_NAME(wbox)(w, at, size);
            if (w->bias) SF_ISA_NAME(add_bias)(w, at, size);
        }
}

static void SF_ISA_NAME(wunit)(const sf_wgrad *g, const sf_direct_wplan *p, int64_t block,
                               int64_t group, int64_t part, float *sums, float *mine)
{
    const sf_block_at b = sf_inputs_block(g->a, g->n_a, block);
    const int64_t first = group * SF_D_GROUP, left = p->d_blocks - first;
    const int64_t blocks = left < SF_D_GROUP ? left : SF_D_GROUP;
    const int64_t rows = p->t.taps * SF_CBLOCK;
    SF_ISA_NAME(wwork) w = { .g = g, .p = p, .lanes = b.lanes, .d_blocks = blocks };
    sums += part * p->sums;
    w.sums = sums + block * rows * p->d_pad + first * SF_CBLOCK;
    for (int64_t r = 0; r < rows; r++)
        memset(w.sums + r * p->d_pad, 0, (size_t)(blocks * SF_CBLOCK) * sizeof *sums);
    if (g->dbias && (g->dbias_of_a ? group : block) == 0) {
        const int64_t from = g->dbias_of_a ? block : first, count = g->dbias_of_a ? 1 : blocks;
        w.bias = sums + p->bias + from * SF_CBLOCK;
        memset(w.bias, 0, (size_t)(count * SF_CBLOCK) * sizeof *w.bias);
    }
    for (int64_t i = p->t.tiles * part / p->parts; i < p->t.tiles * (part + 1) / p->parts; i++) {
        sf_direct_tile t;
        if (!sf_direct_tile_at(&p->t, g->axis, i, g->lo, g->lo, g->hi, &t)) continue;
        w.a = SF_ISA_NAME(a_values)(g, &t, &b, mine);
        w.a_in_place = w.a.block[0] != mine;
        w.d = SF_ISA_NAME(d_values)(g, &t, first, blocks, mine + p->t.patch_floats);
        SF_ISA_NAME(wboxes)(&w, &t);
    }
}

void SF_ISA_NAME(sf_wgrad_direct)(const sf_wgrad *g, void *scratch)
{
    int64_t extent[3];
    for (int a = 0; a < 3; a++) extent[a] = g->hi[a] - g->lo[a];
    const int64_t blocks = sf_inputs_blocks(g->a, g->n_a);
    const sf_direct_wplan p = sf_direct_wplan_make(
        g->axis, extent, blocks, sf_inputs_channels(g->a, g->n_a), g->d.x.shape.c);
    float *sums = scratch, *rest = sums + p.parts * p.sums;
#pragma omp parallel num_threads(g->threads)
    {
        float *mine = rest + omp_get_thread_num() * p.per_thread;
#pragma omp for schedule(dynamic)
        for (int64_t u = 0; u < blocks * p.groups * p.parts; u++) SF_ISA_NAME(wunit)
        (g, &p, u / (p.groups * p.parts), u / p.parts % p.groups, u % p.parts, sums, mine);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < sf_blocks(g->d.x.shape.c); i++) sf_direct_write(g, &p, i, sums);
#pragma omp single
        sf_direct_write_bias(g, &p, sums);
    }
}
