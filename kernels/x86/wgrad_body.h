/* Direct weight gradients in vector words; included after direct_body.h of the same instruction
 * set. Register tile: the taps along x times a few A lanes times two D vectors; it stays in
 * registers over all rows of a tile of voxels and is then added to the sums, so each tile is a
 * partial sum. */

typedef struct {
    const float *a, *d[2]; /* patch at the first tap; D rows of one or two blocks */
    int64_t rows[2], width;
    int64_t a_stride[2], d_stride[2]; /* floats from row to row along z and y */
    float *sum;                       /* [tap along x][16 lanes][d_pad] */
    int64_t d_pad;
} SF_ISA_NAME(wtile);

/* All arguments after `t` are constants after inlining. */
FLAT void SF_ISA_NAME(wcompute)(const SF_ISA_NAME(wtile) * t, const int taps, const int lanes,
                                const int step, const int nv)
{
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
            for (int64_t x = 0; x < t->width; x++) {
                V d[NV];
#pragma GCC unroll 2
                for (int j = 0; j < nv; j++)
                    d[j] = v_load((j < BLOCK_V ? d0 : d1) + j % BLOCK_V * VLEN);
#pragma GCC unroll 16
                for (int i = 0; i < taps * lanes; i++) {
                    const V v = v_set1(a[i / lanes * SF_CBLOCK + i % lanes]);
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
#define WFN(name, taps, lanes, step, nv)                                                           \
    static void SF_ISA_NAME(name)(const SF_ISA_NAME(wtile) * t)                                    \
    {                                                                                              \
        SF_ISA_NAME(wcompute)(t, taps, lanes, step, nv);                                           \
    }
WFN(w31, 3, WGRAD_CI3, 1, NV)
WFN(w32, 3, WGRAD_CI3, 2, NV)
WFN(w21, 2, WGRAD_CI2, 1, NV)
WFN(w22, 2, WGRAD_CI2, 2, NV)
WFN(w11, 1, WGRAD_CI1, 1, NV)
WFN(w12, 1, WGRAD_CI1, 2, NV)
/* images of one or two channels; heads of at most 16 */
WFN(few31, 3, 1, 1, NV)
WFN(few32, 3, 1, 2, NV)
WFN(head, 1, WGRAD_CI1 *TILE_BLOCKS, 1, BLOCK_V)
#undef WFN

/* D values of a tile, of blocks [first, first+blocks); the second of a pair may be past the last: its
 * sums are never read. */
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

/* The register tile for A blocks of `lanes` channels, and how many of them it takes. */
static SF_ISA_NAME(wfn) * SF_ISA_NAME(choose)(const sf_wgrad *g, int64_t lanes, int *step_lanes)
{
    static SF_ISA_NAME(wfn) *const fn[3][2] = { { SF_ISA_NAME(w11), SF_ISA_NAME(w12) },
                                                { SF_ISA_NAME(w21), SF_ISA_NAME(w22) },
                                                { SF_ISA_NAME(w31), SF_ISA_NAME(w32) } };
    static const int most[3] = { WGRAD_CI1, WGRAD_CI2, WGRAD_CI3 };
    const sf_gather_axis *x = &g->axis[2];
    if (x->n == 3 && 2 * lanes <= WGRAD_CI3) {
        *step_lanes = 1;
        return x->istep == 1 ? SF_ISA_NAME(few31) : SF_ISA_NAME(few32);
    }
    if (x->n == 1 && x->istep == 1 && g->d.x.shape.c <= SF_CBLOCK) {
        *step_lanes = WGRAD_CI1 * TILE_BLOCKS;
        return SF_ISA_NAME(head);
    }
    *step_lanes = most[x->n - 1];
    return fn[x->n - 1][x->istep - 1];
}

/* All register tiles of the box of `rows` from row (z,y) of a tile on: A block of `lanes` channels, D
 * blocks of a group. */
static void SF_ISA_NAME(wrows)(const sf_wgrad *g, const sf_direct_wplan *p, const int64_t rows[2],
                               int64_t width, int64_t lanes, int64_t d_blocks,
                               const sf_direct_values *a, const sf_direct_values *d, int64_t z,
                               int64_t y, float *sums)
{
    const sf_gather_axis *ax = g->axis;
    int step_lanes;
    SF_ISA_NAME(wfn) *const tile = SF_ISA_NAME(choose)(g, lanes, &step_lanes);
    SF_ISA_NAME(wtile)
    k = { .rows = { rows[0], rows[1] },
          .width = width,
          .a_stride = { a->z * ax[0].istep, a->y * ax[1].istep },
          .d_stride = { d->z, d->y },
          .d_pad = p->d_pad };
    const float *from = a->block[0] + z * k.a_stride[0] + y * k.a_stride[1];
    for (int64_t b = 0; b < d_blocks; b += TILE_BLOCKS)
        for (int zy = 0; zy < ax[0].n * ax[1].n; zy++)
            for (int64_t l = 0; l < lanes; l += step_lanes) {
                k.a = from + zy / ax[1].n * a->z + zy % ax[1].n * a->y + l;
                k.d[0] = d->block[b] + z * d->z + y * d->y;
                k.d[1] = d->block[b + TILE_BLOCKS - 1] + z * d->z + y * d->y;
                k.sum = sums + (zy * ax[2].n * SF_CBLOCK + l) * p->d_pad + b * SF_CBLOCK;
                tile(&k);
            }
}

/* A tile in boxes of rows whose values stay in the first cache while all sums take from them. */
enum { WRUN_VOXELS = 128 };
static void SF_ISA_NAME(wboxes)(const sf_wgrad *g, const sf_direct_wplan *p,
                                const sf_direct_tile *t, int64_t lanes, int64_t d_blocks,
                                const sf_direct_values *a, const sf_direct_values *d, float *sums)
{
    const int64_t w = t->hi[2] - t->lo[2], h = t->hi[1] - t->lo[1], depth = t->hi[0] - t->lo[0];
    const int64_t y_run = w < WRUN_VOXELS ? WRUN_VOXELS / w : 1;
    const int64_t z_run = h < y_run ? y_run / h : 1;
    for (int64_t z = 0; z < depth; z += z_run)
        for (int64_t y = 0; y < h; y += y_run) {
            const int64_t rows[2] = { depth - z < z_run ? depth - z : z_run,
                                      h - y < y_run ? h - y : y_run };
            SF_ISA_NAME(wrows)(g, p, rows, w, lanes, d_blocks, a, d, z, y, sums);
        }
}

static void SF_ISA_NAME(wunit)(const sf_wgrad *g, const sf_direct_wplan *p, int64_t block,
                               int64_t group, int64_t part, float *sums, float *mine)
{
    const sf_block_at b = sf_inputs_block(g->a, g->n_a, block);
    const int64_t first = group * SF_D_GROUP, left = p->d_blocks - first;
    const int64_t blocks = left < SF_D_GROUP ? left : SF_D_GROUP;
    const int64_t rows = p->t.taps * SF_CBLOCK;
    float *patch = mine, *d = patch + p->t.patch_floats;
    sums += part * p->sums + block * rows * p->d_pad + first * SF_CBLOCK;
    for (int64_t r = 0; r < rows; r++)
        memset(sums + r * p->d_pad, 0, (size_t)(blocks * SF_CBLOCK) * sizeof *sums);
    for (int64_t i = p->t.tiles * part / p->parts; i < p->t.tiles * (part + 1) / p->parts; i++) {
        sf_direct_tile t;
        if (!sf_direct_tile_at(&p->t, g->axis, i, g->lo, g->lo, g->hi, &t)) continue;
        const sf_direct_values va = SF_ISA_NAME(a_values)(g, &t, &b, patch);
        const sf_direct_values vd = SF_ISA_NAME(d_values)(g, &t, first, blocks, d);
        SF_ISA_NAME(wboxes)(g, p, &t, b.lanes, blocks, &va, &vd, sums);
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
    }
}
