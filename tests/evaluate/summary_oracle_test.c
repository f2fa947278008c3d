/* evaluation/NAME: summary.json, the determined removals, the post-processed files. Counts exact,
 * ratios to 1e-12. */
#include "base/mem.h"
#include "base/path.h"
#include "evaluate/postproc.h"
#include "json_compare.h"
#include "tests/support/support.h"
#include <stdio.h>
#include <string.h>

enum { MAX_CASES = 64 };

typedef struct {
    char dir[SF_PATH_MAX];
    sf_dataset *data;
    char **names;
    size_t count;
    sf_label_image *ref[MAX_CASES], *pred[MAX_CASES];
    sf_pp_case pp[MAX_CASES];
} scene;

static json_t *load(const char *dir, const char *name)
{
    char path[SF_PATH_MAX];
    json_t *v = NULL;
    tst_ok(sf_path_join(path, dir, name, NULL));
    tst_ok(sf_json_load(&v, path));
    return v;
}

static void open_scene(scene *s, const char *name)
{
    char path[SF_PATH_MAX];
    memset(s, 0, sizeof *s);
    tst_ok(sf_path_join(s->dir, tst_shared("oracle/evaluation"), name, NULL));
    tst_ok(sf_path_join(path, s->dir, "dataset.json", NULL));
    tst_ok(sf_dataset_from_json(&s->data, path));
    tst_ok(sf_path_join(path, s->dir, "ref", NULL));
    tst_ok(sf_path_list(&s->names, &s->count, path));
    assert_true(s->count > 0 && s->count <= MAX_CASES);
    for (size_t i = 0; i < s->count; i++) {
        tst_ok(sf_path_join(path, s->dir, "ref", s->names[i]));
        tst_ok(sf_label_image_read(&s->ref[i], path));
        tst_ok(sf_path_join(path, s->dir, "pred", s->names[i]));
        tst_ok(sf_label_image_read(&s->pred[i], path));
        s->pp[i] = (sf_pp_case){ .ref = s->ref[i]->data, .pred = s->pred[i]->data };
        memcpy(s->pp[i].shape, s->ref[i]->geo.shape, sizeof s->pp[i].shape);
    }
}

static void close_scene(scene *s)
{
    for (size_t i = 0; i < s->count; i++) {
        sf_label_image_destroy(&s->ref[i]);
        sf_label_image_destroy(&s->pred[i]);
    }
    sf_path_free_list(&s->names, s->count);
    sf_dataset_destroy(&s->data);
}

/* The peer's summary names files as "pred/case0.nii.gz"; ours as "case0.nii.gz". */
static void use_base_names(json_t *summary)
{
    json_t *one;
    size_t i;
    json_array_foreach(json_object_get(summary, "metric_per_case"), i, one)
    {
        const char *const keys[] = { "prediction_file", "reference_file" };
        for (int k = 0; k < 2; k++) {
            const char *file = json_string_value(json_object_get(one, keys[k]));
            json_object_set_new(one, keys[k], json_string(sf_path_base(file)));
        }
    }
}

static double check_summary(const scene *s, const char *folder, const char *file)
{
    char ref[SF_PATH_MAX], pred[SF_PATH_MAX], path[SF_PATH_MAX];
    sf_summary *sum = NULL;
    json_t *want = load(s->dir, file), *got = NULL;
    tst_ok(sf_path_join(ref, s->dir, "ref", NULL));
    tst_ok(sf_path_join(pred, s->dir, folder, NULL));
    tst_ok(sf_path_join(path, tst_tmp_dir(), "summary.json", NULL));
    tst_ok(sf_evaluate_folders(&sum, ref, pred, s->data->file_ending, &s->data->labels, false, 2));
    tst_ok(sf_summary_save(sum, &s->data->labels, path));
    tst_ok(sf_json_load(&got, path));
    use_base_names(want);
    const double worst = tst_json_equal(got, want, 1e-12, file);
    sf_summary_destroy(&sum);
    json_decref(want);
    json_decref(got);
    return worst;
}

static void check_determined(const scene *s, const sf_postproc *p)
{
    json_t *want = load(s->dir, "determined.json");
    assert_int_equal(json_array_size(want), p->n_ops);
    for (int i = 0; i < p->n_ops; i++) {
        json_t *kwargs = json_object_get(json_array_get(want, (size_t)i), "kwargs"), *mine = NULL;
        tst_ok(sf_json_parse(&mine, p->op[i].key, "key"));
        assert_true(json_equal(json_object_get(kwargs, "labels_or_regions"), mine));
        json_decref(mine);
    }
    json_decref(want);
}

static double check_postprocessing(scene *s)
{
    char path[SF_PATH_MAX];
    sf_postproc *p = NULL;
    sf_summary *before = NULL, *after = NULL;
    json_t *want = load(s->dir, "postprocessing.json"), *got = NULL;
    tst_ok(sf_postproc_determine(&p, s->pp, (int)s->count, &s->data->labels, &before, &after));
    check_determined(s, p);
    tst_ok(sf_path_join(path, tst_tmp_dir(), "postprocessing.json", NULL));
    tst_ok(sf_postproc_save(p, before, after, &s->data->labels, path));
    tst_ok(sf_json_load(&got, path));
    const double worst = tst_json_equal(got, want, 1e-12, "postprocessing.json");
    for (size_t i = 0; i < s->count; i++) { /* pred now holds the accepted result */
        sf_label_image *file = NULL;
        tst_ok(sf_path_join(path, s->dir, "postprocessed", s->names[i]));
        tst_ok(sf_label_image_read(&file, path));
        const int64_t n = file->geo.shape[0] * file->geo.shape[1] * file->geo.shape[2];
        assert_memory_equal(file->data, s->pp[i].pred, (size_t)n * sizeof(int32_t));
        sf_label_image_destroy(&file);
    }
    sf_postproc_destroy(&p);
    sf_summary_destroy(&before);
    sf_summary_destroy(&after);
    json_decref(want);
    json_decref(got);
    return worst;
}

/* The saved list, loaded and applied to the files as they were, gives the same. */
static void check_applying(const scene *s)
{
    char path[SF_PATH_MAX];
    sf_postproc *p = NULL;
    tst_ok(sf_path_join(path, s->dir, "postprocessing.json", NULL));
    tst_ok(sf_postproc_load(&p, path));
    for (size_t i = 0; i < s->count; i++) {
        sf_label_image *in = NULL;
        tst_ok(sf_path_join(path, s->dir, "pred", s->names[i]));
        tst_ok(sf_label_image_read(&in, path));
        tst_ok(sf_postproc_apply(p, in->data, in->geo.shape));
        const int64_t n = in->geo.shape[0] * in->geo.shape[1] * in->geo.shape[2];
        assert_memory_equal(s->pp[i].pred, in->data, (size_t)n * sizeof(int32_t));
        sf_label_image_destroy(&in);
    }
    sf_postproc_destroy(&p);
}

static void test_scenes(void **state)
{
    char **names = NULL;
    size_t count = 0;
    (void)state;
    tst_ok(sf_path_list(&names, &count, tst_shared("oracle/evaluation")));
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) {
        scene *s = test_malloc(sizeof *s);
        open_scene(s, names[i]);
        const double a = check_summary(s, "pred", "summary.json");
        const double b = check_summary(s, "postprocessed", "postprocessed/summary.json");
        const double c = check_postprocessing(s);
        check_applying(s);
        printf("%s: %zu cases, largest difference %.1e\n", names[i], s->count,
               a > b ? (a > c ? a : c) : (b > c ? b : c));
        close_scene(s);
        test_free(s);
    }
    sf_path_free_list(&names, count);
    assert_int_equal(0, sf_mem_live(SF_MEM_CATEGORIES));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_scenes) };
    if (!tst_shared("oracle/evaluation")) tst_skip("no oracle/evaluation");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
