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

/* D rows of a tile: [block][z][y][x][16]; blocks past the last are zeros. */
static void SF_ISA_NAME(fill_d)(const sf_wgrad *g, const sf_direct_tile *t, int64_t first,
                                int64_t blocks, float *d)
{
    const int64_t w = t->hi[2] - t->lo[2];
    for (int64_t b = first; b < first + blocks; b++)
        for (int64_t z = t->lo[0]; z < t->hi[0]; z++)
            for (int64_t y = t->lo[1]; y < t->hi[1]; y++, d += w * SF_CBLOCK) {
                const int64_t at[3] = { z, y, t->lo[2] };
                if (b < sf_blocks(g->d.x.shape.c))
                    SF_ISA_NAME(fill_row)(&g->d, b, g->n, at, w, d);
                else
                    memset(d, 0, (size_t)(w * SF_CBLOCK) * sizeof *d);
            }
}

/* All register tiles of one tile of voxels: A block `lanes` channels, D blocks of a group. */
static void SF_ISA_NAME(wrows)(const sf_wgrad *g, const sf_direct_wplan *p, const sf_direct_tile *t,
                               int64_t lanes, int64_t d_blocks, const float *patch, const float *d,
                               float *sums)
{
    const sf_gather_axis *ax = g->axis;
    SF_ISA_NAME(wfn) *const fn[3][2] = { { SF_ISA_NAME(w11), SF_ISA_NAME(w12) },
                                         { SF_ISA_NAME(w21), SF_ISA_NAME(w22) },
                                         { SF_ISA_NAME(w31), SF_ISA_NAME(w32) } };
    const bool few = ax[2].n == 3 && 2 * lanes <= WGRAD_CI3;
    const bool head = ax[2].n == 1 && ax[2].istep == 1 && g->d.x.shape.c <= SF_CBLOCK;
    const int step_lanes = few            ? 1
                           : head         ? WGRAD_CI1 * TILE_BLOCKS
                           : ax[2].n == 3 ? WGRAD_CI3
                           : ax[2].n == 2 ? WGRAD_CI2
                                          : WGRAD_CI1;
    SF_ISA_NAME(wfn) *const tile = few ? ax[2].istep == 1 ? SF_ISA_NAME(few31) : SF_ISA_NAME(few32)
                                   : head ? SF_ISA_NAME(head)
                                          : fn[ax[2].n - 1][ax[2].istep - 1];
    const int64_t w = t->hi[2] - t->lo[2], h = t->hi[1] - t->lo[1], depth = t->hi[0] - t->lo[0];
    const int64_t row = t->patch[2] * SF_CBLOCK, plane = t->patch[1] * row;
    SF_ISA_NAME(wtile)
    k = { .rows = { depth, h },
          .width = w,
          .a_stride = { plane * ax[0].istep, row * ax[1].istep },
          .d_stride = { h * w * SF_CBLOCK, w * SF_CBLOCK },
          .d_pad = p->d_pad };
    for (int64_t b = 0; b < d_blocks; b += TILE_BLOCKS)
        for (int zy = 0; zy < ax[0].n * ax[1].n; zy++)
            for (int64_t l = 0; l < lanes; l += step_lanes) {
                k.a = patch + zy / ax[1].n * plane + zy % ax[1].n * row + l;
                k.d[0] = d + b * depth * h * w * SF_CBLOCK;
                k.d[1] = k.d[0] + (TILE_BLOCKS - 1) * depth * h * w * SF_CBLOCK;
                k.sum = sums + (zy * ax[2].n * SF_CBLOCK + l) * p->d_pad + b * SF_CBLOCK;
                tile(&k);
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
        SF_ISA_NAME(fill_patch)(g->axis, &t, &g->a[b.entry], b.cb, g->n, patch);
        SF_ISA_NAME(fill_d)(g, &t, first, blocks, d);
        SF_ISA_NAME(wrows)(g, p, &t, b.lanes, blocks, patch, d, sums);
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
