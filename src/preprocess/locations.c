#include "preprocess/locations.h"
#include "base/mem.h"
#include "base/rng.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SEED = 1234, LABEL_SPAN = 65536 };

/** One drawn voxel: its number in the entry's voxel list, and the row that it fills. */
typedef struct {
    int64_t offset, row;
} draw;

static int by_offset(const void *a, const void *b)
{
    const int64_t x = ((const draw *)a)->offset, y = ((const draw *)b)->offset;
    return (x > y) - (x < y);
}

/** First `take` entries of NumPy's permutation of 0..total-1 (planning.md 10.6), in 32-bit words:
 * an entry may be most of a large volume. */
static sf_status draw_offsets(sf_mt19937 *g, int64_t total, int64_t take, draw *out)
{
    SF_CHECK(total <= (int64_t)UINT32_MAX, SF_EUNSUPPORTED,
             "a class with %lld voxels: more than 2^32 are not supported", (long long)total);
    uint32_t *p;
    SF_TRY(sf_mem_alloc(&p, (size_t)total, sizeof *p, SF_MEM_SCRATCH));
    for (int64_t i = 0; i < total; i++) p[i] = (uint32_t)i;
    for (int64_t i = total - 1; i > 0; i--) {
        const int64_t k = (int64_t)sf_mt_interval(g, (uint64_t)i);
        const uint32_t t = p[i];
        p[i] = p[k];
        p[k] = t;
    }
    for (int64_t r = 0; r < take; r++) out[r] = (draw){ p[r], r };
    sf_mem_free(p);
    return SF_OK;
}

/** Turn list numbers into voxels. The list: the voxels of each label in C order, labels in the
 * entry's order. */
static void place_rows(const draw *sorted, int64_t take, const int16_t *seg, const int64_t shape[3],
                       const int *value, int n_values, int32_t (*row)[3])
{
    const int64_t n = shape[0] * shape[1] * shape[2], plane = shape[1] * shape[2];
    int64_t next = 0, number = 0;
    for (int k = 0; k < n_values; k++)
        for (int64_t v = 0; v < n && next < take; v++) {
            if (seg[v] != value[k] || number++ != sorted[next].offset) continue;
            int32_t *r = row[sorted[next++].row];
            r[0] = (int32_t)(v / plane);
            r[1] = (int32_t)(v % plane / shape[2]);
            r[2] = (int32_t)(v % shape[2]);
        }
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
    draw *d;
    SF_TRY(sf_mem_alloc(&d, (size_t)take, sizeof *d, SF_MEM_SCRATCH));
    sf_status st;
    SF_GOTO(done, st, sf_mem_alloc(row, (size_t)take, sizeof **row, SF_MEM_IMAGE));
    SF_GOTO(done, st, draw_offsets(g, total, take, d));
    qsort(d, (size_t)take, sizeof *d, by_offset);
    place_rows(d, take, seg, shape, value, n_values, *row);
done:
    sf_mem_free(d);
    return st;
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
