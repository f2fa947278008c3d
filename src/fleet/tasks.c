#include "fleet/tasks.h"
#include "base/log.h"
#include "base/mem.h"
#include "fleet/account.h"
#include "fleet/cost.h"
#include "fleet/nearby.h"
#include "plan/work.h"
#include "train/group.h"
#include "train/trainer.h"
#include <string.h>

/* All trainings of a run. The first stage of a cascade is trained in every fold of the split even
 * when fewer folds were asked for: the second stage needs out-of-fold labels of all its cases. */
typedef struct {
    const sf_project *p;
    struct {
        const char *config;
        int fold;
        int ranks; /* that this rank saw at it last; 0: it was not at it */
    } * item;
    int n;
    sf_sched_task *task;
    sf_layout_task *cost;
    int *needs; /* one row of n_every for each configuration of the project */
    int n_every;
    double busy; /* seconds of this rank in tasks that had work for it */
} task_list;

static bool leave(void *seat) { return sf_seat_leave(seat); }

/* seat NULL: the group stays as it is. before: its ranks until now, 0: none */
static sf_status train(const sf_project *p, sf_comm *group, const char *config, int fold,
                       sf_seat *seat, int before)
{
    sf_id_list train = { 0 }, val = { 0 };
    SF_TRY(sf_splits_fold(&train, &val, p->splits, fold));
    const sf_settings *s = &p->settings;
    const int64_t iterations =
        s->iterations > 0 ? s->iterations : p->plans->recipe->train.iterations;
    const double share =
        (double)p->plans->recipe->train.val_iterations / (double)p->plans->recipe->train.iterations;
    const int64_t val_iterations = (int64_t)((double)iterations * share);
    const sf_train_options o = { .work = p->work,
                                 .key = sf_project_key(p, config, fold),
                                 .plans = p->plans,
                                 .dataset = p->dataset,
                                 .train = &train,
                                 .val = &val,
                                 .splits = p->splits,
                                 .epochs = s->epochs,
                                 .iterations = iterations,
                                 .val_iterations = val_iterations > 0 ? val_iterations : 1,
                                 .batch = s->batch,
                                 .mirror = s->mirror,
                                 .exact = s->exact,
                                 .precision = s->precision,
                                 .threads = p->threads,
                                 /* batches cost a few hundredths of a step: benchmarks/voxels.md */
                                 .loader_threads = 1 + p->threads / 8,
                                 .checkpoint_seconds = p->o->checkpoint_seconds,
                                 .stop = p->o->stop,
                                 .stop_user = p->o->stop_user,
                                 .leave = seat ? leave : NULL,
                                 .leave_user = seat,
                                 .ranks_before = before,
                                 .save_probabilities = p->o->ensembles,
                                 .pretrained = p->o->pretrained,
                                 .part = p->o->part,
                                 .near = p->near,
                                 .prof = p->prof,
                                 .no_checkpoints = p->o->no_checkpoints };
    sf_status st = sf_train_run(group, &o);
    sf_id_list_free(&train);
    sf_id_list_free(&val);
    return st;
}

/* Samples of a batch of this configuration. */
static int64_t batch_of(const sf_project *p, const sf_config *cfg)
{
    return p->settings.batch > 0 ? p->settings.batch : cfg->batch_size;
}

/* *used: is there work for this rank? Those for which there is none wait for the others. */
static sf_status train_on(const sf_project *p, sf_comm *group, const char *config, int fold,
                          sf_seat *seat, int before, bool *used)
{
    const sf_config *cfg;
    sf_comm *part = NULL;
    *used = true;
    SF_TRY(sf_comm_agree(group, sf_plans_config(&cfg, p->plans, config)));
    const int64_t most = sf_group_most(cfg->patch, batch_of(p, cfg));
    if (sf_comm_size(group) <= most) return train(p, group, config, fold, seat, before);
    const int rank = sf_comm_rank(group);
    *used = rank < most;
    SF_TRY(sf_comm_split(&part, group, *used ? 0 : -1, rank));
    const sf_status st = part ? train(p, part, config, fold, seat, before) : SF_OK;
    if (part) sf_comm_destroy(&part);
    return sf_comm_agree(group, st);
}

sf_status sf_task_train(const sf_project *p, sf_comm *group, const char *config, int fold)
{
    bool used;
    const double begin = sf_now();
    const sf_status st = train_on(p, group, config, fold, NULL, 0, &used);
    if (!used) sf_account_idle(p->prof, sf_now() - begin);
    return st;
}

static int wanted_size(void *user, int task, int size, int more)
{
    const task_list *l = user;
    return sf_layout_grow(&l->cost[task], size, more);
}

static sf_status run_task(void *user, int task, sf_comm *group, sf_seat *seat)
{
    task_list *l = user;
    const double begin = sf_now();
    /* Rank 0 of every group speaks while it trains: each training has a log of its own. */
    const int world_rank = sf_comm_rank(sf_comm_world());
    sf_log_set_rank(world_rank, world_rank, sf_comm_rank(group) == 0);
    const int before = l->item[task].ranks; /* a task that comes back has more than before */
    bool used;
    l->item[task].ranks = sf_comm_size(group);
    const sf_status st =
        train_on(l->p, group, l->item[task].config, l->item[task].fold, seat, before, &used);
    sf_log_set_rank(-1, world_rank, world_rank == 0);
    if (used) l->busy += sf_now() - begin;
    return st;
}

sf_status sf_task_done(bool *done, const sf_project *p, const char *config, int fold,
                       bool probabilities)
{
    const sf_task_key key = sf_project_key(p, config, fold);
    sf_id_list train, val;
    SF_TRY(sf_splits_fold(&train, &val, p->splits, fold));
    *done = sf_train_is_done(p->work, &key, p->plans, &val, probabilities);
    sf_id_list_free(&train);
    sf_id_list_free(&val);
    return SF_OK;
}

/* Number of the task (config, fold), added when it is new. `config` must live as long as the list;
 * there is room for it. */
static int find_task(task_list *l, const char *config, int fold)
{
    for (int i = 0; i < l->n; i++) {
        if (l->item[i].fold == fold && strcmp(l->item[i].config, config) == 0) return i;
    }
    l->item[l->n].config = config;
    l->item[l->n].fold = fold;
    return l->n++;
}

/* Folds 0.. of the split; with one case there is only fold "all". */
static int every_fold(const sf_splits *s, int i) { return s->count > 0 ? i : SF_FOLD_ALL; }

/* The second stage of fold K may start when every fold of the first is validated. */
static void add_needs(task_list *l, int c, const sf_config *cfg)
{
    const sf_project *p = l->p;
    int *row = l->needs + c * l->n_every;
    for (int f = 0; f < l->n_every; f++)
        row[f] = find_task(l, cfg->previous_stage, every_fold(p->splits, f));
    for (int f = 0; f < p->n_folds; f++) {
        sf_sched_task *t = &l->task[find_task(l, cfg->name, p->fold[f])];
        t->needs = row;
        t->n_needs = l->n_every;
    }
}

/* What others wait for goes first: longest way to the end. */
static sf_status add_costs(task_list *l)
{
    const sf_project *p = l->p;
    for (int i = 0; i < l->n; i++) {
        const sf_config *cfg;
        SF_TRY(sf_plans_config(&cfg, p->plans, l->item[i].config));
        sf_cost_of(&l->cost[i], cfg, batch_of(p, cfg));
        l->task[i].cost += l->cost[i].work;
    }
    for (int i = 0; i < l->n; i++) {
        for (int k = 0; k < l->task[i].n_needs; k++) {
            sf_sched_task *first = &l->task[l->task[i].needs[k]];
            if (first->cost <= l->task[i].cost) first->cost += l->task[i].cost;
        }
    }
    return SF_OK;
}

static sf_status make_list(task_list *l)
{
    const sf_project *p = l->p;
    l->n_every = p->splits->count > 0 ? p->splits->count : 1;
    const size_t room = (size_t)(p->n_configs * (p->n_folds + l->n_every));
    SF_TRY(sf_mem_calloc(&l->item, room, sizeof *l->item, SF_MEM_MISC));
    SF_TRY(sf_mem_calloc(&l->task, room, sizeof *l->task, SF_MEM_MISC));
    SF_TRY(sf_mem_calloc(&l->cost, room, sizeof *l->cost, SF_MEM_MISC));
    SF_TRY(sf_mem_calloc(&l->needs, (size_t)(p->n_configs * l->n_every), sizeof *l->needs,
                         SF_MEM_MISC));
    for (int i = 0; i < p->n_configs * p->n_folds; i++)
        (void)find_task(l, p->config[i / p->n_folds], p->fold[i % p->n_folds]);
    for (int c = 0; c < p->n_configs; c++) {
        const sf_config *cfg;
        SF_TRY(sf_plans_config(&cfg, p->plans, p->config[c]));
        if (cfg->previous_stage) add_needs(l, c, cfg);
    }
    for (int i = 0; i < l->n; i++)
        SF_TRY(
            sf_task_done(&l->task[i].done, p, l->item[i].config, l->item[i].fold, p->o->ensembles));
    return add_costs(l);
}

static bool by_cost(const char *layout) { return !layout || strcmp(layout, "auto") == 0; }

sf_status sf_tasks_check_layout(const char *layout, sf_comm *world)
{
    const int ranks = sf_comm_size(world);
    int *sizes = NULL, n;
    if (by_cost(layout)) return SF_OK;
    sf_status st = sf_mem_alloc(&sizes, (size_t)ranks, sizeof *sizes, SF_MEM_MISC);
    if (st == SF_OK) st = sf_layout_parse(sizes, &n, layout, ranks);
    sf_mem_free(sizes);
    return sf_comm_agree(world, st);
}

/* Split the ranks as --layout says. */
static sf_status make_groups(sf_groups **out, const task_list *l, sf_comm *world)
{
    const char *layout = l->p->o->layout;
    const int ranks = sf_comm_size(world);
    int *sizes = NULL, n = 0;
    char text[64];
    sf_status st = sf_mem_alloc(&sizes, (size_t)ranks, sizeof *sizes, SF_MEM_MISC);
    if (st == SF_OK && by_cost(layout))
        st = sf_layout_auto(sizes, &n, l->task, l->cost, l->n, ranks);
    else if (st == SF_OK)
        st = sf_layout_parse(sizes, &n, layout, ranks);
    SF_GOTO(done, st, sf_comm_agree(world, st));
    sf_layout_text(text, sizes, n);
    sf_log(SF_LOG_INFO, "fleet", "layout=%s", text);
    st = sf_groups_create(out, world, sizes, n);
done:
    sf_mem_free(sizes);
    return st;
}

static sf_status run_list(task_list *l, sf_comm *world)
{
    sf_sched_report report = { 0 };
    sf_groups *groups = NULL;
    SF_TRY(make_groups(&groups, l, world));
    const double begin = sf_now();
    const sf_status st =
        sf_sched_run(world, groups->n == sf_comm_size(world) ? NULL : groups, l->task, l->n,
                     run_task, l->p->o->no_regroup ? NULL : wanted_size, l, &report);
    const double all = sf_now() - begin;
    double sum[2] = { all, all - l->busy }; /* the report counts whole groups */
    sf_account_idle(l->p->prof, sum[1]);
    const sf_status summed = sf_comm_sum_f64(world, sum, 2);
    sf_log(SF_LOG_INFO, "fleet", "trained=%lld regrouped=%lld sec=%.1f idle_percent=%.1f",
           (long long)report.run, (long long)report.grown, report.makespan,
           sum[0] > 0 ? 100 * sum[1] / sum[0] : 0);
    sf_groups_destroy(&groups);
    return st == SF_OK ? summed : st;
}

sf_status sf_tasks_run(const sf_project *p, sf_comm *world)
{
    task_list l = { .p = p };
    int64_t left = 0;
    sf_status st = sf_comm_agree(world, make_list(&l));
    for (int i = 0; i < l.n && st == SF_OK; i++) {
        /* the same list on all ranks, also on a slow network file system */
        int64_t done = l.task[i].done;
        st = sf_comm_min_i64(world, &done, 1);
        l.task[i].done = done;
        left += !done;
    }
    if (st == SF_OK && left > 0) {
        sf_log(SF_LOG_INFO, "fleet", "trainings=%d left=%lld ranks=%d threads=%d", l.n,
               (long long)left, sf_comm_size(world), p->threads);
        sf_project with = *p;
        sf_near *near = NULL;
        st = sf_nearby_open(&near, p, world);
        with.near = near;
        l.p = &with;
        if (st == SF_OK) st = run_list(&l, world);
        l.p = p;
        sf_near_destroy(&near);
    }
    sf_mem_free(l.item);
    sf_mem_free(l.task);
    sf_mem_free(l.cost);
    sf_mem_free(l.needs);
    return st;
}
