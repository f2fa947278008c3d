/* Whole cases against the peer's preprocessed data (oracle/preprocess). */
#include "base/json.h"
#include "base/path.h"
#include "preprocess/pipeline.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int cases;
    double worst_data, worst_seg; /* absolute; share of the voxels */
    int failed;
} tally;

typedef struct {
    sf_dataset *d;
    sf_plans *plans;
    const char *dir;
    tally *t;
} dataset;

/* shapes, boxes, spacings: exact */
static bool props_equal(tst_h5 *f, const sf_case_props *p)
{
    char *text = tst_h5_attr_str(f, "/", "properties_json");
    json_t *j;
    double spacing[3];
    int64_t before[3], after[3];
    tst_ok(sf_json_parse(&j, text, "properties_json"));
    tst_ok(sf_json_get_nums(spacing, 3, j, "spacing", "oracle"));
    tst_ok(sf_json_get_ints(before, 3, j, "shape_before_cropping", "oracle"));
    tst_ok(sf_json_get_ints(after, 3, j, "shape_after_cropping_and_before_resampling", "oracle"));
    const json_t *box = json_object_get(j, "bbox_used_for_cropping");
    bool same = memcmp(spacing, p->spacing_file, sizeof spacing) == 0 &&
                memcmp(before, p->shape_before_crop, sizeof before) == 0 &&
                memcmp(after, p->shape_after_crop, sizeof after) == 0;
    for (size_t a = 0; a < 3; a++) {
        const json_t *side = json_array_get(box, a);
        same = same && json_integer_value(json_array_get(side, 0)) == p->bbox_lo[a] &&
               json_integer_value(json_array_get(side, 1)) == p->bbox_hi[a];
    }
    json_decref(j);
    free(text);
    return same;
}

static int64_t volume(const int64_t d[3]) { return d[0] * d[1] * d[2]; }

static double data_error(tst_h5 *f, const sf_prepared *c)
{
    int nd;
    int64_t dims[8];
    float *want = tst_h5_f32(f, "data", &nd, dims);
    double e = INFINITY;
    if (nd == 4 && dims[0] == c->channels &&
        memcmp(dims + 1, c->props.shape, sizeof c->props.shape) == 0)
        e = tst_max_abs_diff(c->data, want, c->channels * volume(c->props.shape));
    free(want);
    return e;
}

static int64_t seg_errors(tst_h5 *f, const sf_prepared *c)
{
    int nd;
    int64_t dims[8], wrong = 0;
    int16_t *want = tst_h5_i16(f, "seg", &nd, dims);
    for (int64_t i = 0; i < volume(c->props.shape); i++) wrong += c->seg[i] != want[i];
    free(want);
    return wrong;
}

static void entry_key(const sf_labels *l, int e, char *key, size_t size)
{
    size_t at = 0;
    for (int k = 0; k < l->eval[e].count && at < size; k++)
        at += (size_t)snprintf(key + at, size - at, "%s%d", k > 0 ? "_" : "", l->eval[e].value[k]);
}

/* The same counts (but for voxels that resampled to another label), and rows that hold the entry's
 * label. */
static bool locations_match(tst_h5 *f, const sf_labels *l, const sf_prepared *c, int64_t seg_wrong)
{
    bool ok = c->loc.n_entries == l->n_eval + (l->ignore >= 0);
    for (int e = 0; e < l->n_eval && ok; e++) {
        char key[256], name[300];
        int nd;
        int64_t dims[8];
        entry_key(l, e, key, sizeof key);
        snprintf(name, sizeof name, "class_locations/%s", key);
        free(tst_h5_i32(f, name, &nd, dims));
        ok = llabs((long long)(dims[0] - c->loc.count[e])) <= seg_wrong;
        for (int64_t r = 0; r < c->loc.count[e] && ok; r++) {
            const int32_t *v = c->loc.row[e][r];
            const int64_t *n = c->props.shape;
            ok = sf_labels_contains(l, e, c->seg[((int64_t)v[0] * n[1] + v[1]) * n[2] + v[2]]);
        }
    }
    return ok;
}

static void check_case(const dataset *s, const sf_case *sc, const char *config, const char *file)
{
    char path[SF_PATH_MAX];
    const sf_config *cfg;
    sf_prepared *c;
    tst_ok(sf_path_join(path, s->dir, file, NULL));
    tst_ok(sf_plans_config(&cfg, s->plans, config));
    tst_ok(sf_prepare_case_files(&c, sc, s->plans, cfg, &s->d->labels, true, NULL, 2));
    tst_h5 *f = tst_h5_open(path);
    const bool props = props_equal(f, &c->props);
    const bool resampled =
        memcmp(c->props.shape, c->props.shape_after_crop, sizeof c->props.shape) != 0;
    const double data = data_error(f, c);
    const int64_t wrong = isfinite(data) ? seg_errors(f, c) : volume(c->props.shape);
    const double share = (double)wrong / (double)volume(c->props.shape);
    const bool rows = locations_match(f, &s->d->labels, c, wrong);
    if (!props || data > 2e-4 || share > (resampled ? 5e-3 : 0) || !rows) {
        printf("%s/%s: properties %s, data %.3g, labels %.3g, locations %s\n", s->dir, file,
               props ? "equal" : "DIFFER", data, share, rows ? "match" : "DIFFER");
        s->t->failed++;
    }
    s->t->worst_data = fmax(s->t->worst_data, data);
    s->t->worst_seg = fmax(s->t->worst_seg, share);
    s->t->cases++;
    tst_h5_close(f);
    sf_prepared_destroy(&c);
}

/* CASE.CONFIG.h5 -> the case and the configuration */
static void check_file(const dataset *s, const char *file)
{
    for (int i = 0; i < s->d->n_train; i++) {
        const size_t n = strlen(s->d->train[i].id), all = strlen(file);
        char config[64];
        if (strncmp(file, s->d->train[i].id, n) != 0 || file[n] != '.' || all < n + 5) continue;
        if (strcmp(file + all - 3, ".h5") != 0) continue;
        snprintf(config, sizeof config, "%.*s", (int)(all - n - 4), file + n + 1);
        check_case(s, &s->d->train[i], config, file);
    }
}

static void check_dataset(const char *dir, tally *t)
{
    char path[SF_PATH_MAX], **name;
    size_t count;
    dataset s = { .dir = dir, .t = t };
    tst_ok(sf_dataset_load(&s.d, dir));
    tst_ok(sf_path_join(path, dir, "plans.json", NULL));
    tst_ok(sf_plans_load(&s.plans, path));
    tst_ok(sf_path_list(&name, &count, dir));
    for (size_t i = 0; i < count; i++) check_file(&s, name[i]);
    sf_path_free_list(&name, count);
    sf_plans_destroy(&s.plans);
    sf_dataset_destroy(&s.d);
}

static void test_preprocess(void **state)
{
    (void)state;
    const char *root = tst_shared("oracle/preprocess");
    if (root == NULL) tst_skip("oracle/preprocess is absent");
    char **name, dir[SF_PATH_MAX];
    size_t count;
    tally t = { 0 };
    tst_ok(sf_path_list(&name, &count, root));
    for (size_t i = 0; i < count; i++) {
        tst_ok(sf_path_join(dir, root, name[i], NULL));
        check_dataset(dir, &t);
    }
    sf_path_free_list(&name, count);
    printf("%d cases, worst data %.3g, worst labels %.3g of the voxels\n", t.cases, t.worst_data,
           t.worst_seg);
    assert_true(t.cases > 0 && t.failed == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_preprocess) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
