#include "tests/plan/plan_check.h"
#include "base/path.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

void tst_describe(tst_description *d, const char *name, json_t *dataset, json_t *fingerprint)
{
    char dir[SF_PATH_MAX], path[SF_PATH_MAX];
    memset(d, 0, sizeof *d);
    snprintf(d->name, sizeof d->name, "%s", name);
    tst_ok(sf_path_join(dir, tst_tmp_dir(), name, NULL));
    tst_ok(sf_path_make_dirs(dir));
    tst_ok(sf_path_join(path, dir, "dataset.json", NULL));
    tst_ok(sf_json_save(dataset, path, 4, false));
    tst_ok(sf_dataset_from_json(&d->dataset, path));
    tst_ok(sf_path_join(path, dir, "dataset_fingerprint.json", NULL));
    tst_ok(sf_json_save(fingerprint, path, 4, true));
    tst_ok(sf_fingerprint_load(&d->fingerprint, path));
}

void tst_undescribe(tst_description *d)
{
    sf_dataset_destroy(&d->dataset);
    sf_fingerprint_destroy(&d->fingerprint);
}

static json_t *hand_made_dataset(int cases, int channels, const char *channel, int labels)
{
    json_t *names = json_object(), *values = json_object();
    for (int c = 0; c < channels; c++) {
        char key[16];
        snprintf(key, sizeof key, "%d", c);
        json_object_set_new(names, key, json_string(channel));
    }
    json_object_set_new(values, "background", json_integer(0));
    for (int l = 1; l < labels; l++) {
        char key[16];
        snprintf(key, sizeof key, "c%d", l);
        json_object_set_new(values, key, json_integer(l));
    }
    return json_pack("{s:o, s:o, s:i, s:s}", "channel_names", names, "labels", values,
                     "numTraining", cases, "file_ending", ".nii.gz");
}

void tst_describe_cases(tst_description *d, const char *name, int cases,
                        const double (*spacings)[3], int n_sp, const int64_t (*shapes)[3], int n_sh,
                        int channels, const char *channel, int labels)
{
    static const sf_intensity any = { 2000, 100, 95, -1000, -50, 300, 50 };
    json_t *dataset = hand_made_dataset(cases, channels, channel, labels);
    json_t *sp = json_array(), *sh = json_array(), *in = json_object();
    for (int i = 0; i < cases; i++) {
        json_array_append_new(sp, sf_json_nums(spacings[i % n_sp], 3));
        json_array_append_new(sh, sf_json_ints(shapes[i % n_sh], 3));
    }
    for (int c = 0; c < channels; c++) {
        char key[16];
        snprintf(key, sizeof key, "%d", c);
        json_object_set_new(in, key, sf_intensity_json(&any));
    }
    json_t *fp = json_pack("{s:o, s:f, s:o, s:o}", "foreground_intensity_properties_per_channel",
                           in, "median_relative_size_after_cropping", 1.0, "shapes_after_crop", sh,
                           "spacings", sp);
    tst_describe(d, name, dataset, fp);
    json_decref(dataset);
    json_decref(fp);
}

static void differ(const json_t *got, const json_t *want, const char *where)
{
    char *a = json_dumps(got, JSON_ENCODE_ANY | JSON_COMPACT);
    char *b = json_dumps(want, JSON_ENCODE_ANY | JSON_COMPACT);
    fail_msg("%s: got %.300s, want %.300s", where, a ? a : "nothing", b ? b : "nothing");
}

static void same_value(const json_t *got, const json_t *want, const char *where)
{
    if (!got || json_typeof(got) != json_typeof(want)) differ(got, want, where);
    if (json_is_real(want)) {
        const double a = json_real_value(got), b = json_real_value(want);
        if (!(fabs(a - b) <= 1e-9 * fabs(b))) differ(got, want, where);
    } else if (!json_equal(got, want)) {
        differ(got, want, where);
    }
}

void tst_same_json(const json_t *got, const json_t *want, const char *extra, const char *where)
{
    char place[512];
    const char *key;
    json_t *v;
    if (json_is_array(want)) {
        if (json_array_size(got) != json_array_size(want)) differ(got, want, where);
        for (size_t i = 0; i < json_array_size(want); i++) {
            snprintf(place, sizeof place, "%.400s[%zu]", where, i);
            tst_same_json(json_array_get(got, i), json_array_get(want, i), NULL, place);
        }
        return;
    }
    if (!json_is_object(want)) {
        same_value(got, want, where);
        return;
    }
    json_object_foreach((json_t *)want, key, v)
    {
        snprintf(place, sizeof place, "%.400s.%.80s", where, key);
        tst_same_json(json_object_get(got, key), v, NULL, place);
    }
    json_object_foreach((json_t *)got, key,
                        v) if (!json_object_get(want, key) && !(extra && strcmp(key, extra) == 0))
        fail_msg("%s: unexpected key %s", where, key);
}

sf_plans *tst_plan(const tst_description *d, const char *recipe, const sf_planner_options *o)
{
    sf_recipe *r = NULL;
    sf_plans *p = NULL;
    json_t *json = NULL;
    tst_ok(sf_recipe_load(&r, recipe));
    tst_ok(sf_planner_run(&json, NULL, d->fingerprint, d->dataset, r, o));
    tst_ok(sf_plans_from_json(&p, json, d->name));
    json_decref(json);
    sf_recipe_destroy(&r);
    return p;
}

const sf_config *tst_config(const sf_plans *p, const char *name)
{
    for (int i = 0; i < p->n_configs; i++)
        if (strcmp(p->config[i].name, name) == 0) return &p->config[i];
    return NULL;
}
