#include "kernels/gather.h"
#include "kernels/bf16.h"
#include "kernels/view.h"
#include <string.h>

static int64_t ceil_div(int64_t a, int64_t b) { return a <= 0 ? 0 : (a + b - 1) / b; }

int64_t sf_even_size(int64_t extent, int64_t limit)
{
    return ceil_div(extent, ceil_div(extent, limit));
}

void sf_parts_sum16(const float *rows, int64_t stride, int64_t parts, float out[SF_CBLOCK])
{
    float v[SF_MAX_PARTS][SF_CBLOCK];
    for (int64_t i = 0; i < parts; i++) memcpy(v[i], rows + i * stride, sizeof v[i]);
    for (int64_t step = 1; step < parts; step *= 2)
        for (int64_t i = 0; i + step < parts; i += 2 * step)
            for (int l = 0; l < SF_CBLOCK; l++) v[i][l] += v[i + step][l];
    memcpy(out, v[0], sizeof v[0]);
}

void sf_gather_box(const sf_gather *g, int64_t lo[3], int64_t hi[3])
{
    const sf_view *v = &g->out[0];
    const int64_t shape[3] = { v->shape.d, v->shape.h, v->shape.w };
    for (int a = 0; a < 3; a++) {
        lo[a] = ceil_div(v->origin[a] - g->axis[a].phase, g->axis[a].ostep);
        hi[a] = ceil_div(v->origin[a] + shape[a] - g->axis[a].phase, g->axis[a].ostep);
    }
}

int64_t sf_inputs_channels(const sf_input *in, int n)
{
    int64_t c = 0;
    for (int i = 0; i < n; i++) c += in[i].x.shape.c;
    return c;
}

int64_t sf_inputs_blocks(const sf_input *in, int n)
{
    int64_t b = 0;
    for (int i = 0; i < n; i++) b += sf_blocks(in[i].x.shape.c);
    return b;
}

int64_t sf_views_blocks(const sf_view *v, int n)
{
    int64_t b = 0;
    for (int i = 0; i < n; i++) b += sf_blocks(v[i].shape.c);
    return b;
}

/* Channel counts lie `step` bytes apart, so that one walk serves inputs and views. */
static sf_block_at block_of(const char *channels, size_t step, int64_t i)
{
    sf_block_at at = { 0, i, 0, 0 };
    for (;; at.entry++) {
        int64_t c;
        memcpy(&c, channels + (size_t)at.entry * step, sizeof c);
        if (at.cb < sf_blocks(c)) {
            at.lanes = sf_block_lanes(c, at.cb);
            at.first += at.cb * SF_CBLOCK;
            return at;
        }
        at.cb -= sf_blocks(c);
        at.first += c;
    }
}

sf_block_at sf_inputs_block(const sf_input *in, int n, int64_t i)
{
    (void)n;
    return block_of((const char *)&in->x.shape.c, sizeof *in, i);
}

sf_block_at sf_views_block(const sf_view *v, int n, int64_t i)
{
    (void)n;
    return block_of((const char *)&v->shape.c, sizeof *v, i);
}

/* Elements of a bfloat16 view, in `to`. */
static const float *widen(const sf_view *v, int64_t at, int64_t count, float *to)
{
    const uint16_t *x = (const uint16_t *)v->data + at;
    for (int64_t i = 0; i < count; i++) to[i] = sf_bf16_widen(x[i]);
    return to;
}

/* count voxels of 16 lanes through the load rule; all pointers hold 16 lanes. */
static void act16(const float *x, const float *scale, const float *shift, float slope,
                  int64_t count, float *restrict dst)
{
    float a[SF_CBLOCK], b[SF_CBLOCK];
    memcpy(a, scale, sizeof a);
    memcpy(b, shift, sizeof b);
    for (int64_t i = 0; i < count; i++, x += SF_CBLOCK, dst += SF_CBLOCK)
#pragma omp simd
        for (int l = 0; l < SF_CBLOCK; l++) {
            const float t = a[l] * x[l] + b[l];
            dst[l] = t > 0.0f ? t : slope * t;
        }
}

static void act_few(const float *x, const float *scale, const float *shift, float slope,
                    int64_t count, int64_t lanes, float *dst)
{
    for (int64_t i = 0; i < count; i++)
        for (int64_t l = 0; l < lanes; l++) {
            const float v = x[i * SF_CBLOCK + l];
            const float t = scale ? scale[l] * v + shift[l] : v;
            dst[i * lanes + l] = t > 0.0f || !scale ? t : slope * t;
        }
}

/* Voxels inside the volume, from element `at` of the view on. */
static void load_part(const sf_input *in, const sf_block_at *b, int64_t n, int64_t at,
                      int64_t count, float *to)
{
    enum { PART = 64 };
    const int64_t k = n * sf_cpad(in->x.shape.c) + b->cb * SF_CBLOCK;
    const float *scale = in->scale ? (const float *)in->scale + k : NULL;
    const float *shift = in->scale ? (const float *)in->shift + k : NULL;
    const bool half = in->x.dtype == SF_BF16;
    float wide[PART * SF_CBLOCK];
    for (int64_t i = 0, part; i < count; i += part, to += part * b->lanes) {
        part = half && count - i > PART ? PART : count - i;
        const float *x = (const float *)in->x.data + at + i * SF_CBLOCK;
        if (half) x = widen(&in->x, at + i * SF_CBLOCK, part * SF_CBLOCK, wide);
        if (b->lanes < SF_CBLOCK)
            act_few(x, scale, shift, (float)in->slope, part, b->lanes, to);
        else if (scale)
            act16(x, scale, shift, (float)in->slope, part, to);
        else
            memcpy(to, x, (size_t)(part * SF_CBLOCK) * sizeof *to);
    }
}

void sf_gather_row(const sf_input *in, const sf_block_at *b, int64_t n, const int64_t g[3],
                   int64_t count, float *dst)
{
    const sf_view *v = &in->x;
    const int64_t before = g[2] < 0 ? (-g[2] < count ? -g[2] : count) : 0;
    int64_t end = v->extent[2] - g[2] < count ? v->extent[2] - g[2] : count;
    if (end < before || g[0] < 0 || g[0] >= v->extent[0] || g[1] < 0 || g[1] >= v->extent[1])
        end = before;
    memset(dst, 0, (size_t)(before * b->lanes) * sizeof *dst);
    if (end > before)
        load_part(in, b, n,
                  sf_view_offset(v, n, b->cb, g[0] - v->origin[0], g[1] - v->origin[1],
                                 g[2] - v->origin[2] + before),
                  end - before, dst + before * b->lanes);
    memset(dst + end * b->lanes, 0, (size_t)((count - end) * b->lanes) * sizeof *dst);
}

/* Forward reading of one axis: taps 0..k-1 at j*step - k/2 + t. */
static sf_gather_axis read_axis(int k, int step, int64_t extent, bool centred)
{
    return (sf_gather_axis){ .n = k,
                             .tap = { 0, 1, 2 },
                             .first = centred ? -(k / 2) : 0,
                             .istep = step,
                             .ostep = 1,
                             .extent = extent };
}

void sf_gather_conv_axes(const sf_conv *c, sf_gather_axis axis[3])
{
    const int64_t out[3] = { c->out.d, c->out.h, c->out.w };
    for (int i = 0; i < 3; i++) axis[i] = read_axis(c->kernel[i], c->stride[i], out[i], true);
}

sf_status sf_gather_check(int n_in)
{
    SF_CHECK(n_in >= 1 && n_in <= SF_MAX_INPUTS, SF_EINVAL,
             "convolution of %d concatenated inputs, at most %d are possible", n_in, SF_MAX_INPUTS);
    return SF_OK;
}

void sf_gather_conv_forward(const sf_conv *c, const sf_conv_fwd *a, sf_gather_run *run,
                            void *scratch)
{
    const int *k = c->kernel;
    sf_gather g = { .in = a->in,
                    .n_in = a->n_in,
                    .out = &a->out,
                    .n_out = 1,
                    .weight = a->weight,
                    .bias = a->bias,
                    .stats = a->stats,
                    .w_out = c->in.c * k[0] * k[1] * k[2],
                    .w_in = k[0] * k[1] * k[2],
                    .w_tap = { k[1] * k[2], k[2], 1 },
                    .threads = a->threads };
    sf_gather_conv_axes(c, g.axis);
    run(&g, 1, scratch);
}

/* Gradient of one axis: written i = j*stride + phase; tap k reads (i + k_half - k)/stride where
 * that is whole, so taps run downwards while offsets rise. */
static sf_gather_axis data_axis(int k, int stride, int64_t phase, int64_t extent)
{
    sf_gather_axis x = { .istep = 1, .ostep = stride, .phase = phase };
    x.extent = ceil_div(extent - phase, stride);
    for (int t = k - 1; t >= 0; t--) {
        const int64_t s = phase + k / 2 - t;
        if (s % stride != 0) continue;
        if (x.n == 0) x.first = s / stride;
        x.tap[x.n++] = t;
    }
    return x;
}

bool sf_gather_conv_data_axes(const sf_conv *c, int phase, sf_gather_axis axis[3])
{
    const int *s = c->stride;
    const int p[3] = { phase / (s[1] * s[2]), phase / s[2] % s[1], phase % s[2] };
    const int64_t extent[3] = { c->in.d, c->in.h, c->in.w };
    for (int i = 0; i < 3; i++) axis[i] = data_axis(c->kernel[i], s[i], p[i], extent[i]);
    return phase < s[0] * s[1] * s[2];
}

void sf_gather_conv_data(const sf_conv *c, const sf_conv_bwd_data *a, sf_gather_run *run,
                         void *scratch)
{
    const int *k = c->kernel;
    const sf_input dout = { .x = a->dout };
    sf_gather g = { .in = &dout,
                    .n_in = 1,
                    .out = a->din,
                    .n_out = a->n_in,
                    .accumulate = a->accumulate,
                    .weight = a->weight,
                    .w_out = k[0] * k[1] * k[2],
                    .w_in = c->in.c * k[0] * k[1] * k[2],
                    .w_tap = { k[1] * k[2], k[2], 1 },
                    .threads = a->threads };
    for (int phase = 0; sf_gather_conv_data_axes(c, phase, g.axis); phase++) run(&g, 1, scratch);
}

/* sum[lane] += the lanes of `count` voxels; runs of a few are summed in float first. */
static void add_voxels(const sf_view *v, int64_t at, int64_t count, double *sum)
{
    enum { RUN = 8 };
    for (int64_t i = 0; i < count; i += RUN, at += RUN * SF_CBLOCK) {
        const int64_t n = count - i < RUN ? count - i : RUN;
        float wide[RUN * SF_CBLOCK], part[SF_CBLOCK] = { 0 };
        const float *p =
            v->dtype == SF_BF16 ? widen(v, at, n * SF_CBLOCK, wide) : (const float *)v->data + at;
        for (int64_t j = 0; j < n; j++)
#pragma omp simd
            for (int l = 0; l < SF_CBLOCK; l++) part[l] += p[j * SF_CBLOCK + l];
#pragma omp simd
        for (int l = 0; l < SF_CBLOCK; l++) sum[l] += (double)part[l];
    }
}

/* Bias gradient: per lane a sum over the box of output coordinates. */
static void bias_gradient(const sf_view *v, int64_t n, const int64_t lo[3], const int64_t hi[3],
                          float *db, int threads)
{
    const int64_t blocks = sf_blocks(v->shape.c);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t cb = 0; cb < blocks; cb++) {
        double s[SF_CBLOCK] = { 0 };
        for (int64_t z = lo[0]; z < hi[0]; z++)
            for (int64_t y = lo[1]; y < hi[1]; y++)
                add_voxels(v,
                           sf_view_offset(v, n, cb, z - v->origin[0], y - v->origin[1],
                                          lo[2] - v->origin[2]),
                           hi[2] - lo[2], s);
        for (int64_t l = 0; l < sf_block_lanes(v->shape.c, cb); l++)
            db[cb * SF_CBLOCK + l] = (float)s[l];
    }
}

void sf_gather_bias(const sf_wgrad *g)
{
    int64_t lo[3], hi[3];
    for (int i = 0; i < 3; i++) {
        const int64_t step = g->dbias_of_a ? g->axis[i].istep : 1;
        lo[i] = g->lo[i] * step;
        hi[i] = g->hi[i] * step;
    }
    if (g->dbias)
        bias_gradient(g->dbias_of_a ? &g->a->x : &g->d.x, g->n, lo, hi, g->dbias, g->threads);
}

/* Box of slices [s0, s1) of a whole volume. */
static void leaf_box(const int64_t extent[3], int64_t s0, int64_t s1, int64_t lo[3], int64_t hi[3])
{
    const int axis = sf_slice_axis(extent);
    for (int a = 0; a < 3; a++) {
        lo[a] = a == axis ? s0 : 0;
        hi[a] = a == axis ? s1 : extent[a];
    }
}

void sf_gather_conv_weight(const sf_conv *c, const sf_conv_bwd_weight *a, sf_wgrad_run *run,
                           void *scratch)
{
    const int *k = c->kernel;
    const int64_t out[3] = { c->out.d, c->out.h, c->out.w };
    sf_wgrad g = { .a = a->in,
                   .n_a = a->n_in,
                   .d = { .x = a->dout },
                   .n = a->n,
                   .dweight = a->dweight,
                   .dbias = a->dbias,
                   .w_a = k[0] * k[1] * k[2],
                   .w_d = c->in.c * k[0] * k[1] * k[2],
                   .w_tap = { k[1] * k[2], k[2], 1 },
                   .threads = a->threads };
    sf_gather_conv_axes(c, g.axis);
    leaf_box(out, a->slice0, a->slice1, g.lo, g.hi);
    run(&g, scratch);
}

void sf_gather_convt_axes(const sf_convt *c, sf_gather_axis axis[3])
{
    const int64_t in[3] = { c->in.d, c->in.h, c->in.w };
    for (int i = 0; i < 3; i++) axis[i] = read_axis(c->stride[i], c->stride[i], in[i], false);
}

bool sf_gather_convt_phase_axes(const sf_convt *c, int phase, sf_gather_axis axis[3])
{
    const int *t = c->stride;
    const int p[3] = { phase / (t[1] * t[2]), phase / t[2] % t[1], phase % t[2] };
    const int64_t in[3] = { c->in.d, c->in.h, c->in.w };
    for (int i = 0; i < 3; i++)
        axis[i] = (sf_gather_axis){
            .n = 1, .tap = { p[i] }, .istep = 1, .ostep = t[i], .phase = p[i], .extent = in[i]
        };
    return phase < t[0] * t[1] * t[2];
}

void sf_gather_convt_forward(const sf_convt *c, const sf_convt_fwd *a, sf_gather_run *run,
                             void *scratch)
{
    const int *t = c->stride;
    sf_gather g = { .in = &a->in,
                    .n_in = 1,
                    .out = &a->out,
                    .n_out = 1,
                    .weight = a->weight,
                    .bias = a->bias,
                    .w_out = t[0] * t[1] * t[2],
                    .w_in = c->out.c * t[0] * t[1] * t[2],
                    .w_tap = { t[1] * t[2], t[2], 1 },
                    .threads = a->threads };
    sf_gather all[SF_MAX_PHASES];
    int n = 0;
    while (sf_gather_convt_phase_axes(c, n, g.axis)) all[n++] = g;
    run(all, n, scratch);
}

void sf_gather_convt_data(const sf_convt *c, const sf_convt_bwd_data *a, sf_gather_run *run,
                          void *scratch)
{
    const int *t = c->stride;
    const sf_input dout = { .x = a->dout };
    sf_gather g = { .in = &dout,
                    .n_in = 1,
                    .out = &a->din,
                    .n_out = 1,
                    .accumulate = &a->accumulate,
                    .weight = a->weight,
                    .w_out = c->out.c * t[0] * t[1] * t[2],
                    .w_in = t[0] * t[1] * t[2],
                    .w_tap = { t[1] * t[2], t[2], 1 },
                    .threads = a->threads };
    sf_gather_convt_axes(c, g.axis);
    run(&g, 1, scratch);
}

void sf_gather_convt_weight(const sf_convt *c, const sf_convt_bwd_weight *a, sf_wgrad_run *run,
                            void *scratch)
{
    const int *t = c->stride;
    const int64_t in[3] = { c->in.d, c->in.h, c->in.w };
    const sf_input dout = { .x = a->dout };
    sf_wgrad g = { .a = &dout,
                   .n_a = 1,
                   .d = a->in,
                   .n = a->n,
                   .dweight = a->dweight,
                   .dbias = a->dbias,
                   .dbias_of_a = true,
                   .w_a = t[0] * t[1] * t[2],
                   .w_d = c->out.c * t[0] * t[1] * t[2],
                   .w_tap = { t[1] * t[2], t[2], 1 },
                   .threads = a->threads };
    sf_gather_convt_axes(c, g.axis);
    leaf_box(in, a->slice0, a->slice1, g.lo, g.hi);
    run(&g, scratch);
}
