#include "fleet/settings.h"
#include "base/json.h"
#include "plan/work.h"
#include <errno.h>
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
    return json_pack(
        "{s:s,s:s,s:I,s:I,s:I,s:I,s:s,s:b,s:b,s:f,s:s,s:s,s:o,s:s,s:s,s:s}", "dataset", s->dataset,
        "recipe", s->recipe, "num_folds", (json_int_t)s->num_folds, "epochs", (json_int_t)s->epochs,
        "iterations", (json_int_t)s->iterations, "batch_size", (json_int_t)s->batch, "seed", seed,
        "mirroring", s->mirror, "conv_exact", s->exact, "memory_gb", s->memory_gb, "groups",
        s->groups, "preset", s->preset, "spacing", sf_json_nums(s->spacing, 3), "splits", s->splits,
        "variant", s->variant, "precision", sf_precision_name(s->precision));
}

static sf_status get_path(char out[SF_PATH_MAX], const json_t *j, const char *key,
                          const char *where)
{
    const char *text;
    SF_TRY(sf_json_get_str(&text, j, key, where));
    return sf_path_format(out, "%s", text);
}

static sf_status get_seed(uint64_t *seed, const json_t *j, const char *where)
{
    const char *text;
    char *end;
    SF_TRY(sf_json_get_str(&text, j, "seed", where));
    errno = 0;
    *seed = strtoull(text, &end, 10);
    SF_CHECK(*text >= '0' && *text <= '9' && *end == 0 && errno == 0, SF_EDATA,
             "%s: \"seed\" must be a number in quotes, not '%s'", where, text);
    return SF_OK;
}

/* Folders of earlier versions do not say it. */
static sf_status default_precision(json_t *j)
{
    if (json_object_get(j, "precision")) return SF_OK;
    SF_CHECK(json_object_set_new(j, "precision", json_string(sf_precision_name(SF_F32))) == 0,
             SF_ENOMEM, "out of memory");
    return SF_OK;
}

static sf_status get_precision(sf_dtype *out, json_t *j, const char *where)
{
    const char *text;
    SF_TRY(default_precision(j));
    SF_TRY(sf_json_get_str(&text, j, "precision", where));
    return sf_precision_of(out, text);
}

static sf_status from_json(sf_settings *s, json_t *j, const char *where)
{
    SF_TRY(get_path(s->dataset, j, "dataset", where));
    SF_TRY(get_path(s->recipe, j, "recipe", where));
    SF_TRY(get_path(s->groups, j, "groups", where));
    SF_TRY(get_path(s->splits, j, "splits", where));
    SF_TRY(get_path(s->variant, j, "variant", where));
    SF_TRY(get_path(s->preset, j, "preset", where));
    SF_TRY(sf_json_get_nums(s->spacing, 3, j, "spacing", where));
    SF_TRY(sf_json_get_int(&s->num_folds, j, "num_folds", where));
    SF_TRY(sf_json_get_int(&s->epochs, j, "epochs", where));
    SF_TRY(sf_json_get_int(&s->iterations, j, "iterations", where));
    SF_TRY(sf_json_get_int(&s->batch, j, "batch_size", where));
    SF_TRY(get_seed(&s->seed, j, where));
    SF_TRY(sf_json_get_bool(&s->mirror, j, "mirroring", where));
    SF_TRY(sf_json_get_bool(&s->exact, j, "conv_exact", where));
    SF_TRY(get_precision(&s->precision, j, where));
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

/* How the user says it. */
static const char *option_name(const char *key)
{
    static const char *const name[][2] = {
        { "dataset", "DATASET" },
        { "recipe", "--recipe" },
        { "num_folds", "--num-folds" },
        { "epochs", "--epochs" },
        { "iterations", "--iterations" },
        { "batch_size", "--batch-size" },
        { "seed", "--seed" },
        { "mirroring", "--no-mirroring" },
        { "conv_exact", "--conv" },
        { "precision", "--precision" },
        { "memory_gb", "--memory-gb" },
        { "groups", "--groups" },
        { "splits", "--splits" },
        { "variant", "--variant" },
        { "preset", "--preset" },
        { "spacing", "--spacing" },
    };
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        if (strcmp(name[i][0], key) == 0) return name[i][1];
    }
    return key;
}

static sf_status refuse(const char *path, const char *key, const json_t *then, const json_t *now)
{
    char *a = json_dumps(then, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6)),
         *b = json_dumps(now, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
    const sf_status st = SF_FAIL(SF_EINVAL,
                                 "%s was started with another %s (%s, now %s): give the same "
                                 "option, or another work folder",
                                 path, option_name(key), a ? a : "none", b ? b : "none");
    free(a);
    free(b);
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
    SF_GOTO(done, st, default_precision(old));
    const char *key = difference(j, old);
    if (key) st = refuse(path, key, json_object_get(old, key), json_object_get(j, key));
done:
    json_decref(j);
    json_decref(old);
    return st;
}
