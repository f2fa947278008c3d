#include "batch/intensity.h"
#include "batch/axis_op.h"
#include "kernels/voxels.h"
#include <math.h>
#include <string.h>

void sf_noise_add(float *x, int64_t count, double sigma, sf_rng *field)
{
    enum { BLOCK_WORDS = 4 }; /* one Philox block makes two numbers */
    if (field->used == BLOCK_WORDS) {
        sf_voxel_ops_pick()->add_normal(x, count, (float)sigma, field->key, field->ctr);
        field->ctr[0] += (uint32_t)((count + 1) / 2);
        return;
    }
    const float s = (float)sigma; /* a stream that was drawn from before */
    for (int64_t i = 0; i < count; i += 2) {
        float pair[2];
        sf_rng_fill_normal(field, 2, pair);
        x[i] += s * pair[0];
        if (i + 1 < count) x[i + 1] += s * pair[1];
    }
}

/* Elements before and after axis a. */
static int64_t outer_of(const int64_t n[3], int axis)
{
    int64_t count = 1;
    for (int a = 0; a < axis; a++) count *= n[a];
    return count;
}

static int64_t inner_of(const int64_t n[3], int axis)
{
    int64_t count = 1;
    for (int a = axis + 1; a < 3; a++) count *= n[a];
    return count;
}

sf_status sf_blur(float *x, const int64_t n[3], const double sigma[3], sf_formulas formulas,
                  bool planar_2d, sf_workspace *ws)
{
    const int64_t count = n[0] * n[1] * n[2];
    float *other = NULL;
    SF_TRY(sf_workspace_get(ws, SF_WS_VOLUME_A, (size_t)count, sizeof *other, &other));
    float *from = x, *to = other;
    for (int a = planar_2d ? 1 : 0; a < 3; a++) {
        sf_axis_op op = { 0 };
        SF_TRY(formulas == SF_FORMULAS_V1 ? sf_axis_op_blur_v1(&op, n[a], sigma[a])
                                          : sf_axis_op_blur_v2(&op, n[a], sigma[a]));
        const sf_status st = sf_axis_op_apply(&op, from, outer_of(n, a), inner_of(n, a), to, ws);
        sf_axis_op_free(&op);
        if (st != SF_OK) return st;
        float *swap = from;
        from = to;
        to = swap;
    }
    if (from != x) memcpy(x, from, (size_t)count * sizeof *x);
    return SF_OK;
}

void sf_brightness(float *x, int64_t count, double factor)
{
    const float f = (float)factor;
    for (int64_t i = 0; i < count; i++) x[i] *= f;
}

/* Mean, and standard deviation with `lost` degrees of freedom less (v1: 0, v2: 1). */
typedef struct {
    double mean, deviation;
} moments;

static moments moments_of(const sf_voxel_stats *s, float shift, int64_t count, int lost)
{
    const double n = (double)count, squares = s->squares - s->sum * s->sum / n;
    return (moments){ .mean = (double)shift + s->sum / n,
                      .deviation =
                          count > lost ? sqrt(fmax(squares, 0) / (double)(count - lost)) : 0.0 };
}

void sf_contrast(float *x, int64_t count, double factor)
{
    sf_voxel_stats s;
    sf_voxel_ops_pick()->stats(&s, x, count);
    const float lo = s.lo, hi = s.hi, f = (float)factor;
    const float mean = (float)moments_of(&s, x[0], count, 0).mean;
    for (int64_t i = 0; i < count; i++) {
        const float y = (x[i] - mean) * f + mean;
        x[i] = y < lo ? lo : y > hi ? hi : y;
    }
}

/* Nearest voxel at pixel centres: source index floor((i + 0.5) * n / m). */
static void nearest_down(const float *x, const int64_t n[3], const int64_t m[3], float *out)
{
    for (int64_t i = 0; i < m[0]; i++) {
        const int64_t p = (2 * i + 1) * n[0] / (2 * m[0]);
        for (int64_t j = 0; j < m[1]; j++) {
            const int64_t q = (2 * j + 1) * n[1] / (2 * m[1]);
            const float *row = x + (p * n[1] + q) * n[2];
            for (int64_t k = 0; k < m[2]; k++) {
                *out++ = row[(2 * k + 1) * n[2] / (2 * m[2])];
            }
        }
    }
}

sf_status sf_low_resolution(float *x, const int64_t n[3], double zoom, bool keep_axis0,
                            sf_image_rule up, int64_t small_shape[3], sf_workspace *ws)
{
    const int64_t count = n[0] * n[1] * n[2];
    float *from = NULL, *to = NULL;
    SF_TRY(sf_workspace_get(ws, SF_WS_VOLUME_A, (size_t)count, sizeof *from, &from));
    SF_TRY(sf_workspace_get(ws, SF_WS_VOLUME_B, (size_t)count, sizeof *to, &to));
    int64_t m[3];
    for (int a = 0; a < 3; a++) {
        m[a] = a == 0 && keep_axis0 ? n[0] : (int64_t)rint((double)n[a] * zoom);
        if (m[a] < 1) m[a] = 1;
        SF_CHECK(m[a] <= n[a], SF_EINVAL, "low resolution: zoom %g is above 1", zoom);
        if (small_shape) small_shape[a] = m[a];
    }
    nearest_down(x, n, m, from);
    sf_voxel_stats range;
    sf_voxel_ops_pick()->stats(&range, from, m[0] * m[1] * m[2]);
    const float lo = range.lo, hi = range.hi;
    for (int a = 2; a >= 0; a--) {
        if (m[a] == n[a]) continue; /* both interpolations are the identity there */
        sf_axis_op op = { 0 };
        SF_TRY(up == SF_IMAGE_CUBIC ? sf_axis_op_cubic(&op, m[a], n[a])
                                    : sf_axis_op_linear(&op, m[a], n[a]));
        const sf_status st = sf_axis_op_apply(&op, from, outer_of(m, a), inner_of(m, a), to, ws);
        sf_axis_op_free(&op);
        if (st != SF_OK) return st;
        m[a] = n[a];
        float *swap = from;
        from = to;
        to = swap;
    }
    for (int64_t i = 0; i < count; i++) x[i] = from[i] < lo ? lo : from[i] > hi ? hi : from[i];
    return SF_OK;
}

/* What is kept away from zero: v2 takes the larger of the value and this, v1 adds it. */
static double guarded(double value, double epsilon, sf_formulas formulas)
{
    return formulas == SF_FORMULAS_V2 ? fmax(value, epsilon) : value + epsilon;
}

/* The power of x scaled to [0, 1] and back; of -x when inverted, which is the same with the ends
 * exchanged: lo is then -hi, and base = (-x - lo) / wide = (hi - x) / wide. */
void sf_gamma(float *x, int64_t count, double gamma, bool inverted, sf_formulas formulas)
{
    const sf_voxel_ops *ops = sf_voxel_ops_pick();
    const int lost = formulas == SF_FORMULAS_V2 ? 1 : 0;
    sf_voxel_stats s;
    ops->stats(&s, x, count);
    const moments before = moments_of(&s, x[0], count, lost);
    const float plain = s.hi - s.lo, wide = (float)guarded(plain, 1e-7, formulas);
    const float back = formulas == SF_FORMULAS_V2 ? plain : wide;
    const sf_voxel_power p = { .lo = inverted ? s.hi : s.lo,
                               .inverse = (inverted ? -1.0f : 1.0f) / wide,
                               .gamma = (float)gamma,
                               .scale = inverted ? -back : back,
                               .shift = inverted ? s.hi : s.lo };
    float first = x[0];
    ops->power(&first, 1, &p, &s);
    ops->power(x, count, &p, &s);
    const moments after = moments_of(&s, first, count, lost);
    const double epsilon = formulas == SF_FORMULAS_V2 ? 1e-7 : 1e-8;
    const double ratio = before.deviation / guarded(after.deviation, epsilon, formulas);
    const float f = (float)ratio, shift = (float)(before.mean - after.mean * ratio);
    for (int64_t i = 0; i < count; i++) x[i] = x[i] * f + shift;
}
