/* Forward pass and gradient of the input. Part of wino_body.h, after loading, weights, products and
 * storing. */
typedef struct {
    wino_geo g;
    const sf_conv *c;
    weights w;
    const sf_input *in;
    int n_in;
    const sf_view *out;
    const bool *accumulate;
    int n_out;
    const float *bias;
    limits box;   /* of the outputs that are held */
    bool stream;  /* outputs too large for the caches */
    double *sums; /* [sample][unit][2 layers of tiles][slices of a tile][2][ob*16], or NULL */
    float *u, *v,
        *own; /* weights; inputs of a deep pass; what a thread works in, own_floats each */
    size_t own_floats;
} pass;

/* Outputs beyond this do not stay in a cache until they are read. */
enum { STREAM_BYTES = 16 << 20 };

static int64_t u_pitch(const wino_geo *g) { return g->ib * SF_CBLOCK * CG + PAD; }
static int64_t v_pitch(const wino_geo *g, int64_t tiles) { return g->ib * SF_CBLOCK * tiles + PAD; }
static int64_t m_pitch(int64_t rows) { return rows * CG + PAD / 2; }

/* Few tiles, many channels: U of 16 inputs x CG outputs is made in the cache and used at once for
 * the tiles of all samples. More than DEEP_ROWS tiles only as far as their M stays there too. */
enum {
    DEEP_ROWS = 96,
    MOST_DEEP_ROWS = 256,
    DEEP_M = 1 << 20, /* bytes */
    DEEP_U = 1 << 18, /* bytes */
    DEEP_WEIGHTS = 1 << 19
};
static bool is_deep(const wino_geo *g, int64_t samples)
{
    const int64_t rows = samples * g->tiles, most = DEEP_M / (g->coords * CG * 4);
    return (rows <= DEEP_ROWS || (rows <= most && rows <= MOST_DEEP_ROWS)) &&
           g->coords * g->ib * SF_CBLOCK * g->groups * CG > DEEP_WEIGHTS;
}

/* --- statistics ----------------------------------------------------------------------------- */

/* The statistics of a slice are summed tile by tile within a unit, then over the units of a layer
 * (the tiles of one index along the axis of the slices). A unit meets two layers at most. */
static int slice_axis(const wino_geo *g) { return sf_slice_axis(g->extent); }
static int64_t layer_tiles(const wino_geo *g)
{
    return g->grid[2] * (slice_axis(g) == 0 ? g->grid[1] : 1);
}
static int64_t pass_blocks(const wino_geo *g) { return (g->tiles + g->block - 1) / g->block; }
static int64_t pass_units(const wino_geo *g) { return (g->tiles + UNIT - 1) / UNIT; }
static int64_t layer_floats(const wino_geo *g) /* doubles, in truth */
{
    return g->m[slice_axis(g)] * 2 * g->ob * SF_CBLOCK;
}
/* Not where one sample alone would be a deep pass: a batch that is shared by ranks must have the
 * statistics of the whole one, bit for bit. */
static bool sums_fit(const wino_geo *g) { return layer_tiles(g) >= UNIT && !is_deep(g, 1); }

static double *sums_at(const pass *p, int64_t n, int64_t unit, int64_t layer)
{
    const wino_geo *g = &p->g;
    const int64_t first = unit * UNIT / layer_tiles(g);
    return p->sums + ((n * pass_units(g) + unit) * 2 + layer - first) * layer_floats(g);
}

/* Of the units of one block. */
static void clear_sums(const pass *p, int64_t n, int64_t first_tile, int64_t end_tile)
{
    const int64_t u0 = first_tile / UNIT, u1 = (end_tile + UNIT - 1) / UNIT;
    const int64_t unit = 2 * layer_floats(&p->g);
    memset(p->sums + (n * pass_units(&p->g) + u0) * unit, 0,
           (size_t)((u1 - u0) * unit) * sizeof *p->sums);
}

static void combine_sums(const pass *p, int64_t n, int64_t layer, double *stats)
{
    const wino_geo *g = &p->g;
    const int axis = slice_axis(g), m = g->m[axis];
    const int64_t lt = layer_tiles(g), lanes = g->ob * SF_CBLOCK, slices = g->extent[axis];
    const int64_t u0 = layer * lt / UNIT, u1 = ((layer + 1) * lt - 1) / UNIT;
    for (int64_t c = 0; c < lanes; c += SF_CBLOCK) {
        double sum[2 * MAX_OUTPUTS][SF_CBLOCK] = { { 0 } };
        for (int64_t u = u0; u <= u1; u++) {
            const double *from = sums_at(p, n, u, layer) + c;
            for (int i = 0; i < 2 * m; i++, from += lanes)
                for (int l = 0; l < SF_CBLOCK; l++) sum[i][l] += from[l];
        }
        for (int i = 0; i < 2 * m; i++) {
            const int64_t slice = layer * m + i / 2;
            if (slice < p->box.lo[axis] || slice >= p->box.hi[axis]) continue;
            for (int l = 0; l < SF_CBLOCK; l++)
                stats[((n * lanes + c + l) * slices + slice) * 2 + i % 2] = sum[i][l];
        }
    }
}

/* --- one block of tiles ---------------------------------------------------------------------- */

/* The tiles become rows first .. of `rows` of V. */
static void load_tiles(const pass *p, int64_t n, int64_t b, const spot *list, int64_t count,
                       float *v, int64_t first, int64_t rows, float *cube)
{
    const sf_block_at at = sf_inputs_block(p->in, p->n_in, b);
    const source s = open_source(&p->in[at.entry], n, at.cb);
    const limits l = whole_source(&p->g);
    const places to = { v, ROWS, p->g.ib, rows, b, first, v_pitch(&p->g, rows) };
    transform_tiles(&p->g, IN, &s, list, count, &l, &to, cube, NULL);
}

static target open_target(const pass *p, int64_t n, int64_t q)
{
    const sf_block_at at = sf_views_block(p->out, p->n_out, q);
    const sf_view *y = &p->out[at.entry];
    target t = { .data = view_base(y, n, at.cb),
                 .half = y->dtype == SF_BF16,
                 .sd = y->stride_d,
                 .sh = y->stride_h,
                 .l = p->box,
                 .add = p->accumulate && p->accumulate[at.entry],
                 .sums_row = p->g.ob * SF_CBLOCK,
                 .deep = slice_axis(&p->g) == 0 };
    /* half a block is a quarter of a line: the lines would leave in parts */
    const bool lines = !t.half || BLOCK_V == 1;
    t.stream = p->stream && lines && !t.add && (uintptr_t)t.data % 64 == 0;
    for (int64_t l = 0; p->bias && l < at.lanes; l++) t.bias[l] = p->bias[at.first + l];
    return t;
}

/* Rows of M of one group, transformed along the inner axis, back to the outputs; `points` of that
 * axis follow each other. */
static void store_group(const pass *p, int64_t n, int64_t group, const spot *list, int64_t count,
                        const float *m, int64_t pitch, int points, float *cube)
{
    const wino_geo *g = &p->g;
    int64_t step[3];
    for (int a = 0; a < 3; a++)
        step[a] = (a == g->inner ? 1 : g->step[a] / g->t[g->inner] * points) * pitch;
    for (int64_t q = group * OB; q < group * OB + OB && q < g->ob; q++) {
        target t = open_target(p, n, q);
        for (int64_t i = 0; i < count; i++) {
            if (p->sums) t.sums = list[i].sums + q * SF_CBLOCK;
            store_tile(g, &t, &list[i], m + i * CG + q % OB * SF_CBLOCK, step, cube);
        }
    }
}

static void run_block(const pass *p, int64_t n, int64_t block, float *own)
{
    const wino_geo *g = &p->g;
    spot list[MAX_BLOCK];
    const int64_t first = block * g->block;
    const int64_t end = first + g->block < g->tiles ? first + g->block : g->tiles;
    const int64_t count = list_tiles(g, first, end, &p->box, list);
    const int64_t vp = v_pitch(g, count), mp = m_pitch(count);
    const int points = g->t[g->inner], outputs = g->m[g->inner];
    float *cube = own, *near = cube + CUBE, *v = near + NEAR,
          *m = v + lines16(g->coords * v_pitch(g, g->block));
    if (p->sums) {
        clear_sums(p, n, first, end);
        for (int64_t i = 0, a = slice_axis(g); i < count; i++)
            list[i].sums = sums_at(p, n, list[i].tile / UNIT, list[i].o[a] / g->m[a]);
    }
    for (int64_t b = 0; b < g->ib && count > 0; b++)
        load_tiles(p, n, b, list, count, v, 0, count, cube);
    for (int64_t group = 0; group < g->groups && count > 0; group++) {
        const float *u = p->u + group * g->coords * u_pitch(g);
        for (int k = 0; k < g->coords / points; k++)
            products_out(g, count, v + k * points * vp, vp, u + k * points * u_pitch(g), u_pitch(g),
                         m + k * outputs * mp, mp, near);
        store_group(p, n, group, list, count, m, mp, outputs, cube);
    }
}

/* U of input block b for one group. */
static void group_u(const pass *p, int64_t group, int64_t b, float *u, int64_t pitch, float *own)
{
    const wino_geo *g = &p->g;
    const sf_block_at from = sf_inputs_block(p->in, p->n_in, b);
    for (int64_t i = 0; i < OB; i++) {
        sf_block_at to = { 0 }; /* past the last: no lanes, all zero */
        if (group * OB + i < g->ob) to = sf_views_block(p->out, p->n_out, group * OB + i);
        fill_u(g, &p->w, &from, &to, u + i * SF_CBLOCK, pitch, own + CUBE, own);
    }
}

static void run_shallow(const pass *p, double *stats, int threads)
{
    const wino_geo *g = &p->g;
    const int64_t samples = p->c->in.n, blocks = pass_blocks(g);
    const int64_t layers = p->sums ? g->grid[slice_axis(g)] : 0;
#pragma omp parallel num_threads(threads)
    {
        float *own = p->own + (size_t)omp_get_thread_num() * p->own_floats;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < g->groups * g->ib; i++) {
            const int64_t group = i / g->ib, b = i % g->ib;
            group_u(p, group, b, p->u + group * g->coords * u_pitch(g) + b * SF_CBLOCK * CG,
                    u_pitch(g), own);
        }
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < samples * blocks; i++) {
            run_block(p, i / blocks, i % blocks, own);
            if (p->stream) _mm_sfence();
        }
#pragma omp for schedule(static)
        for (int64_t i = 0; i < samples * layers; i++)
            combine_sums(p, i / layers, i % layers, stats);
    }
}

/* --- deep layers ----------------------------------------------------------------------------- */

/* Input blocks at a time: as many as their U stays in a cache; M is read and written once for them.
 */
static int64_t deep_blocks(const wino_geo *g)
{
    const int64_t n = DEEP_U / (g->coords * SF_CBLOCK * CG * 4);
    return n < 1 ? 1 : n > g->ib ? g->ib : n;
}
static int64_t deep_pitch(const wino_geo *g) { return deep_blocks(g) * SF_CBLOCK * CG + 16; }

static size_t deep_own(const wino_geo *g, int64_t samples)
{
    return CUBE + TAPS + lines16(g->coords * deep_pitch(g)) +
           lines16(g->coords * m_pitch(samples * g->tiles));
}

/* V holds the rows (sample, tile) of everything. */
static void run_deep_group(const pass *p, const spot *list, int64_t tiles, int64_t group,
                           float *own)
{
    const wino_geo *g = &p->g;
    const int64_t rows = p->c->in.n * tiles, vp = v_pitch(g, rows), mp = m_pitch(rows);
    const int64_t pitch = deep_pitch(g), step = deep_blocks(g);
    float *u = own + CUBE + TAPS, *m = u + lines16(g->coords * pitch);
    for (int64_t b = 0; b < g->ib; b += step) {
        const int64_t end = b + step < g->ib ? b + step : g->ib;
        for (int64_t i = b; i < end; i++)
            group_u(p, group, i, u + (i - b) * SF_CBLOCK * CG, pitch, own);
        for (int k = 0; k < g->coords; k++)
            products_part(g, rows, b, end, p->v + k * vp, u + k * pitch, m + k * mp);
    }
    const int points = g->t[g->inner];
    const wino_walk walk = { CG, SF_CBLOCK, mp };
    for (int k = 0; k < g->coords; k += points)
        sweep_out(g->kind[g->inner], (int)rows, OB, m + k * mp, walk, m + k * mp, walk);
    for (int64_t n = 0; n < p->c->in.n; n++)
        store_group(p, n, group, list, tiles, m + n * tiles * CG, mp, points, own);
}

static void run_deep(const pass *p, int threads)
{
    const wino_geo *g = &p->g;
    spot list[MOST_DEEP_ROWS];
    const int64_t samples = p->c->in.n, tiles = list_tiles(g, 0, g->tiles, &p->box, list);
    const int64_t rows = samples * tiles;
#pragma omp parallel num_threads(threads)
    {
        float *own = p->own + (size_t)omp_get_thread_num() * p->own_floats;
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < samples * g->ib; i++) {
            const int64_t n = i / g->ib, b = i % g->ib;
            load_tiles(p, n, b, list, tiles, p->v, n * tiles, rows, own);
        }
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < g->groups; i++) run_deep_group(p, list, tiles, i, own);
    }
}

/* --- the passes ------------------------------------------------------------------------------ */

static size_t block_own(const wino_geo *g)
{
    const int64_t m = g->coords / g->t[g->inner] * g->m[g->inner];
    const size_t block =
        NEAR + lines16(g->coords * v_pitch(g, g->block)) + lines16(m * m_pitch(g->block));
    return CUBE + (block > TAPS ? block : TAPS);
}

static size_t sums_floats(const wino_geo *g, int64_t samples)
{
    return sums_fit(g) ? (size_t)(samples * pass_units(g) * 4 * layer_floats(g)) : 0;
}

static size_t floats_for(const wino_geo *g, int64_t samples, int threads)
{
    if (is_deep(g, samples))
        return lines16(g->coords * v_pitch(g, samples * g->tiles)) +
               (size_t)threads * deep_own(g, samples);
    return lines16(g->groups * g->coords * u_pitch(g)) + sums_floats(g, samples) +
           (size_t)threads * block_own(g);
}

/* For a batch of up to so many samples: one with fewer may be deep, and need more. */
static size_t pass_floats(const wino_geo *g, int64_t samples, int threads)
{
    const size_t whole = floats_for(g, samples, threads);
    int64_t n = samples;
    while (n > 1 && !is_deep(g, n)) n--;
    const size_t part = floats_for(g, n, threads);
    return part > whole ? part : whole;
}

/* Statistics come out of the blocks when the slab has whole slices. */
static bool whole_slices(const pass *p)
{
    for (int a = slice_axis(&p->g) + 1; a < 3; a++)
        if (p->box.lo[a] > 0 || p->box.hi[a] < p->g.extent[a]) return false;
    return true;
}

static void run_pass(pass *p, void *space, double *stats, int threads)
{
    const wino_geo *g = &p->g;
    const int64_t samples = p->c->in.n;
    float *at = align64(space);
    p->box = held(&p->out[0]);
    p->stream = samples * g->ob * SF_CBLOCK * g->extent[0] * g->extent[1] * g->extent[2] *
                    (int64_t)sf_dtype_size(p->out[0].dtype) >
                STREAM_BYTES;
    if (is_deep(g, samples)) {
        p->v = at;
        p->own = at + lines16(g->coords * v_pitch(g, samples * g->tiles));
        p->own_floats = deep_own(g, samples);
        run_deep(p, threads);
        if (stats) sf_norm_stats(&p->out[0], stats, threads);
        return;
    }
    const bool fused = stats && sums_fit(g) && whole_slices(p);
    p->sums = fused ? (double *)at : NULL;
    p->u = at + sums_floats(g, samples);
    p->own = p->u + lines16(g->groups * g->coords * u_pitch(g));
    p->own_floats = block_own(g);
    run_shallow(p, stats, threads);
    if (stats && !fused) sf_norm_stats(&p->out[0], stats, threads);
}

static sf_status forward(const sf_conv *c, const sf_conv_fwd *a, void *space)
{
    SF_TRY(sf_gather_check(a->n_in));
    pass p = { .c = c,
               .w = weights_of(c, a->weight, false),
               .in = a->in,
               .n_in = a->n_in,
               .out = &a->out,
               .n_out = 1,
               .bias = a->bias };
    p.g = make_geo(c, sf_inputs_blocks(a->in, a->n_in), sf_blocks(c->out.c), false);
    run_pass(&p, space, a->stats, a->threads);
    return SF_OK;
}

static sf_status backward_data(const sf_conv *c, const sf_conv_bwd_data *a, void *space)
{
    SF_TRY(sf_gather_check(a->n_in));
    const sf_input in = { .x = a->dout };
    pass p = { .c = c,
               .w = weights_of(c, a->weight, true),
               .in = &in,
               .n_in = 1,
               .out = a->din,
               .accumulate = a->accumulate,
               .n_out = a->n_in };
    p.g = make_geo(c, sf_blocks(c->out.c), sf_views_blocks(a->din, a->n_in), true);
    run_pass(&p, space, NULL, a->threads);
    return SF_OK;
}
