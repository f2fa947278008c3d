#include "fleet/project.h"
#include "base/args.h"
#include "base/log.h"
#include "base/mem.h"
#include "fleet/threads.h"
#include "plan/work.h"
#include <stdlib.h>
#include <string.h>

sf_status sf_project_open(sf_project *p, sf_comm *world, const sf_run_options *o)
{
    memset(p, 0, sizeof *p);
    p->o = o;
    p->work = o->work;
    p->settings = o->settings;
    sf_status st = sf_recipe_load(&p->recipe, p->settings.recipe, NULL);
    if (st == SF_OK) st = sf_dataset_load(&p->dataset, p->settings.dataset);
    SF_TRY(sf_comm_agree(world, st));
    /* only now: a mistyped option must not bind the work folder */
    if (sf_comm_rank(world) == 0)
        st = sf_settings_store(o->stored ? o->stored : &p->settings, p->work);
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

sf_status sf_project_load_plans(sf_project *p)
{
    char path[SF_PATH_MAX];
    SF_TRY(sf_work_file(path, p->work, "plans.json"));
    SF_TRY(sf_plans_load(&p->plans, path));
    SF_CHECK(p->plans->n_channels == p->dataset->n_channels, SF_EDATA,
             "%s is for %d channels, the dataset has %d: start another work folder", path,
             p->plans->n_channels, p->dataset->n_channels);
    SF_TRY(sf_work_file(path, p->work, "splits_final.json"));
    SF_TRY(sf_splits_load(&p->splits, path));
    SF_TRY(p->o->configs ? given_configs(p, p->o->configs) : default_configs(p));
    return list_folds(p, p->o->folds);
}

void sf_project_close(sf_project *p)
{
    for (int i = 0; i < p->n_configs; i++) sf_mem_free(p->config[i]);
    sf_mem_free(p->config);
    sf_mem_free(p->fold);
    sf_splits_destroy(&p->splits);
    sf_plans_destroy(&p->plans);
    sf_recipe_destroy(&p->recipe);
    sf_dataset_destroy(&p->dataset);
}
