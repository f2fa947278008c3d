/** What the tests of one training share: a phantom of a few small images, the options of a training
 * in a folder of its own, comparisons of results. */
#ifndef SF_TESTS_TRAIN_ONE_TRAINING_H
#define SF_TESTS_TRAIN_ONE_TRAINING_H
#include "base/mem.h"
#include "image/phantom.h"
#include "plan/planner.h"
#include "plan/work.h"
#include "preprocess/pipeline.h"
#include "tests/support/support.h"
#include "train/checkpoint.h"
#include "train/trainer.h"
#include <stdio.h>
#include <string.h>

#define USED_BY_SOME __attribute__((unused))

enum { CASES = 4, EPOCHS = 2, ITERATIONS = 3 };

static sf_dataset *dataset;
static sf_plans *plans;
static sf_id_list train, val, all;
static char container[SF_PATH_MAX];

USED_BY_SOME static int make_world(void **state)
{
    const sf_phantom_options po = { .cases = CASES, .flat = true, .extent = 16, .seed = 7 };
    const sf_planner_options none = { 0 };
    char path[SF_PATH_MAX];
    sf_recipe *recipe = NULL;
    sf_fingerprint *print = NULL;
    json_t *json = NULL;
    const sf_config *cfg;
    static char *id[CASES];
    (void)state;
    tst_ok(sf_phantom_make(tst_tmp_dir(), &po));
    tst_ok(sf_path_join(path, tst_tmp_dir(), "Dataset999_Phantom", NULL));
    tst_ok(sf_dataset_load(&dataset, path));
    tst_ok(sf_recipe_load(&recipe, "paper"));
    tst_ok(sf_fingerprint_compute(&print, dataset, recipe, 1));
    tst_ok(sf_planner_run(&json, NULL, print, dataset, recipe, &none));
    tst_ok(sf_plans_from_json(&plans, json, "plans"));
    tst_ok(sf_plans_config(&cfg, plans, "2d"));
    tst_ok(sf_path_join(container, tst_tmp_dir(), "2d.h5", NULL));
    tst_ok(sf_preprocess_config(sf_comm_self(), dataset, plans, cfg, container, 1));
    for (int i = 0; i < CASES; i++) id[i] = dataset->train[i].id;
    train = (sf_id_list){ id, CASES - 2 };
    val = (sf_id_list){ id + CASES - 2, 2 };
    all = (sf_id_list){ id, CASES };
    json_decref(json);
    sf_fingerprint_destroy(&print);
    sf_recipe_destroy(&recipe);
    return 0;
}

USED_BY_SOME static int end_world(void **state)
{
    (void)state;
    sf_plans_destroy(&plans);
    sf_dataset_destroy(&dataset);
    return 0;
}

/** Options of a training in a work folder of that name, made on first use. */
USED_BY_SOME static sf_train_options options(const char *name)
{
    static char work[8][SF_PATH_MAX];
    static int next;
    char to[SF_PATH_MAX];
    char *w = work[next++ % 8];
    tst_ok(sf_path_join(w, tst_tmp_dir(), name, NULL));
    tst_ok(sf_path_join(to, w, "preprocessed", NULL));
    tst_ok(sf_path_make_dirs(to));
    tst_ok(sf_work_container(to, w, "2d"));
    if (!sf_path_is_file(to)) tst_ok(sf_path_copy(container, to));
    return (sf_train_options){ .work = w,
                               .key = { .seed = 5, .config = "2d", .fold = 0 },
                               .plans = plans,
                               .dataset = dataset,
                               .train = &train,
                               .val = &val,
                               .epochs = EPOCHS,
                               .iterations = ITERATIONS,
                               .val_iterations = 1,
                               .batch = 2,
                               .mirror = true,
                               .threads = 1,
                               .loader_threads = 0,
                               .save_probabilities = true };
}

USED_BY_SOME static const char *at(const sf_train_options *o, const char *name)
{
    static char path[4][SF_PATH_MAX];
    static int next;
    char dir[SF_PATH_MAX];
    char *p = path[next++ % 4];
    tst_ok(sf_work_fold_dir(dir, o->work, &o->key));
    tst_ok(sf_path_join(p, dir, name, NULL));
    return p;
}

USED_BY_SOME static void same_file(const sf_train_options *a, const sf_train_options *b,
                                   const char *name)
{
    char *x, *y;
    size_t nx, ny;
    tst_ok(sf_path_read(&x, &nx, at(a, name), 0));
    tst_ok(sf_path_read(&y, &ny, at(b, name), 0));
    if (nx != ny || memcmp(x, y, nx) != 0) fail_msg("%s differs", name);
    sf_mem_free(x);
    sf_mem_free(y);
}

/** The weights, the predictions and the scores. */
USED_BY_SOME static void same_results(const sf_train_options *a, const sf_train_options *b)
{
    char x[65], y[65], name[300];
    tst_ok(sf_checkpoint_hash(at(a, "checkpoint_final.h5"), x));
    tst_ok(sf_checkpoint_hash(at(b, "checkpoint_final.h5"), y));
    assert_string_equal(x, y);
    tst_ok(sf_checkpoint_hash(at(a, "checkpoint_best.h5"), x));
    tst_ok(sf_checkpoint_hash(at(b, "checkpoint_best.h5"), y));
    assert_string_equal(x, y);
    /* the whole state, moving average of the Dice included: equal input gives equal bytes */
    same_file(a, b, "checkpoint_final.h5");
    same_file(a, b, "checkpoint_best.h5");
    same_file(a, b, "validation/summary.json");
    for (int i = 0; i < a->val->count; i++) {
        snprintf(name, sizeof name, "validation/%s.png", a->val->id[i]);
        same_file(a, b, name);
        snprintf(name, sizeof name, "validation/%s.h5", a->val->id[i]);
        same_file(a, b, name);
    }
}

USED_BY_SOME static sf_train_options whole(void)
{
    const sf_train_options o = options("whole");
    if (!sf_path_is_file(at(&o, "validation/summary.json")))
        tst_ok(sf_train_run(sf_comm_self(), &o));
    return o;
}

typedef struct {
    int asked, limit;
} counter;

USED_BY_SOME static bool stop_after(void *user)
{
    counter *c = user;
    return ++c->asked >= c->limit;
}

USED_BY_SOME static void refused(const sf_train_options *o, sf_status st, const char *word)
{
    assert_int_equal(sf_train_run(sf_comm_self(), o), st);
    if (!strstr(sf_error_text(), word)) fail_msg("no '%s' in: %s", word, sf_error_text());
}

USED_BY_SOME static void damage(const char *path)
{
    char *text;
    size_t size;
    tst_ok(sf_path_read(&text, &size, path, 0));
    text[size / 2] ^= 4;
    tst_ok(sf_path_write(path, text, size));
    sf_mem_free(text);
}

#endif
