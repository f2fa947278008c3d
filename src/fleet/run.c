#include "fleet/run.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "evaluate/metrics.h"
#include "fleet/account.h"
#include "fleet/apply.h"
#include "fleet/choose.h"
#include "fleet/nearby.h"
#include "fleet/project.h"
#include "fleet/stages.h"
#include "fleet/tasks.h"
#include "plan/work.h"
#include "preprocess/origin.h"
#include "train/validate.h"
#include <string.h>

/* A run that finds everything done touches no file. */
static sf_status save_if_new(const json_t *j, const char *path)
{
    json_t *old = NULL;
    const bool same = sf_path_is_file(path) && sf_json_load(&old, path) == SF_OK &&
                      json_equal((json_t *)(uintptr_t)j, old);
    json_decref(old);
    return same ? SF_OK : sf_json_save(j, path, 4, false);
}

/* A file of a variant that was changed since must not go on under its name. */
static sf_status write_variant_plans(const sf_project *p, const char *path)
{
    json_t *old = NULL;
    if (!sf_path_is_file(path)) return sf_json_save(p->plans->json, path, 4, false);
    SF_TRY(sf_json_load(&old, path));
    const bool same = json_equal(old, p->plans->json);
    json_decref(old);
    SF_CHECK(same, SF_EINVAL,
             "%s was made by another variant of the name %s: give the variant another name", path,
             p->plans->variant);
    return SF_OK;
}

static bool same_training(const sf_config *a, const sf_config *b)
{
    return memcmp(&a->arch, &b->arch, sizeof a->arch) == 0 &&
           memcmp(a->patch, b->patch, sizeof a->patch) == 0 && a->batch_size == b->batch_size &&
           a->batch_dice == b->batch_dice && a->prob.fn == b->prob.fn &&
           a->prob.order == b->prob.order && a->prob.order_z == b->prob.order_z;
}

/* A model folder keeps the plan that its weights were trained by: an edit of W/plans.json that
 * concerns this configuration must not be mixed with them. Other configurations may change. */
static sf_status check_model_plans(const char *path, const sf_project *p, const sf_config *cfg)
{
    sf_plans *then = NULL;
    const sf_config *old;
    char a[65], b[65];
    sf_status st;
    SF_GOTO(done, st, sf_plans_load(&then, path));
    SF_GOTO(done, st, sf_plans_config(&old, then, cfg->name));
    SF_GOTO(done, st, sf_data_origin(a, then, old));
    SF_GOTO(done, st, sf_data_origin(b, p->plans, cfg));
    SF_CHECK_GOTO(done, st, strcmp(a, b) == 0 && same_training(old, cfg), SF_EINVAL,
                  "%s: %s was trained by another plan than %s/plans.json holds now: undo the "
                  "change, remove that folder, or use another work folder",
                  path, cfg->name, p->work);
done:
    sf_plans_destroy(&then);
    return st;
}

/* The data of a configuration, where they are there, must be its plan's. */
static sf_status check_data(const sf_project *p, const char *config)
{
    char path[SF_PATH_MAX];
    const sf_config *cfg;
    SF_TRY(sf_plans_config(&cfg, p->plans, config));
    cfg = sf_plans_data_owner(p->plans, cfg);
    SF_TRY(sf_work_container(path, p->work, cfg->name));
    return sf_path_is_file(path) ? sf_data_origin_check(path, p->plans, cfg) : SF_OK;
}

/* results/CONFIG as a model folder of its own: plans, dataset and how to mirror. */
static sf_status write_model_files(const sf_project *p, const char *config)
{
    static const char *const names[] = { "plans.json", "dataset.json" };
    char dir[SF_PATH_MAX], from[SF_PATH_MAX], to[SF_PATH_MAX];
    const sf_config *cfg;
    bool axis[3];
    const sf_task_key key = sf_project_key(p, config, 0);
    SF_TRY(sf_plans_config(&cfg, p->plans, config));
    SF_TRY(sf_work_model_dir(dir, p->work, &key));
    SF_TRY(sf_path_make_dirs(dir));
    for (int i = 0; i < 2; i++) {
        SF_TRY(sf_work_file(from, p->work, names[i]));
        SF_TRY(sf_path_join(to, dir, names[i], NULL));
        if (i == 0 && key.variant)
            SF_TRY(write_variant_plans(p, to));
        else if (!sf_path_is_file(to))
            SF_TRY(sf_path_copy(from, to));
        else if (i == 0)
            SF_TRY(check_model_plans(to, p, cfg));
    }
    SF_TRY(sf_path_join(to, dir, "model.json", NULL));
    sf_mirror_axes(cfg, p->plans->recipe, p->settings.mirror && p->plans->recipe->infer.mirror,
                   axis);
    json_t *j = json_pack("{s:s,s:[b,b,b]}", "configuration", config, "mirror_axes", axis[0],
                          axis[1], axis[2]);
    SF_CHECK(j, SF_ENOMEM, "out of memory");
    sf_status st = save_if_new(j, to);
    json_decref(j);
    return st;
}

static sf_status write_models(const sf_project *p, sf_comm *world)
{
    sf_status st = SF_OK;
    for (int i = 0; i < p->n_configs && st == SF_OK && sf_comm_rank(world) == 0; i++) {
        const sf_config *cfg;
        st = sf_plans_config(&cfg, p->plans, p->config[i]);
        if (st == SF_OK) st = write_model_files(p, cfg->name);
        if (st == SF_OK && cfg->previous_stage) st = write_model_files(p, cfg->previous_stage);
    }
    return sf_comm_agree(world, st);
}

/* selection.json is out of date when it was made from other models or folds, or with another rule
 * about ensembles. */
static bool selection_is_current(const sf_project *p)
{
    char path[SF_PATH_MAX];
    json_t *j = NULL;
    bool same = sf_work_file(path, p->work, "selection.json") == SF_OK && sf_path_is_file(path) &&
                sf_json_load(&j, path) == SF_OK;
    const json_t *models = json_object_get(j, "considered_models"),
                 *folds = json_object_get(j, "folds");
    same = same && (int)json_array_size(models) == p->n_configs &&
           (int)json_array_size(folds) == p->n_folds;
    for (int i = 0; same && i < p->n_configs; i++) {
        const char *name = json_string_value(json_array_get(models, (size_t)i));
        same = name && strcmp(name, p->config[i]) == 0;
    }
    for (int i = 0; same && i < p->n_folds; i++)
        same = sf_choice_fold(json_array_get(folds, (size_t)i)) == p->fold[i];
    same = same && json_is_true(json_object_get(j, "ensembling_allowed")) == p->o->ensembles;
    json_decref(j);
    sf_error_clear();
    return same;
}

static sf_status choose(const sf_project *p, sf_comm *world)
{
    int64_t current = selection_is_current(p);
    SF_TRY(sf_comm_min_i64(world, &current, 1));
    if (current) return SF_OK;
    const sf_choose_options o = { .work = p->work,
                                  .variant = p->plans->variant,
                                  .seed = p->settings.seed,
                                  .dataset = p->dataset,
                                  .configs = p->config,
                                  .n_configs = p->n_configs,
                                  .folds = p->fold,
                                  .n_folds = p->n_folds,
                                  .ensembles = p->o->ensembles,
                                  .threads = p->threads };
    sf_prof_begin(p->prof, SF_EV_SELECT);
    const sf_status st = sf_choose(world, &o);
    sf_prof_end(p->prof, SF_EV_SELECT, 0, 0);
    return st;
}

static sf_status score_predictions(const sf_project *p, const char *dir)
{
    char labels[SF_PATH_MAX], path[SF_PATH_MAX];
    SF_TRY(sf_path_join(labels, p->dataset->dir, "labelsTs", NULL));
    SF_TRY(sf_path_join(path, dir, "summary.json", NULL));
    if (!sf_path_is_dir(labels)) return sf_path_remove(path);
    if (sf_path_is_file(path)) return SF_OK;
    sf_summary *s = NULL;
    SF_TRY(sf_evaluate_folders(&s, labels, dir, p->dataset->file_ending, &p->dataset->labels, true,
                               p->threads));
    sf_status st = sf_summary_save(s, &p->dataset->labels, path);
    sf_log(SF_LOG_INFO, "tested", "cases=%d mean_dice=%.4f", s->n_cases, s->foreground_dice);
    sf_summary_destroy(&s);
    return st;
}

/* Scores of fewer cases than there are now must not stand. */
static sf_status drop_old_scores(const sf_project *p, const char *dir)
{
    char path[SF_PATH_MAX];
    bool all = true;
    for (int i = 0; i < p->dataset->n_test; i++) {
        SF_TRY(
            sf_path_format(path, "%s/%s%s", dir, p->dataset->test[i].id, p->dataset->file_ending));
        all = all && sf_path_is_file(path);
    }
    SF_TRY(sf_path_join(path, dir, "summary.json", NULL));
    return all ? SF_OK : sf_path_remove(path);
}

/* Test predictions belong to one choice: predictions/selection.json is a copy of it, another choice
 * starts afresh. */
static sf_status prepare_predictions(const sf_project *p, const char *dir)
{
    char choice[SF_PATH_MAX], mark[SF_PATH_MAX];
    char *now = NULL, *then = NULL;
    size_t size;
    SF_TRY(sf_work_file(choice, p->work, "selection.json"));
    SF_TRY(sf_path_join(mark, dir, "selection.json", NULL));
    SF_TRY(sf_path_read(&now, &size, choice, 0));
    sf_status st = SF_OK;
    if (sf_path_is_file(mark)) st = sf_path_read(&then, &size, mark, 0);
    const bool same = then && strcmp(now, then) == 0;
    /* no mark: a removal that was cut short, its files belong to nothing */
    if (st == SF_OK && !same) st = sf_path_remove(dir);
    if (st == SF_OK && !same) st = sf_path_make_dirs(dir);
    if (st == SF_OK && !same) st = sf_path_copy(choice, mark);
    if (st == SF_OK && same) st = drop_old_scores(p, dir);
    sf_mem_free(now);
    sf_mem_free(then);
    return st;
}

static sf_status predict_test_cases(const sf_project *p, sf_comm *world)
{
    if (p->dataset->n_test == 0) return SF_OK;
    char dir[SF_PATH_MAX], path[SF_PATH_MAX], model[2][SF_PATH_MAX];
    char *name[2] = { NULL, NULL };
    int n_models = 0;
    sf_postproc *pp = NULL;
    sf_status st = sf_work_file(dir, p->work, "predictions");
    if (st == SF_OK && sf_comm_rank(world) == 0) st = prepare_predictions(p, dir);
    SF_GOTO(done, st, sf_comm_agree(world, st));
    st = sf_choice_load(name, &n_models, p->work);
    if (st == SF_OK) st = sf_work_file(path, p->work, "postprocessing.json");
    if (st == SF_OK) st = sf_postproc_load(&pp, path);
    for (int i = 0; i < n_models && st == SF_OK; i++) {
        const sf_task_key key = sf_project_key(p, name[i], 0);
        st = sf_work_model_dir(model[i], p->work, &key);
    }
    SF_GOTO(done, st, sf_comm_agree(world, st));
    sf_apply_options o = { .model = { model[0], model[1] },
                           .n_models = n_models,
                           .folds = p->fold,
                           .n_folds = p->n_folds,
                           .checkpoint = "checkpoint_final",
                           .mirror = p->settings.mirror,
                           .exact = p->settings.exact,
                           .precision = p->settings.precision,
                           .threads = p->threads,
                           .postproc = pp,
                           .keep_existing = true,
                           .prof = p->prof,
                           .stop = p->o->stop,
                           .stop_user = p->o->stop_user };
    SF_GOTO(done, st, sf_apply_cases(world, &o, p->dataset->test, p->dataset->n_test, dir));
    if (sf_comm_rank(world) == 0) st = score_predictions(p, dir);
    st = sf_comm_agree(world, st);
done:
    sf_postproc_destroy(&pp);
    for (int i = 0; i < 2; i++) sf_mem_free(name[i]);
    return st;
}

/* Between stages: a stop that reached one rank stops all. */
static sf_status go_on(const sf_project *p, sf_comm *world)
{
    sf_status st = SF_OK;
    if (p->o->stop && p->o->stop(p->o->stop_user))
        st = SF_FAIL(SF_ESTOP, "stopped between two stages: run again to continue");
    return sf_comm_agree(world, st);
}

/* Once per work folder: with the fingerprint. */
static sf_status warn_orientations(const sf_project *p, sf_comm *world, const char *fingerprint)
{
    sf_status st = SF_OK;
    if (sf_comm_rank(world) == 0 && !sf_path_is_file(fingerprint))
        st = sf_dataset_orientations(p->dataset, NULL);
    return sf_comm_agree(world, st);
}

static sf_status prepare_untimed(sf_project *p, sf_comm *world, const sf_recipe *recipe)
{
    char fingerprint[SF_PATH_MAX], plans[SF_PATH_MAX];
    const sf_settings *s = &p->settings;
    const sf_planner_options po = { .memory_gb = s->memory_gb,
                                    .preset = s->preset[0] ? s->preset : NULL,
                                    .spacing = s->spacing[0] > 0 ? s->spacing : NULL };
    SF_TRY(sf_work_file(fingerprint, p->work, "dataset_fingerprint.json"));
    SF_TRY(sf_work_file(plans, p->work, "plans.json"));
    SF_TRY(warn_orientations(p, world, fingerprint));
    SF_TRY(sf_stage_fingerprint(world, p->dataset, recipe, fingerprint));
    SF_TRY(go_on(p, world));
    SF_TRY(sf_stage_plan(world, p->dataset, recipe, &po, fingerprint, plans));
    SF_TRY(sf_stage_splits(world, p->dataset, p->work, (int)p->settings.num_folds,
                           p->settings.groups, p->settings.splits));
    sf_status st = sf_project_load_plans(p);
    if (st == SF_OK) st = sf_splits_check_pool(p->splits, p->fold, p->n_folds);
    SF_TRY(sf_comm_agree(world, st));
    return sf_stage_preprocess(world, p->dataset, p->plans, p->config, p->n_configs, p->work,
                               p->threads);
}

static sf_status prepare(sf_project *p, sf_comm *world, const sf_recipe *recipe)
{
    sf_prof_begin(p->prof, SF_EV_PREPROCESS);
    const sf_status st = prepare_untimed(p, world, recipe);
    sf_prof_end(p->prof, SF_EV_PREPROCESS, 0, 0);
    return st;
}

sf_status sf_run(sf_comm *world, const sf_run_options *o)
{
    sf_project p = { .lock = -1 };
    sf_prof prof = { 0 };
    const double begin = sf_now();
    sf_recipe *recipe = NULL;                        /* until plans exist; they carry their own */
    SF_TRY(sf_tasks_check_layout(o->layout, world)); /* before anything long */
    SF_TRY(sf_nearby_check(world, o));
    sf_status st = sf_comm_agree(world, sf_recipe_load(&recipe, o->settings.recipe));
    if (st == SF_OK) st = sf_project_open(&p, world, o, true);
    p.prof = &prof;
    if (st == SF_OK) st = sf_account_header(world, p.threads, p.settings.precision);
    if (st == SF_OK) st = prepare(&p, world, recipe);
    if (st == SF_OK) st = go_on(&p, world);
    if (st == SF_OK) st = write_models(&p, world);
    if (st == SF_OK) st = sf_tasks_run(&p, world);
    if (st == SF_OK) st = go_on(&p, world);
    if (st == SF_OK) st = choose(&p, world);
    if (st == SF_OK) st = predict_test_cases(&p, world);
    if (st == SF_OK) st = sf_account_stages(world, &prof, sf_now() - begin, p.threads);
    sf_recipe_destroy(&recipe);
    sf_project_close(&p);
    return st;
}

/* One process at a time trains a fold. */
static sf_status lock_training(int *lock, const sf_project *p, sf_comm *world, int fold)
{
    const sf_task_key key = sf_project_key(p, p->config[0], fold);
    char dir[SF_PATH_MAX], file[SF_PATH_MAX];
    sf_status st = sf_work_fold_dir(dir, p->work, &key);
    if (st == SF_OK) st = sf_path_join(file, dir, ".lock", NULL);
    if (st == SF_OK && sf_comm_rank(world) == 0) st = sf_path_make_dirs(dir);
    if (st == SF_OK && sf_comm_rank(world) == 0) st = sf_lock_take(lock, file, false, dir);
    return sf_comm_agree(world, st);
}

sf_status sf_run_training(sf_comm *world, const sf_run_options *o, const char *config, int fold)
{
    sf_project p;
    sf_run_options own = *o;
    own.configs = config;
    own.folds = NULL;
    int lock = -1;
    sf_prof prof = { 0 };
    sf_near *near = NULL;
    const double begin = sf_now();
    SF_TRY(sf_nearby_check(world, o));
    sf_status st = sf_project_open(&p, world, &own, false);
    p.prof = &prof;
    if (st == SF_OK) st = sf_account_header(world, p.threads, p.settings.precision);
    if (st == SF_OK) st = sf_comm_agree(world, sf_project_load_plans(&p));
    if (st == SF_OK && sf_comm_rank(world) == 0) st = check_data(&p, p.config[0]);
    st = sf_comm_agree(world, st);
    if (st == SF_OK) st = lock_training(&lock, &p, world, fold);
    if (st == SF_OK) st = write_models(&p, world);
    if (st == SF_OK) st = sf_nearby_open(&near, &p, world);
    p.near = near;
    if (st == SF_OK) st = sf_task_train(&p, world, p.config[0], fold);
    sf_near_destroy(&near);
    if (st == SF_OK) st = sf_account_stages(world, &prof, sf_now() - begin, p.threads);
    sf_lock_release(&lock);
    sf_project_close(&p);
    return st;
}

static sf_status keep_validated(sf_project *p)
{
    for (int i = 0; i < p->n_configs;) {
        bool all = true;
        for (int f = 0; f < p->n_folds; f++) {
            bool done;
            SF_TRY(sf_task_done(&done, p, p->config[i], p->fold[f], false));
            all = all && done;
        }
        if (all) {
            i++;
            continue;
        }
        sf_log(SF_LOG_WARN, "select", "cfg=%s left out: not all folds are validated", p->config[i]);
        sf_mem_free(p->config[i]);
        memmove(&p->config[i], &p->config[i + 1], (size_t)(--p->n_configs - i) * sizeof *p->config);
    }
    SF_CHECK(p->n_configs > 0, SF_EINVAL,
             "%s: no configuration is trained in all folds: 'segfleet run' trains them, --folds "
             "names fewer",
             p->work);
    return SF_OK;
}

sf_status sf_run_selection(sf_comm *world, const sf_run_options *o)
{
    sf_project p;
    sf_status st = sf_project_open(&p, world, o, true);
    if (st == SF_OK) st = sf_comm_agree(world, sf_project_load_plans(&p));
    /* without a list: the configurations whose folds are all validated */
    if (st == SF_OK && !o->configs) st = sf_comm_agree(world, keep_validated(&p));
    if (st == SF_OK) st = choose(&p, world);
    sf_project_close(&p);
    return st;
}

static sf_status adopt_plans(const sf_project *p, const char *plans_file)
{
    char path[SF_PATH_MAX];
    SF_TRY(sf_work_file(path, p->work, "plans.json"));
    if (!sf_path_is_file(path)) { /* only a file that can be used becomes the folder's own */
        sf_plans *plans = NULL;
        SF_TRY(sf_plans_load(&plans, plans_file));
        sf_plans_destroy(&plans);
        return sf_path_copy(plans_file, path);
    }
    char *a = NULL, *b = NULL;
    size_t na, nb;
    sf_status st = sf_path_read(&a, &na, path, 0);
    if (st == SF_OK) st = sf_path_read(&b, &nb, plans_file, 0);
    if (st == SF_OK && (na != nb || memcmp(a, b, na) != 0))
        st = SF_FAIL(SF_EINVAL,
                     "%s exists and differs from %s: use it (without --plans: segfleet run), or "
                     "another work folder",
                     path, plans_file);
    sf_mem_free(a);
    sf_mem_free(b);
    return st;
}

sf_status sf_run_preprocess(sf_comm *world, const sf_run_options *o, const char *plans_file)
{
    sf_project p;
    SF_TRY(sf_nearby_check(world, o));
    sf_status st = sf_project_open(&p, world, o, true);
    if (st == SF_OK && sf_comm_rank(world) == 0) st = adopt_plans(&p, plans_file);
    st = sf_comm_agree(world, st);
    if (st == SF_OK)
        st = sf_stage_splits(world, p.dataset, p.work, (int)p.settings.num_folds, p.settings.groups,
                             p.settings.splits);
    if (st == SF_OK) st = sf_comm_agree(world, sf_project_load_plans(&p));
    if (st == SF_OK)
        st = sf_stage_preprocess(world, p.dataset, p.plans, p.config, p.n_configs, p.work,
                                 p.threads);
    sf_project_close(&p);
    return st;
}
