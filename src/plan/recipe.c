#include "plan/recipe.h"
#include "base/mem.h"
#include "base/path.h"
#include "plan/embedded.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

typedef enum { F_RULE, F_NUM, F_INT, F_BOOL } field_kind;

typedef struct {
    const char *key;
    field_kind kind;
    size_t offset;
} field;

#define FIELD(group, name, kind)                                                                   \
    {                                                                                              \
#name, kind, offsetof(sf_recipe, group.name)                                               \
    }

static const field plan_fields[] = {
    FIELD(plan, initial_patch, F_RULE),
    FIELD(plan, batch_after_reduction, F_RULE),
    FIELD(plan, pooling, F_RULE),
    FIELD(plan, kernel_size, F_RULE),
    FIELD(plan, lowres_stop, F_RULE),
    FIELD(plan, target_spacing_3d, F_RULE),
    FIELD(plan, target_spacing_2d, F_RULE),
    FIELD(plan, ct_statistics, F_RULE),
    FIELD(plan, mask_rule, F_RULE),
    FIELD(plan, ignore_in_statistics, F_BOOL),
    FIELD(plan, cascade_trigger, F_NUM),
    FIELD(plan, lowres_step, F_NUM),
    FIELD(plan, lowres_cover, F_NUM),
    FIELD(plan, lowres_min_shrink, F_NUM),
    FIELD(plan, lowres_axis_ratio, F_NUM),
    FIELD(plan, batch_cap, F_NUM),
    FIELD(plan, anisotropy, F_NUM),
    FIELD(plan, anisotropy_percentile, F_NUM),
    FIELD(plan, anisotropy_floor, F_NUM),
    FIELD(plan, mask_shrink, F_NUM),
    FIELD(plan, memory_gb_ref, F_NUM),
    FIELD(plan, memory_gb, F_NUM),
    FIELD(plan, ref_3d, F_NUM),
    FIELD(plan, ref_2d, F_NUM),
    FIELD(plan, ref_batch_3d, F_INT),
    FIELD(plan, ref_batch_2d, F_INT),
    FIELD(plan, reduce_at_ref_batch, F_BOOL),
    FIELD(plan, min_batch, F_INT),
    FIELD(plan, min_edge, F_INT),
    FIELD(plan, pool_ratio, F_NUM),
    FIELD(plan, kernel_ratio, F_NUM),
    FIELD(plan, lone_axis_factor, F_INT),
    FIELD(plan, base_features, F_INT),
    FIELD(plan, max_features_3d, F_INT),
    FIELD(plan, max_features_2d, F_INT),
    FIELD(plan, convs_per_stage, F_INT),
    FIELD(plan, convs_per_stage_decoder, F_INT),
    FIELD(plan, conv_bias, F_BOOL),
    FIELD(plan, guess_volume_edge_3d, F_INT),
    FIELD(plan, guess_volume_edge_2d, F_INT),
    FIELD(plan, fingerprint_samples, F_NUM),
};
static const field prep_fields[] = {
    FIELD(prep, normalize_before_resample, F_BOOL),
    FIELD(prep, mask_outside_zero, F_BOOL),
    FIELD(prep, labels_argmax, F_BOOL),
    FIELD(prep, order_data, F_INT),
    FIELD(prep, order_seg, F_INT),
    FIELD(prep, order_prob, F_INT),
    FIELD(prep, order_z, F_INT),
    FIELD(prep, separate_z_threshold, F_NUM),
    FIELD(prep, min_locations, F_INT),
    FIELD(prep, location_fraction, F_NUM),
};
static const field train_fields[] = {
    FIELD(train, epochs, F_INT),
    FIELD(train, iterations, F_INT),
    FIELD(train, val_iterations, F_INT),
    FIELD(train, lr, F_NUM),
    FIELD(train, momentum, F_NUM),
    FIELD(train, decay, F_NUM),
    FIELD(train, clip, F_NUM),
    FIELD(train, poly_power, F_NUM),
    FIELD(train, foreground_fraction, F_NUM),
    FIELD(train, foreground_at_least_one, F_BOOL),
    FIELD(train, dice_smooth, F_NUM),
    FIELD(train, weight_ce, F_NUM),
    FIELD(train, weight_dice, F_NUM),
    FIELD(train, leaky_slope, F_NUM),
    FIELD(train, norm_eps, F_NUM),
    FIELD(train, ema, F_NUM),
    FIELD(train, checkpoint_every, F_INT),
    FIELD(train, deep_supervision, F_BOOL),
};
static const field infer_fields[] = {
    FIELD(infer, average_probabilities, F_BOOL), FIELD(infer, step, F_NUM),
    FIELD(infer, gaussian_sigma, F_NUM),         FIELD(infer, mirror, F_BOOL),
    FIELD(infer, mirror_last_axis, F_BOOL),
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
static const struct {
    const char *key;
    const field *fields;
    size_t count;
} groups[] = {
    { "plan", plan_fields, COUNT(plan_fields) },
    { "prep", prep_fields, COUNT(prep_fields) },
    { "train", train_fields, COUNT(train_fields) },
    { "infer", infer_fields, COUNT(infer_fields) },
};

static sf_status read_rule(sf_rule *out, const json_t *obj, const char *key, const char *where)
{
    const char *text = NULL;
    SF_TRY(sf_json_get_str(&text, obj, key, where));
    const bool paper = strcmp(text, "paper") == 0;
    SF_CHECK(paper || strcmp(text, "v2") == 0, SF_EDATA,
             "%s: \"%s\" is \"%s\"; it must be \"paper\" or \"v2\"", where, key, text);
    *out = paper ? SF_RULE_PAPER : SF_RULE_V2;
    return SF_OK;
}

static sf_status read_field(sf_recipe *r, const field *f, const json_t *obj, const char *where)
{
    void *to = (char *)r + f->offset;
    switch (f->kind) {
    case F_RULE:
        return read_rule(to, obj, f->key, where);
    case F_NUM: {
        double x = 0;
        SF_TRY(sf_json_get_num(&x, obj, f->key, where));
        SF_CHECK(x >= 0 && x < 1e300, SF_EDATA, "%s: \"%s\" is %g; it must be finite and >= 0",
                 where, f->key, x);
        *(double *)to = x;
        return SF_OK;
    }
    case F_INT: {
        int64_t n = 0;
        SF_TRY(sf_json_get_int(&n, obj, f->key, where));
        SF_CHECK(n >= 0 && n < ((int64_t)1 << 40), SF_EDATA, "%s: \"%s\" is %lld, out of range",
                 where, f->key, (long long)n);
        *(int64_t *)to = n;
        return SF_OK;
    }
    case F_BOOL:
        return sf_json_get_bool(to, obj, f->key, where);
    }
    return SF_FAIL(SF_EINTERNAL, "unknown kind of recipe field");
}

static bool is_field(const field *f, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(f[i].key, key) == 0) return true;
    return false;
}

static sf_status read_group(sf_recipe *r, size_t g, const json_t *root, const char *where)
{
    json_t *obj = NULL, *value;
    const char *key;
    char place[SF_PATH_MAX];
    SF_TRY(sf_json_get(&obj, root, groups[g].key, where));
    SF_TRY(sf_path_format(place, "%s, \"%s\"", where, groups[g].key));
    SF_CHECK(json_is_object(obj), SF_EDATA, "%s must be an object", place);
    for (size_t i = 0; i < groups[g].count; i++)
        SF_TRY(read_field(r, &groups[g].fields[i], obj, place));
    json_object_foreach(obj, key, value)
        SF_CHECK(is_field(groups[g].fields, groups[g].count, key), SF_EDATA,
                 "%s: unknown key \"%s\"; remove it or check its spelling", place, key);
    return SF_OK;
}

static sf_status check_top_keys(const json_t *root, const char *where)
{
    static const char *const known[] = { "name",  "description", "plan",   "prep",
                                         "train", "infer",       "augment" };
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)root, key, value)
    {
        bool ok = false;
        for (size_t i = 0; i < COUNT(known); i++) ok = ok || strcmp(known[i], key) == 0;
        SF_CHECK(ok, SF_EDATA,
                 "%s: unknown key \"%s\"; a recipe has name, description, plan, "
                 "prep, train, infer, augment",
                 where, key);
    }
    return SF_OK;
}

/** What the formulas divide by or loop on. */
static sf_status check_values(const sf_recipe *r, const char *where)
{
    const sf_recipe_plan *p = &r->plan;
    SF_CHECK(p->lowres_step > 0 && p->memory_gb_ref > 0 && p->memory_gb > 0 && p->ref_3d > 0 &&
                 p->ref_2d > 0,
             SF_EDATA,
             "%s: plan: lowres_step, memory_gb, memory_gb_ref, ref_3d, ref_2d must be > 0", where);
    SF_CHECK(p->min_edge >= 1 && p->min_batch >= 1 && p->ref_batch_3d >= 1 && p->ref_batch_2d >= 1,
             SF_EDATA, "%s: plan: min_edge, min_batch, ref_batch_3d, ref_batch_2d must be >= 1",
             where);
    SF_CHECK(p->base_features >= 1 && p->max_features_3d >= 1 && p->max_features_2d >= 1 &&
                 p->convs_per_stage >= 1 && p->convs_per_stage_decoder >= 1,
             SF_EDATA, "%s: plan: features and convolutions per stage must be >= 1", where);
    SF_CHECK(p->pool_ratio > 1 && p->kernel_ratio >= 1 && p->lowres_axis_ratio >= 1 &&
                 p->lowres_cover > 0 && p->lowres_cover <= 1 && p->cascade_trigger <= 1 &&
                 p->anisotropy_percentile <= 100,
             SF_EDATA, "%s: plan: a ratio, part or percentile is out of range", where);
    SF_CHECK(r->train.iterations >= 1 && r->train.foreground_fraction <= 1 && r->train.ema <= 1 &&
                 r->train.checkpoint_every >= 1,
             SF_EDATA, "%s: train: iterations, checkpoint_every must be >= 1, fractions <= 1",
             where);
    SF_CHECK(r->infer.step > 0 && r->infer.step <= 1 && r->infer.gaussian_sigma > 0, SF_EDATA,
             "%s: infer: step must be in (0, 1], gaussian_sigma > 0", where);
    return SF_OK;
}

static sf_status fill(sf_recipe *r, const char *where)
{
    const char *name = NULL;
    SF_CHECK(json_is_object(r->json), SF_EDATA, "%s: a recipe must be a JSON object", where);
    SF_TRY(sf_json_get_str(&name, r->json, "name", where));
    SF_TRY(sf_mem_strdup(&r->name, name));
    SF_TRY(check_top_keys(r->json, where));
    for (size_t g = 0; g < COUNT(groups); g++) SF_TRY(read_group(r, g, r->json, where));
    SF_TRY(sf_json_get(&r->augment, r->json, "augment", where));
    SF_CHECK(json_is_object(r->augment), SF_EDATA, "%s: \"augment\" must be an object", where);
    return check_values(r, where);
}

/** Takes the reference of `json`, also on failure. */
static sf_status make(sf_recipe **out, json_t *json, const char *where)
{
    sf_recipe *r = NULL;
    sf_status st = sf_mem_calloc(&r, 1, sizeof *r, SF_MEM_MISC);
    if (st != SF_OK) {
        json_decref(json);
        return st;
    }
    r->json = json;
    SF_GOTO(fail, st, fill(r, where));
    *out = r;
    return SF_OK;
fail:
    sf_recipe_destroy(&r);
    return st;
}

static bool is_json_path(const char *name)
{
    const size_t n = strlen(name);
    return n > 5 && strcmp(name + n - 5, ".json") == 0;
}

/** "paper, nnunetv2" for one folder of configs/. */
static void list_embedded(char *text, size_t size, const char *folder)
{
    const size_t n = strlen(folder);
    text[0] = '\0';
    for (const sf_embedded_file *f = sf_embedded_configs; f->name; f++) {
        if (strncmp(f->name, folder, n) != 0 || f->name[n] != '/') continue;
        if (text[0]) strncat(text, ", ", size - strlen(text) - 1);
        strncat(text, f->name + n + 1, size - strlen(text) - 1);
    }
    if (!text[0]) strncat(text, "none", size - 1);
}

static sf_status load_config(json_t **out, const char *folder, const char *name)
{
    char full[SF_PATH_MAX], names[512];
    if (is_json_path(name)) return sf_json_load(out, name);
    SF_TRY(sf_path_format(full, "%s/%s", folder, name));
    for (const sf_embedded_file *f = sf_embedded_configs; f->name; f++)
        if (strcmp(f->name, full) == 0) return sf_json_parse(out, f->text, full);
    list_embedded(names, sizeof names, folder);
    return SF_FAIL(SF_EINVAL, "there is no \"%s\" in %s; known: %s; or give a path ending in .json",
                   name, folder, names);
}

/** Values of `over` replace those of `base`; objects are merged key by key. */
static sf_status merge(json_t *base, const json_t *over, const char *where)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)over, key, value)
    {
        json_t *old = json_object_get(base, key);
        SF_CHECK(old, SF_EDATA, "%s: unknown key \"%s\": a variant changes what a recipe has",
                 where, key);
        SF_CHECK(json_is_object(old) == json_is_object(value), SF_EDATA,
                 "%s: \"%s\" is an object in one of recipe and variant only", where, key);
        if (json_is_object(old)) {
            SF_TRY(merge(old, value, where));
            continue;
        }
        SF_CHECK(json_object_set(base, key, value) == 0, SF_ENOMEM, "out of memory");
    }
    return SF_OK;
}

/** A name that becomes part of paths and keys. */
static sf_status check_variant_name(const char *name, const char *variant)
{
    const size_t n = strlen(name);
    bool fine = n > 0 && n < SF_VARIANT_NAME && strcmp(name, "none") != 0;
    for (size_t i = 0; i < n; i++)
        fine = fine && (isalnum((unsigned char)name[i]) || strchr("_-", name[i]));
    SF_CHECK(fine, SF_EDATA,
             "variant %s: \"name\" is \"%.80s\"; it needs 1 to %d letters, digits, _ or -, and "
             "\"none\" is taken",
             variant, name, SF_VARIANT_NAME - 1);
    return SF_OK;
}

/** What is planned and preprocessed is the same for all variants. */
static sf_status check_variant_keys(const json_t *over, const char *variant)
{
    static const char *const network[] = { "base_features",   "max_features_3d",
                                           "max_features_2d", "convs_per_stage",
                                           "conv_bias",       "convs_per_stage_decoder" };
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(over, "plan"), key, value)
    {
        bool ok = false;
        for (size_t i = 0; i < COUNT(network); i++) ok = ok || strcmp(network[i], key) == 0;
        SF_CHECK(ok, SF_EDATA,
                 "variant %s: \"plan\" may only change the network (features, convolutions), not "
                 "\"%s\": for other plans use --recipe FILE",
                 variant, key);
    }
    SF_CHECK(!json_object_get(over, "prep"), SF_EDATA,
             "variant %s: \"prep\" changes the preprocessed data: use --recipe FILE", variant);
    return SF_OK;
}

sf_status sf_variant_load(json_t **out, const char *variant)
{
    json_t *over = NULL;
    const char *name = NULL;
    sf_status st;
    *out = NULL;
    SF_TRY(load_config(&over, "variants", variant));
    SF_CHECK_GOTO(fail, st, json_is_object(over), SF_EDATA, "variant %s: must be a JSON object",
                  variant);
    SF_GOTO(fail, st, sf_json_get_str(&name, over, "name", variant));
    SF_GOTO(fail, st, check_variant_name(name, variant));
    SF_GOTO(fail, st, check_variant_keys(over, variant));
    *out = over;
    return SF_OK;
fail:
    json_decref(over);
    return st;
}

/** The recipe keeps its name: a task is keyed by the variant's name anyway. */
static sf_status apply_variant(json_t *json, const json_t *variant)
{
    const char *name = json_string_value(json_object_get(variant, "name")), *key;
    char where[128];
    json_t *value;
    snprintf(where, sizeof where, "variant %s", name);
    json_object_foreach((json_t *)variant, key, value)
    {
        if (strcmp(key, "name") == 0 || strcmp(key, "description") == 0) continue;
        json_t *group = json_object_get(json, key);
        SF_CHECK(group && json_is_object(value), SF_EDATA,
                 "%s: unknown key \"%s\"; a variant has name, description, plan, train, infer, "
                 "augment, the last four as objects",
                 where, key);
        SF_TRY(merge(group, value, where));
    }
    return SF_OK;
}

sf_status sf_recipe_vary(sf_recipe **out, const sf_recipe *base, const json_t *variant)
{
    char where[SF_PATH_MAX];
    json_t *json = json_deep_copy(base->json);
    SF_CHECK(json, SF_ENOMEM, "out of memory while copying a recipe");
    sf_status st = apply_variant(json, variant);
    if (st == SF_OK)
        st = sf_path_format(where, "recipe %s with variant %s", base->name,
                            json_string_value(json_object_get(variant, "name")));
    if (st != SF_OK) {
        json_decref(json);
        return st;
    }
    return make(out, json, where);
}

sf_status sf_variant_list(char **out)
{
    char *text = NULL;
    SF_TRY(sf_mem_strdup(&text, "variants:"));
    for (const sf_embedded_file *f = sf_embedded_configs; f->name; f++) {
        static const char folder[] = "variants/";
        json_t *json = NULL;
        char *longer = NULL;
        if (strncmp(f->name, folder, sizeof folder - 1) != 0) continue;
        sf_status st = sf_json_parse(&json, f->text, f->name);
        const char *about = json_string_value(json_object_get(json, "description"));
        if (st == SF_OK)
            st = sf_mem_printf(&longer, "%s\n  %-20s %s", text, f->name + sizeof folder - 1,
                               about ? about : "");
        sf_mem_free(text);
        json_decref(json);
        if (st != SF_OK) return st;
        text = longer;
    }
    *out = text;
    return SF_OK;
}

sf_status sf_recipe_load(sf_recipe **out, const char *name)
{
    json_t *json = NULL;
    char where[SF_PATH_MAX];
    SF_TRY(load_config(&json, "recipes", name));
    const sf_status st = sf_path_format(where, "recipe %s", name);
    if (st != SF_OK) {
        json_decref(json);
        return st;
    }
    return make(out, json, where);
}

sf_status sf_recipe_from_json(sf_recipe **out, const json_t *json)
{
    json_t *copy = json_deep_copy(json);
    SF_CHECK(copy, SF_ENOMEM, "out of memory while copying a recipe");
    return make(out, copy, "the recipe recorded in the plans");
}

void sf_recipe_destroy(sf_recipe **r)
{
    if (!r || !*r) return;
    json_decref((*r)->json);
    sf_mem_free((*r)->name);
    sf_mem_free(*r);
    *r = NULL;
}

sf_status sf_preset_load(json_t **out, const char *name)
{
    SF_TRY(load_config(out, "presets", name));
    if (json_is_object(*out)) return SF_OK;
    json_decref(*out);
    *out = NULL;
    return SF_FAIL(SF_EDATA, "preset %s: must be a JSON object", name);
}
