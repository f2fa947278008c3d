#include "plan/plans.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "plan/arch.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CONFIGS = 256, MAX_EDGE = 1 << 20, MAX_BATCH = 1 << 24 };

static const char *const norm_classes[] = {
    [SF_NORM_ZSCORE] = "ZScoreNormalization", [SF_NORM_CT] = "CTNormalization",
    [SF_NORM_NONE] = "NoNormalization",       [SF_NORM_RESCALE01] = "RescaleTo01Normalization",
    [SF_NORM_RGB01] = "RGBTo01Normalization",
};

const char *sf_norm_class(sf_norm_scheme s) { return norm_classes[s]; }

bool sf_norm_from_class(sf_norm_scheme *s, const char *name)
{
    for (size_t i = 0; i < sizeof norm_classes / sizeof *norm_classes; i++) {
        if (strcmp(norm_classes[i], name) != 0) continue;
        *s = (sf_norm_scheme)i;
        return true;
    }
    return false;
}

static const struct {
    const char *key;
    size_t offset;
} intensity_keys[] = {
    { "max", offsetof(sf_intensity, max) },
    { "mean", offsetof(sf_intensity, mean) },
    { "median", offsetof(sf_intensity, median) },
    { "min", offsetof(sf_intensity, min) },
    { "percentile_00_5", offsetof(sf_intensity, p00_5) },
    { "percentile_99_5", offsetof(sf_intensity, p99_5) },
    { "std", offsetof(sf_intensity, std) },
};
enum { N_INTENSITY = 7 };

json_t *sf_intensity_json(const sf_intensity *v)
{
    json_t *obj = json_object();
    for (int i = 0; obj && i < N_INTENSITY; i++)
        json_object_set_new(
            obj, intensity_keys[i].key,
            sf_json_real(*(const double *)((const char *)v + intensity_keys[i].offset)));
    return obj;
}

sf_status sf_intensity_read(sf_intensity *v, const json_t *obj, const char *where)
{
    for (int i = 0; i < N_INTENSITY; i++)
        SF_TRY(sf_json_get_num((double *)((char *)v + intensity_keys[i].offset), obj,
                               intensity_keys[i].key, where));
    return SF_OK;
}

static sf_status read_intensities(sf_plans *p, const char *where)
{
    json_t *all = json_object_get(p->json, "foreground_intensity_properties_per_channel");
    if (!all) all = json_object_get(p->json, "foreground_intensity_properties_by_modality");
    SF_CHECK(json_is_object(all) && json_object_size(all) > 0 && json_object_size(all) <= 1024,
             SF_EDATA, "%s: \"foreground_intensity_properties_per_channel\" is missing", where);
    p->n_channels = (int)json_object_size(all);
    SF_TRY(sf_mem_calloc(&p->intensity, (size_t)p->n_channels, sizeof *p->intensity, SF_MEM_MISC));
    for (int c = 0; c < p->n_channels; c++) {
        char key[16], place[SF_PATH_MAX];
        json_t *one = NULL;
        snprintf(key, sizeof key, "%d", c);
        SF_TRY(sf_path_format(place, "%s, intensities of channel %d", where, c));
        SF_TRY(sf_json_get(&one, all, key, place));
        SF_TRY(sf_intensity_read(&p->intensity[c], one, place));
    }
    return SF_OK;
}

static sf_status read_transpose(int out[3], const json_t *json, const char *key, const char *where)
{
    int64_t v[3];
    int seen = 0;
    SF_TRY(sf_json_get_ints(v, 3, json, key, where));
    for (int i = 0; i < 3; i++) {
        SF_CHECK(v[i] >= 0 && v[i] < 3, SF_EDATA, "%s: \"%s\" must be a permutation of 0, 1, 2",
                 where, key);
        out[i] = (int)v[i];
        seen |= 1 << v[i];
    }
    SF_CHECK(seen == 7, SF_EDATA, "%s: \"%s\" must be a permutation of 0, 1, 2", where, key);
    return SF_OK;
}

static sf_status read_transposes(sf_plans *p, const char *where)
{
    SF_TRY(read_transpose(p->transpose_forward, p->json, "transpose_forward", where));
    SF_TRY(read_transpose(p->transpose_backward, p->json, "transpose_backward", where));
    for (int i = 0; i < 3; i++)
        SF_CHECK(p->transpose_backward[p->transpose_forward[i]] == i, SF_EDATA,
                 "%s: transpose_backward does not undo transpose_forward", where);
    return SF_OK;
}

/** One parent chain, child over parent, key by key at the top level only. New reference. */
static sf_status resolve(json_t **out, const json_t *configs, const char *name, int depth,
                         const char *where)
{
    const json_t *own = json_object_get(configs, name);
    const json_t *parent = json_object_get(own, "inherits_from");
    json_t *merged = NULL;
    SF_CHECK(json_is_object(own), SF_EDATA, "%s: configuration \"%s\" is missing or no object",
             where, name);
    SF_CHECK(depth < MAX_CONFIGS, SF_EDATA, "%s: \"inherits_from\" of \"%s\" runs in a circle",
             where, name);
    if (parent && !json_is_null(parent)) {
        SF_CHECK(json_is_string(parent), SF_EDATA, "%s: \"inherits_from\" of \"%s\" must be a name",
                 where, name);
        SF_TRY(resolve(&merged, configs, json_string_value(parent), depth + 1, where));
    } else {
        merged = json_object();
    }
    if (!merged || json_object_update(merged, (json_t *)own) != 0) {
        json_decref(merged);
        return SF_FAIL(SF_ENOMEM, "%s: out of memory", where);
    }
    *out = merged;
    return SF_OK;
}

static sf_status read_order(int *out, const json_t *obj, const char *key, const char *where)
{
    int64_t n = 0;
    SF_TRY(sf_json_get_int(&n, obj, key, where));
    SF_CHECK(n == 0 || n == 1 || n == 3, SF_EUNSUPPORTED,
             "%s: \"%s\" is %lld; spline orders 0, 1 and 3 are supported", where, key,
             (long long)n);
    *out = (int)n;
    return SF_OK;
}

/** The resampling functions of nnU-Net v2, and what their keywords may be. */
static const struct {
    const char *name;
    const char *keys[8]; /* honoured, or without effect on the result */
} resamplers[] = {
    [SF_RESAMPLE_SPLINE] = { "resample_data_or_seg_to_shape",
                             { "is_seg", "order", "order_z", "force_separate_z",
                               "separate_z_anisotropy_threshold" } },
    [SF_RESAMPLE_TORCH] = { "resample_torch_fornnunet",
                            { "is_seg", "force_separate_z", "separate_z_anisotropy_threshold",
                              "num_threads", "device", "mode", "aniso_axis_mode" } },
    [SF_RESAMPLE_NONE] = { "no_resampling_hack", { "is_seg" } },
};
enum { N_RESAMPLERS = sizeof resamplers / sizeof *resamplers };

static sf_status check_keywords(sf_resample_fn fn, const json_t *kw, const char *where)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)kw, key, v)
    {
        bool ok = json_is_null(v) || json_is_false(v);
        for (int i = 0; resamplers[fn].keys[i]; i++)
            ok = ok || strcmp(resamplers[fn].keys[i], key) == 0;
        SF_CHECK(ok, SF_EUNSUPPORTED,
                 "%s: the keyword \"%s\" of %s is not supported: remove it, or check its spelling",
                 where, key, resamplers[fn].name);
    }
    return SF_OK;
}

const char *sf_resample_fn_name(sf_resample_fn fn) { return resamplers[fn].name; }

sf_status sf_resample_fn_from_name(sf_resample_fn *fn, const char *name, const char *where)
{
    for (int i = 0; i < N_RESAMPLERS; i++) {
        if (strcmp(name, resamplers[i].name) != 0) continue;
        *fn = (sf_resample_fn)i;
        return SF_OK;
    }
    return SF_FAIL(SF_EUNSUPPORTED, "%s: resampling function \"%s\"; %s, %s and %s are supported",
                   where, name, resamplers[0].name, resamplers[1].name, resamplers[2].name);
}

/** Torch's modes: what nnU-Net's planners rely on, their defaults. */
static sf_status check_mode(const json_t *kw, const char *key, const char *want, const char *where)
{
    const json_t *v = json_object_get(kw, key);
    const char *text = json_string_value(v);
    SF_CHECK(!v || (text && strcmp(text, want) == 0), SF_EUNSUPPORTED,
             "%s: \"%s\": only \"%s\" is supported", where, key, want);
    return SF_OK;
}

static sf_status read_orders(sf_resampling *r, const json_t *kw, const char *where)
{
    r->order = 1; /* torch: linear; nearest along the separate axis */
    if (r->fn == SF_RESAMPLE_SPLINE) {
        SF_TRY(read_order(&r->order, kw, "order", where));
        return read_order(&r->order_z, kw, "order_z", where);
    }
    SF_TRY(check_mode(kw, "mode", "linear", where));
    return check_mode(kw, "aniso_axis_mode", "nearest-exact", where);
}

static sf_status read_separation(sf_resampling *r, const json_t *kw, const char *where)
{
    const json_t *force = json_object_get(kw, "force_separate_z");
    SF_CHECK(!force || json_is_null(force) || json_is_boolean(force), SF_EDATA,
             "%s: \"force_separate_z\" must be null, true or false", where);
    r->force_separate_z = json_is_boolean(force) ? json_is_true(force) : -1;
    if (!json_object_get(kw, "separate_z_anisotropy_threshold")) return SF_OK;
    SF_TRY(sf_json_get_num(&r->threshold, kw, "separate_z_anisotropy_threshold", where));
    SF_CHECK(r->threshold >= 1, SF_EDATA,
             "%s: \"separate_z_anisotropy_threshold\" must be a ratio of at least 1", where);
    return SF_OK;
}

static sf_status read_resampling(sf_resampling *r, const json_t *cfg, const char *what, bool is_seg,
                                 const char *where)
{
    char key[64], place[SF_PATH_MAX];
    const char *fn = NULL;
    json_t *kw = NULL;
    snprintf(key, sizeof key, "resampling_fn_%s", what);
    SF_TRY(sf_json_get_str(&fn, cfg, key, where));
    SF_TRY(sf_resample_fn_from_name(&r->fn, fn, where));
    snprintf(key, sizeof key, "resampling_fn_%s_kwargs", what);
    SF_TRY(sf_json_get(&kw, cfg, key, where));
    SF_TRY(sf_path_format(place, "%s, \"%s\"", where, key));
    SF_TRY(check_keywords(r->fn, kw, place));
    r->is_seg = is_seg;
    r->force_separate_z = -1;
    if (r->fn == SF_RESAMPLE_NONE) return SF_OK;
    SF_TRY(sf_json_get_bool(&r->is_seg, kw, "is_seg", place));
    SF_CHECK(r->is_seg == is_seg, SF_EUNSUPPORTED, "%s: \"is_seg\" must be %s here", place,
             is_seg ? "true" : "false");
    SF_TRY(read_orders(r, kw, place));
    return read_separation(r, kw, place);
}

static sf_status read_resamplings(sf_config *c, const json_t *cfg, const char *where)
{
    SF_TRY(read_resampling(&c->data, cfg, "data", false, where));
    SF_TRY(read_resampling(&c->seg, cfg, "seg", true, where));
    SF_TRY(read_resampling(&c->prob, cfg, "probabilities", false, where));
    const bool none = c->data.fn == SF_RESAMPLE_NONE;
    SF_CHECK((c->seg.fn == SF_RESAMPLE_NONE) == none && (c->prob.fn == SF_RESAMPLE_NONE) == none,
             SF_EUNSUPPORTED,
             "%s: no_resampling_hack must stand for data, seg and probabilities, or for none of "
             "them",
             where);
    return SF_OK;
}

static sf_status read_norms(sf_config *c, const json_t *cfg, int n_channels, const char *where)
{
    json_t *names = NULL, *masks = NULL;
    SF_TRY(sf_json_get(&names, cfg, "normalization_schemes", where));
    SF_TRY(sf_json_get(&masks, cfg, "use_mask_for_norm", where));
    SF_CHECK((int)json_array_size(names) == n_channels && (int)json_array_size(masks) == n_channels,
             SF_EDATA,
             "%s: normalization_schemes and use_mask_for_norm need one entry for each of the %d "
             "channels",
             where, n_channels);
    SF_TRY(sf_mem_calloc(&c->norm, (size_t)n_channels, sizeof *c->norm, SF_MEM_MISC));
    SF_TRY(sf_mem_calloc(&c->use_mask, (size_t)n_channels, sizeof *c->use_mask, SF_MEM_MISC));
    for (int i = 0; i < n_channels; i++) {
        const char *name = json_string_value(json_array_get(names, (size_t)i));
        const json_t *mask = json_array_get(masks, (size_t)i);
        SF_CHECK(name && sf_norm_from_class(&c->norm[i], name), SF_EUNSUPPORTED,
                 "%s: unknown normalization \"%s\"", where, name ? name : "null");
        SF_CHECK(json_is_boolean(mask), SF_EDATA, "%s: use_mask_for_norm must be booleans", where);
        c->use_mask[i] = json_is_true(mask);
    }
    return SF_OK;
}

/** dim numbers into entries 3-dim .. 2. */
static sf_status read_geometry(sf_config *c, const json_t *cfg, const char *where)
{
    const int at = 3 - c->dim;
    c->patch[0] = 1;
    c->median[0] = 1;
    SF_TRY(sf_json_get_ints(c->patch + at, c->dim, cfg, "patch_size", where));
    SF_TRY(sf_json_get_nums(c->spacing + at, c->dim, cfg, "spacing", where));
    SF_TRY(sf_json_get_nums(c->median + at, c->dim, cfg, "median_image_size_in_voxels", where));
    for (int i = at; i < 3; i++) {
        SF_CHECK(c->patch[i] >= 1 && c->patch[i] <= MAX_EDGE, SF_EDATA,
                 "%s: patch_size must be 1 to %d", where, (int)MAX_EDGE);
        SF_CHECK(c->spacing[i] > 0 && c->spacing[i] < 1e9, SF_EDATA, "%s: spacing must be > 0",
                 where);
    }
    return SF_OK;
}

static sf_status check_divisible(const sf_config *c, const char *where)
{
    for (int i = 0; i < 3; i++) {
        int64_t product = 1;
        for (int s = 0; s < c->arch.n_stages && product < MAX_EDGE; s++)
            product *= c->arch.stride[s][i];
        SF_CHECK(c->patch[i] % product == 0, SF_EDATA,
                 "%s: patch edge %lld is not divisible by %lld, the product of the strides", where,
                 (long long)c->patch[i], (long long)product);
    }
    return SF_OK;
}

/** A name, or nnU-Net's list of names: of one, since one file of labels is handed over. */
static sf_status copy_stage(char **out, const json_t *cfg, const char *key, const char *where)
{
    const json_t *v = json_object_get(cfg, key);
    SF_CHECK(json_array_size(v) <= 1, SF_EUNSUPPORTED,
             "%s: \"%s\" names several configurations; one is supported", where, key);
    if (json_is_array(v) && json_array_size(v) > 0) v = json_array_get(v, 0);
    if (!v || json_is_null(v)) return SF_OK;
    SF_CHECK(json_is_string(v), SF_EDATA, "%s: \"%s\" must be the name of a configuration", where,
             key);
    return sf_mem_strdup(out, json_string_value(v));
}

static sf_status read_batch(sf_config *c, const json_t *cfg, const char *where)
{
    SF_TRY(sf_json_get_int(&c->batch_size, cfg, "batch_size", where));
    SF_CHECK(c->batch_size >= 1 && c->batch_size <= MAX_BATCH, SF_EDATA, "%s: batch_size is %lld",
             where, (long long)c->batch_size);
    return sf_json_get_bool(&c->batch_dice, cfg, "batch_dice", where);
}

static sf_status check_preprocessor(const json_t *cfg, const char *where)
{
    const char *name = json_string_value(json_object_get(cfg, "preprocessor_name"));
    SF_CHECK(!name || strcmp(name, "DefaultPreprocessor") == 0, SF_EUNSUPPORTED,
             "%s: preprocessor_name \"%s\"; only DefaultPreprocessor is supported", where, name);
    return SF_OK;
}

/** A name that becomes part of a path. */
static sf_status check_name(const char *name, const char *where)
{
    SF_CHECK(name[0] && name[0] != '.' && strlen(name) < 128 && !strchr(name, '/'), SF_EDATA,
             "%s: \"%.60s\" cannot be part of a file name", where, name);
    return SF_OK;
}

static sf_status read_config(sf_config *c, const sf_plans *p, const char *name, const json_t *cfg,
                             const char *plans_file)
{
    char where[SF_PATH_MAX];
    const char *id = NULL;
    json_t *patch = NULL;
    SF_TRY(check_name(name, plans_file));
    SF_TRY(sf_path_format(where, "%s, configuration \"%s\"", plans_file, name));
    SF_TRY(sf_mem_strdup(&c->name, name));
    SF_TRY(sf_json_get_str(&id, cfg, "data_identifier", where));
    SF_TRY(check_name(id, where));
    SF_TRY(sf_mem_strdup(&c->data_identifier, id));
    SF_TRY(check_preprocessor(cfg, where));
    SF_TRY(sf_json_get(&patch, cfg, "patch_size", where));
    c->dim = (int)json_array_size(patch);
    SF_CHECK(c->dim == 2 || c->dim == 3, SF_EDATA, "%s: patch_size needs 2 or 3 numbers", where);
    SF_TRY(read_geometry(c, cfg, where));
    SF_TRY(read_batch(c, cfg, where));
    SF_TRY(read_norms(c, cfg, p->n_channels, where));
    SF_TRY(read_resamplings(c, cfg, where));
    SF_TRY(sf_arch_read(&c->arch, cfg, c->dim, &p->recipe->train, where));
    SF_TRY(check_divisible(c, where));
    SF_TRY(copy_stage(&c->previous_stage, cfg, "previous_stage", where));
    return copy_stage(&c->next_stage, cfg, "next_stage", where);
}

/** nnU-Net passes over keys that it does not know; a misspelt one of a hand-edited plan is told. */
static void warn_unknown(const json_t *own, const char *name, const char *where)
{
    static const char known[] =
        " data_identifier preprocessor_name batch_size patch_size median_image_size_in_voxels "
        "spacing normalization_schemes use_mask_for_norm resampling_fn_data "
        "resampling_fn_data_kwargs resampling_fn_seg resampling_fn_seg_kwargs "
        "resampling_fn_probabilities resampling_fn_probabilities_kwargs architecture batch_dice "
        "next_stage previous_stage inherits_from UNet_class_name UNet_base_num_features "
        "unet_max_num_features n_conv_per_stage_encoder n_conv_per_stage_decoder "
        "num_pool_per_axis pool_op_kernel_sizes conv_kernel_sizes ";
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)own, key, v)
    {
        char word[80];
        snprintf(word, sizeof word, " %.70s ", key);
        if (!strstr(known, word))
            sf_log(SF_LOG_WARN, "plans", "%s: configuration \"%s\": the key \"%s\" has no effect",
                   where, name, key);
    }
}

static sf_status read_configs(sf_plans *p, const char *where)
{
    json_t *configs = NULL, *own;
    const char *name;
    SF_TRY(sf_json_get(&configs, p->json, "configurations", where));
    const size_t n = json_object_size(configs);
    SF_CHECK(n > 0 && n <= MAX_CONFIGS, SF_EDATA, "%s: \"configurations\" must hold 1 to %d", where,
             (int)MAX_CONFIGS);
    SF_TRY(sf_mem_calloc(&p->config, n, sizeof *p->config, SF_MEM_MISC));
    json_object_foreach(configs, name, own)
    {
        json_t *merged = NULL;
        warn_unknown(own, name, where);
        SF_TRY(resolve(&merged, configs, name, 0, where));
        const sf_status st = read_config(&p->config[p->n_configs++], p, name, merged, where);
        json_decref(merged);
        if (st != SF_OK) return sf_trace_(st, __FILE__, __LINE__, name);
    }
    return SF_OK;
}

/** Labels are handed over to a configuration that asks for them. */
static sf_status check_next(const sf_plans *p, const sf_config *c, const char *where)
{
    const sf_config *other;
    if (!c->next_stage) return SF_OK;
    SF_TRY(sf_plans_config(&other, p, c->next_stage));
    SF_CHECK(other->previous_stage && strcmp(other->previous_stage, c->name) == 0, SF_EDATA,
             "%s: \"next_stage\" of \"%s\" is \"%s\", whose \"previous_stage\" is another", where,
             c->name, other->name);
    return SF_OK;
}

/** The name of a previous or next stage must exist; a previous stage must be ready first. */
static sf_status check_stages(const sf_plans *p, const char *where)
{
    for (int i = 0; i < p->n_configs; i++) {
        const sf_config *c = &p->config[i], *other;
        if (!c->previous_stage) continue;
        SF_TRY(sf_plans_config(&other, p, c->previous_stage));
        SF_CHECK(!other->previous_stage && other != c && other->dim == c->dim, SF_EUNSUPPORTED,
                 "%s: \"%s\" follows \"%s\": only two-stage cascades of one dimension are possible",
                 where, c->name, other->name);
    }
    for (int i = 0; i < p->n_configs; i++) SF_TRY(check_next(p, &p->config[i], where));
    return SF_OK;
}

/** Keys of the whole file that would change what is computed. Readers that turn images to RAS are
 *  another matter than those that read them as stored, which is what we do. */
static sf_status check_top(const json_t *json, const char *where)
{
    const char *manager = json_string_value(json_object_get(json, "label_manager"));
    const char *reader = json_string_value(json_object_get(json, "image_reader_writer"));
    SF_CHECK(!manager || strcmp(manager, "LabelManager") == 0, SF_EUNSUPPORTED,
             "%s: \"label_manager\" is \"%s\"; only LabelManager is supported", where, manager);
    SF_CHECK(!reader || !strstr(reader, "WithReorient"), SF_EUNSUPPORTED,
             "%s: \"image_reader_writer\" is \"%s\"; images are read as stored: bring them to RAS "
             "first, and name the reader without \"WithReorient\"",
             where, reader);
    return SF_OK;
}

static sf_status read_variant(sf_plans *p, const char *where)
{
    const json_t *variant = json_object_get(p->json, "segfleet_variant");
    const char *name;
    if (!variant) return SF_OK;
    SF_TRY(sf_json_get_str(&name, variant, "name", where));
    SF_TRY(check_name(name, where));
    return sf_mem_strdup(&p->variant, name);
}

static sf_status fill(sf_plans *p, const char *where)
{
    const char *text = NULL;
    SF_CHECK(json_is_object(p->json), SF_EDATA, "%s: plans must be a JSON object", where);
    const json_t *recipe = json_object_get(p->json, "segfleet_recipe");
    SF_TRY(check_top(p->json, where));
    SF_TRY(sf_json_get_str(&text, p->json, "dataset_name", where));
    SF_TRY(sf_mem_strdup(&p->dataset_name, text));
    SF_TRY(sf_json_get_str(&text, p->json, "plans_name", where));
    SF_TRY(sf_mem_strdup(&p->plans_name, text));
    SF_TRY(recipe ? sf_recipe_from_json(&p->recipe, recipe)
                  : sf_recipe_load(&p->recipe, "nnunetv2"));
    SF_TRY(read_variant(p, where));
    SF_TRY(read_transposes(p, where));
    SF_TRY(read_intensities(p, where));
    SF_TRY(read_configs(p, where));
    return check_stages(p, where);
}

sf_status sf_plans_from_json(sf_plans **out, json_t *json, const char *where)
{
    sf_plans *p = NULL;
    sf_status st = SF_OK;
    SF_TRY(sf_mem_calloc(&p, 1, sizeof *p, SF_MEM_MISC));
    p->json = json_incref(json);
    SF_GOTO(fail, st, fill(p, where));
    *out = p;
    return SF_OK;
fail:
    sf_plans_destroy(&p);
    return st;
}

sf_status sf_plans_load(sf_plans **out, const char *path)
{
    json_t *json = NULL;
    SF_TRY(sf_json_load(&json, path));
    const sf_status st = sf_plans_from_json(out, json, path);
    json_decref(json);
    return st;
}

static void free_config(sf_config *c)
{
    sf_mem_free(c->name);
    sf_mem_free(c->data_identifier);
    sf_mem_free(c->norm);
    sf_mem_free(c->use_mask);
    sf_mem_free(c->previous_stage);
    sf_mem_free(c->next_stage);
}

void sf_plans_destroy(sf_plans **p)
{
    if (!p || !*p) return;
    for (int i = 0; i < (*p)->n_configs; i++) free_config(&(*p)->config[i]);
    sf_mem_free((*p)->config);
    sf_mem_free((*p)->intensity);
    sf_mem_free((*p)->dataset_name);
    sf_mem_free((*p)->plans_name);
    sf_mem_free((*p)->variant);
    sf_recipe_destroy(&(*p)->recipe);
    json_decref((*p)->json);
    sf_mem_free(*p);
    *p = NULL;
}

sf_status sf_plans_config(const sf_config **out, const sf_plans *p, const char *name)
{
    char names[512] = "";
    for (int i = 0; i < p->n_configs; i++) {
        if (strcmp(p->config[i].name, name) == 0) {
            *out = &p->config[i];
            return SF_OK;
        }
        if (i) strncat(names, ", ", sizeof names - strlen(names) - 1);
        strncat(names, p->config[i].name, sizeof names - strlen(names) - 1);
    }
    return SF_FAIL(SF_EINVAL, "the plans have no configuration \"%s\"; they have: %s", name, names);
}

static bool same_resampling(const sf_resampling *a, const sf_resampling *b)
{
    return a->fn == b->fn && a->order == b->order && a->order_z == b->order_z &&
           a->force_separate_z == b->force_separate_z && a->threshold == b->threshold;
}

/** Preprocessing would do the same for both. */
static bool same_data(const sf_config *a, const sf_config *b, int n_channels)
{
    const size_t n = (size_t)n_channels;
    return a->dim == b->dim && strcmp(a->data_identifier, b->data_identifier) == 0 &&
           memcmp(a->spacing, b->spacing, sizeof a->spacing) == 0 &&
           memcmp(a->norm, b->norm, n * sizeof *a->norm) == 0 &&
           memcmp(a->use_mask, b->use_mask, n * sizeof *a->use_mask) == 0 &&
           same_resampling(&a->data, &b->data) && same_resampling(&a->seg, &b->seg);
}

const sf_config *sf_plans_data_owner(const sf_plans *p, const sf_config *c)
{
    for (int i = 0; i < p->n_configs; i++) {
        const sf_config *o = &p->config[i];
        /* nobody but its own trainings would read the data of a second stage */
        if (!o->previous_stage && same_data(o, c, p->n_channels)) return o;
    }
    return c;
}

int sf_plans_input_channels(const sf_plans *p, const sf_config *c, const sf_labels *l)
{
    return p->n_channels + (c->previous_stage ? l->n_labels - 1 : 0);
}
