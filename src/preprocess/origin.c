#include "preprocess/origin.h"
#include "base/hash.h"
#include "base/mem.h"
#include "store/cases.h"
#include <string.h>

static json_t *resampling_json(const sf_resampling *r)
{
    return json_pack("[s, i, i, i, f]", sf_resample_fn_name(r->fn), r->order, r->order_z,
                     r->force_separate_z, r->threshold);
}

/** Statistics count only where the scheme reads them. */
static json_t *norm_json(const sf_plans *p, const sf_config *c)
{
    json_t *all = json_array();
    for (int i = 0; i < p->n_channels; i++) {
        const bool reads = c->norm[i] == SF_NORM_CT;
        json_array_append_new(all,
                              json_pack("[s, b, o]", sf_norm_class(c->norm[i]), (int)c->use_mask[i],
                                        reads ? sf_intensity_json(&p->intensity[i]) : json_null()));
    }
    return all;
}

sf_status sf_data_origin(char hex[65], const sf_plans *plans, const sf_config *cfg)
{
    const int *f = plans->transpose_forward;
    const json_t *prep = json_object_get(plans->recipe->json, "prep");
    char *text = NULL;
    sf_sha256 h;
    json_t *json = json_pack("{s:[i, i, i], s:i, s:o, s:o, s:o, s:o, s:O?}", "transpose", f[0],
                             f[1], f[2], "dim", cfg->dim, "spacing", sf_json_nums(cfg->spacing, 3),
                             "norm", norm_json(plans, cfg), "data", resampling_json(&cfg->data),
                             "seg", resampling_json(&cfg->seg), "prep", prep);
    SF_CHECK(json, SF_ENOMEM, "out of memory");
    const sf_status st = sf_json_dump(&text, json, 0, true);
    json_decref(json);
    SF_TRY(st);
    sf_sha256_begin(&h);
    sf_sha256_add(&h, text, strlen(text));
    sf_sha256_end(&h, hex);
    sf_mem_free(text);
    return SF_OK;
}

sf_status sf_data_origin_check(const char *path, const sf_plans *plans, const sf_config *cfg)
{
    char now[65];
    sf_cases *c = NULL;
    SF_TRY(sf_data_origin(now, plans, cfg));
    SF_TRY(sf_cases_open(&c, path, false));
    const char *then = sf_cases_meta(c, "data_origin");
    const bool same = !then || strcmp(then, now) == 0; /* none: of a version that kept no trace */
    sf_cases_close(&c);
    SF_CHECK(same, SF_EINVAL,
             "%s was preprocessed by another plan than that of configuration %s now (spacing, "
             "normalization, resampling or axis order differ): undo the change, remove that file "
             "and what was trained on it, or use another work folder",
             path, cfg->name);
    return SF_OK;
}
