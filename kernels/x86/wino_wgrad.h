/* Gradient of the weights by Winograd: dU = (A dY A^T) . (B^T d B) summed over tiles, dW = G^T dU
 * G, the exact adjoint of the forward pass. Part of wino_body.h, after its loading and transforms.
 * Sums run over the tiles of a leaf in order. */
typedef struct {
    const sf_conv *c;
    const sf_conv_bwd_weight *a;
    wino_geo g;
    int axis; /* of the slices */
    float *v, *z, *du, *work;
    int64_t first, count; /* tiles of this batch */
    bool more;            /* several batches: du holds the running sum */
} wgrad;

static float *z_at(const wgrad *w, int k) { return w->z + k * (w->g.co * w->count + 32); }

/* Z[coordinate][output block][tile][16]: the adjoint of the output transform; slices of other
 * leaves read as zero. */
static void fill_z(const wgrad *w, int64_t block, int64_t i, v16 *cube)
{
    const wino_geo *g = &w->g;
    const sf_input dout = { .x = w->a->dout };
    source s;
    int64_t o[3];
    memset(cube, 0, sizeof(v16) * (size_t)g->coords);
    if (block * 16 < sf_cpad(w->c->out.c)) {
        open_source(&s, &dout, w->a->n, block);
        tile_origin(g, w->first + i, o);
        limits l = whole_volume(g);
        l.lo[w->axis] = w->a->slice0;
        l.hi[w->axis] = w->a->slice1;
        gather(g, &s, o, g->m, &l, cube);
        output_adjoint(cube, g);
    }
    for (int k = 0; k < g->coords; k++)
        *(v16u *)(z_at(w, k) + (block * w->count + i) * 16) = cube[k];
}

static void fill_batch_v(const wgrad *w, int64_t block, v16 *cube)
{
    int64_t b = block;
    int i = 0;
    while (i + 1 < w->a->n_in && b >= sf_cpad(w->a->in[i].x.shape.c) / 16)
        b -= sf_cpad(w->a->in[i++].x.shape.c) / 16;
    source s;
    open_source(&s, &w->a->in[i], w->a->n, b);
    fill_v(&w->g, &s, w->first, w->count, block, w->v, cube);
}

/* dU[16 inputs][CG outputs] of one coordinate over the tiles of the batch. */
static inline __attribute__((always_inline)) void
product_grad(int64_t tiles, const float *v, const float *z, int64_t zstep, bool add, float *du)
{
    enum { R = ROWS >= 8 ? 8 : 4 };
    for (int c0 = 0; c0 < 16; c0 += R) {
        v16 acc[R][COLS];
        for (int r = 0; r < R; r++) {
            for (int j = 0; j < COLS; j++)
                acc[r][j] = add ? *(const v16u *)(du + (c0 + r) * CG + j * 16) : (v16){ 0 };
        }
        for (int64_t i = 0; i < tiles; i++) {
            v16 y[COLS];
            for (int j = 0; j < COLS; j++) y[j] = *(const v16u *)(z + j * zstep + i * 16);
            for (int r = 0; r < R; r++) {
                const v16 x = v[i * 16 + c0 + r] - (v16){ 0 };
                for (int j = 0; j < COLS; j++) acc[r][j] += x * y[j];
            }
        }
        for (int r = 0; r < R; r++) {
            for (int j = 0; j < COLS; j++) *(v16u *)(du + (c0 + r) * CG + j * 16) = acc[r][j];
        }
    }
}

/* One (16 inputs x CG outputs) block of the weight gradient: products of all coordinates, then,
 * after the last batch, G^T dU. */
static void block_gradient(const wgrad *w, int64_t ib, int64_t group, bool first, bool last,
                           float *local)
{
    const wino_geo *g = &w->g;
    const sf_conv *c = w->c;
    v16 *cube = (v16 *)local;
    float *du = w->more ? w->du + (size_t)(group * (g->ci / 16) + ib) * du_size(g)
                        : local + 2 * MAX_COORDS * 16;
    for (int k = 0; k < g->coords; k++) {
        product_grad(w->count, w->v + k * (g->ci * w->count + 32) + ib * w->count * 16,
                     z_at(w, k) + group * COLS * w->count * 16, w->count * 16, !first,
                     du + k * DU_PITCH);
    }
    if (!last) return;
    const int taps = c->kernel[0] * c->kernel[1] * c->kernel[2];
    for (int r = 0; r < 16 && ib * 16 + r < c->in.c; r++) {
        for (int j = 0; j < COLS; j++) {
            for (int k = 0; k < g->coords; k++)
                cube[k] = *(const v16u *)(du + k * DU_PITCH + r * CG + j * 16);
            weight_adjoint(cube, g);
            for (int lane = 0; lane < 16; lane++) {
                const int64_t out = group * CG + j * 16 + lane;
                if (out >= c->out.c) break;
                float *dw = (float *)w->a->dweight + (out * c->in.c + ib * 16 + r) * taps;
                for (int i = 0; i < taps; i++) {
                    const int x = i % c->kernel[2], y = i / c->kernel[2] % c->kernel[1],
                              z = i / c->kernel[2] / c->kernel[1];
                    dw[i] = ((const float *)cube)[((z * g->t[1] + y) * g->t[2] + x) * 16 + lane];
                }
            }
        }
    }
}

static void run_batch(const wgrad *w, bool first, bool last, int threads)
{
    const wino_geo *g = &w->g;
    const int64_t in_blocks = g->ci / 16, out_blocks = g->co / 16, groups = g->co / CG;
#pragma omp parallel num_threads(threads)
    {
        float *local = w->work + (size_t)omp_get_thread_num() * (du_size(g) + 2 * MAX_COORDS * 16);
#pragma omp for schedule(dynamic, 1) nowait
        for (int64_t b = 0; b < in_blocks; b++) fill_batch_v(w, b, (v16 *)local);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < out_blocks * w->count; i++)
            fill_z(w, i / w->count, i % w->count, (v16 *)local);
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < in_blocks * groups; i++)
            block_gradient(w, i / groups, i % groups, first, last, local);
    }
}

/* Sum of the output gradient over the leaf, per channel: rows in order, then slices. */
static void bias_gradient(const wgrad *w)
{
    const sf_view *y = &w->a->dout;
    int64_t lo[3] = { 0, 0, 0 }, hi[3] = { w->g.extent[0], w->g.extent[1], w->g.extent[2] };
    lo[w->axis] = w->a->slice0;
    hi[w->axis] = w->a->slice1;
    for (int64_t b = 0; b < sf_cpad(w->c->out.c) / 16; b++) {
        double sum[16] = { 0 };
        for (int64_t z = lo[0]; z < hi[0]; z++) {
            for (int64_t r = lo[1]; r < hi[1]; r++) {
                const float *p = (const float *)y->data + w->a->n * y->stride_n + b * y->stride_c +
                                 z * y->stride_d + r * y->stride_h;
                v16 row = { 0 };
                for (int64_t x = lo[2]; x < hi[2]; x++) row += *(const v16u *)(p + x * 16);
                for (int lane = 0; lane < 16; lane++) sum[lane] += row[lane];
            }
        }
        for (int lane = 0; lane < 16 && b * 16 + lane < w->c->out.c; lane++) {
            ((float *)w->a->dbias)[b * 16 + lane] = (float)sum[lane];
        }
    }
}

static sf_status backward_weight(const sf_conv *c, const sf_conv_bwd_weight *a, void *space)
{
    if (!simple_inputs(a->in, a->n_in) || !whole(&a->dout))
        return sf_conv_gemm.backward_weight(c, a, space);
    wgrad w = { .c = c, .a = a, .axis = c->out.d > 1 ? 0 : 1 };
    make_geo(&w.g, c, false);
    const wino_geo *g = &w.g;
    const int64_t most = leaf_tiles(g);
    w.v = align64(space);
    w.z = w.v + v_size(g, most);
    w.du = w.z + (size_t)(g->coords * (g->co * most + 32));
    w.work = w.du + (g->tiles > LEAF_TILES ? du_size(g) * (size_t)(g->ci / 16 * (g->co / CG)) : 0);
    /* the tiles that touch the leaf: whole rows of the grid along the slice axis */
    const int64_t row = w.axis == 0 ? g->grid[1] * g->grid[2] : g->grid[2];
    const int64_t begin = a->slice0 / g->m[w.axis] * row,
                  end = (a->slice1 + g->m[w.axis] - 1) / g->m[w.axis] * row;
    w.more = end - begin > most;
    for (int64_t t = begin; t < end; t += most) {
        w.first = t;
        w.count = t + most <= end ? most : end - t;
        run_batch(&w, t == begin, t + most >= end, a->threads);
    }
    if (a->dbias) bias_gradient(&w);
    return SF_OK;
}
