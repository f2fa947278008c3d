/* Weights to and from the channel lanes, and their transform U. Part of wino_body.h, after the
 * geometry and the transforms. */
/* dst[i][16] = src[lane][i] for `count` i; lanes past the last read as 0. What lies `ahead` floats
 * further is wanted next. */
static void to_lanes(const float *src, int64_t lane_stride, int lanes, int64_t count, int64_t ahead,
                     float *dst)
{
    for (int64_t i = 0; i < count; i += VLEN)
        for (int h = 0; h < BLOCK_V; h++) {
            const int n = count - i < VLEN ? (int)(count - i) : VLEN;
            V r[VLEN];
            for (int l = 0; l < VLEN && h * VLEN + l < lanes; l++)
                _mm_prefetch((const char *)(src + (h * VLEN + l) * lane_stride + i + ahead),
                             _MM_HINT_T1);
#pragma GCC unroll 16
            for (int l = 0; l < VLEN; l++)
                r[l] = h * VLEN + l < lanes ? v_load_part(src + (h * VLEN + l) * lane_stride + i, n)
                                            : v_zero();
            v_transpose(r);
            for (int k = 0; k < n; k++) v_store(dst + (i + k) * SF_CBLOCK + h * VLEN, r[k]);
        }
}

/* The reverse; lanes past the last are not written. */
static void from_lanes(const float *src, int64_t count, float *dst, int64_t lane_stride, int lanes)
{
    for (int64_t i = 0; i < count; i += VLEN)
        for (int h = 0; h < BLOCK_V; h++) {
            const int n = count - i < VLEN ? (int)(count - i) : VLEN;
            V r[VLEN];
#pragma GCC unroll 16
            for (int k = 0; k < VLEN; k++)
                r[k] = k < n ? v_load(src + (i + k) * SF_CBLOCK + h * VLEN) : v_zero();
            v_transpose(r);
            for (int l = 0; l < VLEN && h * VLEN + l < lanes; l++)
                v_store_part(dst + (h * VLEN + l) * lane_stride + i, n, r[l]);
        }
}

typedef struct {
    const float *weight; /* PyTorch's order */
    int64_t in, out;     /* true channels */
    int k[3];
    bool swap; /* gradient of the input: taps reversed, roles of the channels exchanged */
} weights;

static weights weights_of(const sf_conv *c, const void *weight, bool swap)
{
    return (
        weights){ weight, c->in.c, c->out.c, { c->kernel[0], c->kernel[1], c->kernel[2] }, swap };
}

/* Rows of 16 inputs of block `b` to the 16 outputs of block `q`, all coordinates: element (k, r)
 * lies at to[k * pitch + r * CG]. */
static void fill_u(const wino_geo *g, const weights *w, const sf_block_at *b, const sf_block_at *q,
                   float *to, int64_t pitch, float *taps, float *cube)
{
    const int *k = w->k, count = k[0] * k[1] * k[2];
    memset(taps, 0, (size_t)(SF_CBLOCK * count * SF_CBLOCK) * sizeof *taps);
    if (!w->swap)
        to_lanes(w->weight + (q->first * w->in + b->first) * count, w->in * count, (int)q->lanes,
                 b->lanes * count, SF_CBLOCK * count, taps);
    for (int64_t r = 0; w->swap && r < b->lanes; r++)
        to_lanes(w->weight + ((b->first + r) * w->in + q->first) * count, count, (int)q->lanes,
                 count, SF_CBLOCK * w->in * count, taps + r * count * SF_CBLOCK);
    const int64_t row = g->t[2] * SF_CBLOCK, plane = g->t[1] * row;
    const int64_t s = w->swap ? -SF_CBLOCK : SF_CBLOCK;
    const wino_walk from = { s * k[1] * k[2], s * k[2], s }, x = { plane, row, SF_CBLOCK };
    const wino_walk y = { plane, SF_CBLOCK, row }, z = { row, SF_CBLOCK, plane };
    const wino_walk u = { g->step[1] * pitch, g->step[2] * pitch, g->step[0] * pitch };
    for (int r = 0; r < SF_CBLOCK; r++, taps += count * SF_CBLOCK) {
        const float *first = w->swap ? taps + (count - 1) * SF_CBLOCK : taps;
        sweep_wgt(g->kind[2], k[0], k[1], first, from, cube, x);
        sweep_wgt(g->kind[1], k[0], g->t[2], cube, y, cube, y);
        sweep_wgt(g->kind[0], g->t[1], g->t[2], cube, z, to + r * CG, u);
    }
}
