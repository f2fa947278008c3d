#include "batch/spline.h"
#include "kernels/voxels.h"
#include <math.h>

/* sqrt(3) - 2, and the gain (1 - pole) * (1 - 1/pole). */
static const double POLE = -0.26794919243112270647;
static const double GAIN = 6.0;
enum {
    HORIZON = 30, /* pole^30 < 1e-17: further samples cannot change the first coefficient */
    LANES = 64    /* rows of the last axis that are transposed and filtered at once */
};

void sf_spline_weights(double w[4], double t)
{
    const double s = 1.0 - t;
    w[0] = s * s * s / 6.0;
    w[1] = (t * t * (t - 2.0) * 3.0 + 4.0) / 6.0;
    w[2] = (s * s * (s - 2.0) * 3.0 + 4.0) / 6.0;
    w[3] = t * t * t / 6.0;
}

/* Weights of the samples in the first causal coefficient: the mirrored line is periodic in 2n-2. */
typedef struct {
    int64_t count;
    double w[2 * HORIZON];
    float weight[2 * HORIZON]; /* times GAIN */
} first_row;

static void first_row_make(first_row *f, int64_t n)
{
    const double all = 1.0 - pow(POLE, (double)(2 * n - 2));
    f->count = n <= 2 * HORIZON ? n : HORIZON;
    for (int64_t k = 0; k < f->count; k++) {
        f->w[k] = pow(POLE, (double)k) / all;
        if (k > 0 && k < n - 1) f->w[k] += pow(POLE, (double)(2 * n - 2 - k)) / all;
        f->weight[k] = (float)(GAIN * f->w[k]);
    }
}

void sf_spline_filter_line(double *line, int64_t n)
{
    if (n < 2) return;
    first_row f;
    first_row_make(&f, n);
    double first = 0;
    for (int64_t k = 0; k < f.count; k++) first += f.w[k] * line[k];
    line[0] = GAIN * first;
    for (int64_t k = 1; k < n; k++) line[k] = GAIN * line[k] + POLE * line[k - 1];
    line[n - 1] = (POLE / (POLE * POLE - 1.0)) * (line[n - 1] + POLE * line[n - 2]);
    for (int64_t k = n - 2; k >= 0; k--) line[k] = POLE * (line[k + 1] - line[k]);
}

/* Along the last axis: LANES rows are transposed into a buffer, filtered, and put back. */
static void filter_rows(float *x, const first_row *f, int64_t rows, int64_t stride, int64_t n,
                        float *lines, const sf_voxel_ops *ops)
{
    for (int64_t r = 0; r < rows; r += LANES) {
        const int64_t lanes = rows - r < LANES ? rows - r : LANES;
        ops->transpose(lines, LANES, x + r * stride, stride, lanes, n);
        ops->spline(lines, n, LANES, lanes, f->weight, f->count);
        ops->transpose(x + r * stride, stride, lines, LANES, n, lanes);
    }
}

sf_status sf_spline_filter_box(float *volume, const int64_t n[3], int64_t stride0, int64_t stride1,
                               int first_axis, sf_workspace *ws)
{
    const sf_voxel_ops *ops = sf_voxel_ops_pick();
    float *lines = NULL;
    SF_TRY(sf_workspace_get(ws, SF_WS_LINES, (size_t)(n[2] * LANES), sizeof *lines, &lines));
    first_row f[3];
    for (int a = 0; a < 3; a++) {
        if (n[a] > 1) first_row_make(&f[a], n[a]);
    }
    for (int64_t i = 0; i < n[0]; i++) {
        float *slice = volume + i * stride0;
        if (n[2] > 1) filter_rows(slice, &f[2], n[1], stride1, n[2], lines, ops);
        if (n[1] > 1) ops->spline(slice, n[1], stride1, n[2], f[1].weight, f[1].count);
    }
    for (int64_t j = 0; first_axis == 0 && n[0] > 1 && j < n[1]; j++)
        ops->spline(volume + j * stride1, n[0], stride0, n[2], f[0].weight, f[0].count);
    return SF_OK;
}
