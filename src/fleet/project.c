#include "fleet/project.h"
#include "base/args.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "fleet/threads.h"
#include "plan/work.h"
#include <stdlib.h>
#include <string.h>

static sf_status bind_folder(sf_project *p, bool alone)
{
    char file[SF_PATH_MAX], what[SF_PATH_MAX];
    SF_TRY(sf_path_make_dirs(p->work));
    SF_TRY(sf_work_file(file, p->work, ".lock"));
    SF_TRY(sf_path_format(what, "the work folder %s", p->work));
    SF_TRY(sf_lock_take(&p->lock, file, !alone, what));
    return sf_settings_store(p->o->stored ? p->o->stored : &p->settings, p->work);
}

sf_status sf_project_open(sf_project *p, sf_comm *world, const sf_run_options *o, bool alone)
{
    memset(p, 0, sizeof *p);
    p->lock = -1;
    p->o = o;
    p->work = o->work;
    p->settings = o->settings;
    sf_status st = sf_dataset_load(&p->dataset, p->settings.dataset);
    SF_TRY(sf_comm_agree(world, st));
    /* only now: a mistyped option must not bind the work folder */
    if (sf_comm_rank(world) == 0) st = bind_folder(p, alone);
    SF_TRY(sf_comm_agree(world, st));
    return sf_threads_decide(&p->threads, world, o->threads);
}

/* By default all of the plan. */
static sf_status default_configs(sf_project *p)
{
    SF_TRY(sf_mem_calloc(&p->config, (size_t)p->plans->n_configs, sizeof *p->config, SF_MEM_MISC));
    for (int i = 0; i < p->plans->n_configs; i++) {
        SF_TRY(sf_mem_strdup(&p->config[i], p->plans->config[i].name));
        p->n_configs++;
    }
    return SF_OK;
}

static sf_status given_configs(sf_project *p, const char *list)
{
    char **word = NULL;
    int n = 0;
    SF_TRY(sf_args_split(&word, &n, list));
    sf_status st = sf_mem_calloc(&p->config, (size_t)n, sizeof *p->config, SF_MEM_MISC);
    for (int i = 0; i < n && st == SF_OK; i++) {
        const sf_config *cfg;
        st = sf_plans_config(&cfg, p->plans, word[i]);
        for (int k = 0; st == SF_OK && k < p->n_configs; k++) {
            if (strcmp(p->config[k], cfg->name) == 0)
                st = SF_FAIL(SF_EINVAL, "--configs names %s twice", cfg->name);
        }
        if (st == SF_OK) st = sf_mem_strdup(&p->config[p->n_configs++], cfg->name);
    }
    sf_mem_free(word);
    return st;
}

static sf_status parse_fold(int *fold, const char *word)
{
    char *end;
    const long v = strtol(word, &end, 10);
    SF_CHECK(*word && *end == 0 && v >= 0 && v < 1000, SF_EINVAL,
             "--folds: '%s' is not a fold number", word);
    *fold = (int)v;
    return SF_OK;
}

/* Every fold of the split; one case has none: it is trained and scored on itself. */
static sf_status all_folds(sf_project *p)
{
    const int n = p->splits->count;
    SF_TRY(sf_mem_calloc(&p->fold, (size_t)n + 1, sizeof *p->fold, SF_MEM_MISC));
    for (int i = 0; i < n; i++) p->fold[i] = i;
    p->n_folds = n;
    if (n > 0) return SF_OK;
    p->fold[p->n_folds++] = SF_FOLD_ALL;
    sf_log(SF_LOG_WARN, "splits",
           "no cross-validation is possible: fold=all, scores are those of training cases");
    return SF_OK;
}

/* A wrong list must end the run before anything is trained. */
static sf_status check_folds(const sf_project *p)
{
    for (int i = 0; i < p->n_folds; i++) {
        sf_id_list train, val;
        SF_TRY(sf_splits_fold(&train, &val, p->splits, p->fold[i]));
        sf_id_list_free(&train);
        sf_id_list_free(&val);
        SF_CHECK(
            p->n_folds == 1 || p->fold[i] < p->splits->count, SF_EINVAL,
            "--folds: fold %d is none of the split's %d folds, so it can only be trained alone",
            p->fold[i], p->splits->count);
        for (int k = 0; k < i; k++)
            SF_CHECK(p->fold[k] != p->fold[i], SF_EINVAL, "--folds names fold %d twice",
                     p->fold[i]);
    }
    return SF_OK;
}

static sf_status list_folds(sf_project *p, const char *list)
{
    if (!list || strcmp(list, "all") == 0) return all_folds(p);
    char **word = NULL;
    int n = 0;
    SF_TRY(sf_args_split(&word, &n, list));
    sf_status st = sf_mem_calloc(&p->fold, (size_t)n, sizeof *p->fold, SF_MEM_MISC);
    for (int i = 0; i < n && st == SF_OK; i++) st = parse_fold(&p->fold[p->n_folds++], word[i]);
    sf_mem_free(word);
    return st == SF_OK ? check_folds(p) : st;
}

/* The folder's plans, or those of the variant that is asked for. */
static sf_status load_plans(sf_project *p, const char *path)
{
    if (!p->settings.variant[0]) return sf_plans_load(&p->plans, path);
    sf_plans *base = NULL;
    SF_TRY(sf_plans_load(&base, path));
    const sf_status st = sf_plans_vary(&p->plans, base, p->settings.variant);
    sf_plans_destroy(&base);
    return st;
}

sf_status sf_project_splits(sf_splits **out, const sf_dataset *d, const char *work)
{
    char path[SF_PATH_MAX];
    const char **id = NULL;
    SF_TRY(sf_work_file(path, work, "splits_final.json"));
    SF_CHECK(sf_path_is_file(path), SF_EINVAL, "%s is not there: run 'segfleet preprocess' first",
             path);
    SF_TRY(sf_mem_calloc(&id, (size_t)d->n_train, sizeof *id, SF_MEM_MISC));
    for (int i = 0; i < d->n_train; i++) id[i] = d->train[i].id;
    const sf_status st = sf_splits_open(out, path, id, d->n_train, 0, NULL);
    sf_mem_free(id);
    return st;
}

sf_status sf_project_load_plans(sf_project *p)
{
    char path[SF_PATH_MAX];
    SF_TRY(sf_work_file(path, p->work, "plans.json"));
    SF_TRY(load_plans(p, path));
    SF_CHECK(p->plans->n_channels == p->dataset->n_channels, SF_EDATA,
             "%s is for %d channels, the dataset has %d: start another work folder", path,
             p->plans->n_channels, p->dataset->n_channels);
    SF_TRY(sf_project_splits(&p->splits, p->dataset, p->work));
    SF_TRY(p->o->configs ? given_configs(p, p->o->configs) : default_configs(p));
    return list_folds(p, p->o->folds);
}

sf_task_key sf_project_key(const sf_project *p, const char *config, int fold)
{
    return (sf_task_key){
        .variant = p->plans->variant, .seed = p->settings.seed, .config = config, .fold = fold
    };
}

void sf_project_close(sf_project *p)
{
    sf_lock_release(&p->lock);
    for (int i = 0; i < p->n_configs; i++) sf_mem_free(p->config[i]);
    sf_mem_free(p->config);
    sf_mem_free(p->fold);
    sf_splits_destroy(&p->splits);
    sf_plans_destroy(&p->plans);
    sf_dataset_destroy(&p->dataset);
}
