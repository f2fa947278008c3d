#include "plan/planner.h"
#include "base/log.h"
#include "plan/planning.h"
#include <stdint.h>
#include <string.h>

/** Blocks per stage of a preset; the last entry stands for all deeper stages. */
static sf_status read_blocks(sf_plan_settings *s, const char *where)
{
    const json_t *list = json_object_get(s->preset, "blocks_per_stage");
    const size_t n = json_array_size(list);
    SF_CHECK(n >= 1 && n <= SF_MAX_STAGES, SF_EDATA,
             "%s: \"blocks_per_stage\" must be a list of 1 to %d integers", where,
             (int)SF_MAX_STAGES);
    for (size_t k = 0; k < SF_MAX_STAGES; k++) {
        const json_int_t b = json_integer_value(json_array_get(list, k < n ? k : n - 1));
        SF_CHECK(b >= 1 && b <= 64, SF_EDATA, "%s: \"blocks_per_stage\" must be 1 to 64", where);
        s->blocks[k] = (int)b;
    }
    return SF_OK;
}

/** A misspelt key must not pass for a default. */
static sf_status check_preset_keys(const json_t *preset, const char *where)
{
    static const char *const known[] = { "name",
                                         "planner",
                                         "plans_name",
                                         "network",
                                         "memory_gb_ref",
                                         "memory_gb",
                                         "ref_3d",
                                         "ref_2d",
                                         "batch_cap",
                                         "resampling",
                                         "description",
                                         "shared_identifier",
                                         "blocks_per_stage",
                                         "reduce_at_ref_batch",
                                         "convs_per_stage_decoder" };
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)preset, key, v)
    {
        bool ok = false;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            ok = ok || strcmp(key, known[i]) == 0;
        SF_CHECK(ok, SF_EDATA, "%s: unknown key \"%s\"; remove it or check its spelling", where,
                 key);
    }
    return SF_OK;
}

/** "resampling": a function of nnU-Net v2, and its keywords on the separate axis; absent: the
 *  default function with the recipe's orders. */
static sf_status read_resampling(sf_plan_settings *s, const char *where)
{
    const json_t *given = json_object_get(s->preset, "resampling");
    const json_t *force = json_object_get(given, "force_separate_z");
    const char *fn = NULL;
    if (!given) return SF_OK;
    SF_TRY(sf_json_get_str(&fn, given, "function", where));
    SF_TRY(sf_resample_fn_from_name(&s->resampling.fn, fn, where));
    s->resampling.force_separate_z = json_is_boolean(force) ? json_is_true(force) : -1;
    if (!json_object_get(given, "separate_z_anisotropy_threshold")) return SF_OK;
    return sf_json_get_num(&s->resampling.threshold, given, "separate_z_anisotropy_threshold",
                           where);
}

/** Whose data identifiers 2d and 3d_fullres take; null: their own. */
static sf_status read_shared(sf_plan_settings *s, const char *where)
{
    if (json_is_null(json_object_get(s->preset, "shared_identifier"))) return SF_OK;
    return sf_json_get_str(&s->shared, s->preset, "shared_identifier", where);
}

static sf_status read_preset(sf_plan_settings *s, const char *name)
{
    char where[256];
    const char *net = NULL;
    int64_t convs = 0;
    snprintf(where, sizeof where, "preset %.200s", name);
    SF_TRY(sf_preset_load(&s->preset, name));
    SF_TRY(check_preset_keys(s->preset, where));
    SF_TRY(sf_json_get_str(&s->planner, s->preset, "planner", where));
    SF_TRY(sf_json_get_str(&s->plans_name, s->preset, "plans_name", where));
    SF_TRY(read_shared(s, where));
    SF_TRY(read_resampling(s, where));
    SF_TRY(sf_json_get_str(&net, s->preset, "network", where));
    SF_TRY(sf_json_get_num(&s->rule.memory_gb_ref, s->preset, "memory_gb_ref", where));
    SF_TRY(sf_json_get_num(&s->memory_gb, s->preset, "memory_gb", where));
    SF_TRY(sf_json_get_num(&s->rule.ref_3d, s->preset, "ref_3d", where));
    SF_TRY(sf_json_get_num(&s->rule.ref_2d, s->preset, "ref_2d", where));
    SF_TRY(sf_json_get_num(&s->rule.batch_cap, s->preset, "batch_cap", where));
    SF_TRY(sf_json_get_bool(&s->rule.reduce_at_ref_batch, s->preset, "reduce_at_ref_batch", where));
    SF_TRY(sf_json_get_int(&convs, s->preset, "convs_per_stage_decoder", where));
    SF_TRY(read_blocks(s, where));
    SF_CHECK(strcmp(net, "PlainConvUNet") == 0 || strcmp(net, "ResidualEncoderUNet") == 0, SF_EDATA,
             "%s: \"network\" must be PlainConvUNet or ResidualEncoderUNet", where);
    SF_CHECK(s->rule.memory_gb_ref > 0 && s->memory_gb > 0 && s->rule.ref_3d > 0 &&
                 s->rule.ref_2d > 0 && s->rule.batch_cap >= 0 && convs >= 1 && convs <= 64,
             SF_EDATA, "%s: a number is out of range", where);
    s->net = net[0] == 'P' ? SF_NET_PLAIN : SF_NET_RESENC;
    s->decoder_convs = (int)convs;
    return SF_OK;
}

/** A plans name becomes part of data identifiers, and so of file names. */
static sf_status check_plans_name(const char *name)
{
    SF_CHECK(name[0] && name[0] != '.' && strlen(name) < 64 && !strchr(name, '/'), SF_EINVAL,
             "plans name \"%.80s\": at most 63 characters, no slash, no leading dot", name);
    return SF_OK;
}

sf_status sf_plan_settings_make(sf_plan_settings *s, const sf_recipe *r,
                                const sf_planner_options *o)
{
    *s = (sf_plan_settings){ .rule = r->plan, .net = SF_NET_PLAIN };
    s->slope = r->train.leaky_slope;
    s->eps = r->train.norm_eps;
    s->resampling.force_separate_z = -1;
    s->memory_gb = r->plan.memory_gb;
    s->planner = "ExperimentPlanner";
    s->plans_name = "nnUNetPlans";
    for (int k = 0; k < SF_MAX_STAGES; k++) s->blocks[k] = (int)r->plan.convs_per_stage;
    s->decoder_convs = (int)r->plan.convs_per_stage_decoder;
    if (!o) return SF_OK;
    if (o->preset) SF_TRY(read_preset(s, o->preset));
    if (o->memory_gb > 0) s->memory_gb = o->memory_gb;
    if (o->plans_name) s->plans_name = o->plans_name;
    return check_plans_name(s->plans_name);
}

void sf_plan_settings_free(sf_plan_settings *s)
{
    json_decref(s->preset);
    s->preset = NULL;
}

typedef struct {
    sf_plan_settings settings;
    sf_plan_grid grid;
    sf_draft two, full;
    sf_lowres low;
    json_t *explain;
} planning;

static void warn_padded(const sf_draft *d, const char *name)
{
    if (d->padded)
        sf_log(SF_LOG_WARN, "plan",
               "cfg=%s images are too small for one pooling: patch padded to %lldx%lldx%lld", name,
               (long long)d->patch[0], (long long)d->patch[1], (long long)d->patch[2]);
}

static sf_status make_drafts(planning *p, double n_cases, int classes)
{
    const sf_plan_settings *s = &p->settings;
    const sf_plan_grid *g = &p->grid;
    const double voxels = g->shape[0] * g->shape[1] * g->shape[2] * n_cases;
    const double voxels_2d = g->shape_2d[0] * g->shape_2d[1] * g->shape_2d[2] * n_cases;
    SF_TRY(sf_draft_make(&p->two, s, 2, g->spacing_2d, g->shape_2d, voxels_2d, classes));
    sf_draft_explain(p->explain, s, "2d", &p->two);
    warn_padded(&p->two, "2d");
    if (g->only_2d) return SF_OK;
    SF_TRY(sf_draft_make(&p->full, s, 3, g->spacing, g->shape, voxels, classes));
    SF_TRY(sf_lowres_make(&p->low, s, g, &p->full, n_cases, classes, p->explain));
    sf_draft_explain(p->explain, s, "3d_fullres", &p->full);
    warn_padded(&p->full, "3d_fullres");
    if (p->low.exists) sf_draft_explain(p->explain, s, "3d_lowres", &p->low.draft);
    return SF_OK;
}

static sf_status check_target(const double *spacing)
{
    for (int i = 0; spacing && i < 3; i++)
        SF_CHECK(spacing[i] > 1e-9 && spacing[i] < 1e9, SF_EINVAL,
                 "target spacing %g of axis %d: millimetres, more than 0", spacing[i], i);
    return SF_OK;
}

static sf_status run(json_t **plans, planning *p, const sf_fingerprint *f, const sf_dataset *d,
                     const sf_recipe *r, const sf_planner_options *o)
{
    const double n_cases = (double)(d->num_training > 0 ? d->num_training : f->n_cases);
    const double *overwrite = o ? o->spacing : NULL;
    SF_CHECK(f->n_channels == d->n_channels, SF_EDATA,
             "the fingerprint has %d channels, dataset.json %d; they are of different datasets",
             f->n_channels, d->n_channels);
    SF_TRY(check_target(overwrite));
    SF_TRY(sf_plan_settings_make(&p->settings, r, o));
    SF_TRY(sf_plan_grid_make(&p->grid, &p->settings, f, overwrite, p->explain));
    SF_TRY(make_drafts(p, n_cases, d->labels.n_entries));
    return sf_plans_write(plans, &p->settings, &p->grid, &p->two, p->grid.only_2d ? NULL : &p->full,
                          p->low.exists ? &p->low.draft : NULL, f, d, r, overwrite != NULL,
                          p->explain);
}

sf_status sf_planner_run(json_t **plans, json_t **explain, const sf_fingerprint *f,
                         const sf_dataset *d, const sf_recipe *r, const sf_planner_options *o)
{
    planning p = { .explain = explain ? json_array() : NULL };
    const sf_status st = run(plans, &p, f, d, r, o);
    sf_plan_settings_free(&p.settings);
    if (st != SF_OK) {
        json_decref(p.explain);
        return sf_trace_(st, __FILE__, __LINE__, "sf_planner_run");
    }
    if (explain) *explain = p.explain;
    return SF_OK;
}

sf_status sf_planner_keep_foreign(json_t *plans, const json_t *old, const char *where)
{
    const json_t *theirs = json_object_get(old, "configurations");
    json_t *ours = json_object_get(plans, "configurations"), *v;
    const char *name;
    sf_plans *check = NULL;
    int kept = 0;
    SF_CHECK(json_is_object(theirs), SF_EDATA,
             "%s exists and is no plans file: name another file, or remove it", where);
    json_object_foreach((json_t *)(uintptr_t)theirs, name, v)
    {
        if (json_object_get(ours, name)) continue;
        SF_CHECK(json_object_set(ours, name, v) == 0, SF_ENOMEM, "out of memory");
        sf_log(SF_LOG_WARN, "plan",
               "cfg=%s of %s is kept: it is not of this planning and may have another spacing",
               name, where);
        kept++;
    }
    if (kept == 0) return SF_OK;
    SF_TRY(sf_plans_from_json(&check, plans, where));
    sf_plans_destroy(&check);
    return SF_OK;
}
