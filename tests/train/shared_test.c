/* One training on groups of ranks that change at every stop: checkpoints, scores and predictions
 * are those of one rank, byte for byte. The reference is made by rank 0 alone.
 * One process: only that it runs twice with the same bytes. */
#include "base/path.h"
#include "image/phantom.h"
#include "plan/planner.h"
#include "plan/work.h"
#include "preprocess/pipeline.h"
#include "tests/mpi/check.h"
#include "train/checkpoint.h"
#include "train/trainer.h"
#include <stdlib.h>
#include <unistd.h>

enum { CASES = 5, BATCH = 5, EPOCHS = 2, ITERATIONS = 3 };

typedef struct {
    char dir[SF_PATH_MAX]; /* of rank 0, removed at the end */
    sf_dataset *dataset;
    sf_plans *plans;
    char *id[CASES];
    sf_id_list train, val;
} world;

static bool first_rank(void) { return sf_comm_rank(sf_comm_world()) == 0; }

static void make_files(world *w)
{
    const sf_phantom_options po = { .cases = CASES, .flat = true, .extent = 16, .seed = 7 };
    char pattern[] = "/tmp/segfleet_shared_XXXXXX";
    if (first_rank()) {
        CHECK(mkdtemp(pattern) != NULL);
        CHECK_OK(sf_phantom_make(pattern, &po));
    }
    CHECK_OK(sf_comm_bcast(sf_comm_world(), pattern, sizeof pattern, 0));
    CHECK_OK(sf_path_join(w->dir, pattern, "", NULL));
}

static void make_plans(world *w)
{
    const sf_planner_options none = { 0 };
    char path[SF_PATH_MAX];
    sf_recipe *recipe = NULL;
    sf_fingerprint *print = NULL;
    json_t *json = NULL;
    const sf_config *cfg;
    CHECK_OK(sf_path_join(path, w->dir, "Dataset999_Phantom", NULL));
    CHECK_OK(sf_dataset_load(&w->dataset, path));
    CHECK_OK(sf_recipe_load(&recipe, "paper"));
    CHECK_OK(sf_fingerprint_compute(&print, w->dataset, recipe, 1));
    CHECK_OK(sf_planner_run(&json, NULL, print, w->dataset, recipe, &none));
    CHECK_OK(sf_plans_from_json(&w->plans, json, "plans"));
    CHECK_OK(sf_plans_config(&cfg, w->plans, "2d"));
    CHECK_OK(sf_path_join(path, w->dir, "2d.h5", NULL));
    if (first_rank())
        CHECK_OK(sf_preprocess_config(sf_comm_self(), w->dataset, w->plans, cfg, path, 1));
    CHECK_OK(sf_comm_barrier(sf_comm_world()));
    json_decref(json);
    sf_fingerprint_destroy(&print);
    sf_recipe_destroy(&recipe);
    for (int i = 0; i < CASES; i++) w->id[i] = w->dataset->train[i].id;
    w->train = (sf_id_list){ w->id, 2 };
    w->val = (sf_id_list){ w->id + 2, CASES - 2 };
}

static sf_train_options options(const world *w, const char *name, char work[SF_PATH_MAX])
{
    char from[SF_PATH_MAX], to[SF_PATH_MAX];
    CHECK_OK(sf_path_join(work, w->dir, name, NULL));
    CHECK_OK(sf_path_join(to, work, "preprocessed", NULL));
    CHECK_OK(sf_path_join(from, w->dir, "2d.h5", NULL));
    if (first_rank() && !sf_path_is_dir(to)) {
        CHECK_OK(sf_path_make_dirs(to));
        CHECK_OK(sf_work_container(to, work, "2d"));
        CHECK_OK(sf_path_copy(from, to));
    }
    CHECK_OK(sf_comm_barrier(sf_comm_world()));
    return (sf_train_options){ .work = work,
                               .key = { .seed = 5, .config = "2d", .fold = 0 },
                               .plans = w->plans,
                               .dataset = w->dataset,
                               .train = &w->train,
                               .val = &w->val,
                               .epochs = EPOCHS,
                               .iterations = ITERATIONS,
                               .val_iterations = 2,
                               .batch = BATCH,
                               .mirror = true,
                               .threads = 1,
                               .save_probabilities = true };
}

typedef struct {
    int asked, limit, rank; /* only this rank is told to stop */
} counter;

static bool stop_after(void *user)
{
    counter *c = user;
    return ++c->asked >= c->limit && sf_comm_rank(sf_comm_world()) == c->rank;
}

/* The first `size` ranks go on with the training; stop after `steps` (0: not at all). */
static sf_status go_on(sf_train_options o, int size, int steps)
{
    sf_comm *c = NULL;
    const int rank = sf_comm_rank(sf_comm_world());
    counter count = { 0, steps, size - 1 };
    int64_t st = SF_OK;
    o.stop = steps > 0 ? stop_after : NULL;
    o.stop_user = &count;
    CHECK_OK(sf_comm_split(&c, sf_comm_world(), rank < size ? 0 : -1, rank));
    if (c) {
        st = sf_train_run(c, &o);
        sf_comm_destroy(&c);
    }
    int64_t all = st;
    CHECK_OK(sf_comm_max_i64(sf_comm_world(), &all, 1));
    CHECK(rank >= size || st == all); /* all ranks of the group say the same */
    return (sf_status)all;
}

static void same_file(const sf_train_options *a, const sf_train_options *b, const char *name)
{
    char dir[SF_PATH_MAX], path[SF_PATH_MAX], *text[2];
    const sf_train_options *o[2] = { a, b };
    size_t size[2];
    for (int i = 0; i < 2; i++) {
        CHECK_OK(sf_work_fold_dir(dir, o[i]->work, &o[i]->key));
        CHECK_OK(sf_path_join(path, dir, name, NULL));
        CHECK_OK(sf_path_read(&text[i], &size[i], path, 0));
    }
    if (size[0] != size[1] || memcmp(text[0], text[1], size[0]) != 0) printf("%s differs\n", name);
    CHECK(size[0] == size[1] && memcmp(text[0], text[1], size[0]) == 0);
    for (int i = 0; i < 2; i++) sf_mem_free(text[i]);
}

static void same_results(const world *w, const sf_train_options *a, const sf_train_options *b)
{
    char name[300];
    if (!first_rank()) return;
    same_file(a, b, "checkpoint_final.h5"); /* momentum and moving average included */
    same_file(a, b, "checkpoint_best.h5");
    same_file(a, b, "validation/summary.json");
    for (int i = 0; i < w->val.count; i++) {
        snprintf(name, sizeof name, "validation/%s.png", w->val.id[i]);
        same_file(a, b, name);
        snprintf(name, sizeof name, "validation/%s.h5", w->val.id[i]);
        same_file(a, b, name);
    }
}

static void check_groups(const world *w)
{
    static const int sizes[] = { 2, 3, 1, 4, 3, 5, 2, 1 };
    char one[SF_PATH_MAX], many[SF_PATH_MAX], whole[SF_PATH_MAX];
    const int most = sf_comm_size(sf_comm_world());
    const sf_train_options a = options(w, "one", one), b = options(w, "many", many),
                           c = options(w, "whole", whole);
    CHECK_OK(go_on(a, 1, 0));
    CHECK_OK(go_on(c, most < BATCH ? most : BATCH, 0)); /* never stopped */
    same_results(w, &a, &c);
    sf_status st = SF_ESTOP;
    int runs = 0;
    for (; st == SF_ESTOP && runs < 30; runs++) { /* another group after every step */
        const int size = sizes[runs % 8] < most ? sizes[runs % 8] : most;
        st = go_on(b, size, runs < EPOCHS * ITERATIONS ? 1 : 0);
    }
    CHECK(st == SF_OK && runs == EPOCHS * ITERATIONS + 1);
    same_results(w, &a, &b);
}

/* A failure on one rank alone is heard by all. */
static void one_fails(const world *w)
{
    char work[SF_PATH_MAX];
    sf_train_options o = options(w, "fails", work);
    const int most = sf_comm_size(sf_comm_world());
    char *wrong[1] = { "nobody" };
    const sf_id_list none = { wrong, 1 };
    if (sf_comm_rank(sf_comm_world()) == most - 1) o.train = &none;
    CHECK(go_on(o, most < BATCH ? most : BATCH, 0) == (most <= BATCH ? SF_EDATA : SF_OK));
    if (most <= BATCH) CHECK(strstr(sf_error_text(), "nobody") != NULL);
}

int main(int argc, char **argv)
{
    static world w;
    CHECK_OK(sf_mpi_start(&argc, &argv));
    make_files(&w);
    make_plans(&w);
    check_groups(&w);
    one_fails(&w);
    sf_plans_destroy(&w.plans);
    sf_dataset_destroy(&w.dataset);
    if (first_rank()) CHECK_OK(sf_path_remove(w.dir));
    CHECK(sf_mem_live(SF_MEM_CATEGORIES) == 0);
    sf_mpi_stop();
    return 0;
}
