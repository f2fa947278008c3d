#include "predict/export.h"
#include "base/mem.h"
#include "predict/sliding.h"
#include "preprocess/resample.h"
#include "store/arrays.h"
#include <string.h>

/* Bytes of resampled values held at once. */
static const int64_t SLAB_BYTES = (int64_t)128 << 20;

/** One case on its way back; everything in transposed order unless named otherwise. */
typedef struct {
    const sf_labels *labels;
    const sf_case_props *props;
    const sf_resampling *r;
    const float *values;
    bool are_logits;
    int axis, threads;      /* separate axis of the resampling, or -1 */
    int64_t file_stride[3]; /* of the transposed axes in the file's volume */
    int64_t file_voxels, corner;
    int32_t *labels_out;
    float *probabilities;
    float *slab;      /* [heads][rows][plane] */
    int32_t *decided; /* [rows][plane] */
} job;

static int64_t volume(const int64_t d[3]) { return d[0] * d[1] * d[2]; }

/** Transposed axis a is file axis forward[a]. */
static void set_strides(job *j, const int *forward)
{
    int64_t n[3], stride[3];
    for (int a = 0; a < 3; a++) n[forward[a]] = j->props->shape_before_crop[a];
    stride[2] = 1;
    stride[1] = n[2];
    stride[0] = n[1] * n[2];
    j->file_voxels = volume(n);
    j->corner = 0;
    for (int a = 0; a < 3; a++) {
        j->file_stride[a] = stride[forward[a]];
        j->corner += j->props->bbox_lo[a] * j->file_stride[a];
    }
}

static void set_axis(job *j, const sf_plans *plans, const sf_config *cfg)
{
    double cur[3];
    for (int a = 0; a < 3; a++)
        cur[a] = cfg->dim == 2 && a == 0 ? j->props->spacing[0] : cfg->spacing[a];
    j->r = &cfg->prob;
    j->axis = sf_resample_separate_axis(j->r, cur, j->props->spacing,
                                        plans->recipe->prep.separate_z_threshold);
}

/** What lies outside the crop box: label 0; probability 1 of the background, with regions none at
 * all. */
static void fill_outside(const job *j)
{
    memset(j->labels_out, 0, (size_t)j->file_voxels * sizeof *j->labels_out);
    if (j->probabilities == NULL) return;
    const int heads = j->labels->n_heads;
    memset(j->probabilities, 0, (size_t)(heads * j->file_voxels) * sizeof(float));
    for (int64_t v = 0; !j->labels->has_regions && v < j->file_voxels; v++)
        j->probabilities[v] = 1.0f;
}

/** Rows [lo, hi) of the slab into the file's volume. */
static void scatter(const job *j, int64_t lo, int64_t hi)
{
    const int64_t ny = j->props->shape_after_crop[1], nx = j->props->shape_after_crop[2];
    const int64_t rows = hi - lo, voxels = rows * ny * nx;
    const int heads = j->probabilities != NULL ? j->labels->n_heads : 0;
#pragma omp parallel for num_threads(j->threads > 1 ? j->threads : 1) schedule(static)
    for (int64_t l = 0; l < rows * ny; l++) {
        const int64_t z = lo + l / ny, y = l % ny;
        const int64_t at = j->corner + z * j->file_stride[0] + y * j->file_stride[1];
        for (int64_t x = 0; x < nx; x++)
            j->labels_out[at + x * j->file_stride[2]] = j->decided[l * nx + x];
        for (int c = 0; c < heads; c++)
            for (int64_t x = 0; x < nx; x++)
                j->probabilities[c * j->file_voxels + at + x * j->file_stride[2]] =
                    j->slab[c * voxels + l * nx + x];
    }
}

static sf_status export_rows(const job *j, int64_t lo, int64_t hi)
{
    const int64_t *to = j->props->shape_after_crop;
    const int64_t voxels = (hi - lo) * to[1] * to[2];
    const int heads = j->labels->n_heads;
    SF_TRY(sf_resample_data_slab(j->values, j->props->shape, j->slab, to, lo, hi, heads,
                                 j->r->order, j->r->order_z, j->axis, j->threads));
    sf_labels_decide(j->labels, j->slab, j->are_logits, voxels, j->decided);
    if (j->probabilities != NULL && j->are_logits)
        sf_to_probabilities(j->slab, heads, voxels, j->labels->has_regions, j->threads);
    scatter(j, lo, hi);
    return SF_OK;
}

static sf_status export_slabs(job *j)
{
    const int64_t *to = j->props->shape_after_crop;
    const int64_t row_bytes = j->labels->n_heads * to[1] * to[2] * (int64_t)sizeof(float);
    int64_t rows = SLAB_BYTES / row_bytes;
    rows = rows < 1 ? 1 : rows > to[0] ? to[0] : rows;
    const size_t plane = (size_t)(rows * to[1] * to[2]);
    SF_TRY(
        sf_mem_alloc(&j->slab, (size_t)j->labels->n_heads * plane, sizeof *j->slab, SF_MEM_IMAGE));
    SF_TRY(sf_mem_alloc(&j->decided, plane, sizeof *j->decided, SF_MEM_IMAGE));
    for (int64_t lo = 0; lo < to[0]; lo += rows)
        SF_TRY(export_rows(j, lo, lo + rows < to[0] ? lo + rows : to[0]));
    return SF_OK;
}

sf_status sf_export_case(const sf_plans *plans, const sf_config *cfg, const sf_labels *labels,
                         const sf_case_props *props, const float *values, bool are_logits,
                         int32_t *labels_out, float *probabilities, int threads)
{
    job j = { .labels = labels,
              .props = props,
              .values = values,
              .are_logits = are_logits,
              .threads = threads,
              .labels_out = labels_out,
              .probabilities = probabilities };
    set_strides(&j, plans->transpose_forward);
    set_axis(&j, plans, cfg);
    fill_outside(&j);
    const sf_status st = export_slabs(&j);
    sf_mem_free(j.slab);
    sf_mem_free(j.decided);
    if (st != SF_OK) return sf_trace_(st, __FILE__, __LINE__, "export");
    return SF_OK;
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
