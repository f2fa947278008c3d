#include "evaluate/metrics.h"
#include <math.h>
#include <string.h>

/* Counts of `n` voxels that share one pair (reference, prediction); classes only. */
static void count_classes(const sf_labels *l, sf_metric *m, int32_t r, int32_t p, int64_t n)
{
    const bool has_r = r > 0 && r<l->n_labels, has_p = p> 0 && p < l->n_labels;
    if (r == p) {
        if (has_r) m[r - 1].tp += n;
        return;
    }
    if (has_r) m[r - 1].fn += n;
    if (has_p) m[p - 1].fp += n;
}

static uint64_t regions_of(const sf_labels *l, int32_t label)
{
    return label > 0 && label < l->n_labels ? l->region_of[label] : 0;
}

static void count_regions(const sf_labels *l, sf_metric *m, int32_t r, int32_t p, int64_t n)
{
    const uint64_t in_r = regions_of(l, r), in_p = regions_of(l, p);
    for (uint64_t any = in_r | in_p; any; any &= any - 1) {
        const int e = __builtin_ctzll(any);
        const bool a = in_r >> e & 1, b = in_p >> e & 1;
        m[e].tp += a && b ? n : 0;
        m[e].fn += a && !b ? n : 0;
        m[e].fp += b && !a ? n : 0;
    }
}

static void finish_metric(sf_metric *m, int64_t voxels)
{
    const int64_t any = m->tp + m->fp + m->fn;
    m->tn = voxels - any;
    m->dice = any ? 2.0 * (double)m->tp / (double)(2 * m->tp + m->fp + m->fn) : NAN;
    m->iou = any ? (double)m->tp / (double)any : NAN;
}

void sf_metrics_compute(const int32_t *ref, const int32_t *pred, int64_t voxels,
                        const sf_labels *labels, sf_metric *m)
{
    int64_t counted = 0;
    memset(m, 0, (size_t)labels->n_eval * sizeof *m);
    for (int64_t i = 0; i < voxels;) {
        const int32_t r = ref[i], p = pred[i];
        int64_t end = i + 1;
        while (end < voxels && ref[end] == r && pred[end] == p) end++;
        const int64_t n = end - i;
        i = end;
        if (labels->ignore >= 0 && r == labels->ignore) continue;
        counted += n;
        if (r == 0 && p == 0) continue;
        if (labels->region_of)
            count_regions(labels, m, r, p, n);
        else
            count_classes(labels, m, r, p, n);
    }
    for (int e = 0; e < labels->n_eval; e++) finish_metric(&m[e], counted);
}
