/** A whole run on 1..4 tiny images: folds, what is kept, what is made anew, what is refused. */
#include "base/mem.h"
#include "fleet/project.h"
#include "fleet/run.h"
#include "fleet/stages.h"
#include "image/phantom.h"
#include "plan/work.h"
#include "tests/support/support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char work[SF_PATH_MAX];

/** A fresh dataset of n cases and options for one step of training on it. */
static sf_run_options made(int n)
{
    const sf_phantom_options po = { .cases = n, .flat = true, .extent = 16, .seed = 3 };
    char dir[SF_PATH_MAX];
    tst_ok(sf_path_format(dir, "%s/%d", tst_tmp_dir(), n));
    tst_ok(sf_path_remove(dir));
    tst_ok(sf_phantom_make(dir, &po));
    tst_ok(sf_path_join(work, dir, "work", NULL));
    sf_run_options o = { .work = work, .threads = 1, .ensembles = true };
    sf_settings_default(&o.settings);
    tst_ok(sf_path_join(o.settings.dataset, dir, "Dataset999_Phantom", NULL));
    o.settings.epochs = o.settings.iterations = 1;
    o.settings.batch = 2;
    o.settings.mirror = false;
    return o;
}

static const char *at(const char *name)
{
    static char path[SF_PATH_MAX];
    tst_ok(sf_path_join(path, work, name, NULL));
    return path;
}

static void folds_are(const char *want)
{
    json_t *j = NULL;
    char *text;
    tst_ok(sf_json_load(&j, at("selection.json")));
    tst_ok(sf_json_dump(&text, json_object_get(j, "folds"), 0, false));
    assert_string_equal(text, want);
    sf_mem_free(text);
    json_decref(j);
}

static void refused(const sf_run_options *o, const char *word)
{
    assert_int_equal(sf_run(sf_comm_self(), o), SF_EINVAL);
    if (!strstr(sf_error_text(), word)) fail_msg("no '%s' in: %s", word, sf_error_text());
}

/** One case: fold all alone. */
static void one_case(void **state)
{
    sf_run_options o = made(1);
    (void)state;
    o.folds = "0";
    refused(&o, "\"all\"");
    o.folds = NULL;
    tst_ok(sf_run(sf_comm_self(), &o));
    folds_are("[\"all\"]");
    assert_true(sf_path_is_file(at("results/2d/fold_all/checkpoint_final.h5")));
    assert_true(sf_path_is_file(at("predictions/phantom_000.png")));
}

/** Fewer cases than folds: leave-one-out. */
static void few_cases(void **state)
{
    static const char *const folds[] = { "[0, 1]", "[0, 1, 2]", "[0, 1, 2, 3]" };
    (void)state;
    for (int n = 2; n <= 4; n++) {
        sf_run_options o = made(n);
        tst_ok(sf_run(sf_comm_self(), &o));
        folds_are(folds[n - 2]);
    }
}

static void wrong_lists(sf_run_options o)
{
    static const char *const folds[][2] = {
        { "0,0", "twice" }, { "x", "'x'" }, { "", "empty" }, { "0,7", "fold 7" }, { "-1", "'-1'" }
    };
    for (size_t i = 0; i < sizeof folds / sizeof *folds; i++) {
        o.folds = folds[i][0];
        refused(&o, folds[i][1]);
    }
    o.folds = NULL;
    o.configs = "2d,2d";
    refused(&o, "twice");
    o.configs = "4d";
    refused(&o, "4d");
    o.configs = NULL;
    o.settings.epochs = 2;
    refused(&o, "--epochs");
}

/** A second run touches nothing; another choice starts the predictions afresh. */
static void again(void **state)
{
    static const char *const kept[] = { "run.json",
                                        "dataset_fingerprint.json",
                                        "plans.json",
                                        "splits_final.json",
                                        "preprocessed/2d.h5",
                                        "results/2d/model.json",
                                        "results/2d/fold_0/checkpoint_final.h5",
                                        "selection.json",
                                        "postprocessing.json",
                                        "predictions/selection.json",
                                        "predictions/phantom_000.png",
                                        "predictions/summary.json" };
    enum { KEPT = sizeof kept / sizeof *kept };
    struct stat before[KEPT], after;
    sf_run_options o = made(2);
    (void)state;
    tst_ok(sf_run(sf_comm_self(), &o));
    for (int i = 0; i < KEPT; i++) assert_int_equal(stat(at(kept[i]), &before[i]), 0);
    wrong_lists(o);
    tst_ok(sf_path_write(at("predictions/mark"), "x", 1));
    tst_ok(sf_run(sf_comm_self(), &o));
    for (int i = 0; i < KEPT; i++) {
        assert_int_equal(stat(at(kept[i]), &after), 0);
        if (after.st_ino != before[i].st_ino || after.st_mtim.tv_nsec != before[i].st_mtim.tv_nsec)
            fail_msg("%s was written again", kept[i]);
    }
    assert_true(sf_path_is_file(at("predictions/mark")));
    o.folds = "1";
    tst_ok(sf_run(sf_comm_self(), &o));
    folds_are("[1]");
    assert_false(sf_path_is_file(at("predictions/mark")));
    assert_true(sf_path_is_file(at("predictions/phantom_000.png")));
    /* a removal that was cut short leaves no mark: what is there belongs to nothing */
    tst_ok(sf_path_write(at("predictions/mark"), "x", 1));
    tst_ok(sf_path_remove(at("predictions/selection.json")));
    tst_ok(sf_run(sf_comm_self(), &o));
    assert_false(sf_path_is_file(at("predictions/mark")));
}

/** A mistyped option leaves a folder that the right one can still use. */
static void typing_error(void **state)
{
    sf_run_options o = made(2);
    (void)state;
    strcpy(o.settings.recipe, "papr");
    refused(&o, "papr");
    assert_false(sf_path_is_file(at("run.json")));
}

/** --splits FILE wins over the dataset's own; afterwards the folder keeps its folds. */
static void given_splits(const sf_dataset *d)
{
    static const char two[] =
        "[{\"train\": [\"phantom_000\", \"phantom_001\"], \"val\": [\"phantom_002\"]},"
        " {\"train\": [\"phantom_000\"], \"val\": [\"phantom_002\", \"phantom_001\"]}]";
    static const int both[] = { 0, 1 };
    char file[SF_PATH_MAX];
    sf_splits *s = NULL;
    tst_ok(sf_path_format(file, "%s/mine.json", tst_tmp_dir()));
    tst_ok(sf_path_write(file, two, sizeof two - 1));
    assert_int_equal(sf_stage_splits(sf_comm_self(), d, work, 5, file, file), SF_EINVAL);
    assert_non_null(strstr(sf_error_text(), "--groups"));
    tst_ok(sf_stage_splits(sf_comm_self(), d, work, 5, "", file));
    tst_ok(sf_stage_splits(sf_comm_self(), d, work, 5, "", file));
    tst_ok(sf_project_splits(&s, d, work));
    assert_int_equal(s->count, 2);
    assert_int_equal(s->all.count, 4); /* fold all trains on what no fold names, too */
    assert_int_equal(sf_splits_check_pool(s, both, 2), SF_EINVAL);
    assert_non_null(strstr(sf_error_text(), "phantom_002"));
    tst_ok(sf_splits_check_pool(s, both, 1));
    sf_splits_destroy(&s);
    tst_ok(sf_path_write(file, "[]", 2));
    assert_int_equal(sf_stage_splits(sf_comm_self(), d, work, 5, "", file), SF_EINVAL);
    assert_non_null(strstr(sf_error_text(), "mine.json"));
}

static void splits(void **state)
{
    static const char foreign[] = "[{\"train\": [\"phantom_000\"], \"val\": [\"zz\"]}]";
    static const char groups[] = "phantom_000 A\nphantom_001 B\nphantom_002 A\nphantom_003 B\n";
    const sf_run_options o = made(4);
    sf_dataset *d = NULL;
    sf_splits *s = NULL;
    char file[SF_PATH_MAX], own[SF_PATH_MAX];
    (void)state;
    tst_ok(sf_dataset_load(&d, o.settings.dataset));
    tst_ok(sf_path_make_dirs(work));
    tst_ok(sf_path_format(file, "%s/groups", tst_tmp_dir()));
    tst_ok(sf_path_write(file, groups, sizeof groups - 16));
    assert_int_equal(sf_stage_splits(sf_comm_self(), d, work, 5, file, ""), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "phantom_003"));
    tst_ok(sf_path_write(file, groups, sizeof groups - 1));
    tst_ok(sf_stage_splits(sf_comm_self(), d, work, 5, file, ""));
    tst_ok(sf_splits_load(&s, at("splits_final.json")));
    assert_int_equal(s->count, 2);
    for (int f = 0; f < 2; f++) {
        assert_int_equal(s->val[f].count, 2);
        assert_true((s->val[f].id[0][10] - s->val[f].id[1][10]) % 2 ==
                    0); /* 000, 002 or 001, 003 */
    }
    sf_splits_destroy(&s);
    tst_ok(sf_path_remove(at("splits_final.json")));
    tst_ok(sf_path_join(own, d->dir, "splits_final.json", NULL));
    tst_ok(sf_path_write(own, foreign, sizeof foreign - 1));
    assert_int_equal(sf_stage_splits(sf_comm_self(), d, work, 5, file, ""), SF_EINVAL);
    assert_int_equal(sf_stage_splits(sf_comm_self(), d, work, 5, "", ""), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "zz"));
    assert_false(sf_path_is_file(at("splits_final.json")));
    given_splits(d);
    sf_dataset_destroy(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(typing_error), cmocka_unit_test(splits), cmocka_unit_test(one_case),
        cmocka_unit_test(few_cases),    cmocka_unit_test(again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
