#include "base/mem.h"
#include "plan/arch.h"
#include "plan/planning.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* The planner's decisions in nnU-Net v2's file form and key order (nnunet-planning.md 9). */

/** From the channel's name, case-insensitive (planning.md 5.1). *may_mask: the scheme can use the
 *  non-zero mask. */
static sf_norm_scheme scheme_of(const char *channel, bool *may_mask)
{
    static const struct {
        const char *name;
        sf_norm_scheme scheme;
    } known[] = { { "ct", SF_NORM_CT },
                  { "nonorm", SF_NORM_NONE },
                  { "rescale_to_0_1", SF_NORM_RESCALE01 },
                  { "rgb_to_0_1", SF_NORM_RGB01 } };
    *may_mask = false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcasecmp(channel, known[i].name) == 0) return known[i].scheme;
    *may_mask = true;
    return SF_NORM_ZSCORE;
}

/** Does cropping shrink the images enough to normalise on the non-zero mask? */
static bool masks_pay(const sf_recipe_plan *r, const sf_fingerprint *f)
{
    const double limit = 1 - r->mask_shrink;
    if (r->mask_rule == SF_RULE_V2) return f->median_relative_size < limit;
    const bool known = !isnan(f->mean_relative_size);
    return (known ? f->mean_relative_size : f->median_relative_size) <= limit;
}

static void explain_norm(json_t *explain, const sf_recipe_plan *r, const sf_fingerprint *f,
                         bool masks, const json_t *names)
{
    const bool paper = r->mask_rule == SF_RULE_PAPER;
    sf_explain_add(explain, "normalization", "",
                   "by channel name: ct, noNorm, rescale_to_0_1, "
                   "rgb_to_0_1, everything else z-score",
                   "nnU-Net v2", NULL, json_deep_copy(names));
    sf_explain_add(explain, "z-score on the non-zero mask", "",
                   paper ? "when cropping shrinks the average size by at least the limit"
                         : "when the median relative size after cropping is below 1 - limit",
                   sf_explain_source(r->mask_rule),
                   json_pack("{s:o, s:f, s:f}", "average relative size",
                             sf_json_real(f->mean_relative_size), "median relative size",
                             f->median_relative_size, "limit", r->mask_shrink),
                   json_boolean(masks));
}

static void make_norms(json_t *names, json_t *masks, const sf_dataset *d, bool use_masks)
{
    for (int c = 0; c < d->n_channels; c++) {
        bool may_mask = false;
        const sf_norm_scheme s = scheme_of(d->channel_names[c], &may_mask);
        json_array_append_new(names, json_string(sf_norm_class(s)));
        json_array_append_new(masks, json_boolean(may_mask && use_masks));
    }
}

/** @param order  spline order of this resampling in the recipe */
static json_t *resampling_kwargs(const sf_resampling *r, bool is_seg, int64_t order,
                                 int64_t order_z)
{
    if (r->fn == SF_RESAMPLE_NONE) return json_object();
    json_t *force = r->force_separate_z < 0 ? json_null() : json_boolean(r->force_separate_z);
    if (r->fn == SF_RESAMPLE_SPLINE)
        return json_pack("{s:b, s:I, s:I, s:o}", "is_seg", is_seg ? 1 : 0, "order",
                         (json_int_t)order, "order_z", (json_int_t)order_z, "force_separate_z",
                         force);
    json_t *kw = json_pack("{s:b, s:o, s:b}", "is_seg", is_seg ? 1 : 0, "force_separate_z", force,
                           "memefficient_seg_resampling", 0);
    if (r->threshold > 0)
        json_object_set_new(kw, "separate_z_anisotropy_threshold", sf_json_real(r->threshold));
    return kw;
}

static json_t *median_json(const sf_draft *x, bool integers)
{
    int64_t v[3];
    const int at = 3 - x->dim;
    if (!integers) return sf_json_nums(x->median + at, x->dim);
    for (int i = at; i < 3; i++) v[i] = (int64_t)rint(x->median[i]);
    return sf_json_ints(v + at, x->dim);
}

typedef struct {
    const json_t *norms, *masks;
    const sf_recipe *recipe;
    const sf_resampling *resampling;
} common;

static json_t *config_json(const sf_draft *x, const char *prefix, const char *name, bool batch_dice,
                           const common *c)
{
    const char *fn = sf_resample_fn_name(c->resampling->fn);
    const sf_recipe_prep *prep = &c->recipe->prep;
    const int at = 3 - x->dim;
    char id[256];
    snprintf(id, sizeof id, "%s_%s", prefix, name);
    return json_pack(
        "{s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:s, s:s, s:o, s:o, s:s, s:o, s:o, s:b}",
        "data_identifier", id, "preprocessor_name", "DefaultPreprocessor", "batch_size",
        (json_int_t)x->batch, "patch_size", sf_json_ints(x->patch + at, x->dim),
        "median_image_size_in_voxels", median_json(x, strcmp(name, "3d_lowres") == 0), "spacing",
        sf_json_nums(x->spacing + at, x->dim), "normalization_schemes", json_deep_copy(c->norms),
        "use_mask_for_norm", json_deep_copy(c->masks), "resampling_fn_data", fn,
        "resampling_fn_seg", fn, "resampling_fn_data_kwargs",
        resampling_kwargs(c->resampling, false, prep->order_data, prep->order_z),
        "resampling_fn_seg_kwargs",
        resampling_kwargs(c->resampling, true, prep->order_seg, prep->order_z),
        "resampling_fn_probabilities", fn, "resampling_fn_probabilities_kwargs",
        resampling_kwargs(c->resampling, false, prep->order_prob, prep->order_z), "architecture",
        sf_arch_json(&x->arch), "batch_dice", batch_dice ? 1 : 0);
}

static json_t *configs_json(const sf_plan_settings *s, const sf_draft *two, const sf_draft *full,
                            const sf_draft *low, bool own_identifiers, const common *c)
{
    const char *shared = s->shared && !own_identifiers ? s->shared : s->plans_name;
    json_t *all = json_object();
    json_object_set_new(all, "2d", config_json(two, shared, "2d", true, c));
    if (low) {
        json_t *one = config_json(low, s->plans_name, "3d_lowres", false, c);
        json_object_set_new(one, "next_stage", json_string("3d_cascade_fullres"));
        json_object_set_new(all, "3d_lowres", one);
    }
    if (full)
        json_object_set_new(all, "3d_fullres",
                            config_json(full, shared, "3d_fullres", low != NULL, c));
    if (low)
        json_object_set_new(
            all, "3d_cascade_fullres",
            json_pack("{s:s, s:s}", "inherits_from", "3d_fullres", "previous_stage", "3d_lowres"));
    return all;
}

/** nnU-Net's class for a file ending, unless dataset.json names one (planning.md 1.6). */
static const char *reader_name(const sf_dataset *d, const sf_fingerprint *f)
{
    const char *given =
        json_string_value(json_object_get(d->json, "overwrite_image_reader_writer"));
    const char *e = d->file_ending;
    bool flat = true;
    if (given && strcmp(given, "None") != 0) return given;
    for (int i = 0; i < f->n_cases; i++) flat = flat && f->shape_after[i][0] == 1;
    if (strcasecmp(e, ".png") == 0 || strcasecmp(e, ".bmp") == 0) return "NaturalImage2DIO";
    if (strcasecmp(e, ".tif") == 0 || strcasecmp(e, ".tiff") == 0)
        return flat ? "NaturalImage2DIO" : "Tiff3DIO";
    if (strcasecmp(e, ".nii") == 0) return "NibabelIO";
    return "SimpleITKIO";
}

static json_t *intensities_json(const sf_fingerprint *f)
{
    json_t *all = json_object();
    for (int c = 0; c < f->n_channels; c++) {
        char key[16];
        snprintf(key, sizeof key, "%d", c);
        json_object_set_new(all, key, sf_intensity_json(&f->intensity[c]));
    }
    return all;
}

static json_t *top_json(const sf_plan_settings *s, const sf_plan_grid *g, const sf_dataset *d,
                        const sf_fingerprint *f, json_t *configs, const sf_recipe *r)
{
    double spacing[3];
    int64_t shape[3], fwd[3], bwd[3];
    for (int i = 0; i < 3; i++) {
        spacing[i] = g->median_spacing[g->forward[i]];
        shape[i] = (int64_t)rint(g->median_shape[g->forward[i]]);
        fwd[i] = g->forward[i];
        bwd[i] = g->backward[i];
    }
    return json_pack("{s:s, s:s, s:o, s:o, s:s, s:o, s:o, s:o, s:s, s:s, s:o, s:o}", "dataset_name",
                     d->name, "plans_name", s->plans_name, "original_median_spacing_after_transp",
                     sf_json_nums(spacing, 3), "original_median_shape_after_transp",
                     sf_json_ints(shape, 3), "image_reader_writer", reader_name(d, f),
                     "transpose_forward", sf_json_ints(fwd, 3), "transpose_backward",
                     sf_json_ints(bwd, 3), "configurations", configs, "experiment_planner_used",
                     s->planner, "label_manager", "LabelManager",
                     "foreground_intensity_properties_per_channel", intensities_json(f),
                     "segfleet_recipe", json_deep_copy(r->json));
}

sf_status sf_plans_write(json_t **out, const sf_plan_settings *s, const sf_plan_grid *g,
                         const sf_draft *two, const sf_draft *full, const sf_draft *low,
                         const sf_fingerprint *f, const sf_dataset *d, const sf_recipe *r,
                         bool own_identifiers, json_t *explain)
{
    const bool masks = masks_pay(&s->rule, f);
    json_t *norms = json_array(), *use = json_array();
    const common c = { norms, use, r, &s->resampling };
    make_norms(norms, use, d, masks);
    explain_norm(explain, &s->rule, f, masks, norms);
    json_t *configs = configs_json(s, two, full, low, own_identifiers, &c);
    *out = top_json(s, g, d, f, configs, r);
    json_decref(norms);
    json_decref(use);
    SF_CHECK(*out, SF_EDATA, "plans: out of memory, or a name is not valid UTF-8");
    return SF_OK;
}
