#include "base/json.h"
#include "base/mem.h"
#include "cli/command.h"
#include "fleet/estimate.h"
#include "fleet/job.h"
#include "fleet/threads.h"
#include "plan/planner.h"
#include "report/table.h"
#include <string.h>

typedef struct {
    const char *dataset, *plans, *dataset_json, *recipe, *configs, *json, *work, *out, *precision;
    int64_t nodes, ranks, cores, folds, cases, epochs, iterations, batch;
    double gflops, memory_gb;
    bool sbatch;
} words;

/* Plans of a dataset that has none yet, in memory. */
static sf_status plan_dataset(sf_plans **plans, const sf_dataset *d, const words *w)
{
    sf_recipe *recipe = NULL;
    sf_fingerprint *f = NULL;
    json_t *json = NULL;
    const sf_planner_options po = { .memory_gb = w->memory_gb };
    sf_status st = sf_recipe_load(&recipe, w->recipe);
    if (st == SF_OK) st = sf_fingerprint_compute(&f, d, recipe, sf_threads_available());
    if (st == SF_OK) st = sf_planner_run(&json, NULL, f, d, recipe, &po);
    if (st == SF_OK) st = sf_plans_from_json(plans, json, d->dir);
    json_decref(json);
    sf_fingerprint_destroy(&f);
    sf_recipe_destroy(&recipe);
    return st;
}

static sf_status load(sf_plans **plans, sf_dataset **d, const words *w, char dir[SF_PATH_MAX])
{
    if (w->dataset) {
        SF_TRY(sf_cli_dataset(dir, w->dataset));
        SF_TRY(sf_dataset_load(d, dir));
        return w->plans ? sf_plans_load(plans, w->plans) : plan_dataset(plans, *d, w);
    }
    SF_TRY(sf_dataset_from_json(d, w->dataset_json));
    return sf_plans_load(plans, w->plans);
}

/* --- table ---------------------------------------------------------------------------------------
 */

static const char *const head[] = { "configuration", "batch",   "ranks",         "GFLOP/step",
                                    "GFLOP/s core",  "s/step",  "MiB/rank",      "MB sent/step",
                                    "h/fold",        "data GB", "checkpoints GB" };
enum { COLUMNS = sizeof head / sizeof *head };

static sf_status row_cells(sf_table *t, const sf_estimate_row *r)
{
    SF_TRY(sf_table_cell(t, "%s", r->config->name));
    SF_TRY(sf_table_cell(t, "%lld", (long long)r->batch));
    SF_TRY(sf_table_cell(t, "%lld", (long long)r->ranks));
    SF_TRY(sf_table_cell(t, "%.1f", r->alone.flops / 1e9));
    SF_TRY(sf_table_cell(t, "%.1f", r->gflops));
    SF_TRY(sf_table_cell(t, "%.3f", r->seconds));
    SF_TRY(sf_table_cell(t, "%.0f", (double)r->busiest.memory / 1048576.0));
    SF_TRY(sf_table_cell(t, "%.1f", (double)r->busiest.bytes / 1e6));
    SF_TRY(sf_table_cell(t, "%.2f", r->hours));
    SF_TRY(sf_table_cell(t, "%.2f", (double)r->container / 1e9));
    return sf_table_cell(t, "%.2f", (double)r->checkpoints / 1e9);
}

static sf_status print_table(const sf_estimate *e, const words *w)
{
    sf_table *t = NULL;
    char *text = NULL;
    sf_status st;
    SF_GOTO(done, st, sf_table_create(&t, COLUMNS));
    for (int i = 0; i < COLUMNS; i++) SF_GOTO(done, st, sf_table_cell(t, "%s", head[i]));
    for (int i = 0; i < e->n; i++) SF_GOTO(done, st, row_cells(t, &e->row[i]));
    SF_GOTO(done, st, sf_table_text(&text, t));
    printf("%s\n%lld nodes x %lld ranks x %lld cores, %lld folds, layout %s\n", text,
           (long long)w->nodes, (long long)w->ranks, (long long)w->cores, (long long)w->folds,
           e->layout);
    printf("trainings and validation %.2f h, %.2f node-hours; %.0f MiB per rank, %.2f GB on disk\n",
           e->hours, e->node_hours, (double)e->memory / 1048576.0, (double)e->disk / 1e9);
done:
    sf_mem_free(text);
    sf_table_destroy(&t);
    return st;
}

/* --- JSON ----------------------------------------------------------------------------------------
 */

static json_t *forecast_json(const sf_group_forecast *f, int ranks)
{
    return json_pack("{s:i,s:f,s:I,s:I,s:I,s:I,s:I,s:I}", "ranks", ranks, "gflop", f->flops / 1e9,
                     "memory_bytes", (json_int_t)f->memory, "sent_bytes", (json_int_t)f->bytes,
                     "gradient_bytes", (json_int_t)f->grad_bytes, "halo_bytes",
                     (json_int_t)f->halo_bytes, "exchanges", (json_int_t)f->exchanges, "messages",
                     (json_int_t)f->messages);
}

/* What scaling models are made of: groups of 1, 2, 4, ... ranks, and the largest. */
static sf_status groups_json(json_t *to, const sf_estimate_options *o, const sf_config *c)
{
    const int64_t batch = o->batch > 0 ? o->batch : c->batch_size;
    const int64_t most = sf_group_most(c->patch, batch);
    for (int64_t ranks = 1; ranks <= most;
         ranks = ranks < most && 2 * ranks > most ? most : 2 * ranks) {
        sf_group_forecast f;
        SF_TRY(sf_estimate_group(&f, o, c, (int)ranks));
        SF_CHECK(json_array_append_new(to, forecast_json(&f, (int)ranks)) == 0, SF_ENOMEM,
                 "out of memory");
    }
    return SF_OK;
}

static sf_status row_json(json_t *to, const sf_estimate_options *o, const sf_estimate_row *r)
{
    json_t *groups = json_array();
    SF_CHECK(groups, SF_ENOMEM, "out of memory");
    sf_status st = groups_json(groups, o, r->config);
    json_t *j = json_pack(
        "{s:s,s:I,s:I,s:I,s:f,s:f,s:f,s:I,s:I,s:f,s:I,s:I,s:o}", "configuration", r->config->name,
        "batch", (json_int_t)r->batch, "ranks", (json_int_t)r->ranks, "parameters",
        (json_int_t)r->alone.parameters, "gflop_per_step", r->alone.flops / 1e9, "gflops_per_core",
        r->gflops, "seconds_per_step", r->seconds, "memory_bytes", (json_int_t)r->busiest.memory,
        "sent_bytes", (json_int_t)r->busiest.bytes, "hours_per_fold", r->hours, "container_bytes",
        (json_int_t)r->container, "checkpoint_bytes", (json_int_t)r->checkpoints, "groups", groups);
    if (!j || json_array_append_new(to, j) != 0) return SF_FAIL(SF_ENOMEM, "out of memory");
    return st;
}

static sf_status save(const sf_estimate *e, const sf_estimate_options *o, const char *path)
{
    json_t *rows = json_array();
    SF_CHECK(rows, SF_ENOMEM, "out of memory");
    sf_status st = SF_OK;
    for (int i = 0; i < e->n && st == SF_OK; i++) st = row_json(rows, o, &e->row[i]);
    json_t *j =
        json_pack("{s:i,s:i,s:i,s:i,s:I,s:s,s:f,s:f,s:I,s:I,s:o}", "nodes", o->nodes,
                  "ranks_per_node", o->ranks_per_node, "cores_per_rank", o->cores, "folds",
                  o->folds, "cases", (json_int_t)o->cases, "layout", e->layout, "hours", e->hours,
                  "node_hours", e->node_hours, "memory_bytes", (json_int_t)e->memory, "disk_bytes",
                  (json_int_t)e->disk, "configurations", rows);
    if (st == SF_OK && !j) st = SF_FAIL(SF_ENOMEM, "out of memory");
    if (st == SF_OK) st = sf_json_save(j, path, 4, false);
    json_decref(j);
    return st;
}

/* --- job script ----------------------------------------------------------------------------------
 */

/* A fifth more than the networks, and for every rank what validation takes beside them. */
static int64_t node_memory(const sf_estimate *e, const words *w)
{
    const int64_t validation = (int64_t)3 << 30;
    return w->ranks * (e->memory + e->memory / 5 + validation);
}

static sf_status write_job(const sf_estimate *e, const words *w, const char *dir)
{
    const char *list[18];
    char number[4][24];
    char *text = NULL;
    int n = 0;
    if (w->dataset) {
        list[n++] = dir;
        list[n++] = w->work;
        list[n++] = "--recipe";
        list[n++] = w->recipe;
        if (w->configs) list[n++] = "--configs", list[n++] = w->configs;
        if (strcmp(w->precision, "fp32") != 0) list[n++] = "--precision", list[n++] = w->precision;
        const struct {
            const char *name;
            int64_t value;
        } more[] = { { "--epochs", w->epochs },
                     { "--iterations", w->iterations },
                     { "--batch-size", w->batch },
                     { "--num-folds", w->folds } };
        for (int i = 0; i < 4; i++) {
            if (more[i].value <= 0) continue;
            snprintf(number[i], sizeof number[i], "%lld", (long long)more[i].value);
            list[n++] = more[i].name;
            list[n++] = number[i];
        }
    }
    const sf_job job = { .nodes = (int)w->nodes,
                         .ranks_per_node = (int)w->ranks,
                         .cores = (int)w->cores,
                         .memory = node_memory(e, w),
                         .hours = e->hours,
                         .words = list,
                         .n_words = n };
    SF_TRY(sf_job_script(&text, &job));
    sf_status st = SF_OK;
    if (w->out)
        st = sf_path_write(w->out, text, strlen(text));
    else
        fputs(text, stdout);
    sf_mem_free(text);
    return st;
}

/* --- the command ---------------------------------------------------------------------------------
 */

/* --configs, or all of the plan. */
static sf_status config_names(char ***names, int *n, const sf_plans *p, const char *list)
{
    if (list) return sf_args_split(names, n, list);
    SF_TRY(sf_mem_calloc(names, (size_t)p->n_configs + 1, sizeof **names, SF_MEM_MISC));
    for (*n = 0; *n < p->n_configs; (*n)++) (*names)[*n] = p->config[*n].name;
    return SF_OK;
}

static sf_status estimate(const words *w)
{
    sf_plans *plans = NULL;
    sf_dataset *d = NULL;
    char **names = NULL, dir[SF_PATH_MAX];
    int n = 0;
    sf_estimate e = { 0 };
    sf_status st;
    sf_dtype precision;
    SF_GOTO(done, st, sf_precision_of(&precision, w->precision));
    SF_GOTO(done, st, load(&plans, &d, w, dir));
    SF_GOTO(done, st, config_names(&names, &n, plans, w->configs));
    const int64_t cases = w->cases > 0 ? w->cases : w->dataset ? d->n_train : d->num_training;
    SF_CHECK_GOTO(done, st, cases > 0, SF_EINVAL, "%s does not say numTraining: give --cases N",
                  w->dataset_json);
    const sf_estimate_options o = { .plans = plans,
                                    .labels = &d->labels,
                                    .configs = names,
                                    .n_configs = n,
                                    .folds = (int)w->folds,
                                    .cases = cases,
                                    .epochs = w->epochs,
                                    .iterations = w->iterations,
                                    .batch = w->batch,
                                    .nodes = (int)w->nodes,
                                    .ranks_per_node = (int)w->ranks,
                                    .cores = (int)w->cores,
                                    .precision = precision,
                                    .gflops = w->gflops };
    SF_GOTO(done, st, sf_estimate_make(&e, &o));
    if (!w->sbatch || w->out) SF_GOTO(done, st, print_table(&e, w));
    if (w->json) SF_GOTO(done, st, save(&e, &o, w->json));
    if (w->sbatch) st = write_job(&e, w, dir);
done:
    sf_mem_free(e.row);
    sf_mem_free(names);
    sf_dataset_destroy(&d);
    sf_plans_destroy(&plans);
    return st;
}

static sf_status check(const words *w)
{
    SF_CHECK(w->dataset || (w->plans && w->dataset_json), SF_EINVAL,
             "estimate: give DATASET, or both --plans and --dataset-json");
    SF_CHECK(w->nodes <= 65536 && w->ranks <= 1024 && w->nodes * w->ranks <= 65536 &&
                 w->cores <= 4096 && w->folds <= 1000,
             SF_EINVAL, "estimate: at most 65536 ranks, 4096 cores each, 1000 folds");
    SF_CHECK(!w->sbatch || !w->dataset || w->work, SF_EINVAL,
             "estimate --sbatch: give --work, the folder that the job fills");
    SF_CHECK(w->sbatch || !w->out, SF_EINVAL, "estimate: --output is for --sbatch");
    return SF_OK;
}

sf_status sf_cmd_estimate(int argc, char **argv)
{
    words w = { .precision = "fp32", .recipe = "paper", .nodes = 1, .ranks = 1, .folds = 5 };
    w.cores = sf_threads_available();
    bool done = false;
    sf_arg args[] = {
        SF_ARG("DATASET", 0, STR, &w.dataset, NULL,
               SF_CLI_DATASET "; or give --plans and --dataset-json", .positional = true),
        SF_ARG("plans", 'p', STR, &w.plans, "FILE", "default: planned from the dataset"),
        SF_ARG("dataset-json", 'd', STR, &w.dataset_json, "FILE",
               "dataset.json that belongs to --plans"),
        SF_ARG("recipe", 0, STR, &w.recipe, "NAME|FILE", "of DATASET's plan; default paper"),
        SF_ARG("memory-gb", 0, REAL, &w.memory_gb, "G", "of DATASET's plan: memory budget",
               .positive = true),
        SF_ARG("nodes", 'n', INT, &w.nodes, "N", "default 1", .positive = true),
        SF_ARG("ranks-per-node", 0, INT, &w.ranks, "R", "default 1", .positive = true),
        SF_ARG("cores-per-rank", 0, INT, &w.cores, "C", "default: this machine's processors",
               .positive = true),
        SF_ARG("configs", 'c', STR, &w.configs, "LIST", "default: all of the plan"),
        SF_ARG("folds", 'f', INT, &w.folds, "K", "number of folds; default 5", .positive = true),
        SF_ARG("cases", 0, INT, &w.cases, "N", "training cases; default: the dataset's",
               .positive = true),
        SF_ARG("epochs", 0, INT, &w.epochs, "N", "default: the recipe's", .positive = true),
        SF_ARG("iterations", 0, INT, &w.iterations, "N", "steps per epoch; default: the recipe's",
               .positive = true),
        SF_ARG("batch-size", 0, INT, &w.batch, "B", "default: the plan's", .positive = true),
        SF_ARG("precision", 0, STR, &w.precision, "fp32|bf16", SF_CLI_PRECISION),
        SF_ARG("gflops", 0, REAL, &w.gflops, "G",
               "GFLOP/s of one core in training; default: measured, a step of each network",
               .positive = true),
        SF_ARG("json", 'j', STR, &w.json, "FILE",
               "the figures, and what ranks of groups of 1, 2, 4, ... compute, hold and send"),
        SF_ARG("sbatch", 0, FLAG, &w.sbatch, NULL, "print a job script instead of the table"),
        SF_ARG("work", 'w', STR, &w.work, "DIR", "work folder of the job script"),
        SF_ARG("output", 'o', STR, &w.out, "FILE", "write the job script to a file"),
        SF_ARG_END,
    };
    const sf_arg_table table = { "estimate",
                                 "predict operations, memory, time and disk of a run; job script",
                                 NULL, args };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return SF_OK;
    SF_TRY(check(&w));
    return estimate(&w);
}
