#include "evaluate/components.h"
#include "base/mem.h"
#include "image/runs.h"

sf_status sf_components_label(const uint8_t *mask, const int64_t shape[3], bool full,
                              int32_t *label, int32_t *count)
{
    sf_runs *r = NULL;
    int32_t *number = NULL, n = 0;
    sf_status st = SF_OK;
    SF_TRY(sf_runs_create(&r, mask, shape, 1, full));
    SF_CHECK_GOTO(done, st, r->count < INT32_MAX, SF_EUNSUPPORTED,
                  "an image with %lld runs of foreground is too large", (long long)r->count);
    SF_GOTO(done, st, sf_mem_alloc(&number, (size_t)r->count, sizeof *number, SF_MEM_SCRATCH));
    for (int64_t i = 0; i < r->count; i++)
        number[i] = r->parent[i] == i ? ++n : number[r->parent[i]];
    for (int64_t row = 0; row < shape[0] * shape[1]; row++) {
        int32_t *line = label + row * shape[2];
        for (int64_t x = 0; x < shape[2]; x++) line[x] = 0;
        for (int64_t k = r->row[row]; k < r->row[row + 1]; k++)
            for (int32_t x = r->run[k].begin; x < r->run[k].end; x++) line[x] = number[k];
    }
    *count = n;
done:
    sf_mem_free(number);
    sf_runs_destroy(&r);
    return st;
}

static void mark_values(uint8_t *mask, const int32_t *seg, int64_t n, const int *values,
                        int n_values)
{
    int32_t last = 0;
    uint8_t in = 0;
    for (int k = 0; k < n_values; k++) in |= values[k] == last;
    for (int64_t i = 0; i < n; i++) {
        if (seg[i] != last) {
            last = seg[i];
            in = 0;
            for (int k = 0; k < n_values; k++) in |= values[k] == last;
        }
        mask[i] = in;
    }
}

/* Voxels per component, at the index of its root run; @return the largest. */
static int64_t component_sizes(const sf_runs *r, int64_t *size)
{
    int64_t largest = 0;
    for (int64_t i = 0; i < r->count; i++) {
        int64_t *s = &size[r->parent[i]];
        *s += r->run[i].end - r->run[i].begin;
        if (*s > largest) largest = *s;
    }
    return largest;
}

sf_status sf_components_keep_largest(int32_t *seg, const int64_t shape[3], const int *values,
                                     int n_values, int64_t *removed)
{
    const int64_t n = shape[0] * shape[1] * shape[2];
    uint8_t *mask = NULL;
    int64_t *size = NULL, gone = 0;
    sf_runs *r = NULL;
    sf_status st = SF_OK;
    SF_GOTO(done, st, sf_mem_alloc(&mask, (size_t)n, 1, SF_MEM_SCRATCH));
    mark_values(mask, seg, n, values, n_values);
    SF_GOTO(done, st, sf_runs_create(&r, mask, shape, 1, true));
    SF_GOTO(done, st, sf_mem_calloc(&size, (size_t)r->count, sizeof *size, SF_MEM_SCRATCH));
    const int64_t largest = component_sizes(r, size);
    for (int64_t row = 0; row < shape[0] * shape[1]; row++)
        for (int64_t k = r->row[row]; k < r->row[row + 1]; k++) {
            if (size[r->parent[k]] == largest) continue;
            gone += r->run[k].end - r->run[k].begin;
            for (int32_t x = r->run[k].begin; x < r->run[k].end; x++) seg[row * shape[2] + x] = 0;
        }
    if (removed) *removed = gone;
done:
    sf_mem_free(size);
    sf_mem_free(mask);
    sf_runs_destroy(&r);
    return st;
}
