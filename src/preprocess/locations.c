#include "preprocess/locations.h"
#include "base/mem.h"
#include "base/rng.h"
#include <math.h>
#include <string.h>

enum { SEED = 1234, LABEL_SPAN = 65536 };

/** NumPy's permutation of 0..total-1 (planning.md 10.6), in 32-bit words: an entry may be most of a
 * large volume. */
static void permute(sf_mt19937 *g, uint32_t total, uint32_t *p)
{
    for (uint32_t i = 0; i < total; i++) p[i] = i;
    for (uint32_t i = total - 1; i > 0; i--) {
        const uint64_t k = sf_mt_interval(g, i);
        const uint32_t t = p[i];
        p[i] = p[k];
        p[k] = t;
    }
}

/** Voxels of each label in C order, labels in the entry's order: at most `total`, in a block of one
 * more. */
static void list_voxels(uint32_t *list, const int16_t *seg, int64_t n, const int *value,
                        int n_values)
{
    for (int k = 0; k < n_values; k++) {
        if (value[k] < -32768 || value[k] > 32767) continue;
        const int16_t wanted = (int16_t)value[k];
        for (int64_t v = 0; v < n; v++) {
            *list = (uint32_t)v;
            list += seg[v] == wanted;
        }
    }
}

/** The first `take` voxels of the permuted list as rows. */
static sf_status place_rows(sf_mt19937 *g, int64_t total, int64_t take, const int16_t *seg,
                            const int64_t shape[3], const int *value, int n_values,
                            int32_t (*row)[3])
{
    const int64_t n = shape[0] * shape[1] * shape[2], plane = shape[1] * shape[2];
    SF_CHECK(n <= (int64_t)UINT32_MAX, SF_EUNSUPPORTED,
             "a case with %lld voxels: more than 2^32 are not supported", (long long)n);
    uint32_t *p = NULL, *list = NULL;
    sf_status st;
    SF_GOTO(done, st, sf_mem_alloc(&p, (size_t)total, sizeof *p, SF_MEM_SCRATCH));
    SF_GOTO(done, st, sf_mem_alloc(&list, (size_t)total + 1, sizeof *list, SF_MEM_SCRATCH));
    permute(g, (uint32_t)total, p);
    list_voxels(list, seg, n, value, n_values);
    for (int64_t r = 0; r < take; r++) {
        const int64_t v = list[p[r]];
        row[r][0] = (int32_t)(v / plane);
        row[r][1] = (int32_t)(v % plane / shape[2]);
        row[r][2] = (int32_t)(v % shape[2]);
    }
done:
    sf_mem_free(p);
    sf_mem_free(list);
    return st;
}

static sf_status fill_entry(sf_mt19937 *g, const int64_t *histogram, const int *value, int n_values,
                            const int16_t *seg, const int64_t shape[3], int64_t min_rows,
                            double fraction, int64_t *count, int32_t (**row)[3])
{
    int64_t total = 0;
    for (int k = 0; k < n_values; k++)
        if (value[k] >= -32768 && value[k] < 32768) total += histogram[value[k] + 32768];
    const int64_t few = total < min_rows ? total : min_rows;
    const int64_t share = (int64_t)ceil(fraction * (double)total);
    const int64_t take = few > share ? few : share < total ? share : total;
    *count = take;
    if (total == 0) return SF_OK; /* and no random number is used */
    SF_TRY(sf_mem_alloc(row, (size_t)take, sizeof **row, SF_MEM_IMAGE));
    return place_rows(g, total, take, seg, shape, value, n_values, *row);
}

/** All labels of the entry "annotated": -1, 0, 1, ... */
static sf_status annotated_values(const sf_labels *labels, int **value, int *count)
{
    *count = labels->n_labels + 1;
    SF_TRY(sf_mem_alloc(value, (size_t)*count, sizeof **value, SF_MEM_MISC));
    for (int k = 0; k < *count; k++) (*value)[k] = k - 1;
    return SF_OK;
}

static sf_status fill_all(sf_locations *out, const int64_t *histogram, const int16_t *seg,
                          const int64_t shape[3], const sf_labels *labels, int64_t min_rows,
                          double fraction)
{
    sf_mt19937 g;
    sf_mt_seed(&g, SEED);
    int *annotated = NULL, n_annotated = 0;
    sf_status st = SF_OK;
    for (int e = 0; e < labels->n_eval; e++)
        SF_GOTO(done, st,
                fill_entry(&g, histogram, labels->eval[e].value, labels->eval[e].count, seg, shape,
                           min_rows, fraction, &out->count[e], &out->row[e]));
    if (labels->ignore >= 0) {
        const int e = labels->n_eval;
        SF_GOTO(done, st, annotated_values(labels, &annotated, &n_annotated));
        SF_GOTO(done, st,
                fill_entry(&g, histogram, annotated, n_annotated, seg, shape, min_rows, fraction,
                           &out->count[e], &out->row[e]));
    }
done:
    sf_mem_free(annotated);
    return st;
}

sf_status sf_locations_make(sf_locations *out, const int16_t *seg, const int64_t shape[3],
                            const sf_labels *labels, int64_t min_rows, double fraction)
{
    memset(out, 0, sizeof *out);
    const int entries = labels->n_eval + (labels->ignore >= 0);
    int64_t *histogram = NULL;
    sf_status st;
    SF_GOTO(done, st,
            sf_mem_calloc(&out->count, (size_t)entries, sizeof *out->count, SF_MEM_IMAGE));
    SF_GOTO(done, st, sf_mem_calloc(&out->row, (size_t)entries, sizeof *out->row, SF_MEM_IMAGE));
    out->n_entries = entries;
    SF_GOTO(done, st, sf_mem_calloc(&histogram, LABEL_SPAN, sizeof *histogram, SF_MEM_SCRATCH));
    for (int64_t v = 0; v < shape[0] * shape[1] * shape[2]; v++) histogram[seg[v] + 32768]++;
    SF_GOTO(done, st, fill_all(out, histogram, seg, shape, labels, min_rows, fraction));
done:
    sf_mem_free(histogram);
    if (st != SF_OK) sf_locations_free(out);
    return st;
}
