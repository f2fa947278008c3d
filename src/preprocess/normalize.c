#include "preprocess/normalize.h"
#include "base/mem.h"
#include <math.h>

/* Sums run over blocks of fixed size, and the blocks' sums go through a fixed pairwise tree: the
 * result depends on the voxels alone. EPS keeps a constant image finite (nnunet-planning.md 5.3).
 */
enum { BLOCK = 4096, LANES = 8 };
static const double EPS = 1e-8;

static double pairwise(const double *v, int64_t n)
{
    if (n == 1) return v[0];
    int64_t half = 1;
    while (2 * half < n) half *= 2;
    return pairwise(v, half) + pairwise(v + half, n - half);
}

/** Sum of (x - shift)^power over at most BLOCK voxels: voxel i in lane i mod LANES, lanes added
 * pairwise; so the compiler may use vectors. A voxel outside the mask adds 0. */
static double block_sum(const float *x, const int16_t *mask, int64_t n, double shift, int power,
                        int64_t *count)
{
    double lane[LANES] = { 0 };
    const int64_t whole = n / LANES * LANES;
    for (int64_t i = 0; i < whole; i += LANES) {
        for (int l = 0; l < LANES; l++) {
            const double d = (double)x[i + l] - shift, v = power == 1 ? d : d * d;
            lane[l] += mask == NULL || mask[i + l] >= 0 ? v : 0.0;
        }
    }
    for (int64_t i = whole; i < n; i++) {
        const double d = (double)x[i] - shift, v = power == 1 ? d : d * d;
        lane[i - whole] += mask == NULL || mask[i] >= 0 ? v : 0.0;
    }
    if (mask == NULL) *count += n;
    for (int64_t i = 0; mask != NULL && i < n; i++) *count += mask[i] >= 0;
    return pairwise(lane, LANES);
}

/** The same over all voxels, in a tree over blocks; @param[out] count voxels inside. */
static double masked_sum(const float *x, const int16_t *mask, int64_t n, double shift, int power,
                         double *partial, int64_t *count)
{
    const int64_t blocks = (n + BLOCK - 1) / BLOCK;
    *count = 0;
    for (int64_t b = 0; b < blocks; b++) {
        const int64_t at = b * BLOCK, size = n - at < BLOCK ? n - at : BLOCK;
        partial[b] = block_sum(x + at, mask != NULL ? mask + at : NULL, size, shift, power, count);
    }
    return pairwise(partial, blocks);
}

static sf_status z_score(float *x, int64_t n, const int16_t *mask, bool outside_zero)
{
    double *partial;
    int64_t count;
    SF_TRY(
        sf_mem_alloc(&partial, (size_t)((n + BLOCK - 1) / BLOCK), sizeof *partial, SF_MEM_SCRATCH));
    const double sum = masked_sum(x, mask, n, 0.0, 1, partial, &count);
    if (count > 0) { /* an empty mask: nothing to measure, the image stays as it is */
        const double mean = sum / (double)count;
        const double var = masked_sum(x, mask, n, mean, 2, partial, &count) / (double)count;
        const double scale = fmax(sqrt(var), EPS);
        for (int64_t i = 0; i < n; i++)
            if (mask == NULL || mask[i] >= 0) x[i] = (float)(((double)x[i] - mean) / scale);
    }
    for (int64_t i = 0; mask != NULL && outside_zero && i < n; i++)
        if (mask[i] < 0) x[i] = 0.0f;
    sf_mem_free(partial);
    return SF_OK;
}

static void ct(float *x, int64_t n, const sf_intensity *s)
{
    const double scale = fmax(s->std, EPS);
    for (int64_t i = 0; i < n; i++) {
        const double v = fmin(fmax((double)x[i], s->p00_5), s->p99_5);
        x[i] = (float)((v - s->mean) / scale);
    }
}

static void rescale01(float *x, int64_t n)
{
    float lo = x[0], hi = x[0];
    for (int64_t i = 1; i < n; i++) {
        lo = fminf(lo, x[i]);
        hi = fmaxf(hi, x[i]);
    }
    const double scale = fmax((double)hi - (double)lo, EPS);
    for (int64_t i = 0; i < n; i++) x[i] = (float)(((double)x[i] - (double)lo) / scale);
}

static sf_status rgb01(float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        SF_CHECK(
            x[i] >= 0.0f && x[i] <= 255.0f, SF_EDATA,
            "value %g in a channel declared rgb_to_0_1, which must hold 0..255; declare another "
            "normalisation in channel_names",
            (double)x[i]);
        x[i] = (float)((double)x[i] / 255.0);
    }
    return SF_OK;
}

sf_status sf_normalize(sf_norm_scheme scheme, bool use_mask, const sf_intensity *stats,
                       bool mask_outside_zero, int64_t voxels, float *x, const int16_t *seg)
{
    SF_CHECK(voxels > 0, SF_EINVAL, "normalisation of an empty image");
    switch (scheme) {
    case SF_NORM_ZSCORE:
        return z_score(x, voxels, use_mask ? seg : NULL, mask_outside_zero);
    case SF_NORM_CT:
        SF_CHECK(stats != NULL, SF_EINVAL,
                 "CT normalisation needs the plan's intensity statistics");
        ct(x, voxels, stats);
        return SF_OK;
    case SF_NORM_RESCALE01:
        rescale01(x, voxels);
        return SF_OK;
    case SF_NORM_RGB01:
        return rgb01(x, voxels);
    case SF_NORM_NONE:
        return SF_OK;
    }
    return SF_FAIL(SF_EINTERNAL, "normalisation scheme %d", (int)scheme);
}
