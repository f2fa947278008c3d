/* selection/NAME: scores of every model and pair, the choice, post-processing of the chosen. 1e-9.
 */
#include "base/mem.h"
#include "base/path.h"
#include "evaluate/select.h"
#include "json_compare.h"
#include "plan/labels.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CASES = 64, MAX_MODELS = 8 };

typedef struct {
    tst_h5 *file;
    json_t *want;
    sf_labels labels;
    char *model[MAX_MODELS]; /* as groups are named: "2d" */
    int n_models, n_cases;
    char **cases;
    int32_t *ref[MAX_CASES], *pred[MAX_CASES];
    int64_t shape[MAX_CASES][3];
} scene;

/* Keys of all_results without "ensemble" keep the order of the candidates; the part after the last
 * "__" names the group. */
static void find_models(scene *s)
{
    const char *key;
    json_t *v;
    json_object_foreach(json_object_get(s->want, "all_results"), key, v)
    {
        if (strncmp(key, "ensemble", 8) == 0) continue;
        const char *at = strstr(strstr(key, "__") + 2, "__") + 2;
        assert_true(s->n_models < MAX_MODELS);
        s->model[s->n_models++] = strdup(at);
    }
}

static void make_labels(scene *s, int classes)
{
    json_t *root = json_object(), *labels = json_object();
    json_object_set_new(labels, "background", json_integer(0));
    for (int c = 1; c < classes; c++) {
        char name[16];
        snprintf(name, sizeof name, "l%d", c);
        json_object_set_new(labels, name, json_integer(c));
    }
    json_object_set_new(root, "labels", labels);
    tst_ok(sf_labels_parse(&s->labels, root, "test"));
    json_decref(root);
}

static void open_scene(scene *s, const char *dir)
{
    char path[SF_PATH_MAX], name[256];
    int nd = 0;
    int64_t dims[8];
    memset(s, 0, sizeof *s);
    tst_ok(sf_path_join(path, dir, "expected.json", NULL));
    tst_ok(sf_json_load(&s->want, path));
    tst_ok(sf_path_join(path, dir, "predictions.h5", NULL));
    s->file = tst_h5_open(path);
    find_models(s);
    s->cases = tst_h5_list(s->file, "reference", &s->n_cases);
    assert_true(s->n_cases > 0 && s->n_cases <= MAX_CASES);
    for (int i = 0; i < s->n_cases; i++) {
        snprintf(name, sizeof name, "reference/%s", s->cases[i]);
        s->ref[i] = tst_h5_i32(s->file, name, &nd, dims);
        memcpy(s->shape[i], dims, sizeof s->shape[i]);
    }
    snprintf(name, sizeof name, "%s/%s", s->model[0], s->cases[0]);
    free(tst_h5_f32(s->file, name, &nd, dims));
    make_labels(s, (int)dims[0]);
}

static void close_scene(scene *s)
{
    for (int i = 0; i < s->n_models; i++) free(s->model[i]);
    for (int i = 0; i < s->n_cases; i++) {
        free(s->ref[i]);
        free(s->pred[i]);
        free(s->cases[i]);
    }
    free(s->cases);
    sf_labels_free(&s->labels);
    tst_h5_close(s->file);
    json_decref(s->want);
}

/* Labels of a case from the mean of the members' probabilities; caller frees. */
static int32_t *decide(scene *s, const sf_candidate *c, int i)
{
    float *p[2] = { NULL, NULL };
    int nd = 0;
    int64_t dims[8];
    for (int k = 0; k < c->n_members; k++) {
        char name[256];
        snprintf(name, sizeof name, "%s/%s", s->model[c->member[k]], s->cases[i]);
        p[k] = tst_h5_f32(s->file, name, &nd, dims);
    }
    const int64_t voxels = dims[1] * dims[2] * dims[3];
    int32_t *out = malloc((size_t)voxels * sizeof *out);
    float *mean = malloc((size_t)(voxels * dims[0]) * sizeof *mean);
    sf_ensemble_mean((const float *const *)p, c->n_members, voxels * dims[0], mean);
    sf_labels_decide(&s->labels, mean, false, voxels, out);
    free(mean);
    free(p[0]);
    free(p[1]);
    return out;
}

static void predict_all(scene *s, const sf_candidate *c)
{
    for (int i = 0; i < s->n_cases; i++) {
        free(s->pred[i]);
        s->pred[i] = decide(s, c, i);
    }
}

static void score(scene *s, sf_candidate *c)
{
    sf_summary *sum = NULL;
    sf_metric m[64];
    predict_all(s, c);
    tst_ok(sf_summary_create(&sum, s->n_cases, &s->labels));
    for (int i = 0; i < s->n_cases; i++) {
        sf_metrics_compute(s->ref[i], s->pred[i], s->shape[i][0] * s->shape[i][1] * s->shape[i][2],
                           &s->labels, m);
        tst_ok(sf_summary_set(sum, i, NULL, NULL, NULL, m));
    }
    sf_summary_finish(sum);
    c->dice = sum->foreground_dice;
    memcpy(c->class_dice, sum->mean_dice, (size_t)sum->n_eval * sizeof(double));
    sf_summary_destroy(&sum);
}

/* Does the peer's long key name this candidate? */
static bool names_candidate(const scene *s, const char *key, const sf_candidate *c)
{
    char a[256], b[256];
    const bool pair = strncmp(key, "ensemble___", 11) == 0;
    if (pair != (c->n_members == 2)) return false;
    snprintf(a, sizeof a, "__%s", s->model[c->member[0]]);
    if (!pair) return strlen(key) > strlen(a) && !strcmp(key + strlen(key) - strlen(a), a);
    snprintf(a, sizeof a, "__%s___", s->model[c->member[0]]);
    snprintf(b, sizeof b, "__%s___", s->model[c->member[1]]);
    const char *first = strstr(key, a);
    return first && strstr(first + strlen(a) - 3, b);
}

static double check_scores(const scene *s, const sf_selection *sel)
{
    const json_t *all = json_object_get(s->want, "all_results");
    const json_t *classes = json_object_get(s->want, "mean_dice_per_label");
    const char *key;
    json_t *v;
    double worst = 0.0;
    int found = 0;
    json_object_foreach((json_t *)all, key, v) for (int i = 0; i < sel->n; i++)
    {
        const sf_candidate *c = &sel->candidate[i];
        if (!names_candidate(s, key, c)) continue;
        found++;
        worst = fmax(worst, fabs(c->dice - sf_json_num(v)));
        for (int e = 0; e < s->labels.n_eval; e++) {
            const json_t *d = json_object_get(json_object_get(classes, key), s->labels.eval[e].key);
            worst = fmax(worst, fabs(c->class_dice[e] - sf_json_num(d)));
        }
    }
    assert_int_equal(sel->n, found);
    assert_int_equal(json_object_size(all), found);
    return worst;
}

static void check_choice(const scene *s, const sf_selection *sel)
{
    const json_t *chosen = json_object_get(s->want, "chosen");
    const sf_candidate *c = &sel->candidate[sel->best];
    assert_int_equal(json_array_size(chosen), c->n_members);
    for (int k = 0; k < c->n_members; k++)
        assert_string_equal(json_string_value(json_array_get(chosen, (size_t)k)),
                            s->model[c->member[k]]);
}

static double check_postprocessing(scene *s, const sf_candidate *c)
{
    sf_pp_case pp[MAX_CASES];
    sf_postproc *p = NULL;
    sf_summary *before = NULL, *after = NULL;
    const json_t *ops = json_object_get(s->want, "postprocessing");
    predict_all(s, c);
    for (int i = 0; i < s->n_cases; i++) {
        pp[i] = (sf_pp_case){ .ref = s->ref[i], .pred = s->pred[i] };
        memcpy(pp[i].shape, s->shape[i], sizeof pp[i].shape);
    }
    tst_ok(sf_postproc_determine(&p, pp, s->n_cases, &s->labels, &before, &after));
    assert_int_equal(json_array_size(ops), p->n_ops);
    for (int i = 0; i < p->n_ops; i++) {
        json_t *mine = NULL, *kwargs = json_object_get(json_array_get(ops, (size_t)i), "kwargs");
        tst_ok(sf_json_parse(&mine, p->op[i].key, "key"));
        assert_true(json_equal(mine, json_object_get(kwargs, "labels_or_regions")));
        json_decref(mine);
    }
    const double a =
        before->foreground_dice - sf_json_num(json_object_get(s->want, "before_postprocessing"));
    const double b =
        after->foreground_dice - sf_json_num(json_object_get(s->want, "after_postprocessing"));
    sf_postproc_destroy(&p);
    sf_summary_destroy(&before);
    sf_summary_destroy(&after);
    return fmax(fabs(a), fabs(b));
}

static void check_scene(const char *name)
{
    char dir[SF_PATH_MAX];
    sf_selection *sel = NULL;
    scene *s = calloc(1, sizeof *s);
    tst_ok(sf_path_join(dir, tst_shared("oracle/selection"), name, NULL));
    open_scene(s, dir);
    tst_ok(sf_selection_create(&sel, (const char *const *)s->model, s->n_models, true,
                               s->labels.n_eval));
    for (int i = 0; i < sel->n; i++) score(s, &sel->candidate[i]);
    sf_selection_choose(sel);
    const double a = check_scores(s, sel);
    check_choice(s, sel);
    const double b = check_postprocessing(s, &sel->candidate[sel->best]);
    printf("%s: %d candidates, chosen %s, largest difference %.1e\n", name, sel->n,
           sel->candidate[sel->best].name, fmax(a, b));
    assert_true(fmax(a, b) <= 1e-9);
    sf_selection_destroy(&sel);
    close_scene(s);
    free(s);
}

static void test_scenes(void **state)
{
    char **names = NULL;
    size_t count = 0;
    (void)state;
    tst_ok(sf_path_list(&names, &count, tst_shared("oracle/selection")));
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) check_scene(names[i]);
    sf_path_free_list(&names, count);
    assert_int_equal(0, sf_mem_live(SF_MEM_CATEGORIES));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_scenes) };
    if (!tst_shared("oracle/selection")) tst_skip("no oracle/selection");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
