/* The scheduler of sched.h: checks, start and report. sched_work.c does the work. */
#include "base/log.h"
#include "base/mem.h"
#include "mpi/sched_private.h"
#include <string.h>

/* ---- checks before the start -------------------------------------------------------------- */

static uint64_t mix(uint64_t h, const void *data, size_t size)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < size; i++) h = (h ^ p[i]) * 1099511628211ULL; /* FNV-1a */
    return h;
}

/* The lists of all ranks must be equal, else some ranks would wait for tasks that others do not
 * know. `done` is left out: it may be read from files that change, so rank 0 decides. */
static sf_status check_same(sf_comm *world, const sf_sched_task *tasks, int n)
{
    uint64_t h = mix(14695981039346656037ULL, &n, sizeof n);
    for (int i = 0; i < n; i++) {
        h = mix(h, &tasks[i].cost, sizeof tasks[i].cost);
        h = mix(h, &tasks[i].n_needs, sizeof tasks[i].n_needs);
        h = mix(h, tasks[i].needs, (size_t)tasks[i].n_needs * sizeof *tasks[i].needs);
    }
    int64_t hi = (int64_t)(h >> 1), lo = (int64_t)(h >> 1);
    SF_TRY(sf_comm_max_i64(world, &hi, 1));
    SF_TRY(sf_comm_min_i64(world, &lo, 1));
    SF_CHECK(hi == lo, SF_EINTERNAL, "the ranks have different task lists (%d tasks on rank %d)", n,
             sf_comm_rank(world));
    return SF_OK;
}

static sf_status check_indices(const sf_sched_task *tasks, int n)
{
    SF_CHECK(n >= 0, SF_EINTERNAL, "%d tasks", n);
    for (int i = 0; i < n; i++) {
        SF_CHECK(tasks[i].n_needs >= 0, SF_EINTERNAL, "task %d needs %d tasks", i,
                 tasks[i].n_needs);
        for (int k = 0; k < tasks[i].n_needs; k++) {
            SF_CHECK(tasks[i].needs[k] >= 0 && tasks[i].needs[k] < n, SF_EINVAL,
                     "task %d needs task %d, but there are only tasks 0..%d", i, tasks[i].needs[k],
                     n - 1);
        }
    }
    return SF_OK;
}

/* Play all tasks through on paper: what remains waits for itself. */
static sf_status check_order(const sf_sched_task *tasks, int n, const int64_t *start)
{
    int64_t *state = NULL;
    SF_TRY(sf_mem_alloc(&state, (size_t)n + 1, sizeof *state, SF_MEM_SCRATCH));
    memcpy(state, start, (size_t)n * sizeof *state);
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < n; i++) {
            if (state[i] == DONE || !sf_sched_needs_done_(&tasks[i], state)) continue;
            state[i] = DONE;
            moved = true;
        }
    }
    int stuck = 0;
    while (stuck < n && state[stuck] == DONE) stuck++;
    sf_mem_free(state);
    SF_CHECK(stuck == n, SF_EINVAL, "task %d can never start: its dependencies form a circle",
             stuck);
    return SF_OK;
}

/* ---- start and end ------------------------------------------------------------------------ */

static sf_status prepare(sf_sched_ *s)
{
    SF_TRY(sf_mem_calloc(&s->state, (size_t)(s->n + 1 + s->ranks), sizeof *s->state, SF_MEM_MISC));
    for (int i = 0; i < s->n; i++) s->state[i] = s->tasks[i].done ? DONE : FREE;
    SF_TRY(sf_mem_calloc(&s->called, (size_t)s->ranks, sizeof *s->called, SF_MEM_MISC));
    return sf_mem_calloc(&s->member, (size_t)s->ranks, sizeof *s->member, SF_MEM_MISC);
}

/* Collective over the group. */
static sf_status list_members(sf_sched_ *s)
{
    void **rank = NULL;
    size_t *sizes;
    const int own = sf_comm_rank(s->world);
    SF_TRY(sf_comm_allgather_bytes(s->group, &own, sizeof own, &rank, &sizes));
    s->n_members = sf_comm_size(s->group);
    for (int i = 0; i < s->n_members; i++) s->member[i] = *(const int *)rank[i];
    sf_mem_free(rank);
    return SF_OK;
}

/* Each group's first task is its own before anybody looks. */
static void give_first_tasks(sf_sched_ *s, const sf_groups *groups)
{
    int task = sf_sched_next_(s, -1);
    for (int g = 0; g < groups->n && task >= 0; g++) {
        const int next = sf_sched_next_(s, task);
        if (g == groups->index) s->turn = task;
        s->state[task] = RUNNING;
        task = next;
    }
}

static sf_status fill_report(sf_sched_ *s, double begun, sf_sched_report *report)
{
    double sum[3] = { s->busy, (double)s->run, (double)s->grown };
    int64_t longest = (int64_t)((sf_now() - begun) * 1e6);
    SF_TRY(sf_comm_sum_f64(s->world, sum, 3));
    SF_TRY(sf_comm_max_i64(s->world, &longest, 1));
    report->run = (int64_t)sum[1];
    report->grown = (int64_t)sum[2];
    report->makespan = (double)longest * 1e-6;
    report->idle = report->makespan * s->ranks - sum[0];
    if (report->idle < 0) report->idle = 0;
    return SF_OK;
}

sf_status sf_sched_run(sf_comm *world, const sf_groups *groups, const sf_sched_task *tasks, int n,
                       sf_sched_fn *fn, sf_sched_size_fn *size, void *user, sf_sched_report *report)
{
    sf_sched_ s = { .world = world,
                    .group = groups ? groups->comm : sf_comm_self(),
                    .turn = -1,
                    .tasks = tasks,
                    .n = n,
                    .ranks = sf_comm_size(world),
                    .fn = fn,
                    .size = size,
                    .user = user };
    sf_sched_report own;
    const double begun = sf_now();
    sf_status st;
    SF_TRY(sf_comm_agree(world, check_indices(tasks, n)));
    SF_TRY(sf_comm_agree(world, check_same(world, tasks, n)));
    st = prepare(&s);
    SF_GOTO(done, st, sf_comm_agree(world, st));
    SF_GOTO(done, st, sf_comm_bcast(world, s.state, (size_t)n * sizeof *s.state, 0));
    st = check_order(tasks, n, s.state);
    SF_GOTO(done, st, sf_comm_agree(world, st));
    SF_GOTO(done, st, sf_comm_agree(world, list_members(&s)));
    if (groups) give_first_tasks(&s, groups);
    SF_GOTO(done, st, sf_board_create(&s.board, world, n + 1 + s.ranks, s.state));
    st = sf_comm_agree(world, sf_sched_work_(&s));
    /* the report of a run that failed counts too; the failure itself must survive these calls */
    sf_status reported = fill_report(&s, begun, report ? report : &own);
    if (st == SF_OK) st = reported;
done:
    sf_board_destroy(&s.board);
    sf_mem_free(s.state);
    sf_mem_free(s.member);
    sf_mem_free(s.called);
    return st;
}
