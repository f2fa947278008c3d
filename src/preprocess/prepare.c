/* One case in memory: transpose, crop, normalise, resample, class locations (nnunet-planning.md 3,
 * 5, 6, 10.3). */
#include "preprocess/prepare.h"
#include "base/log.h"
#include "base/mem.h"
#include "image/nonzero.h"
#include "preprocess/locations.h"
#include "preprocess/normalize.h"
#include "preprocess/resample.h"
#include <string.h>

/** What is known of a case before its voxels are touched; everything in transposed order unless
 * named otherwise. */
typedef struct {
    const sf_plans *plans;
    const sf_config *cfg;
    const sf_image *img;
    int64_t file_shape[3]; /* file order */
    sf_box file_box;       /* crop box, file order */
    double next_spacing[3];
    int threads;
    sf_prepare_times *times;
    uint8_t *mask; /* non-zero mask, file order, whole image */
    int16_t *seg;  /* cropped: label, -1 outside the mask */
} work;

const char *sf_prepare_step_name(sf_prepare_step step)
{
    static const char *const names[SF_STEP_COUNT] = { "read",     "crop",   "normalize",
                                                      "resample", "labels", "locations",
                                                      "write" };
    return (unsigned)step < SF_STEP_COUNT ? names[step] : "?";
}

double sf_prepare_clock(sf_prepare_times *times, sf_prepare_step step, double begin)
{
    if (times == NULL) return 0;
    const double now = sf_now();
    times->seconds[step] += now - begin;
    return now;
}

static int64_t volume(const int64_t d[3]) { return d[0] * d[1] * d[2]; }

/** Box, shapes and spacings; the mask is found in file order, since the voxels are the same in any
 * order. */
static sf_status find_geometry(work *w, sf_case_props *p)
{
    const sf_geometry *geo = &w->img->geo;
    const int *axis = w->plans->transpose_forward;
    memcpy(w->file_shape, geo->shape, sizeof w->file_shape);
    SF_TRY(sf_mem_alloc(&w->mask, (size_t)volume(w->file_shape), 1, SF_MEM_IMAGE));
    SF_TRY(sf_nonzero_mask(w->img->data, w->img->channels, w->file_shape, w->mask));
    sf_nonzero_box(w->mask, w->file_shape, &w->file_box);
    for (int a = 0; a < 3; a++) {
        const int f = axis[a];
        p->spacing_file[a] = geo->spacing[a];
        p->spacing[a] = geo->spacing[f];
        p->shape_before_crop[a] = geo->shape[f];
        p->bbox_lo[a] = w->file_box.lo[f];
        p->bbox_hi[a] = w->file_box.hi[f];
        p->shape_after_crop[a] = p->bbox_hi[a] - p->bbox_lo[a];
        /* a 2-D configuration keeps the slices: its first axis has the case's own spacing */
        w->next_spacing[a] = w->cfg->dim == 2 && a == 0 ? p->spacing[0] : w->cfg->spacing[a];
    }
    sf_config_shape(p->shape, w->cfg, p->shape_after_crop, p->spacing);
    return SF_OK;
}

/** Strides of the file's voxels along the transposed axes, and the offset of the box's corner. */
static int64_t crop_strides(const work *w, int64_t stride[3])
{
    const int64_t file[3] = { w->file_shape[1] * w->file_shape[2], w->file_shape[2], 1 };
    int64_t corner = 0;
    for (int a = 0; a < 3; a++) {
        stride[a] = file[w->plans->transpose_forward[a]];
        corner += file[a] * w->file_box.lo[a];
    }
    return corner;
}

static void crop_channel(const work *w, int channel, const int64_t dims[3], float *dst)
{
    int64_t s[3];
    const float *src = w->img->data + channel * volume(w->file_shape) + crop_strides(w, s);
    for (int64_t z = 0; z < dims[0]; z++)
        for (int64_t y = 0; y < dims[1]; y++, dst += dims[2]) {
            const float *line = src + z * s[0] + y * s[1];
            for (int64_t x = 0; x < dims[2]; x++) dst[x] = line[x * s[2]];
        }
}

/** Cropped labels: -1 where the label is 0 and outside the mask. Without labels: 0 inside, -1
 * outside. */
static sf_status crop_labels(work *w, const int32_t *labels, const int64_t dims[3])
{
    int64_t s[3], i = 0;
    const int64_t corner = crop_strides(w, s);
    SF_TRY(sf_mem_alloc(&w->seg, (size_t)volume(dims), sizeof *w->seg, SF_MEM_IMAGE));
    for (int64_t z = 0; z < dims[0]; z++)
        for (int64_t y = 0; y < dims[1]; y++)
            for (int64_t x = 0; x < dims[2]; x++, i++) {
                const int64_t v = corner + z * s[0] + y * s[1] + x * s[2];
                const int32_t label = labels != NULL ? labels[v] : 0;
                SF_CHECK(label >= 0 && label < 32768, SF_EDATA,
                         "label %d; labels must lie between 0 and 32767", (int)label);
                w->seg[i] = label == 0 && w->mask[v] == 0 ? -1 : (int16_t)label;
            }
    return SF_OK;
}

static sf_status normalize_channel(const work *w, int c, int64_t voxels, float *x,
                                   const int16_t *seg)
{
    const sf_intensity *stats = c < w->plans->n_channels ? &w->plans->intensity[c] : NULL;
    return sf_normalize(w->cfg->norm[c], w->cfg->use_mask[c], stats,
                        w->plans->recipe->prep.mask_outside_zero, voxels, x, seg);
}

static int separate_axis(const work *w, const sf_resampling *r, const sf_case_props *p)
{
    return sf_resample_separate_axis(r, p->spacing, w->next_spacing,
                                     w->plans->recipe->prep.separate_z_threshold);
}

/** All channels, one at a time. seg_after: resampled labels, the mask when normalisation comes
 * last. */
static sf_status make_data(const work *w, const sf_case_props *p, const int16_t *seg_after,
                           float *data)
{
    const sf_resampling *r = &w->cfg->data;
    const bool first = w->plans->recipe->prep.normalize_before_resample;
    const int axis = separate_axis(w, r, p);
    const int64_t in = volume(p->shape_after_crop), out = volume(p->shape);
    float *x;
    SF_TRY(sf_mem_alloc(&x, (size_t)in, sizeof *x, SF_MEM_IMAGE));
    sf_status st = SF_OK;
    for (int c = 0; c < w->img->channels; c++) {
        float *dst = data + c * out;
        double begin = sf_now();
        crop_channel(w, c, p->shape_after_crop, x);
        begin = sf_prepare_clock(w->times, SF_STEP_CROP, begin);
        if (first) SF_GOTO(done, st, normalize_channel(w, c, in, x, w->seg));
        begin = sf_prepare_clock(w->times, SF_STEP_NORMALIZE, begin);
        SF_GOTO(done, st,
                sf_resample_data(x, p->shape_after_crop, dst, p->shape, 1, r->order, r->order_z,
                                 axis, w->threads));
        begin = sf_prepare_clock(w->times, SF_STEP_RESAMPLE, begin);
        if (!first) SF_GOTO(done, st, normalize_channel(w, c, out, dst, seg_after));
        sf_prepare_clock(w->times, SF_STEP_NORMALIZE, begin);
    }
done:
    sf_mem_free(x);
    return st;
}

static sf_status make_labels(const work *w, const sf_case_props *p, int16_t **seg)
{
    const sf_resampling *r = &w->cfg->seg;
    const bool argmax = r->fn == SF_RESAMPLE_TORCH || w->plans->recipe->prep.labels_argmax;
    SF_TRY(sf_mem_alloc(seg, (size_t)volume(p->shape), sizeof **seg, SF_MEM_IMAGE));
    return sf_resample_labels(w->seg, p->shape_after_crop, *seg, p->shape, r->order, r->order_z,
                              separate_axis(w, r, p), argmax, w->threads);
}

static bool has_label(const int16_t *seg, int64_t n, const int *value, int count)
{
    for (int64_t i = 0; i < n; i++)
        for (int k = 0; k < count; k++)
            if (seg[i] == value[k]) return true;
    return false;
}

/** A small object may fall between the voxels of the new grid. */
static void warn_lost(const work *w, const sf_prepared *c, const sf_labels *l)
{
    const int64_t before = volume(c->props.shape_after_crop);
    for (int e = 0; e < l->n_eval; e++)
        if (c->loc.count[e] == 0 && has_label(w->seg, before, l->eval[e].value, l->eval[e].count))
            sf_log(SF_LOG_WARN, "preprocess",
                   "cfg=%s case=%s label=%s is lost by resampling: too small for this spacing",
                   w->cfg->name ? w->cfg->name : "-", c->id,
                   l->eval[e].name ? l->eval[e].name : "-");
}

static sf_status fill_prepared(work *w, sf_prepared *c, const sf_labels *labels,
                               const int32_t *seg_or_null)
{
    const sf_recipe *recipe = w->plans->recipe;
    int16_t *seg = NULL;
    sf_status st;
    double begin = sf_now();
    SF_TRY(find_geometry(w, &c->props));
    SF_TRY(crop_labels(w, seg_or_null, c->props.shape_after_crop));
    sf_mem_free(w->mask);
    w->mask = NULL;
    begin = sf_prepare_clock(w->times, SF_STEP_CROP, begin);
    const size_t values = (size_t)(c->channels * volume(c->props.shape));
    SF_TRY(sf_mem_alloc(&c->data, values, sizeof *c->data, SF_MEM_IMAGE));
    if (seg_or_null != NULL || !recipe->prep.normalize_before_resample)
        SF_GOTO(done, st, make_labels(w, &c->props, &seg));
    sf_prepare_clock(w->times, SF_STEP_LABELS, begin);
    SF_GOTO(done, st, make_data(w, &c->props, seg, c->data));
    if (seg_or_null == NULL) goto done;
    begin = sf_now();
    SF_GOTO(done, st,
            sf_locations_make(&c->loc, seg, c->props.shape, labels, recipe->prep.min_locations,
                              recipe->prep.location_fraction));
    warn_lost(w, c, labels);
    sf_prepare_clock(w->times, SF_STEP_LOCATIONS, begin);
    c->seg = seg;
    seg = NULL;
done:
    sf_mem_free(seg);
    return st;
}

/** The steps know voxels, not cases: put the case's name before their text. */
static sf_status name_case(sf_status st, const char *id)
{
    sf_error_state e;
    sf_error_save(&e, st);
    return SF_FAIL(st, "case %s: %s", id, e.text);
}

sf_status sf_prepare_case(sf_prepared **out, const char *id, const sf_plans *plans,
                          const sf_config *cfg, const sf_labels *labels, const sf_image *img,
                          const int32_t *seg_or_null, int threads)
{
    return sf_prepare_case_timed(out, id, plans, cfg, labels, img, seg_or_null, threads, NULL);
}

sf_status sf_prepare_case_timed(sf_prepared **out, const char *id, const sf_plans *plans,
                                const sf_config *cfg, const sf_labels *labels, const sf_image *img,
                                const int32_t *seg_or_null, int threads, sf_prepare_times *times)
{
    *out = NULL;
    SF_CHECK(img->channels == plans->n_channels, SF_EDATA,
             "case %s has %d channels, the plan was made for %d", id, img->channels,
             plans->n_channels);
    work w = { .plans = plans, .cfg = cfg, .img = img, .threads = threads, .times = times };
    sf_prepared *c;
    SF_TRY(sf_mem_calloc(&c, 1, sizeof *c, SF_MEM_IMAGE));
    c->channels = img->channels;
    sf_status st;
    SF_GOTO(done, st, sf_mem_strdup(&c->id, id));
    SF_GOTO(done, st, fill_prepared(&w, c, labels, seg_or_null));
done:
    sf_mem_free(w.mask);
    sf_mem_free(w.seg);
    if (st == SF_EDATA) st = name_case(st, id);
    if (st != SF_OK)
        sf_prepared_destroy(&c);
    else
        *out = c;
    return st;
}
