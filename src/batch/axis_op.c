#include "batch/axis_op.h"
#include "base/mem.h"
#include "batch/spline.h"
#include "kernels/voxels.h"
#include <math.h>
#include <string.h>

enum { EDGE_COPIES = 12, LANES = 64 };
/* The spline's weights fall by 0.268 per sample; what is smaller than this is not stored. */
static const double NEGLIGIBLE = 1e-9;

void sf_axis_op_free(sf_axis_op *op)
{
    sf_mem_free(op->start);
    sf_mem_free(op->weight);
    memset(op, 0, sizeof *op);
}

/* Turn a dense matrix [n_out][n_in] into the narrowest band of one width for all rows. */
static sf_status from_dense(sf_axis_op *out, int64_t n_in, int64_t n_out, const double *dense)
{
    sf_axis_op op = { .n_in = n_in, .n_out = n_out, .taps = 1 };
    sf_status st = SF_OK;
    SF_GOTO(fail, st, sf_mem_alloc(&op.start, (size_t)n_out, sizeof *op.start, SF_MEM_BATCH));
    for (int64_t i = 0; i < n_out; i++) {
        int64_t first = 0, last = n_in - 1;
        while (first < last && fabs(dense[i * n_in + first]) < NEGLIGIBLE) first++;
        while (last > first && fabs(dense[i * n_in + last]) < NEGLIGIBLE) last--;
        op.start[i] = first;
        if (last - first + 1 > op.taps) op.taps = last - first + 1;
    }
    SF_GOTO(fail, st,
            sf_mem_alloc(&op.weight, (size_t)(n_out * op.taps), sizeof *op.weight, SF_MEM_BATCH));
    for (int64_t i = 0; i < n_out; i++) {
        if (op.start[i] > n_in - op.taps) op.start[i] = n_in - op.taps;
        for (int64_t k = 0; k < op.taps; k++) {
            op.weight[i * op.taps + k] = (float)dense[i * n_in + op.start[i] + k];
        }
    }
    *out = op;
    return SF_OK;
fail:
    sf_axis_op_free(&op);
    return st;
}

/* Index with edges repeated (..1 0 | 0 1 ..) or not (..2 1 | 0 1 2..), any distance outside. */
static int64_t reflected(int64_t i, int64_t n, bool repeat_edge)
{
    if (n == 1) return 0;
    const int64_t period = repeat_edge ? 2 * n : 2 * n - 2;
    i %= period;
    if (i < 0) i += period;
    if (i < n) return i;
    return repeat_edge ? period - 1 - i : period - i;
}

static sf_status blur(sf_axis_op *out, int64_t n, double sigma, int64_t radius, bool repeat_edge)
{
    SF_CHECK(n > 0 && sigma > 0, SF_EINVAL, "blur of %lld samples with sigma %g", (long long)n,
             sigma);
    double *dense = NULL;
    SF_TRY(sf_mem_calloc(&dense, (size_t)(n * n), sizeof *dense, SF_MEM_BATCH));
    double sum = 0;
    for (int64_t k = -radius; k <= radius; k++) {
        sum += exp(-0.5 * (double)(k * k) / (sigma * sigma));
    }
    for (int64_t i = 0; i < n; i++) {
        for (int64_t k = -radius; k <= radius; k++) {
            const double w = exp(-0.5 * (double)(k * k) / (sigma * sigma)) / sum;
            dense[i * n + reflected(i + k, n, repeat_edge)] += w;
        }
    }
    const sf_status st = from_dense(out, n, n, dense);
    sf_mem_free(dense);
    return st;
}

sf_status sf_axis_op_blur_v1(sf_axis_op *out, int64_t n, double sigma)
{
    return blur(out, n, sigma, (int64_t)(4.0 * sigma + 0.5), true);
}

sf_status sf_axis_op_blur_v2(sf_axis_op *out, int64_t n, double sigma)
{
    /* An odd number of taps near n = 6 sigma + 0.5: 3 below 0.5833, 5 below 0.9167, then 7. */
    const double wanted = 6.0 * sigma + 0.5;
    int64_t size = (int64_t)rint(wanted);
    if (size % 2 == 0) size += wanted >= (double)size ? 1 : -1;
    return blur(out, n, sigma, size / 2, false);
}

static double position(int64_t i, int64_t n_in, int64_t n_out)
{
    return ((double)i + 0.5) * (double)n_in / (double)n_out - 0.5;
}

sf_status sf_axis_op_linear(sf_axis_op *out, int64_t n_in, int64_t n_out)
{
    double *dense = NULL;
    SF_TRY(sf_mem_calloc(&dense, (size_t)(n_out * n_in), sizeof *dense, SF_MEM_BATCH));
    for (int64_t i = 0; i < n_out; i++) {
        const double x = fmin(fmax(position(i, n_in, n_out), 0.0), (double)(n_in - 1));
        const int64_t lo = (int64_t)x;
        const int64_t hi = lo + 1 < n_in ? lo + 1 : lo;
        dense[i * n_in + lo] += 1.0 - (x - (double)lo);
        dense[i * n_in + hi] += x - (double)lo;
    }
    const sf_status st = from_dense(out, n_in, n_out, dense);
    sf_mem_free(dense);
    return st;
}

/* Column j of the operator: the response at all outputs to a unit sample at j. */
static void cubic_column(double *dense, double *line, int64_t j, int64_t n_in, int64_t n_out)
{
    const int64_t n = n_in + 2 * EDGE_COPIES;
    for (int64_t k = 0; k < n; k++) {
        int64_t source = k - EDGE_COPIES;
        if (source < 0) source = 0;
        if (source > n_in - 1) source = n_in - 1;
        line[k] = source == j ? 1.0 : 0.0;
    }
    sf_spline_filter_line(line, n);
    for (int64_t i = 0; i < n_out; i++) {
        const double x = position(i, n_in, n_out) + EDGE_COPIES;
        const int64_t base = (int64_t)floor(x);
        double w[4];
        sf_spline_weights(w, x - (double)base);
        double sum = 0;
        for (int k = 0; k < 4; k++) sum += w[k] * line[base - 1 + k];
        dense[i * n_in + j] = sum;
    }
}

sf_status sf_axis_op_cubic(sf_axis_op *out, int64_t n_in, int64_t n_out)
{
    double *dense = NULL, *line = NULL;
    sf_status st = SF_OK;
    SF_GOTO(done, st, sf_mem_alloc(&dense, (size_t)(n_out * n_in), sizeof *dense, SF_MEM_BATCH));
    SF_GOTO(done, st,
            sf_mem_alloc(&line, (size_t)(n_in + 2 * EDGE_COPIES), sizeof *line, SF_MEM_BATCH));
    for (int64_t j = 0; j < n_in; j++) cubic_column(dense, line, j, n_in, n_out);
    SF_GOTO(done, st, from_dense(out, n_in, n_out, dense));
done:
    sf_mem_free(dense);
    sf_mem_free(line);
    return st;
}

/* Outputs of one block in [n_in][inner] -> [n_out][inner]. */
static void apply_block(const sf_axis_op *op, const float *in, int64_t inner, float *out,
                        const sf_voxel_ops *ops)
{
    for (int64_t i = 0; i < op->n_out; i++)
        ops->band(out + i * inner, in + op->start[i] * inner, inner, inner,
                  op->weight + i * op->taps, op->taps);
}

/* The last axis: LANES lines become neighbours, and lines again. */
static sf_status apply_lines(const sf_axis_op *op, const float *in, int64_t lines, float *out,
                             sf_workspace *ws, const sf_voxel_ops *ops)
{
    float *from = NULL;
    const size_t length = (size_t)(op->n_in + op->n_out);
    SF_TRY(sf_workspace_get(ws, SF_WS_LINES, length * LANES, sizeof *from, &from));
    float *to = from + op->n_in * LANES;
    for (int64_t l = 0; l < lines; l += LANES) {
        const int64_t n = lines - l < LANES ? lines - l : LANES;
        ops->transpose(from, n, in + l * op->n_in, op->n_in, n, op->n_in);
        apply_block(op, from, n, to, ops);
        ops->transpose(out + l * op->n_out, op->n_out, to, n, op->n_out, n);
    }
    return SF_OK;
}

sf_status sf_axis_op_apply(const sf_axis_op *op, const float *in, int64_t outer, int64_t inner,
                           float *out, sf_workspace *ws)
{
    const sf_voxel_ops *ops = sf_voxel_ops_pick();
    if (inner == 1) return apply_lines(op, in, outer, out, ws, ops);
    for (int64_t o = 0; o < outer; o++)
        apply_block(op, in + o * op->n_in * inner, inner, out + o * op->n_out * inner, ops);
    return SF_OK;
}
