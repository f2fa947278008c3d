#include "batch/augment.h"
#include "base/log.h"
#include "base/mem.h"
#include "batch/labels_ops.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const WHERE = "recipe: augment";

/* One row of the table: its key in the recipe, and what it does to one channel. */
typedef struct {
    const sf_augment *a;
    const double *value; /* the drawn value per axis */
    sf_rng *field;       /* voxel-wise random numbers of this row */
    sf_workspace *ws;
    int64_t count; /* voxels of the patch */
} row_context;

typedef sf_status row_apply(const row_context *c, float *x);

static sf_status apply_noise(const row_context *c, float *x)
{
    sf_noise_add(x, c->count, c->value[0], c->field);
    return SF_OK;
}

static sf_status apply_blur(const row_context *c, float *x)
{
    return sf_blur(x, c->a->patch, c->value, c->a->formulas, c->a->dim == 2, c->ws);
}

static sf_status apply_brightness(const row_context *c, float *x)
{
    sf_brightness(x, c->count, c->value[0]);
    return SF_OK;
}

static sf_status apply_contrast(const row_context *c, float *x)
{
    sf_contrast(x, c->count, c->value[0]);
    return SF_OK;
}

static sf_status apply_low_resolution(const row_context *c, float *x)
{
    return sf_low_resolution(x, c->a->patch, c->value[0], c->a->setup.planar,
                             c->a->low_resolution_up, NULL, c->ws);
}

static sf_status apply_gamma_inverted(const row_context *c, float *x)
{
    sf_gamma(x, c->count, c->value[0], true, c->a->formulas);
    return SF_OK;
}

static sf_status apply_gamma(const row_context *c, float *x)
{
    sf_gamma(x, c->count, c->value[0], false, c->a->formulas);
    return SF_OK;
}

static const struct {
    const char *name;
    row_apply *apply;
} TABLE[SF_AUG_COUNT] = {
    [SF_AUG_NOISE] = { "noise", apply_noise },
    [SF_AUG_BLUR] = { "blur", apply_blur },
    [SF_AUG_BRIGHTNESS] = { "brightness", apply_brightness },
    [SF_AUG_CONTRAST] = { "contrast", apply_contrast },
    [SF_AUG_LOW_RESOLUTION] = { "low_resolution", apply_low_resolution },
    [SF_AUG_GAMMA_INVERTED] = { "gamma_inverted", apply_gamma_inverted },
    [SF_AUG_GAMMA] = { "gamma", apply_gamma },
};

const char *sf_augment_row_name(sf_augment_row row) { return TABLE[row].name; }

const char *sf_augment_stage_name(int stage)
{
    return stage == SF_AUG_SPATIAL  ? "spatial"
           : stage == SF_AUG_FINISH ? "finish"
                                    : TABLE[stage].name;
}

/* Index of the text under `key` in a list of allowed words. */
static sf_status get_word(int *out, const json_t *obj, const char *key, const char *const *words,
                          int n)
{
    const char *text;
    SF_TRY(sf_json_get_str(&text, obj, key, WHERE));
    for (int i = 0; i < n; i++) {
        if (strcmp(text, words[i]) == 0) {
            *out = i;
            return SF_OK;
        }
    }
    return SF_FAIL(SF_EDATA, "%s: \"%s\" is \"%s\"; known are \"%s\" and \"%s\"", WHERE, key, text,
                   words[0], words[n - 1]);
}

static sf_status get_law(double *lo, double *hi, bool *halves, const json_t *obj)
{
    static const char *const laws[] = { "uniform", "halves" };
    double range[2];
    int law = 0;
    SF_TRY(sf_json_get_nums(range, 2, obj, "range", WHERE));
    SF_TRY(get_word(&law, obj, "law", laws, 2));
    SF_CHECK(range[0] <= range[1] && isfinite(range[0]) && isfinite(range[1]), SF_EDATA,
             "%s: range [%g, %g] is not ascending", WHERE, range[0], range[1]);
    SF_CHECK(law == 0 || (range[0] <= 1 && range[1] >= 1), SF_EDATA,
             "%s: law \"halves\" needs a range around 1, not [%g, %g]", WHERE, range[0], range[1]);
    *lo = range[0];
    *hi = range[1];
    *halves = law == 1;
    return SF_OK;
}

static sf_status get_probability(double *out, const json_t *obj, const char *key)
{
    SF_TRY(sf_json_get_num(out, obj, key, WHERE));
    SF_CHECK(*out >= 0 && *out <= 1, SF_EDATA, "%s: \"%s\" is %g, not a probability", WHERE, key,
             *out);
    return SF_OK;
}

static sf_status parse_row(sf_augment_params *r, const json_t *json, const char *name)
{
    json_t *obj;
    bool per_channel;
    SF_TRY(sf_json_get(&obj, json, name, WHERE));
    SF_TRY(get_probability(&r->p, obj, "p"));
    SF_TRY(get_probability(&r->p_channel, obj, "p_channel"));
    SF_TRY(get_law(&r->lo, &r->hi, &r->halves, obj));
    SF_TRY(sf_json_get_bool(&per_channel, obj, "per_channel", WHERE));
    SF_TRY(sf_json_get_bool(&r->per_axis, obj, "per_axis", WHERE));
    r->shared = !per_channel;
    return SF_OK;
}

static sf_status parse_spatial(sf_augment *a, const json_t *json)
{
    static const char *const rules[] = { "linear", "cubic" };
    static const char *const label_rules[] = { "threshold", "argmax" };
    json_t *obj;
    int word = 0;
    SF_TRY(sf_json_get(&obj, json, "spatial", WHERE));
    SF_TRY(get_probability(&a->spatial.p_rotation, obj, "p_rotation"));
    SF_TRY(get_probability(&a->spatial.p_scaling, obj, "p_scaling"));
    SF_TRY(get_law(&a->spatial.lo, &a->spatial.hi, &a->spatial.halves, obj));
    SF_CHECK(a->spatial.lo > 0, SF_EDATA, "%s: scaling by %g", WHERE, a->spatial.lo);
    SF_TRY(get_word(&word, obj, "image", rules, 2));
    a->spatial.image = word == 1 ? SF_IMAGE_CUBIC : SF_IMAGE_LINEAR;
    SF_TRY(get_word(&word, obj, "labels", label_rules, 2));
    a->spatial.labels = word == 1 ? SF_LABEL_ARGMAX : SF_LABEL_THRESHOLD;
    SF_TRY(sf_json_get(&obj, json, "low_resolution", WHERE));
    SF_TRY(get_word(&word, obj, "up", rules, 2));
    a->low_resolution_up = word == 1 ? SF_IMAGE_CUBIC : SF_IMAGE_LINEAR;
    return SF_OK;
}

/* Values that would ask a transform for the impossible. */
static sf_status check_ranges(const sf_augment *a)
{
    const sf_augment_params *low = &a->row[SF_AUG_LOW_RESOLUTION];
    SF_CHECK(a->row[SF_AUG_BLUR].lo > 0, SF_EDATA, "%s: blur.range must be positive", WHERE);
    SF_CHECK(low->lo > 0 && low->hi <= 1, SF_EDATA, "%s: low_resolution.range must lie in (0, 1]",
             WHERE);
    SF_CHECK(a->row[SF_AUG_GAMMA].lo > 0 && a->row[SF_AUG_GAMMA_INVERTED].lo > 0, SF_EDATA,
             "%s: the exponents of gamma must be positive", WHERE);
    return SF_OK;
}

static sf_status parse(sf_augment *a, const json_t *json, const sf_config *cfg)
{
    static const char *const forms[] = { "v1", "v2" };
    json_t *obj;
    int form = 0;
    SF_TRY(sf_json_get_bool(&a->enabled, json, "enabled", WHERE));
    SF_TRY(get_word(&form, json, "formulas", forms, 2));
    a->formulas = form == 0 ? SF_FORMULAS_V1 : SF_FORMULAS_V2;
    SF_TRY(sf_json_get(&obj, json, "setup", WHERE));
    SF_TRY(sf_patch_setup_make(&a->setup, obj, cfg->dim, cfg->patch));
    SF_TRY(parse_spatial(a, json));
    for (int r = 0; r < SF_AUG_COUNT; r++) SF_TRY(parse_row(&a->row[r], json, TABLE[r].name));
    SF_TRY(check_ranges(a));
    SF_TRY(sf_json_get(&obj, json, "mirror", WHERE));
    bool last;
    SF_TRY(sf_json_get_bool(&last, obj, "last_axis", WHERE));
    if (!last) a->setup.mirror[2] = false;
    return get_probability(&a->p_mirror, obj, "p_axis");
}

sf_status sf_augment_create(sf_augment **out, const json_t *json, const sf_config *cfg,
                            int channels, bool mirror)
{
    *out = NULL;
    SF_CHECK(json_is_object(json), SF_EDATA, "%s is missing", WHERE);
    SF_CHECK(channels > 0, SF_EINVAL, "augmentation of %d channels", channels);
    sf_augment *a = NULL;
    sf_status st = SF_OK;
    SF_TRY(sf_mem_calloc(&a, 1, sizeof *a, SF_MEM_MISC));
    SF_GOTO(fail, st, parse(a, json, cfg));
    if (!mirror) a->p_mirror = 0;
    a->dim = cfg->dim;
    a->channels = channels;
    memcpy(a->patch, cfg->patch, sizeof a->patch);
    if (!a->enabled) memcpy(a->setup.initial, cfg->patch, sizeof a->patch);
    SF_GOTO(fail, st,
            sf_mem_calloc(&a->use_mask, (size_t)channels, sizeof *a->use_mask, SF_MEM_MISC));
    for (int c = 0; c < channels && cfg->use_mask != NULL; c++) a->use_mask[c] = cfg->use_mask[c];
    *out = a;
    return SF_OK;
fail:
    sf_augment_destroy(&a);
    return st;
}

void sf_augment_destroy(sf_augment **a)
{
    if (*a == NULL) return;
    sf_mem_free((*a)->use_mask);
    sf_mem_free(*a);
    *a = NULL;
}

void sf_augment_stream(sf_rng *out, const sf_sample_key *key, const char *name)
{
    char scope[320];
    snprintf(scope, sizeof scope, "%s/%s", key->scope, name);
    const sf_rng_key full = { .seed = key->seed,
                              .scope = scope,
                              .epoch = key->epoch,
                              .iteration = key->iteration,
                              .sample = key->sample,
                              .purpose = SF_RNG_AUGMENT };
    sf_rng_init(out, &full);
}

/* Always two numbers of the stream, whatever the law. */
static double draw_value(sf_rng *rng, double lo, double hi, bool halves)
{
    const double side = sf_rng_u01(rng), at = sf_rng_u01(rng);
    if (halves) {
        if (side < 0.5) {
            hi = 1.0;
        } else {
            lo = 1.0;
        }
    }
    return lo + (hi - lo) * at;
}

void sf_augment_draw_spatial(sf_spatial_draw *out, const sf_augment *a, const sf_sample_key *key)
{
    sf_rng rng;
    sf_augment_stream(&rng, key, "spatial");
    out->rotate = sf_rng_u01(&rng) < a->spatial.p_rotation;
    out->scale = sf_rng_u01(&rng) < a->spatial.p_scaling;
    for (int i = 0; i < 3; i++) {
        out->angle[i] = sf_rng_uniform(&rng, -a->setup.angle, a->setup.angle);
    }
    out->factor = draw_value(&rng, a->spatial.lo, a->spatial.hi, a->spatial.halves);
}

static void draw_row(sf_row_draw *out, sf_rng *rng, const sf_augment *a, sf_augment_row row)
{
    const sf_augment_params *r = &a->row[row];
    out->on = sf_rng_u01(rng) < r->p;
    for (int c = 0; c < a->channels; c++) {
        out->chosen[c] = sf_rng_u01(rng) < r->p_channel;
        for (int i = 0; i < 3; i++) {
            const double value = draw_value(rng, r->lo, r->hi, r->halves);
            out->value[c][i] = i > 0 && !r->per_axis ? out->value[c][0] : value;
        }
        if (c > 0 && r->shared) memcpy(out->value[c], out->value[0], sizeof out->value[c]);
    }
}

void sf_augment_draw_row(sf_row_draw *out, const sf_augment *a, sf_augment_row row,
                         const sf_sample_key *key)
{
    sf_rng rng;
    sf_augment_stream(&rng, key, TABLE[row].name);
    draw_row(out, &rng, a, row);
}

void sf_augment_draw_mirror(bool axis[3], const sf_augment *a, const sf_sample_key *key)
{
    sf_rng rng;
    sf_augment_stream(&rng, key, "mirror");
    for (int i = 0; i < 3; i++) {
        const double u = sf_rng_u01(&rng);
        axis[i] = a->setup.mirror[i] && u < a->p_mirror;
    }
}

static void cut_all(int channels, const sf_sample_source *src, const sf_box *box,
                    const sf_sample_patch *out)
{
    const int64_t voxels = box->image[0] * box->image[1] * box->image[2];
    const int64_t count = box->size[0] * box->size[1] * box->size[2];
    for (int c = 0; c < channels; c++)
        sf_cut_image(out->data + c * count, src->data + c * voxels, box);
    sf_cut_labels(out->seg, src->seg, box);
    if (src->previous != NULL) sf_cut_labels(out->previous, src->previous, box);
}

/* Cut, rotate, scale: the box of size setup.initial at `start` becomes the patch. */
static sf_status spatial(const sf_augment *a, const sf_sample_key *key, const sf_sample_source *src,
                         const int64_t start[3], const sf_sample_patch *out, sf_workspace *ws)
{
    sf_spatial_draw draw;
    sf_augment_draw_spatial(&draw, a, key);
    sf_box box;
    memcpy(box.image, src->shape, sizeof box.image);
    memcpy(box.lo, start, sizeof box.lo);
    memcpy(box.size, a->setup.initial, sizeof box.size);
    if (!a->enabled || (!draw.rotate && !draw.scale)) {
        int64_t crop[3];
        sf_spatial_crop_start(crop, a->formulas, a->setup.initial, a->patch);
        for (int i = 0; i < 3; i++) box.lo[i] += crop[i];
        memcpy(box.size, a->patch, sizeof box.size);
        cut_all(a->channels, src, &box, out);
        return SF_OK;
    }
    const int64_t voxels = src->shape[0] * src->shape[1] * src->shape[2];
    const int64_t count = a->patch[0] * a->patch[1] * a->patch[2];
    const sf_label_rule rule = a->spatial.labels;
    sf_affine map;
    sf_spatial_affine(&map, &draw, a->setup.planar, a->formulas, a->setup.initial, a->patch);
    for (int c = 0; c < a->channels; c++) {
        SF_TRY(sf_spatial_image(out->data + c * count, a->patch, src->data + c * voxels, &box, &map,
                                a->spatial.image, ws));
    }
    if (src->previous != NULL)
        SF_TRY(sf_spatial_labels(out->previous, a->patch, src->previous, &box, &map, rule, ws));
    return sf_spatial_labels(out->seg, a->patch, src->seg, &box, &map, rule, ws);
}

static sf_status apply_row(const sf_augment *a, sf_augment_row row, const sf_sample_key *key,
                           sf_row_draw *draw, float *data, sf_workspace *ws)
{
    sf_rng field;
    sf_augment_draw_row(draw, a, row, key);
    if (!draw->on) return SF_OK;
    char name[64];
    snprintf(name, sizeof name, "%s/field", TABLE[row].name);
    sf_augment_stream(&field, key, name);
    row_context c = { .a = a, .field = &field, .ws = ws };
    c.count = a->patch[0] * a->patch[1] * a->patch[2];
    for (int i = 0; i < a->channels; i++) {
        c.value = draw->value[i];
        if (draw->chosen[i]) SF_TRY(TABLE[row].apply(&c, data + i * c.count));
    }
    return SF_OK;
}

static double clock_of(const sf_workspace *ws) { return ws->stage_seconds != NULL ? sf_now() : 0; }

/* @return the time now, where the next stage begins */
static double add_time(const sf_workspace *ws, int stage, double begin)
{
    const double now = clock_of(ws);
    if (ws->stage_seconds != NULL) ws->stage_seconds[stage] += now - begin;
    return now;
}

static sf_status intensity(const sf_augment *a, const sf_sample_key *key, float *data,
                           sf_workspace *ws)
{
    sf_row_draw draw;
    char *block = NULL;
    const size_t values = (size_t)a->channels * sizeof *draw.value;
    SF_TRY(sf_workspace_get(ws, SF_WS_DRAW, values + (size_t)a->channels, 1, &block));
    draw.value = (double(*)[3])(void *)block;
    draw.chosen = (bool *)(block + values);
    double begin = clock_of(ws);
    for (int r = 0; r < SF_AUG_COUNT; r++) {
        SF_TRY(apply_row(a, r, key, &draw, data, ws));
        begin = add_time(ws, r, begin);
    }
    return SF_OK;
}

/* Rows 9 and 10. */
static void mirror_and_mask(const sf_augment *a, const sf_sample_key *key,
                            const sf_sample_source *src, const sf_sample_patch *out, int64_t count)
{
    bool axis[3];
    sf_augment_draw_mirror(axis, a, key);
    for (int c = 0; c < a->channels; c++) sf_mirror_f32(out->data + c * count, a->patch, axis);
    sf_mirror_i16(out->seg, a->patch, axis);
    if (src->previous != NULL) sf_mirror_i16(out->previous, a->patch, axis);
    for (int c = 0; c < a->channels; c++) {
        if (a->use_mask[c]) sf_mask_outside(out->data + c * count, out->seg, count);
    }
}

static void finish_labels(const sf_sample_source *src, const sf_sample_patch *out, int64_t count)
{
    sf_remove_label(out->seg, count);
    if (src->previous != NULL) sf_remove_label(out->previous, count);
}

sf_status sf_augment_sample(const sf_augment *a, const sf_sample_key *key,
                            const sf_sample_source *src, const int64_t start[3],
                            const sf_sample_patch *out, sf_workspace *ws)
{
    const int64_t count = a->patch[0] * a->patch[1] * a->patch[2];
    const double begin = clock_of(ws);
    SF_TRY(spatial(a, key, src, start, out, ws));
    add_time(ws, SF_AUG_SPATIAL, begin);
    if (a->enabled) SF_TRY(intensity(a, key, out->data, ws));
    const double end = clock_of(ws);
    if (a->enabled) mirror_and_mask(a, key, src, out, count);
    finish_labels(src, out, count);
    add_time(ws, SF_AUG_FINISH, end);
    return SF_OK;
}

void sf_plain_sample(int channels, const sf_sample_source *src, const int64_t start[3],
                     const int64_t patch[3], const sf_sample_patch *out)
{
    sf_box box;
    memcpy(box.image, src->shape, sizeof box.image);
    memcpy(box.lo, start, sizeof box.lo);
    memcpy(box.size, patch, sizeof box.size);
    cut_all(channels, src, &box, out);
    finish_labels(src, out, patch[0] * patch[1] * patch[2]);
}
