#include "batch/intensity.h"
#include "batch/axis_op.h"
#include <math.h>
#include <string.h>

sf_status sf_noise_add(float *x, int64_t count, double sigma, sf_rng *field, sf_workspace *ws)
{
    float *noise = NULL;
    SF_TRY(sf_workspace_get(ws, SF_WS_VOLUME_A, (size_t)count, sizeof *noise, &noise));
    sf_rng_fill_normal(field, count, noise);
    const float s = (float)sigma;
    for (int64_t i = 0; i < count; i++) x[i] += s * noise[i];
    return SF_OK;
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
        sf_axis_op_apply(&op, from, outer_of(n, a), inner_of(n, a), to);
        sf_axis_op_free(&op);
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

static void range_of(const float *x, int64_t count, float *lo, float *hi)
{
    float low = x[0], high = x[0];
    for (int64_t i = 1; i < count; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    *lo = low;
    *hi = high;
}

static double mean_of(const float *x, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += x[i];
    return sum / (double)count;
}

/* Standard deviation with `free` degrees of freedom lost (v1: 0, v2: 1). */
static double deviation_of(const float *x, int64_t count, double mean, int lost)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += ((double)x[i] - mean) * ((double)x[i] - mean);
    return count > lost ? sqrt(sum / (double)(count - lost)) : 0.0;
}

void sf_contrast(float *x, int64_t count, double factor)
{
    float lo, hi;
    range_of(x, count, &lo, &hi);
    const float mean = (float)mean_of(x, count), f = (float)factor;
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
    float *from = NULL, *to = NULL, lo, hi;
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
    range_of(from, m[0] * m[1] * m[2], &lo, &hi);
    for (int a = 2; a >= 0; a--) {
        if (m[a] == n[a]) continue; /* both interpolations are the identity there */
        sf_axis_op op = { 0 };
        SF_TRY(up == SF_IMAGE_CUBIC ? sf_axis_op_cubic(&op, m[a], n[a])
                                    : sf_axis_op_linear(&op, m[a], n[a]));
        sf_axis_op_apply(&op, from, outer_of(m, a), inner_of(m, a), to);
        sf_axis_op_free(&op);
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

void sf_gamma(float *x, int64_t count, double gamma, bool inverted, sf_formulas formulas)
{
    const int lost = formulas == SF_FORMULAS_V2 ? 1 : 0;
    const float sign = inverted ? -1.0f : 1.0f;
    for (int64_t i = 0; i < count; i++) x[i] *= sign;
    float lo, hi;
    range_of(x, count, &lo, &hi);
    const double mean = mean_of(x, count), deviation = deviation_of(x, count, mean, lost);
    const float plain = hi - lo, wide = (float)guarded(plain, 1e-7, formulas), g = (float)gamma;
    const float back = formulas == SF_FORMULAS_V2 ? plain : wide;
    for (int64_t i = 0; i < count; i++) x[i] = powf((x[i] - lo) / wide, g) * back + lo;
    const double mean_now = mean_of(x, count);
    const double now = deviation_of(x, count, mean_now, lost);
    const double epsilon = formulas == SF_FORMULAS_V2 ? 1e-7 : 1e-8;
    const double ratio = deviation / guarded(now, epsilon, formulas);
    for (int64_t i = 0; i < count; i++) {
        x[i] = sign * (float)(((double)x[i] - mean_now) * ratio + mean);
    }
}
