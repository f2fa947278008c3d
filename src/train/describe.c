#include "train/describe.h"
#include "train/pretrained.h"
#include "train/validate.h"

sf_status sf_train_describe(char **json, const sf_train_options *o, const sf_config *cfg)
{
    bool axis[3];
    char pretrained[65];
    const json_t *plans = o->plans->json;
    sf_mirror_axes(cfg, o->plans->recipe, o->mirror, axis);
    SF_TRY(sf_pretrained_hash(pretrained, o->pretrained));
    json_t *j =
        json_pack("{s:s,s:[b,b,b],s:b,s:O,s:s,s:O*,s:s*}", "recipe", o->plans->recipe->name,
                  "mirror_axes", axis[0], axis[1], axis[2], "exact", o->exact, "configuration",
                  json_object_get(json_object_get(plans, "configurations"), cfg->name),
                  "pretrained", pretrained, "variant", json_object_get(plans, "segfleet_variant"),
                  "precision", o->precision == SF_F32 ? NULL : sf_precision_name(o->precision));
    SF_CHECK(j, SF_ENOMEM, "out of memory");
    const sf_status st = sf_json_dump(json, j, 0, false);
    json_decref(j);
    return st;
}
