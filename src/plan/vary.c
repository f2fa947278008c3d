/* A variant over plans: the recipe that they record, and the networks of their configurations. */
#include "base/mem.h"
#include "plan/plans.h"
#include <string.h>

static json_t *repeated(int64_t value, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++) json_array_append_new(list, json_integer(value));
    return list;
}

/** Doubled from stage to stage up to the cap. */
static json_t *features(const sf_recipe_plan *p, int dim, size_t n)
{
    json_t *list = json_array();
    const int64_t cap = dim == 2 ? p->max_features_2d : p->max_features_3d;
    int64_t f = p->base_features < cap ? p->base_features : cap;
    for (size_t i = 0; list && i < n; i++) {
        json_array_append_new(list, json_integer(f));
        f = 2 * f < cap ? 2 * f : cap;
    }
    return list;
}

/** Only what the variant names: plans edited by hand keep the rest. */
static sf_status vary_network(json_t *kwargs, const json_t *changes, const sf_recipe_plan *p,
                              const sf_config *cfg, const char *variant)
{
    const size_t n = (size_t)cfg->arch.n_stages;
    const bool convs = json_object_get(changes, "convs_per_stage") != NULL;
    int failed = 0;
    SF_CHECK(!convs || cfg->arch.net == SF_NET_PLAIN, SF_EUNSUPPORTED,
             "variant %s: \"convs_per_stage\" is of the plain U-Net, but configuration %s is "
             "residual",
             variant, cfg->name);
    if (convs)
        failed |= json_object_set_new(kwargs, "n_conv_per_stage", repeated(p->convs_per_stage, n));
    if (json_object_get(changes, "convs_per_stage_decoder"))
        failed |= json_object_set_new(kwargs, "n_conv_per_stage_decoder",
                                      repeated(p->convs_per_stage_decoder, n - 1));
    if (json_object_get(changes, "base_features") || json_object_get(changes, "max_features_2d") ||
        json_object_get(changes, "max_features_3d"))
        failed |= json_object_set_new(kwargs, "features_per_stage", features(p, cfg->dim, n));
    if (json_object_get(changes, "conv_bias"))
        failed |= json_object_set_new(kwargs, "conv_bias", json_boolean(p->conv_bias));
    SF_CHECK(failed == 0, SF_ENOMEM, "out of memory");
    return SF_OK;
}

static sf_status vary_networks(json_t *json, const sf_plans *base, const json_t *variant,
                               const sf_recipe *r)
{
    const json_t *changes = json_object_get(variant, "plan");
    const char *name = json_string_value(json_object_get(variant, "name")), *key;
    json_t *cfg;
    if (json_object_size(changes) == 0) return SF_OK;
    json_object_foreach(json_object_get(json, "configurations"), key, cfg)
    {
        const sf_config *c;
        SF_TRY(sf_plans_config(&c, base, key));
        SF_CHECK(!json_object_get(cfg, "UNet_class_name"), SF_EUNSUPPORTED,
                 "variant %s changes the network, but configuration %s is described in the form of "
                 "nnU-Net before 2.3: plan anew",
                 name, key);
        json_t *arch = json_object_get(cfg, "architecture");
        if (!arch) continue; /* inherited */
        SF_TRY(vary_network(json_object_get(arch, "arch_kwargs"), changes, &r->plan, c, name));
    }
    return SF_OK;
}

sf_status sf_plans_vary(sf_plans **out, const sf_plans *base, const char *variant)
{
    json_t *over = NULL, *json = NULL;
    sf_recipe *recipe = NULL;
    sf_status st;
    *out = NULL;
    SF_CHECK(!base->variant, SF_EINVAL, "these plans are those of variant %s already",
             base->variant);
    SF_GOTO(done, st, sf_variant_load(&over, variant));
    SF_GOTO(done, st, sf_recipe_vary(&recipe, base->recipe, over));
    json = json_deep_copy(base->json);
    SF_CHECK_GOTO(done, st,
                  json && json_object_set(json, "segfleet_recipe", recipe->json) == 0 &&
                      json_object_set(json, "segfleet_variant", over) == 0,
                  SF_ENOMEM, "out of memory while copying plans");
    SF_GOTO(done, st, vary_networks(json, base, over, recipe));
    SF_GOTO(done, st, sf_plans_from_json(out, json, "plans of a variant"));
done:
    sf_recipe_destroy(&recipe);
    json_decref(json);
    json_decref(over);
    return st;
}
