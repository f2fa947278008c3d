/* Model folders: which folds, which configuration, which mirror axes, and clear errors for what is
 * not one. The plan and dataset come from an oracle; the checkpoints are ours. */
#include "base/mem.h"
#include "base/path.h"
#include "plan/splits.h"
#include "predict/predict.h"
#include "store/arrays.h"
#include "tests/support/support.h"
#include <string.h>

static char dir[SF_PATH_MAX];

static void put(const char *name, const char *text)
{
    char path[SF_PATH_MAX];
    tst_ok(sf_path_join(path, dir, name, NULL));
    tst_ok(sf_path_write(path, text, strlen(text)));
}

static void add_fold(const char *name)
{
    char path[SF_PATH_MAX];
    const float one = 1;
    const sf_array a = { "weight", 1, { 1 }, 1, &one };
    const sf_array_group g = { "params", &a, 1 };
    tst_ok(sf_path_join(path, dir, name, NULL));
    tst_ok(sf_path_make_dirs(path));
    tst_ok(sf_path_join(path, dir, name, "checkpoint_final.h5"));
    tst_ok(sf_arrays_save(path, &g, 1, NULL));
}

/* a folder TRAINER__PLANS__CONFIG with the first oracle's plan */
static void make(const char *config)
{
    static const char *const files[2] = { "plans.json", "dataset.json" };
    const char *root = tst_shared("oracle/inference");
    char **name, from[SF_PATH_MAX], to[SF_PATH_MAX];
    size_t count;
    if (root == NULL) tst_skip("oracle/inference is absent");
    tst_ok(sf_path_format(dir, "%s/T__P__%s", tst_tmp_dir(), config));
    tst_ok(sf_path_remove(dir));
    tst_ok(sf_path_make_dirs(dir));
    tst_ok(sf_path_list(&name, &count, root));
    assert_true(count > 0);
    for (int i = 0; i < 2; i++) {
        tst_ok(sf_path_format(from, "%s/%s/%s", root, name[0], files[i]));
        tst_ok(sf_path_join(to, dir, files[i], NULL));
        tst_ok(sf_path_copy(from, to));
    }
    sf_path_free_list(&name, count);
}

/* nnU-Net's model folder of the oracle, copied under a name that says nothing */
static void copy_peer_model(const char *model)
{
    static const char *const files[] = { "plans.json", "dataset.json",
                                         "fold_0/checkpoint_final.pth" };
    char from[SF_PATH_MAX], to[SF_PATH_MAX];
    tst_ok(sf_path_join(dir, tst_tmp_dir(), "renamed", NULL));
    tst_ok(sf_path_remove(dir));
    tst_ok(sf_path_join(to, dir, "fold_0", NULL));
    tst_ok(sf_path_make_dirs(to));
    for (int i = 0; i < 3; i++) {
        tst_ok(sf_path_join(from, model, files[i], NULL));
        tst_ok(sf_path_join(to, dir, files[i], NULL));
        tst_ok(sf_path_copy(from, to));
    }
}

static sf_status load(sf_model **m, const int *folds, int n)
{
    return sf_model_load(m, dir, folds, n, "checkpoint_final");
}

static void test_folds(void **state)
{
    (void)state;
    static const int asked[2] = { 10, 2 }, absent[1] = { 3 };
    sf_model *m;
    make("3d_fullres");
    assert_int_equal(load(&m, NULL, 0), SF_EDATA); /* no fold at all */
    add_fold("fold_all");
    tst_ok(load(&m, NULL, 0));
    assert_true(m->n_folds == 1 && m->fold[0] == SF_FOLD_ALL);
    sf_model_destroy(&m);
    add_fold("fold_10");
    add_fold("fold_2");
    add_fold("fold_x");
    tst_ok(load(&m, NULL, 0));
    assert_true(m->n_folds == 2 && m->fold[0] == 2 && m->fold[1] == 10);
    assert_string_equal(m->cfg->name, "3d_fullres");
    assert_true(m->mirror_axis[0] && m->mirror_axis[1] && m->mirror_axis[2]);
    sf_model_destroy(&m);
    tst_ok(load(&m, asked, 2));
    assert_true(m->n_folds == 2 && m->fold[0] == 10 && m->fold[1] == 2);
    sf_model_destroy(&m);
    assert_int_equal(load(&m, absent, 1), SF_EINVAL);
    assert_non_null(strstr(sf_error_text(), "fold_3"));
    assert_null(m);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

static void test_model_json(void **state)
{
    (void)state;
    sf_model *m;
    make("2d");
    add_fold("fold_0");
    tst_ok(load(&m, NULL, 0));
    assert_true(!m->mirror_axis[0] && m->mirror_axis[1] && m->mirror_axis[2]);
    sf_model_destroy(&m);
    put("model.json", "{\"configuration\": \"3d_fullres\", \"mirror_axes\": [true, false, true]}");
    tst_ok(load(&m, NULL, 0));
    assert_string_equal(m->cfg->name, "3d_fullres");
    assert_true(m->mirror_axis[0] && !m->mirror_axis[1] && m->mirror_axis[2]);
    sf_model_destroy(&m);
    static const char *const bad[] = { "{\"mirror_axes\": [true]}", "{\"mirror_axes\": [0, 1, 2]}",
                                       "{\"mirror_axes\": 3}", "{" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        put("model.json", bad[i]);
        assert_int_equal(load(&m, NULL, 0), SF_EDATA);
        assert_non_null(strstr(sf_error_text(), "model.json"));
    }
    put("model.json", "{\"configuration\": \"4d\"}");
    assert_int_equal(load(&m, NULL, 0), SF_EINVAL);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

/* All models in one folder of the oracle; @return how many */
static int check_renamed(const char *folder)
{
    char **name, path[SF_PATH_MAX];
    size_t count;
    int seen = 0;
    tst_ok(sf_path_list(&name, &count, folder));
    for (size_t i = 0; i < count; i++) {
        tst_ok(sf_path_join(path, folder, name[i], "fold_0/checkpoint_final.pth"));
        if (!sf_path_is_file(path)) continue;
        tst_ok(sf_path_join(path, folder, name[i], NULL));
        copy_peer_model(path);
        sf_model *m;
        tst_ok(load(&m, NULL, 0));
        assert_string_equal(m->cfg->name, strstr(strstr(name[i], "__") + 2, "__") + 2);
        sf_model_destroy(&m);
        seen++;
    }
    sf_path_free_list(&name, count);
    return seen;
}

/* nnU-Net's checkpoint names the configuration: the folder's name does not matter */
static void test_renamed(void **state)
{
    (void)state;
    const char *root = tst_shared("oracle/inference");
    char **name, path[SF_PATH_MAX];
    size_t count;
    int seen = 0;
    if (root == NULL) tst_skip("oracle/inference is absent");
    tst_ok(sf_path_list(&name, &count, root));
    for (size_t i = 0; i < count; i++) {
        tst_ok(sf_path_join(path, root, name[i], NULL));
        seen += check_renamed(path);
    }
    sf_path_free_list(&name, count);
    assert_true(seen > 0);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

static void test_no_model(void **state)
{
    (void)state;
    char path[SF_PATH_MAX];
    sf_model *m;
    assert_int_equal(sf_model_load(&m, "/nonexistent", NULL, 0, "checkpoint_final"), SF_EINVAL);
    make("no_such_configuration");
    add_fold("fold_0");
    assert_int_equal(load(&m, NULL, 0), SF_EINVAL);
    make("2d");
    add_fold("fold_0");
    tst_ok(sf_path_join(path, dir, "fold_0", "checkpoint_final.h5"));
    tst_ok(sf_path_write(path, "\x89HDF\r\n\x1a\n and then nothing", 24)); /* damaged */
    const sf_status st = load(&m, NULL, 0);
    assert_true(st == SF_EDATA || st == SF_EIO);
    assert_non_null(strstr(sf_error_text(), "checkpoint_final.h5"));
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folds),
        cmocka_unit_test(test_model_json),
        cmocka_unit_test(test_renamed),
        cmocka_unit_test(test_no_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
