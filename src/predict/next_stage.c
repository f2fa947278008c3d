#include "predict/next_stage.h"
#include "base/mem.h"
#include "predict/rows.h"
#include "preprocess/resample.h"

void sf_next_stage_shape(int64_t shape[3], const sf_case_props *props, const sf_config *next)
{
    sf_config_shape(shape, next, props->shape_after_crop, props->spacing);
}

typedef struct {
    const sf_labels *labels;
    bool are_logits;
    int64_t lines, width; /* per row; voxels */
    int16_t *out;
    int threads;
} decider;

static void decide_line(const decider *d, const float *v, int64_t stride, int16_t *out)
{
    enum { GROUP = 256 };
    int32_t decided[GROUP];
    for (int64_t at = 0; at < d->width; at += GROUP) {
        const int64_t n = d->width - at < GROUP ? d->width - at : GROUP;
        sf_labels_decide_part(d->labels, v + at, stride, d->are_logits, n, decided);
        for (int64_t i = 0; i < n; i++) out[at + i] = (int16_t)decided[i];
    }
}

static sf_status take(void *user, int64_t lo, int64_t hi, const float *values)
{
    const decider *d = user;
    const int64_t lines = (hi - lo) * d->lines, stride = lines * d->width;
#pragma omp parallel for num_threads(d->threads > 1 ? d->threads : 1) schedule(static)
    for (int64_t l = 0; l < lines; l++)
        decide_line(d, values + l * d->width, stride, d->out + (lo * d->lines + l) * d->width);
    return SF_OK;
}

sf_status sf_next_stage_labels(const sf_plans *plans, const sf_config *cfg, const sf_labels *labels,
                               const sf_case_props *props, const float *values, bool are_logits,
                               const int64_t shape[3], int16_t *out, int threads)
{
    const int axis = sf_resample_separate_axis(&cfg->prob, cfg->spacing, cfg->spacing,
                                               plans->recipe->prep.separate_z_threshold);
    decider d = { .labels = labels,
                  .are_logits = are_logits,
                  .lines = shape[1],
                  .width = shape[2],
                  .out = out,
                  .threads = threads };
    sf_row_resampler *r;
    SF_TRY(sf_row_resampler_create(&r, labels->n_heads, props->shape, shape, &cfg->prob, axis,
                                   threads, (sf_row_sink){ .take = take, .user = &d }));
    const sf_row_sink s = sf_row_resampler_sink(r);
    const sf_status st = s.take(s.user, 0, props->shape[0], values);
    sf_row_resampler_destroy(&r);
    return st;
}
