#include "image/nonzero.h"
#include "base/mem.h"
#include "image/runs.h"
#include <string.h>

/* Does this run of background touch a face of the volume? */
static bool touches_border(const sf_runs *r, int64_t z, int64_t y, const sf_run *run)
{
    return z == 0 || z == r->shape[0] - 1 || y == 0 || y == r->shape[1] - 1 || run->begin == 0 ||
           run->end == r->shape[2];
}

/* A component of background that no run connects to the border is a hole. */
static void fill_enclosed(uint8_t *mask, const sf_runs *r, uint8_t *outside)
{
    const int64_t height = r->shape[1], rows = r->shape[0] * height;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = r->row[i]; k < r->row[i + 1]; k++)
            if (touches_border(r, i / height, i % height, &r->run[k])) outside[r->parent[k]] = 1;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = r->row[i]; k < r->row[i + 1]; k++)
            if (!outside[r->parent[k]])
                memset(mask + i * r->shape[2] + r->run[k].begin, 1,
                       (size_t)(r->run[k].end - r->run[k].begin));
}

static sf_status fill_holes(uint8_t *mask, const int64_t shape[3])
{
    sf_runs *r = NULL;
    uint8_t *outside = NULL;
    sf_status st = SF_OK;
    /* a volume of at most two planes along some axis has nothing but border */
    if (shape[0] < 3 || shape[1] < 3 || shape[2] < 3) return SF_OK;
    SF_TRY(sf_runs_create(&r, mask, shape, 0, false));
    SF_GOTO(done, st, sf_mem_calloc(&outside, (size_t)r->count, 1, SF_MEM_SCRATCH));
    fill_enclosed(mask, r, outside);
done:
    sf_mem_free(outside);
    sf_runs_destroy(&r);
    return st;
}

sf_status sf_nonzero_mask(const float *data, int channels, const int64_t shape[3], uint8_t *mask)
{
    const int64_t n = shape[0] * shape[1] * shape[2];
    for (int64_t i = 0; i < n; i++) mask[i] = data[i] != 0.0f;
    for (int c = 1; c < channels; c++) {
        const float *v = data + c * n;
        for (int64_t i = 0; i < n; i++) mask[i] |= v[i] != 0.0f;
    }
    return fill_holes(mask, shape);
}

/* Extends [lo, hi) along x by the set voxels of one row; false when the row is empty. */
static bool row_extent(const uint8_t *m, int64_t width, int64_t *lo, int64_t *hi)
{
    int64_t first = 0, last = width;
    while (first < width && !m[first]) first++;
    if (first == width) return false;
    while (!m[last - 1]) last--;
    if (first < *lo) *lo = first;
    if (last > *hi) *hi = last;
    return true;
}

void sf_nonzero_box(const uint8_t *mask, const int64_t shape[3], sf_box *box)
{
    sf_box b = { { shape[0], shape[1], shape[2] }, { 0, 0, 0 } };
    for (int64_t z = 0; z < shape[0]; z++) {
        for (int64_t y = 0; y < shape[1]; y++) {
            if (!row_extent(mask + (z * shape[1] + y) * shape[2], shape[2], &b.lo[2], &b.hi[2]))
                continue;
            if (z < b.lo[0]) b.lo[0] = z;
            if (y < b.lo[1]) b.lo[1] = y;
            if (y + 1 > b.hi[1]) b.hi[1] = y + 1;
            b.hi[0] = z + 1;
        }
    }
    if (b.hi[0] == 0) b = (sf_box){ { 0, 0, 0 }, { shape[0], shape[1], shape[2] } };
    *box = b;
}
