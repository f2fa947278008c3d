#include "predict/next_stage.h"
#include "base/mem.h"
#include "preprocess/resample.h"

/* Bytes of resampled values held at once. */
static const int64_t SLAB_BYTES = (int64_t)128 << 20;

void sf_next_stage_shape(int64_t shape[3], const sf_case_props *props, const sf_config *next)
{
    sf_config_shape(shape, next, props->shape_after_crop, props->spacing);
}

/** Rows of the next stage's grid that fit into one slab. */
static int64_t slab_rows(const int64_t shape[3], int heads)
{
    const int64_t row = heads * shape[1] * shape[2] * (int64_t)sizeof(float);
    const int64_t rows = SLAB_BYTES / row;
    return rows < 1 ? 1 : rows > shape[0] ? shape[0] : rows;
}

sf_status sf_next_stage_labels(const sf_plans *plans, const sf_config *cfg, const sf_labels *labels,
                               const sf_case_props *props, const float *values, bool are_logits,
                               const int64_t shape[3], int16_t *out, int threads)
{
    const sf_resampling *r = &cfg->prob;
    const int axis = sf_resample_separate_axis(r, cfg->spacing, cfg->spacing,
                                               plans->recipe->prep.separate_z_threshold);
    const int heads = labels->n_heads;
    const int64_t rows = slab_rows(shape, heads), plane = shape[1] * shape[2];
    float *slab = NULL;
    int32_t *decided = NULL;
    sf_status st;
    SF_GOTO(done, st,
            sf_mem_alloc(&slab, (size_t)(heads * rows * plane), sizeof *slab, SF_MEM_IMAGE));
    SF_GOTO(done, st,
            sf_mem_alloc(&decided, (size_t)(rows * plane), sizeof *decided, SF_MEM_IMAGE));
    for (int64_t lo = 0; lo < shape[0]; lo += rows) {
        const int64_t hi = lo + rows < shape[0] ? lo + rows : shape[0], n = (hi - lo) * plane;
        SF_GOTO(done, st,
                sf_resample_data_slab(values, props->shape, slab, shape, lo, hi, heads, r->order,
                                      r->order_z, axis, threads));
        sf_labels_decide(labels, slab, are_logits, n, decided);
        for (int64_t i = 0; i < n; i++) out[lo * plane + i] = (int16_t)decided[i];
    }
done:
    sf_mem_free(slab);
    sf_mem_free(decided);
    return st;
}
