#include "predict/export.h"
#include "base/mem.h"
#include "predict/sums.h"
#include "preprocess/resample.h"
#include "store/arrays.h"
#include <omp.h>
#include <string.h>

/** One case on its way back; everything in transposed order unless named otherwise. */
struct sf_export {
    sf_export_options o;
    sf_row_resampler *resampler;
    int64_t file_stride[3]; /* of the transposed axes in the file's volume */
    int64_t file_voxels, corner;
    int32_t *labels;
    float *probabilities;
    int team;
    int32_t *decided; /* [team][width] */
    float *line;      /* [team][heads][width], for probabilities */
};

static int64_t volume(const int64_t d[3]) { return d[0] * d[1] * d[2]; }

/** Transposed axis a is file axis forward[a]. */
static void set_strides(sf_export *e)
{
    const sf_case_props *p = e->o.props;
    const int *forward = e->o.plans->transpose_forward;
    int64_t n[3], stride[3];
    for (int a = 0; a < 3; a++) n[forward[a]] = p->shape_before_crop[a];
    stride[2] = 1;
    stride[1] = n[2];
    stride[0] = n[1] * n[2];
    e->file_voxels = volume(n);
    for (int a = 0; a < 3; a++) {
        e->file_stride[a] = stride[forward[a]];
        e->corner += p->bbox_lo[a] * e->file_stride[a];
    }
}

static int separate_axis(const sf_export_options *o)
{
    double cur[3];
    for (int a = 0; a < 3; a++)
        cur[a] = o->cfg->dim == 2 && a == 0 ? o->props->spacing[0] : o->cfg->spacing[a];
    return sf_resample_separate_axis(&o->cfg->prob, cur, o->props->spacing,
                                     o->plans->recipe->prep.separate_z_threshold);
}

/** What lies outside the crop box: label 0; probability 1 of the background, with regions none at
 * all. */
static void fill_outside(const sf_export *e)
{
    memset(e->labels, 0, (size_t)e->file_voxels * sizeof *e->labels);
    if (e->probabilities == NULL) return;
    const int heads = e->o.labels->n_heads;
    memset(e->probabilities, 0, (size_t)(heads * e->file_voxels) * sizeof(float));
    for (int64_t v = 0; !e->o.labels->has_regions && v < e->file_voxels; v++)
        e->probabilities[v] = 1.0f;
}

/** Labels of one line into the file's volume; v: first head, the next is `stride` further. */
static void put_labels(const sf_export *e, int64_t at, const float *v, int64_t stride)
{
    const int64_t nx = e->o.props->shape_after_crop[2], step = e->file_stride[2];
    int32_t *decided = e->decided + omp_get_thread_num() * nx;
    sf_labels_decide_part(e->o.labels, v, stride, e->o.are_logits, nx, decided);
    for (int64_t x = 0; x < nx; x++) e->labels[at + x * step] = decided[x];
}

static void put_probabilities(const sf_export *e, int64_t at, const float *v, int64_t stride)
{
    const int64_t nx = e->o.props->shape_after_crop[2], step = e->file_stride[2];
    const int heads = e->o.labels->n_heads;
    float *line = e->line + omp_get_thread_num() * heads * nx;
    for (int c = 0; c < heads; c++)
        memcpy(line + c * nx, v + c * stride, (size_t)nx * sizeof *line);
    if (e->o.are_logits) sf_to_probabilities(line, heads, nx, e->o.labels->has_regions, 1);
    for (int c = 0; c < heads; c++)
        for (int64_t x = 0; x < nx; x++)
            e->probabilities[c * e->file_voxels + at + x * step] = line[c * nx + x];
}

/** Rows on the cropped image's grid. */
static sf_status take_resampled(void *user, int64_t lo, int64_t hi, const float *values)
{
    const sf_export *e = user;
    const int64_t *n = e->o.props->shape_after_crop;
    const int64_t lines = (hi - lo) * n[1], stride = lines * n[2];
#pragma omp parallel for num_threads(e->team) schedule(static)
    for (int64_t l = 0; l < lines; l++) {
        const int64_t at =
            e->corner + (lo + l / n[1]) * e->file_stride[0] + l % n[1] * e->file_stride[1];
        put_labels(e, at, values + l * n[2], stride);
        if (e->probabilities != NULL) put_probabilities(e, at, values + l * n[2], stride);
    }
    return SF_OK;
}

static sf_status set_up(sf_export *e)
{
    const sf_export_options *o = &e->o;
    const int heads = o->labels->n_heads;
    const int64_t width = e->team * o->props->shape_after_crop[2];
    const sf_row_sink next = { .take = take_resampled, .user = e };
    set_strides(e);
    fill_outside(e);
    SF_TRY(sf_mem_alloc(&e->decided, (size_t)width, sizeof *e->decided, SF_MEM_IMAGE));
    if (e->probabilities != NULL)
        SF_TRY(sf_mem_alloc(&e->line, (size_t)(heads * width), sizeof *e->line, SF_MEM_IMAGE));
    return sf_row_resampler_create(&e->resampler, heads, o->props->shape,
                                   o->props->shape_after_crop, &o->cfg->prob, separate_axis(o),
                                   o->threads, next);
}

sf_status sf_export_open(sf_export **out, const sf_export_options *o, int32_t *labels,
                         float *probabilities)
{
    sf_export *e;
    *out = NULL;
    SF_TRY(sf_mem_calloc(&e, 1, sizeof *e, SF_MEM_MISC));
    e->o = *o;
    e->labels = labels;
    e->probabilities = probabilities;
    e->team = o->threads > 1 ? o->threads : 1;
    const sf_status st = set_up(e);
    if (st != SF_OK) {
        sf_export_close(&e);
        return sf_trace_(st, __FILE__, __LINE__, "export");
    }
    *out = e;
    return SF_OK;
}

sf_row_sink sf_export_sink(sf_export *e) { return sf_row_resampler_sink(e->resampler); }

void sf_export_close(sf_export **e)
{
    if (*e == NULL) return;
    sf_row_resampler_destroy(&(*e)->resampler);
    sf_mem_free((*e)->decided);
    sf_mem_free((*e)->line);
    sf_mem_free(*e);
    *e = NULL;
}

sf_status sf_export_case(const sf_plans *plans, const sf_config *cfg, const sf_labels *labels,
                         const sf_case_props *props, const float *values, bool are_logits,
                         int32_t *labels_out, float *probabilities, int threads)
{
    const sf_export_options o = { .plans = plans,
                                  .cfg = cfg,
                                  .labels = labels,
                                  .props = props,
                                  .are_logits = are_logits,
                                  .threads = threads };
    sf_export *e;
    SF_TRY(sf_export_open(&e, &o, labels_out, probabilities));
    const sf_row_sink s = sf_export_sink(e);
    const sf_status st = s.take(s.user, 0, props->shape[0], values);
    sf_export_close(&e);
    return st;
}

static const char *const GROUP = "prediction", *const NAME = "probabilities";

sf_status sf_probabilities_save(const char *path, const float *p, int heads, const int64_t shape[3])
{
    sf_array a = { .ndim = 4,
                   .dim = { heads, shape[0], shape[1], shape[2] },
                   .count = heads * volume(shape),
                   .data = p };
    strcpy(a.name, NAME);
    const sf_array_group g = { GROUP, &a, 1 };
    return sf_arrays_save(path, &g, 1, NULL);
}

sf_status sf_probabilities_load(const char *path, float **p, int *heads, int64_t shape[3])
{
    sf_array *a = NULL;
    int count = 0;
    sf_status st;
    *p = NULL;
    SF_TRY(sf_arrays_load(&a, &count, NULL, path, GROUP));
    SF_CHECK_GOTO(done, st, count == 1 && strcmp(a[0].name, NAME) == 0 && a[0].ndim == 4, SF_EDATA,
                  "%s: not a file of probabilities", path);
    SF_GOTO(done, st, sf_mem_alloc(p, (size_t)a[0].count, sizeof **p, SF_MEM_IMAGE));
    memcpy(*p, a[0].data, (size_t)a[0].count * sizeof **p);
    *heads = (int)a[0].dim[0];
    memcpy(shape, a[0].dim + 1, 3 * sizeof *shape);
done:
    sf_arrays_free(&a, count);
    return st;
}
