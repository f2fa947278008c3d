/* Loops of pointwise.c in one type T of sums and one type S of elements, read and written by GET
 * and PUT; NAME(x) makes the function's name. Included once for each pair. */

/** One row of 16 lanes through the load rule of sample n, channel block cb. */
static inline void NAME(load)(const sf_input *in, int64_t n, int64_t cb, const S *x, T *lane)
{
    if (!in->scale) {
        for (int k = 0; k < SF_CBLOCK; k++) lane[k] = GET(x[k]);
        return;
    }
    const int64_t at = n * sf_cpad(in->x.shape.c) + cb * SF_CBLOCK;
    const T *scale = (const T *)in->scale + at, *shift = (const T *)in->shift + at;
    const T slope = (T)in->slope;
    for (int k = 0; k < SF_CBLOCK; k++) {
        const T t = scale[k] * GET(x[k]) + shift[k];
        lane[k] = t > 0 ? t : slope * t;
    }
}

/** First element of the t-th channel block of a view, counted over its samples. */
static inline int64_t NAME(block_at)(const sf_view *v, int64_t t, int64_t blocks)
{
    return t / blocks * v->stride_n + t % blocks * v->stride_c;
}

static void NAME(residual_add)(const sf_input *a, const sf_input *b, const sf_view *out,
                               int threads)
{
    const int64_t voxels = sf_voxels(out->shape), blocks = sf_cpad(out->shape.c) / SF_CBLOCK;
    const int64_t tasks = out->shape.n * blocks;
    const S *xa = a->x.data, *xb = b->x.data;
    S *y = out->data;
#pragma omp parallel for num_threads(threads) schedule(static) collapse(2)
    for (int64_t t = 0; t < tasks; t++)
        for (int64_t v = 0; v < voxels; v++) {
            const S *pa = xa + NAME(block_at)(&a->x, t, blocks) + v * SF_CBLOCK;
            const S *pb = xb + NAME(block_at)(&b->x, t, blocks) + v * SF_CBLOCK;
            S *sum = y + NAME(block_at)(out, t, blocks) + v * SF_CBLOCK;
            T la[SF_CBLOCK], lb[SF_CBLOCK];
            NAME(load)(a, t / blocks, t % blocks, pa, la);
            NAME(load)(b, t / blocks, t % blocks, pb, lb);
            for (int k = 0; k < SF_CBLOCK; k++) sum[k] = PUT(la[k] + lb[k]);
        }
}

static void NAME(residual_backward)(const sf_residual_bwd *r)
{
    const int64_t voxels = sf_voxels(r->sum.shape), blocks = sf_cpad(r->sum.shape.c) / SF_CBLOCK;
    const int64_t tasks = r->sum.shape.n * blocks;
    const T slope = (T)r->slope;
#pragma omp parallel for num_threads(r->threads) schedule(static) collapse(2)
    for (int64_t t = 0; t < tasks; t++)
        for (int64_t v = 0; v < voxels; v++) {
            const int64_t at = v * SF_CBLOCK;
            const S *s = (const S *)r->sum.data + NAME(block_at)(&r->sum, t, blocks) + at;
            const S *g = (const S *)r->g.data + NAME(block_at)(&r->g, t, blocks) + at;
            S *ga = (S *)r->ga.data + NAME(block_at)(&r->ga, t, blocks) + at;
            S *gb = (S *)r->gb.data + NAME(block_at)(&r->gb, t, blocks) + at;
            for (int k = 0; k < SF_CBLOCK; k++) {
                const T up = GET(g[k]), ds = GET(s[k]) > 0 ? up : slope * up;
                ga[k] = PUT(r->accumulate_a ? GET(ga[k]) + ds : ds);
                gb[k] = PUT(r->accumulate_b ? GET(gb[k]) + ds : ds);
            }
        }
}

static void NAME(pool_cell)(const sf_input *in, const int window[3], int64_t n, int64_t cb,
                            const int64_t at[3], S *out)
{
    const sf_view *x = &in->x;
    T sum[SF_CBLOCK] = { 0 }, lane[SF_CBLOCK];
    for (int z = 0; z < window[0]; z++)
        for (int y = 0; y < window[1]; y++)
            for (int w = 0; w < window[2]; w++) {
                const int64_t off =
                    n * x->stride_n + cb * x->stride_c + (at[0] * window[0] + z) * x->stride_d +
                    (at[1] * window[1] + y) * x->stride_h + (at[2] * window[2] + w) * SF_CBLOCK;
                NAME(load)(in, n, cb, (const S *)x->data + off, lane);
                for (int k = 0; k < SF_CBLOCK; k++) sum[k] += lane[k];
            }
    const T part = (T)1 / (T)(window[0] * window[1] * window[2]);
    for (int k = 0; k < SF_CBLOCK; k++) out[k] = PUT(sum[k] * part);
}

static void NAME(pool_forward)(const sf_input *in, const int window[3], const sf_view *out,
                               int threads)
{
    const sf_shape s = out->shape;
    const int64_t blocks = sf_cpad(s.c) / SF_CBLOCK;
#pragma omp parallel for num_threads(threads) schedule(static) collapse(3)
    for (int64_t t = 0; t < s.n * blocks; t++)
        for (int64_t z = 0; z < s.d; z++)
            for (int64_t y = 0; y < s.h; y++)
                for (int64_t x = 0; x < s.w; x++) {
                    const int64_t at[3] = { z, y, x };
                    const int64_t n = t / blocks, cb = t % blocks;
                    S *y16 = (S *)out->data + n * out->stride_n + cb * out->stride_c +
                             z * out->stride_d + y * out->stride_h + x * SF_CBLOCK;
                    NAME(pool_cell)(in, window, n, cb, at, y16);
                }
}

static void NAME(pool_backward)(const sf_view *dout, const int window[3], const sf_view *din,
                                bool accumulate, int threads)
{
    const sf_shape s = din->shape;
    const int64_t blocks = sf_cpad(s.c) / SF_CBLOCK;
    const T part = (T)1 / (T)(window[0] * window[1] * window[2]);
#pragma omp parallel for num_threads(threads) schedule(static) collapse(3)
    for (int64_t t = 0; t < s.n * blocks; t++)
        for (int64_t z = 0; z < s.d; z++)
            for (int64_t y = 0; y < s.h; y++) {
                const int64_t n = t / blocks, cb = t % blocks;
                S *dx = (S *)din->data + n * din->stride_n + cb * din->stride_c +
                        z * din->stride_d + y * din->stride_h;
                const S *dy = (const S *)dout->data + n * dout->stride_n + cb * dout->stride_c +
                              z / window[0] * dout->stride_d + y / window[1] * dout->stride_h;
                for (int64_t i = 0; i < s.w * SF_CBLOCK; i++) {
                    const int64_t x = i / SF_CBLOCK / window[2];
                    const T g = part * GET(dy[x * SF_CBLOCK + i % SF_CBLOCK]);
                    dx[i] = PUT(accumulate ? GET(dx[i]) + g : g);
                }
            }
}
