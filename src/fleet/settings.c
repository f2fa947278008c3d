#include "fleet/settings.h"
#include "base/json.h"
#include "plan/work.h"
#include <stdlib.h>
#include <string.h>

void sf_settings_default(sf_settings *s)
{
    memset(s, 0, sizeof *s);
    strcpy(s->recipe, "paper");
    s->num_folds = 5;
    s->mirror = true;
}

static json_t *to_json(const sf_settings *s)
{
    char seed[32];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)s->seed);
    return json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:s,s:b,s:b,s:f,s:s}", "dataset", s->dataset,
                     "recipe", s->recipe, "num_folds", (json_int_t)s->num_folds, "epochs",
                     (json_int_t)s->epochs, "iterations", (json_int_t)s->iterations, "batch_size",
                     (json_int_t)s->batch, "seed", seed, "mirroring", s->mirror, "conv_exact",
                     s->exact, "memory_gb", s->memory_gb, "groups", s->groups);
}

static sf_status get_path(char out[SF_PATH_MAX], const json_t *j, const char *key,
                          const char *where)
{
    const char *text;
    SF_TRY(sf_json_get_str(&text, j, key, where));
    return sf_path_format(out, "%s", text);
}

static sf_status from_json(sf_settings *s, const json_t *j, const char *where)
{
    const char *seed;
    SF_TRY(get_path(s->dataset, j, "dataset", where));
    SF_TRY(get_path(s->recipe, j, "recipe", where));
    SF_TRY(get_path(s->groups, j, "groups", where));
    SF_TRY(sf_json_get_int(&s->num_folds, j, "num_folds", where));
    SF_TRY(sf_json_get_int(&s->epochs, j, "epochs", where));
    SF_TRY(sf_json_get_int(&s->iterations, j, "iterations", where));
    SF_TRY(sf_json_get_int(&s->batch, j, "batch_size", where));
    SF_TRY(sf_json_get_str(&seed, j, "seed", where));
    s->seed = strtoull(seed, NULL, 10);
    SF_TRY(sf_json_get_bool(&s->mirror, j, "mirroring", where));
    SF_TRY(sf_json_get_bool(&s->exact, j, "conv_exact", where));
    return sf_json_get_num(&s->memory_gb, j, "memory_gb", where);
}

sf_status sf_settings_load(sf_settings *s, const char *work)
{
    char path[SF_PATH_MAX];
    json_t *j = NULL;
    SF_TRY(sf_work_file(path, work, "run.json"));
    SF_CHECK(sf_path_is_file(path), SF_EINVAL,
             "%s is not there: start the work folder with 'segfleet preprocess' or 'segfleet run'",
             path);
    SF_TRY(sf_json_load(&j, path));
    sf_status st = from_json(s, j, path);
    json_decref(j);
    return st;
}

/* The first key on which the two differ, or NULL. */
static const char *difference(const json_t *a, const json_t *b)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)a, key, value)
    {
        if (!json_equal(value, json_object_get(b, key))) return key;
    }
    return NULL;
}

sf_status sf_settings_store(const sf_settings *s, const char *work)
{
    char path[SF_PATH_MAX];
    json_t *j = to_json(s), *old = NULL;
    sf_status st;
    SF_CHECK_GOTO(done, st, j, SF_ENOMEM, "out of memory");
    SF_GOTO(done, st, sf_path_make_dirs(work));
    SF_GOTO(done, st, sf_work_file(path, work, "run.json"));
    if (!sf_path_is_file(path)) {
        SF_GOTO(done, st, sf_json_save(j, path, 4, false));
        goto done;
    }
    SF_GOTO(done, st, sf_json_load(&old, path));
    const char *key = difference(j, old);
    SF_CHECK_GOTO(done, st, !key, SF_EINVAL,
                  "%s was started with another '%s': give the same option, or another work folder",
                  path, key);
done:
    json_decref(j);
    json_decref(old);
    return st;
}
