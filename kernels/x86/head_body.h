/* 1x1x1 convolutions of at most 16 outputs, the network's heads, in vector words; included once per
 * instruction set, after its vec_*.h. They do little per element: tensors are read where they lie,
 * once, a few voxels at a time. */
#include "kernels/bf16.h"
#include "kernels/conv.h"
#include "kernels/cpu.h"
#include "kernels/gather.h"
#include "kernels/norm.h"
#include "kernels/view.h"
#include "kernels/x86/vec_stored.h"
#include <string.h>

enum {
    VOXELS = BLOCK_V == 1 ? 12 : 6, /* of a register tile */
    SPAN = 96,                      /* voxels of a row at a time */
    OUTPUTS = 4,                    /* of a register tile of the weight gradient */
    RUN = 64,                       /* voxels whose products are summed before a double */
    AHEAD = 32 * SF_CBLOCK,         /* elements fetched before they are used */
    STREAM_BYTES = 16 << 20         /* what is larger leaves the caches before it is read */
};

/* One channel block of a view: lane 0 of global voxel (0,0,0) of a sample, and its load rule. */
typedef struct {
    void *data;
    bool half;
    int64_t sd, sh;
    const float *scale, *shift; /* NULL: raw */
    float slope;
} block;

static block open_view(const sf_view *v, int64_t n, int64_t cb)
{
    const int64_t at = sf_view_offset(v, n, cb, -v->origin[0], -v->origin[1], -v->origin[2]);
    return (block){ .data = (char *)v->data + at * (int64_t)sf_dtype_size(v->dtype),
                    .half = v->dtype == SF_BF16,
                    .sd = v->stride_d,
                    .sh = v->stride_h };
}

static block open_input(const sf_input *in, int64_t n, int64_t cb)
{
    const int64_t at = n * sf_cpad(in->x.shape.c) + cb * SF_CBLOCK;
    block b = open_view(&in->x, n, cb);
    b.scale = in->scale ? (const float *)in->scale + at : NULL;
    b.shift = in->scale ? (const float *)in->shift + at : NULL;
    b.slope = (float)in->slope;
    return b;
}

/* Vector j of the loaded value at element `at`; mul and add, as the norm's gradient does it. */
FLAT V loaded(const block *b, int64_t at, const int j, const bool half, const bool rule)
{
    const V x = v_get(b->data, at + j * VLEN, half);
    if (!rule) return x;
    const V t = v_add(v_mul(v_load(b->scale + j * VLEN), x), v_load(b->shift + j * VLEN));
    return v_positive_or(t, v_mul(v_set1(b->slope), t));
}

FLAT void copy_sized(const block *b, int64_t at, int64_t count, float *to, const bool half,
                     const bool rule)
{
    for (int64_t i = 0; i < count; i++, at += SF_CBLOCK, to += SF_CBLOCK) {
        _mm_prefetch(v_address(b->data, at + AHEAD, half), _MM_HINT_T0);
#pragma GCC unroll 2
        for (int j = 0; j < BLOCK_V; j++) v_store(to + j * VLEN, loaded(b, at, j, half, rule));
    }
}

/* Loaded values of `count` voxels. */
static void copy(const block *b, int64_t at, int64_t count, float *to)
{
    if (b->half && b->scale)
        copy_sized(b, at, count, to, true, true);
    else if (b->half)
        copy_sized(b, at, count, to, true, false);
    else if (b->scale)
        copy_sized(b, at, count, to, false, true);
    else
        copy_sized(b, at, count, to, false, false);
}

/* out[voxel][16] += sum over i < count of x[voxel][i] * w[i][16]; whole register tiles. */
FLAT void products(const float *x, const float *w, const int64_t count, int64_t voxels, float *out)
{
    for (int64_t v0 = 0; v0 < voxels; v0 += VOXELS, x += VOXELS * SF_CBLOCK) {
        V acc[VOXELS][BLOCK_V];
#pragma GCC unroll 12
        for (int v = 0; v < VOXELS; v++)
#pragma GCC unroll 2
            for (int j = 0; j < BLOCK_V; j++)
                acc[v][j] = v_load(out + (v0 + v) * SF_CBLOCK + j * VLEN);
        for (int64_t i = 0; i < count; i++) {
            V wv[BLOCK_V];
#pragma GCC unroll 2
            for (int j = 0; j < BLOCK_V; j++) wv[j] = v_load(w + i * SF_CBLOCK + j * VLEN);
#pragma GCC unroll 12
            for (int v = 0; v < VOXELS; v++) {
                const V s = v_set1(x[v * SF_CBLOCK + i]);
#pragma GCC unroll 2
                for (int j = 0; j < BLOCK_V; j++) acc[v][j] = v_fma(s, wv[j], acc[v][j]);
            }
        }
#pragma GCC unroll 12
        for (int v = 0; v < VOXELS; v++)
#pragma GCC unroll 2
            for (int j = 0; j < BLOCK_V; j++)
                v_store(out + (v0 + v) * SF_CBLOCK + j * VLEN, acc[v][j]);
    }
}

/* Register tiles are whole: the voxels between the last one and the end of its tile are zero.
 * Returns the voxels of all tiles. */
static int64_t fill_tile(float *x, int64_t count)
{
    const int64_t whole = (count + VOXELS - 1) / VOXELS * VOXELS;
    memset(x + count * SF_CBLOCK, 0, (size_t)((whole - count) * SF_CBLOCK) * sizeof *x);
    return whole;
}

/* `count` voxels to a view, past the caches when `stream`. */
static void put(const block *to, int64_t at, int64_t count, bool stream, const float *from)
{
    if (stream && !to->half && (uintptr_t)((float *)to->data + at) % 64 == 0)
        for (int64_t i = 0; i < count * SF_CBLOCK; i += VLEN)
            v_stream((float *)to->data + at + i, v_load(from + i));
    else
        for (int64_t i = 0; i < count * SF_CBLOCK; i += VLEN)
            v_put(to->data, at + i, v_load(from + i), to->half);
}

static bool is_large(const sf_view *v) { return sf_view_bytes(v->dtype, v->shape) > STREAM_BYTES; }

/* The rows of a view, of all samples: global (z,y) of row r. */
typedef struct {
    int64_t n, z, y;
} row;
static int64_t rows_of(const sf_view *v) { return v->shape.n * v->shape.d * v->shape.h; }
static row row_of(const sf_view *v, int64_t r)
{
    return (row){ r / (v->shape.d * v->shape.h), v->origin[0] + r / v->shape.h % v->shape.d,
                  v->origin[1] + r % v->shape.h };
}

/* --- forward --------------------------------------------------------------------------------- */

/* [input block][lane][16 outputs] */
static void pack_forward(const sf_conv *c, const sf_conv_fwd *a, float *w)
{
    const int64_t blocks = sf_inputs_blocks(a->in, a->n_in);
    memset(w, 0, (size_t)(blocks * SF_CBLOCK * SF_CBLOCK) * sizeof *w);
    for (int64_t b = 0; b < blocks; b++) {
        const sf_block_at at = sf_inputs_block(a->in, a->n_in, b);
        for (int64_t l = 0; l < at.lanes; l++)
            for (int64_t q = 0; q < c->out.c; q++)
                w[(b * SF_CBLOCK + l) * SF_CBLOCK + q] =
                    ((const float *)a->weight)[q * c->in.c + at.first + l];
    }
}

static void forward_row(const sf_conv_fwd *a, const float *w, const float *bias, bool large, row r)
{
    const sf_view *y = &a->out;
    const block to = open_view(y, r.n, 0);
    const int64_t blocks = sf_inputs_blocks(a->in, a->n_in), end = y->origin[2] + y->shape.w;
    float x[SPAN * SF_CBLOCK], out[SPAN * SF_CBLOCK];
    for (int64_t x0 = y->origin[2]; x0 < end; x0 += SPAN) {
        const int64_t count = end - x0 < SPAN ? end - x0 : SPAN;
        const int64_t whole = fill_tile(x, count);
        for (int v = 0; v < whole; v++) memcpy(out + v * SF_CBLOCK, bias, SF_CBLOCK * sizeof *out);
        for (int64_t b = 0; b < blocks; b++) {
            const sf_block_at at = sf_inputs_block(a->in, a->n_in, b);
            const block in = open_input(&a->in[at.entry], r.n, at.cb);
            copy(&in, r.z * in.sd + r.y * in.sh + x0 * SF_CBLOCK, count, x);
            products(x, w + b * SF_CBLOCK * SF_CBLOCK, SF_CBLOCK, count, out);
        }
        put(&to, r.z * to.sd + r.y * to.sh + x0 * SF_CBLOCK, count, large, out);
    }
}

static sf_status forward(const sf_conv *c, const sf_conv_fwd *a, void *scratch)
{
    SF_TRY(sf_gather_check(a->n_in));
    float bias[SF_CBLOCK] = { 0 };
    if (a->bias) memcpy(bias, a->bias, (size_t)c->out.c * sizeof *bias);
    pack_forward(c, a, scratch);
    const bool large = is_large(&a->out);
#pragma omp parallel num_threads(a->threads)
    {
#pragma omp for schedule(static)
        for (int64_t r = 0; r < rows_of(&a->out); r++)
            forward_row(a, scratch, bias, large, row_of(&a->out, r));
        if (large) _mm_sfence();
    }
    if (a->stats) sf_norm_stats(&a->out, a->stats, a->threads);
    return SF_OK;
}

/* --- gradient of the input ------------------------------------------------------------------- */

/* [input block][output][16 inputs] */
static void pack_data(const sf_conv *c, const sf_conv_bwd_data *a, float *w)
{
    const int64_t blocks = sf_views_blocks(a->din, a->n_in);
    memset(w, 0, (size_t)(blocks * SF_CBLOCK * SF_CBLOCK) * sizeof *w);
    for (int64_t b = 0; b < blocks; b++) {
        const sf_block_at at = sf_views_block(a->din, a->n_in, b);
        for (int64_t q = 0; q < c->out.c; q++)
            memcpy(w + (b * SF_CBLOCK + q) * SF_CBLOCK,
                   (const float *)a->weight + q * c->in.c + at.first, (size_t)at.lanes * sizeof *w);
    }
}

static void data_row(const sf_conv *c, const sf_conv_bwd_data *a, const float *w, bool large, row r)
{
    const sf_view *d = &a->din[0];
    const block from = open_view(&a->dout, r.n, 0);
    const int64_t blocks = sf_views_blocks(a->din, a->n_in), end = d->origin[2] + d->shape.w;
    float x[SPAN * SF_CBLOCK], out[SPAN * SF_CBLOCK];
    for (int64_t x0 = d->origin[2]; x0 < end; x0 += SPAN) {
        const int64_t count = end - x0 < SPAN ? end - x0 : SPAN;
        const int64_t whole = fill_tile(x, count);
        copy(&from, r.z * from.sd + r.y * from.sh + x0 * SF_CBLOCK, count, x);
        for (int64_t b = 0; b < blocks; b++) {
            const sf_block_at at = sf_views_block(a->din, a->n_in, b);
            const block to = open_view(&a->din[at.entry], r.n, at.cb);
            const int64_t i = r.z * to.sd + r.y * to.sh + x0 * SF_CBLOCK;
            if (a->accumulate && a->accumulate[at.entry]) {
                copy(&to, i, count, out);
                fill_tile(out, count);
            } else
                memset(out, 0, (size_t)(whole * SF_CBLOCK) * sizeof *out);
            products(x, w + b * SF_CBLOCK * SF_CBLOCK, c->out.c, count, out);
            put(&to, i, count, large, out);
        }
    }
}

static sf_status backward_data(const sf_conv *c, const sf_conv_bwd_data *a, void *scratch)
{
    SF_TRY(sf_gather_check(a->n_in));
    pack_data(c, a, scratch);
    const bool large = is_large(&a->din[0]);
#pragma omp parallel num_threads(a->threads)
    {
#pragma omp for schedule(static)
        for (int64_t r = 0; r < rows_of(&a->din[0]); r++)
            data_row(c, a, scratch, large, row_of(&a->din[0], r));
        if (large) _mm_sfence();
    }
    return SF_OK;
}

/* --- gradient of the weights ----------------------------------------------------------------- */

FLAT V output_gradient(const void *d, int64_t at, const bool half)
{
    return v_set1(half ? sf_bf16_widen(((const uint16_t *)d)[at]) : ((const float *)d)[at]);
}

/* Sums of OUTPUTS outputs from lane q on over `count` voxels: into dw [output][16], db [16]. half,
 * narrow: the types of the input and of the output's gradient. */
FLAT void weight_run(const block *in, int64_t at, const block *out, int64_t from, int q,
                     int64_t count, const bool half, const bool narrow, const bool rule, double *dw,
                     double *db)
{
    V acc[OUTPUTS][BLOCK_V], sum[BLOCK_V];
#pragma GCC unroll 2
    for (int j = 0; j < BLOCK_V; j++) {
        sum[j] = v_zero();
#pragma GCC unroll 4
        for (int k = 0; k < OUTPUTS; k++) acc[k][j] = v_zero();
    }
    for (int64_t i = 0; i < count; i++, at += SF_CBLOCK, from += SF_CBLOCK) {
        _mm_prefetch(v_address(in->data, at + AHEAD, half), _MM_HINT_T0);
        _mm_prefetch(v_address(out->data, from + AHEAD, narrow), _MM_HINT_T0);
#pragma GCC unroll 2
        for (int j = 0; j < BLOCK_V; j++) {
            const V x = loaded(in, at, j, half, rule);
            sum[j] = v_add(sum[j], v_get(out->data, from + j * VLEN, narrow));
#pragma GCC unroll 4
            for (int k = 0; k < OUTPUTS; k++)
                acc[k][j] = v_fma(output_gradient(out->data, from + q + k, narrow), x, acc[k][j]);
        }
    }
#pragma GCC unroll 2
    for (int j = 0; j < BLOCK_V; j++) {
        v_add_double(db + j * VLEN, sum[j]);
#pragma GCC unroll 4
        for (int k = 0; k < OUTPUTS; k++) v_add_double(dw + k * SF_CBLOCK + j * VLEN, acc[k][j]);
    }
}

FLAT void weight_typed(const block *in, int64_t at, const block *out, int64_t from, int q,
                       int64_t count, const bool half, const bool narrow, double *dw, double *db)
{
    for (int64_t x = 0; x < count; x += RUN) {
        const int64_t n = count - x < RUN ? count - x : RUN, i = x * SF_CBLOCK;
        if (in->scale)
            weight_run(in, at + i, out, from + i, q, n, half, narrow, true, dw, db);
        else
            weight_run(in, at + i, out, from + i, q, n, half, narrow, false, dw, db);
    }
}

static void weight_row(const block *in, int64_t at, const block *out, int64_t from, int q,
                       int64_t count, double *dw, double *db)
{
    if (in->half && out->half)
        weight_typed(in, at, out, from, q, count, true, true, dw, db);
    else if (in->half)
        weight_typed(in, at, out, from, q, count, true, false, dw, db);
    else if (out->half)
        weight_typed(in, at, out, from, q, count, false, true, dw, db);
    else
        weight_typed(in, at, out, from, q, count, false, false, dw, db);
}

/* One input block. */
static void weight_block(const sf_conv *c, const sf_conv_bwd_weight *a, int64_t b)
{
    const sf_block_at at = sf_inputs_block(a->in, a->n_in, b);
    const block in = open_input(&a->in[at.entry], a->n, at.cb), out = open_view(&a->dout, a->n, 0);
    const int64_t extent[3] = { c->out.d, c->out.h, c->out.w };
    const int axis = sf_slice_axis(extent);
    const int64_t z0 = axis == 0 ? a->slice0 : 0, z1 = axis == 0 ? a->slice1 : c->out.d;
    const int64_t y0 = axis == 1 ? a->slice0 : 0, y1 = axis == 1 ? a->slice1 : c->out.h;
    for (int q = 0; q < c->out.c; q += OUTPUTS) {
        double dw[OUTPUTS * SF_CBLOCK] = { 0 }, db[SF_CBLOCK] = { 0 };
        for (int64_t z = z0; z < z1; z++)
            for (int64_t y = y0; y < y1; y++)
                weight_row(&in, z * in.sd + y * in.sh, &out, z * out.sd + y * out.sh, q, c->out.w,
                           dw, db);
        for (int k = 0; k < OUTPUTS && q + k < c->out.c; k++)
            for (int64_t l = 0; l < at.lanes; l++)
                ((float *)a->dweight)[(q + k) * c->in.c + at.first + l] =
                    (float)dw[k * SF_CBLOCK + l];
        for (int64_t k = 0; a->dbias && b == 0 && q == 0 && k < c->out.c; k++)
            ((float *)a->dbias)[k] = (float)db[k];
    }
}

static sf_status backward_weight(const sf_conv *c, const sf_conv_bwd_weight *a, void *scratch)
{
    (void)scratch;
    SF_TRY(sf_gather_check(a->n_in));
#pragma omp parallel for num_threads(a->threads) schedule(static)
    for (int64_t b = 0; b < sf_inputs_blocks(a->in, a->n_in); b++) weight_block(c, a, b);
    return SF_OK;
}

/* --- the variant ----------------------------------------------------------------------------- */

static bool accepts(const sf_conv *c)
{
    for (int a = 0; a < 3; a++)
        if (c->kernel[a] != 1 || c->stride[a] != 1) return false;
    return c->out.c <= SF_CBLOCK && SF_HEAD_TYPES;
}

static size_t scratch_bytes(const sf_conv *c, int threads)
{
    (void)threads;
    return (size_t)c->in_blocks * SF_CBLOCK * SF_CBLOCK * sizeof(float);
}

const sf_conv_impl SF_ISA_NAME(sf_conv_head) = { .name = SF_HEAD_TEXT,
                                                 .isa = SF_HEAD_ISA,
                                                 .accepts = accepts,
                                                 .scratch = scratch_bytes,
                                                 .forward = forward,
                                                 .backward_data = backward_data,
                                                 .backward_weight = backward_weight };
