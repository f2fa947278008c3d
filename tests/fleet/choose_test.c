/** The choice among models from hand-made validations of two configurations and two folds. */
#include "base/mem.h"
#include "fleet/choose.h"
#include "image/image.h"
#include "image/phantom.h"
#include "plan/work.h"
#include "predict/export.h"
#include "tests/support/support.h"
#include <stdio.h>
#include <string.h>

enum { CASES = 4 };
static char *configs[] = { (char *)(uintptr_t) "2d", (char *)(uintptr_t) "3d_fullres" };
static const int both[] = { 0, 1 };
static sf_dataset *dataset;
static char work[SF_PATH_MAX];

static int make_dataset(void **state)
{
    const sf_phantom_options po = { .cases = CASES, .flat = true, .extent = 32, .seed = 2 };
    char path[SF_PATH_MAX];
    (void)state;
    tst_ok(sf_phantom_make(tst_tmp_dir(), &po));
    tst_ok(sf_path_join(path, tst_tmp_dir(), "Dataset999_Phantom", NULL));
    tst_ok(sf_dataset_load(&dataset, path));
    return 0;
}

static int end_dataset(void **state)
{
    (void)state;
    sf_dataset_destroy(&dataset);
    return 0;
}

static const char *fold_file(const char *config, int fold, const char *name)
{
    static char path[SF_PATH_MAX];
    char dir[SF_PATH_MAX];
    const sf_task_key key = { .config = config, .fold = fold };
    tst_ok(sf_work_fold_dir(dir, work, &key));
    tst_ok(sf_path_join(path, dir, "validation", name));
    return path;
}

/** One case as a model would leave it: right with probability `sure` where sure > 0.5, and wrong
 * (background) in the columns x % 4 == blind. */
static void predict(const char *config, int fold, int i, float sure, int blind)
{
    const sf_case *c = &dataset->train[i];
    sf_label_image *ref = NULL;
    char name[300];
    tst_ok(sf_label_image_read(&ref, c->label));
    const int64_t *s = ref->geo.shape, n = s[0] * s[1] * s[2];
    float *p = test_calloc((size_t)(3 * n), sizeof *p);
    for (int64_t v = 0; v < n; v++) {
        const int right = ref->data[v];
        const bool wrong = v % s[2] % 4 == blind && right > 0;
        const float own = wrong ? 0.4f : sure;
        p[right * n + v] = own;
        p[(right > 0 ? 0 : 1) * n + v] += 1 - own;
        ref->data[v] = wrong ? 0 : right;
    }
    snprintf(name, sizeof name, "%s.png", c->id);
    tst_ok(sf_label_write(fold_file(config, fold, name), &ref->geo, ref->data, 2));
    snprintf(name, sizeof name, "%s.h5", c->id);
    tst_ok(sf_probabilities_save(fold_file(config, fold, name), p, 3, s));
    test_free(p);
    sf_label_image_destroy(&ref);
}

/** Both models on all folds; blind[m] as above (-1: always right). */
static void validate(const int blind[2])
{
    for (int m = 0; m < 2; m++) {
        for (int fold = 0; fold < 2; fold++) {
            tst_ok(sf_path_make_dirs(fold_file(configs[m], fold, NULL)));
            for (int i = 0; i < CASES; i++)
                if (i % 2 == fold) predict(configs[m], fold, i, 0.9f, blind[m]);
            tst_ok(sf_path_write(fold_file(configs[m], fold, "summary.json"), "{}", 2));
        }
    }
}

static int fresh(void **state)
{
    sf_splits s = { .count = 2 };
    char path[SF_PATH_MAX], *id[2][2];
    sf_id_list half[2];
    (void)state;
    tst_ok(sf_path_join(work, tst_tmp_dir(), "w", NULL));
    tst_ok(sf_path_remove(work));
    tst_ok(sf_path_make_dirs(work));
    for (int f = 0; f < 2; f++) {
        for (int k = 0; k < 2; k++) id[f][k] = dataset->train[2 * k + f].id;
        half[f] = (sf_id_list){ id[f], 2 };
    }
    sf_id_list train[2] = { half[1], half[0] };
    s.val = half;
    s.train = train;
    tst_ok(sf_path_join(path, work, "splits_final.json", NULL));
    tst_ok(sf_splits_save(&s, path));
    return 0;
}

static sf_status choose(int n_configs, int n_folds, bool ensembles)
{
    const sf_choose_options o = { .work = work,
                                  .dataset = dataset,
                                  .configs = configs,
                                  .n_configs = n_configs,
                                  .folds = both,
                                  .n_folds = n_folds,
                                  .ensembles = ensembles,
                                  .threads = 1 };
    return sf_choose(sf_comm_self(), &o);
}

static void chosen_is(const char *first, const char *second)
{
    char *model[2] = { NULL, NULL };
    int n = 0;
    tst_ok(sf_choice_load(model, &n, work));
    assert_int_equal(n, second ? 2 : 1);
    assert_string_equal(model[0], first);
    if (second) assert_string_equal(model[1], second);
    for (int i = 0; i < 2; i++) sf_mem_free(model[i]);
}

static char *selection_text(void)
{
    char path[SF_PATH_MAX], *text;
    size_t size;
    tst_ok(sf_path_join(path, work, "selection.json", NULL));
    tst_ok(sf_path_read(&text, &size, path, 0));
    return text;
}

/** Equal scores: the first configuration; every number is one; all files are there. */
static void ties_go_to_the_first(void **state)
{
    static const int right[2] = { -1, -1 };
    static const char *const names[] = { "2d", "3d_fullres", "ensemble___2d___3d_fullres" };
    static const char *const files[] = {
        "postprocessing.json", "results/2d/crossval_results_folds_0_1/summary.json",
        "results/3d_fullres/crossval_results_folds_0_1/summary.json",
        "results/ensembles/ensemble___2d___3d_fullres_0_1/summary.json"
    };
    json_t *j;
    const char *name;
    json_t *value;
    int k = 0;
    (void)state;
    validate(right);
    tst_ok(choose(2, 2, true));
    chosen_is("2d", NULL);
    char *text = selection_text();
    assert_null(strstr(text, "NaN"));
    assert_null(strstr(text, tst_tmp_dir()));
    j = json_loads(text, 0, NULL);
    assert_non_null(j);
    json_object_foreach(json_object_get(j, "all_results"), name, value)
    {
        assert_true(k < 3);
        assert_string_equal(name, names[k++]);
        assert_true(json_number_value(json_object_get(value, "foreground_mean_dice")) == 1.0);
    }
    assert_int_equal(k, 3);
    assert_int_equal(json_integer_value(json_object_get(j, "number_of_cases")), CASES);
    assert_int_equal(sf_choice_fold(json_array_get(json_object_get(j, "folds"), 1)), 1);
    json_decref(j);
    sf_mem_free(text);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[SF_PATH_MAX];
        tst_ok(sf_path_join(path, work, files[i], NULL));
        if (!sf_path_is_file(path)) fail_msg("%s is missing", files[i]);
    }
}

static void better_model_wins(void **state)
{
    static const int second[2] = { 1, -1 }, first[2] = { -1, 1 };
    (void)state;
    validate(second);
    tst_ok(choose(2, 2, false));
    chosen_is("3d_fullres", NULL);
    char *text = selection_text();
    assert_null(strstr(text, "ensemble___"));
    sf_mem_free(text);
    validate(first);
    tst_ok(choose(2, 2, false));
    chosen_is("2d", NULL);
    tst_ok(choose(1, 2, true)); /* one model has no partner */
    chosen_is("2d", NULL);
}

/** Each model errs where the other is sure: only their mean is right everywhere. */
static void pair_wins(void **state)
{
    static const int apart[2] = { 1, 2 };
    (void)state;
    validate(apart);
    tst_ok(choose(2, 2, true));
    chosen_is("2d", "3d_fullres");
}

static void refused(sf_status got, sf_status want, const char *a, const char *b)
{
    assert_int_equal(got, want);
    if (!strstr(sf_error_text(), a) || !strstr(sf_error_text(), b))
        fail_msg("no '%s' and '%s' in: %s", a, b, sf_error_text());
}

static void what_is_missing_is_named(void **state)
{
    static const int right[2] = { -1, -1 };
    char name[300], path[SF_PATH_MAX];
    (void)state;
    validate(right);
    tst_ok(sf_path_remove(fold_file("3d_fullres", 1, "summary.json")));
    refused(choose(2, 2, true), SF_EINVAL, "3d_fullres", "fold 1");
    tst_ok(choose(2, 1, true)); /* the other fold alone is complete */
    validate(right);
    snprintf(name, sizeof name, "%s.h5", dataset->train[1].id);
    tst_ok(sf_path_remove(fold_file("2d", 1, name)));
    refused(choose(2, 2, true), SF_EINVAL, name, "--no-ensembles");
    tst_ok(choose(2, 2, false));
    snprintf(name, sizeof name, "%s.png", dataset->train[1].id);
    tst_ok(sf_path_remove(fold_file("2d", 1, name)));
    refused(choose(2, 2, false), SF_EINVAL, name, "2d");
    validate(right);
    tst_ok(sf_path_join(path, work, "splits_final.json", NULL));
    static const char foreign[] = "[{\"train\": [\"a\"], \"val\": [\"zz\"]}]";
    tst_ok(sf_path_write(path, foreign, sizeof foreign - 1));
    refused(choose(2, 1, false), SF_EDATA, "names case a", "splits_final.json");
}

static void foreign_choice(void **state)
{
    char *model[2] = { NULL, NULL }, path[SF_PATH_MAX];
    int n;
    (void)state;
    tst_ok(sf_path_join(path, work, "selection.json", NULL));
    assert_int_equal(sf_choice_load(model, &n, work), SF_EIO);
    tst_ok(sf_path_write(path, "{}", 2));
    refused(sf_choice_load(model, &n, work), SF_EDATA, "selection.json", "best_model");
    assert_null(model[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(ties_go_to_the_first, fresh),
        cmocka_unit_test_setup(better_model_wins, fresh),
        cmocka_unit_test_setup(pair_wins, fresh),
        cmocka_unit_test_setup(what_is_missing_is_named, fresh),
        cmocka_unit_test_setup(foreign_choice, fresh),
    };
    return cmocka_run_group_tests(tests, make_dataset, end_dataset);
}
