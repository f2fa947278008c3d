/* Gradient of the weights: dU = (A dY A^T) . (B^T d B) summed over tiles in order, dW = G^T dU G,
 * the exact adjoint of the forward pass. Part of wino_body.h, after its loading and transforms. */
/* Two orders: wide, coordinate by coordinate, all of dU is read and written with each batch of
 * tiles; or pair by pair of 16 inputs and CG outputs, whose dU stays near, for one batch of all
 * tiles. */
enum {
    DU_PITCH = SF_CBLOCK * CG + 16,
    LARGE_DU = 4 << 20, /* floats */
    MANY_FLOATS = 3 << 19,
    CHUNK = 16,
    MOST_TILES = 256
};

typedef struct {
    const sf_conv *c;
    const sf_conv_bwd_weight *a;
    wino_geo g;
    limits leaf;           /* output gradients of this leaf; others read as zero */
    float *v, *z;          /* [coordinate][block][tile of the batch][16] */
    float *du;             /* [coordinate][input block][group][16][CG], pitch du_step */
    float *sums;           /* [output block][tile of the batch][16]: of the output gradient */
    double *bias;          /* [output block][16] */
    float *own;            /* per thread */
    spot list[MOST_TILES]; /* tiles of this batch */
    int64_t count, batch;  /* their number; that of a full one */
    bool wide;             /* else pair by pair */
} wgrad;

static int64_t du_step(const wino_geo *g) { return g->ib * g->groups * SF_CBLOCK * CG + PAD; }
static int64_t z_blocks(const wino_geo *g) { return g->groups * OB; }
/* One pair reads its tiles coordinate by coordinate: where those of its input block stay near, all
 * other pairs of the block find them there. */
static bool is_wide(const wino_geo *g)
{
    return g->tiles > MOST_TILES || !fits(g->tiles * g->coords * SF_CBLOCK * 4, sf_cpu_l2_bytes());
}

/* The larger a batch, the less often dU is read and written, and the further away lie its V and Z.
 */
static int64_t batch_tiles(const wino_geo *g)
{
    const int64_t l2 = sf_cpu_l2_bytes(), du = g->coords * du_step(g);
    const int64_t tile = g->coords * (g->ib + z_blocks(g)) * SF_CBLOCK;
    if (!is_wide(g)) return g->tiles;
    int64_t n = 48;
    if (!is_large(l2) && du <= LARGE_DU && n * tile * 4 > 4 * l2) n = 24;
    if (is_large(l2) && du > MANY_FLOATS) n = MOST_TILES;
    if (is_large(l2) && !fits((du + n * tile) * 4, l2) && fits((du + UNIT * tile) * 4, l2))
        n = UNIT;
    return n < g->tiles ? n : g->tiles;
}

static int64_t batch_pitch(int64_t blocks, int64_t tiles)
{
    return blocks * SF_CBLOCK * tiles + PAD;
}

static size_t wgrad_own(const wino_geo *g)
{
    return CUBE + TAPS + (is_wide(g) ? 0 : lines16(g->coords * DU_PITCH));
}

static size_t wgrad_floats(const wino_geo *g, int threads)
{
    const int64_t n = batch_tiles(g), k = g->coords;
    return lines16(k * batch_pitch(g->ib, n)) + lines16(k * batch_pitch(z_blocks(g), n)) +
           (is_wide(g) ? lines16(k * du_step(g)) : 0) +
           (size_t)(z_blocks(g) * SF_CBLOCK * (n + 2)) + (size_t)threads * wgrad_own(g);
}

/* --- filling --------------------------------------------------------------------------------- */

static void fill_inputs(const wgrad *w, int64_t b, int64_t i0, int64_t i1, float *cube)
{
    const wino_geo *g = &w->g;
    const sf_block_at at = sf_inputs_block(w->a->in, w->a->n_in, b);
    const source s = open_source(&w->a->in[at.entry], w->a->n, at.cb);
    const limits l = whole_source(g);
    const places to = { w->v, w->count, g->ib, w->count, b, i0, batch_pitch(g->ib, w->count) };
    transform_tiles(g, IN, &s, w->list + i0, i1 - i0, &l, &to, cube, NULL);
}

static void fill_gradients(const wgrad *w, int64_t q, int64_t i0, int64_t i1, float *cube)
{
    const wino_geo *g = &w->g;
    const int64_t pitch = batch_pitch(z_blocks(g), w->count);
    float *z = w->z + q * w->count * SF_CBLOCK;
    if (q >= g->ob) {
        for (int k = 0; k < g->coords; k++)
            memset(z + k * pitch + i0 * SF_CBLOCK, 0, (size_t)(i1 - i0) * SF_CBLOCK * sizeof *z);
        return;
    }
    const sf_input dout = { .x = w->a->dout };
    const source s = open_source(&dout, w->a->n, q);
    const places to = { w->z, w->count, z_blocks(g), w->count, q, i0, pitch };
    transform_tiles(g, ADJ, &s, w->list + i0, i1 - i0, &w->leaf, &to, cube,
                    w->sums + (q * w->count + i0) * SF_CBLOCK);
}

static void add_bias(const wgrad *w, int64_t q)
{
    for (int64_t i = 0; i < w->count; i++)
        for (int l = 0; l < SF_CBLOCK; l++)
            w->bias[q * SF_CBLOCK + l] += (double)w->sums[(q * w->count + i) * SF_CBLOCK + l];
}

/* --- products -------------------------------------------------------------------------------- */

/* What one product of 16 inputs x CG outputs reads and writes. */
typedef struct {
    const float *v, *z;
    float *du;
} operands;

/* dU[rows inputs][2 vectors] (+)= V^T Z over the tiles. `next`, if any, is read by a later call:
 * two lines of it are fetched with each tile, `step` floats apart. */
FLAT void grad(const int rows, int64_t tiles, const float *v, const float *z0, const float *z1,
               const bool add, float *du, const float *next, int64_t step)
{
    V acc[8][2];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) acc[r][j] = add ? v_load(du + r * CG + j * VLEN) : v_zero();
    for (int64_t i = 0; i < tiles; i++, v += SF_CBLOCK, z0 += SF_CBLOCK, z1 += SF_CBLOCK) {
        const V y0 = v_load(z0), y1 = v_load(z1);
        _mm_prefetch((const char *)(next + i * SF_CBLOCK), _MM_HINT_T0);
        _mm_prefetch((const char *)(next + step + i * SF_CBLOCK), _MM_HINT_T0);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            const V x = v_set1(v[r]);
            acc[r][0] = v_fma(x, y0, acc[r][0]);
            acc[r][1] = v_fma(x, y1, acc[r][1]);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) v_store(du + r * CG + j * VLEN, acc[r][j]);
}

FLAT void grad_block_sized(int64_t tiles, operands at, const bool add, operands next)
{
    const int64_t block = tiles * SF_CBLOCK;
    const float *v = at.v;
    for (int c = 0; c < COLS; c++, at.du += 2 * VLEN, next.z += block) {
        const float *z0 = at.z + c * block, *z1 = BLOCK_V == 1 ? z0 + block : z0 + VLEN;
        if (BLOCK_V == 1) {
            grad(8, tiles, v, z0, z1, add, at.du, next.z, block);
            grad(8, tiles, v + 8, z0, z1, add, at.du + 8 * CG, next.v, next.du - next.v);
        } else {
            grad(6, tiles, v, z0, z1, add, at.du, next.z, 0);
            grad(6, tiles, v + 6, z0, z1, add, at.du + 6 * CG, next.v, next.du - next.v);
            grad(4, tiles, v + 12, z0, z1, add, at.du + 12 * CG, next.v, 0);
        }
    }
}

/* From coordinate to coordinate the addresses jump: the processor does not see what comes next. */
static void grad_block(int64_t tiles, const operands *at, bool first, const operands *next)
{
    if (first)
        grad_block_sized(tiles, *at, false, *next);
    else
        grad_block_sized(tiles, *at, true, *next);
}

/* Of coordinate k, input block b and output group; dU `du`. */
static operands operands_of(const wgrad *w, int k, int64_t b, int64_t group, float *du)
{
    const wino_geo *g = &w->g;
    return (operands){ w->v + k * batch_pitch(g->ib, w->count) + b * w->count * SF_CBLOCK,
                       w->z + k * batch_pitch(z_blocks(g), w->count) +
                           group * OB * w->count * SF_CBLOCK,
                       du };
}

static float *du_at(const wgrad *w, int k, int64_t b, int64_t group)
{
    return w->du + k * du_step(&w->g) + (b * w->g.groups + group) * SF_CBLOCK * CG;
}

/* --- back to the taps ------------------------------------------------------------------------ */

/* G^T dU G of 16 inputs x CG outputs; coordinates lie `pitch` apart. */
static void write_taps(const wgrad *w, int64_t b, int64_t group, const float *du, int64_t pitch,
                       float *taps, float *cube)
{
    const wino_geo *g = &w->g;
    const sf_conv *c = w->c;
    const int *k = c->kernel, count = k[0] * k[1] * k[2];
    const int64_t row = g->t[2] * SF_CBLOCK, plane = g->t[1] * row, s = SF_CBLOCK;
    const wino_walk from = { g->step[1] * pitch, g->step[2] * pitch, g->step[0] * pitch };
    const wino_walk z = { row, s, plane }, y = { plane, s, row }, x = { plane, row, s };
    const wino_walk to = { s * k[1] * k[2], s * k[2], s };
    const sf_block_at in = sf_inputs_block(w->a->in, w->a->n_in, b);
    for (int64_t q = group * OB; q < group * OB + OB && q < g->ob; q++) {
        for (int64_t r = 0; r < in.lanes; r++) {
            sweep_tap(g->kind[0], g->t[1], g->t[2], du + r * CG + q % OB * s, from, cube, z);
            sweep_tap(g->kind[1], k[0], g->t[2], cube, y, cube, y);
            sweep_tap(g->kind[2], k[0], k[1], cube, x, taps + r * count * s, to);
        }
        from_lanes(taps, in.lanes * count,
                   (float *)w->a->dweight + (q * s * c->in.c + in.first) * count, c->in.c * count,
                   (int)sf_block_lanes(c->out.c, q));
    }
}

/* A pair of an input block and a group, over the tiles of the only batch. */
static void run_pair(const wgrad *w, int64_t b, int64_t group, float *own)
{
    float *taps = own + CUBE, *du = taps + TAPS;
    for (int k = 0; k < w->g.coords; k++) {
        const int then = k + 1 < w->g.coords ? k + 1 : k;
        const operands at = operands_of(w, k, b, group, du + k * DU_PITCH);
        const operands next = operands_of(w, then, b, group, du + then * DU_PITCH);
        grad_block(w->count, &at, true, &next);
    }
    write_taps(w, b, group, du, DU_PITCH, taps, own);
}

/* All of dU of one coordinate. */
static void all_pairs(const wgrad *w, int k, bool first)
{
    const wino_geo *g = &w->g;
    const int64_t block = w->count * SF_CBLOCK;
    const int then = k + 1 < g->coords ? k + 1 : k;
    operands at = operands_of(w, k, 0, 0, du_at(w, k, 0, 0));
    const float *z = at.z;
    for (int64_t b = 0; b < g->ib; b++)
        for (int64_t group = 0; group < g->groups; group++) {
            operands next = { at.v, at.z + OB * block, at.du + SF_CBLOCK * CG };
            if (group + 1 == g->groups) {
                next.v += block;
                next.z = z;
                if (b + 1 == g->ib) next = operands_of(w, then, 0, 0, du_at(w, then, 0, 0));
            }
            grad_block(w->count, &at, first, &next);
            at = next;
        }
}

static void run_batch(const wgrad *w, bool first, bool last, int threads)
{
    const wino_geo *g = &w->g;
    const int64_t chunks = (w->count + CHUNK - 1) / CHUNK, pairs = g->ib * g->groups;
#pragma omp parallel num_threads(threads)
    {
        float *own = w->own + (size_t)omp_get_thread_num() * wgrad_own(g);
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < (g->ib + z_blocks(g)) * chunks; i++) {
            const int64_t b = i / chunks, i0 = i % chunks * CHUNK;
            const int64_t i1 = i0 + CHUNK < w->count ? i0 + CHUNK : w->count;
            if (b < g->ib)
                fill_inputs(w, b, i0, i1, own);
            else
                fill_gradients(w, b - g->ib, i0, i1, own);
        }
#pragma omp for schedule(static) nowait
        for (int64_t q = 0; q < g->ob; q++) add_bias(w, q);
#pragma omp for schedule(static)
        for (int64_t k = 0; k < (w->wide ? g->coords : 0); k++) all_pairs(w, (int)k, first);
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < (w->wide && !last ? 0 : pairs); i++) {
            const int64_t b = i / g->groups, group = i % g->groups;
            if (w->wide)
                write_taps(w, b, group, du_at(w, 0, b, group), du_step(g), own + CUBE, own);
            else
                run_pair(w, b, group, own);
        }
    }
}

/* --- the pass -------------------------------------------------------------------------------- */

static void place(wgrad *w, void *space)
{
    const wino_geo *g = &w->g;
    const int64_t n = w->batch, k = g->coords;
    w->v = align64(space);
    w->z = w->v + lines16(k * batch_pitch(g->ib, n));
    w->du = w->z + lines16(k * batch_pitch(z_blocks(g), n));
    w->bias = (double *)(w->du + (w->wide ? lines16(k * du_step(g)) : 0));
    w->sums = (float *)(w->bias + z_blocks(g) * SF_CBLOCK);
    w->own = w->sums + z_blocks(g) * SF_CBLOCK * n;
}

static sf_status backward_weight(const sf_conv *c, const sf_conv_bwd_weight *a, void *space)
{
    SF_TRY(sf_gather_check(a->n_in));
    wgrad w = { .c = c, .a = a };
    w.g = make_geo(c, sf_inputs_blocks(a->in, a->n_in), sf_blocks(c->out.c), false);
    const wino_geo *g = &w.g;
    const int axis = slice_axis(g);
    w.leaf = held(&a->dout);
    w.leaf.lo[axis] = a->slice0;
    w.leaf.hi[axis] = a->slice1;
    w.batch = batch_tiles(g);
    w.wide = is_wide(g);
    place(&w, space);
    memset(w.bias, 0, (size_t)(g->ob * SF_CBLOCK) * sizeof *w.bias);
    const int64_t end = (a->slice1 + g->m[axis] - 1) / g->m[axis] * layer_tiles(g);
    for (int64_t t = a->slice0 / g->m[axis] * layer_tiles(g), n; t < end; t += n) {
        const bool first = t == a->slice0 / g->m[axis] * layer_tiles(g);
        n = t + w.batch < end ? w.batch : end - t;
        w.count = list_tiles(g, t, t + n, &w.leaf, w.list);
        run_batch(&w, first, t + n >= end, a->threads);
    }
    for (int64_t i = 0; a->dbias && i < c->out.c; i++) ((float *)a->dbias)[i] = (float)w.bias[i];
    return SF_OK;
}
