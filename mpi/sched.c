/* The scheduler of sched.h. Word i of the board is the state of task i, word n is the flag "hand
 * out nothing more". A task goes FREE -> RUNNING -> DONE or FAILED, and every change is a
 * compare-and-swap by the rank that runs it, so no lock is held by anybody. */
#include "mpi/sched.h"
#include "base/log.h"
#include "base/mem.h"
#include "mpi/board.h"
#include <string.h>
#include <unistd.h>

enum { FREE = 0, RUNNING = 1, DONE = 2, FAILED = 3 };
enum { NAP_SHORTEST = 500, NAP_LONGEST = 20000 }; /* microseconds */

typedef struct {
    sf_comm *world, *group;
    int turn; /* the task that this group begins with; -1: it has begun */
    const sf_sched_task *tasks;
    int n;
    sf_sched_fn *fn;
    void *user;
    sf_board *board;
    int64_t *state; /* n + 1 words: this rank's last look at the board */
    int64_t run;
    double busy;
} sched;

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

static bool needs_done(const sf_sched_task *t, const int64_t *state)
{
    for (int k = 0; k < t->n_needs; k++) {
        if (state[t->needs[k]] != DONE) return false;
    }
    return true;
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
            if (state[i] == DONE || !needs_done(&tasks[i], state)) continue;
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

/* ---- work --------------------------------------------------------------------------------- */

static bool ready(const sched *s, int i)
{
    return s->state[i] == FREE && needs_done(&s->tasks[i], s->state);
}

/* The ready task with the highest cost below that of `after` (-1: of all), then the lowest index.
 */
static int next_ready(const sched *s, int after)
{
    int best = -1;
    for (int i = 0; i < s->n; i++) {
        if (!ready(s, i)) continue;
        if (after >= 0 && (s->tasks[i].cost > s->tasks[after].cost ||
                           (s->tasks[i].cost == s->tasks[after].cost && i <= after)))
            continue;
        if (best < 0 || s->tasks[i].cost > s->tasks[best].cost) best = i;
    }
    return best;
}

/* Only the owner changes a running task, so this cannot miss. A board that fails would leave the
 * others waiting for this task for ever: the job must end then. */
static void put(sched *s, int i, int64_t expect, int64_t wanted)
{
    int64_t found;
    const sf_status st = sf_board_swap(s->board, i, expect, wanted, &found);
    if (st != SF_OK) sf_mpi_abort(st);
}

/* Run task i, which this group has just taken; its first rank puts the outcome on the board. */
static sf_status work(sched *s, int i)
{
    const double begun = sf_now();
    sf_status st = sf_comm_agree(s->group, s->fn(s->user, i, s->group));
    s->busy += sf_now() - begun;
    if (sf_comm_rank(s->group) > 0) return st;
    if (st == SF_OK) {
        s->run++;
        put(s, i, RUNNING, DONE);
        return SF_OK;
    }
    put(s, s->n, 0, 1); /* the flag first: who sees nothing running must also see it */
    put(s, i, RUNNING, FAILED);
    return st;
}

static int count(const sched *s, int64_t what)
{
    int k = 0;
    for (int i = 0; i < s->n; i++) k += s->state[i] == what;
    return k;
}

/* The first rank of a group tells what comes next: a task, or nothing more (-1). */
static sf_status tell(sched *s, int task) { return sf_comm_bcast(s->group, &task, sizeof task, 0); }

/* The other ranks of a group. */
static sf_status follow(sched *s)
{
    for (;;) {
        int task = -1;
        SF_TRY(sf_comm_bcast(s->group, &task, sizeof task, 0));
        if (task < 0) return SF_OK;
        SF_TRY(work(s, task));
    }
}

/* Until nothing runs and nothing more may start. A rank whose task failed leaves at once: the
 * others see the flag. */
static sf_status loop(sched *s)
{
    int64_t found;
    unsigned nap = NAP_SHORTEST;
    for (;;) {
        SF_TRY(sf_board_read(s->board, s->state));
        const bool halt = s->state[s->n] != 0;
        const int task = s->turn >= 0 ? s->turn : halt ? -1 : next_ready(s, -1);
        if (task >= 0) {
            if (s->turn < 0) SF_TRY(sf_board_swap(s->board, task, FREE, RUNNING, &found));
            if (s->turn < 0 && found != FREE) continue; /* somebody was faster: look again */
            s->turn = -1;
            nap = NAP_SHORTEST;
            SF_TRY(tell(s, task));
            SF_TRY(work(s, task));
            continue;
        }
        if (count(s, RUNNING) == 0) return tell(s, -1);
        usleep(nap);
        nap = nap * 2 < NAP_LONGEST ? nap * 2 : NAP_LONGEST;
    }
}

static sf_status prepare(sched *s)
{
    SF_TRY(sf_mem_calloc(&s->state, (size_t)s->n + 1, sizeof *s->state, SF_MEM_MISC));
    for (int i = 0; i < s->n; i++) s->state[i] = s->tasks[i].done ? DONE : FREE;
    return SF_OK;
}

/* Each group's first task is its own before anybody looks. */
static void give_first_tasks(sched *s, const sf_groups *groups)
{
    int task = next_ready(s, -1);
    for (int g = 0; g < groups->n && task >= 0; g++) {
        const int next = next_ready(s, task);
        if (g == groups->index) s->turn = task;
        s->state[task] = RUNNING;
        task = next;
    }
}

static sf_status fill_report(sched *s, double begun, sf_sched_report *report)
{
    double sum[2] = { s->busy, (double)s->run };
    int64_t longest = (int64_t)((sf_now() - begun) * 1e6);
    SF_TRY(sf_comm_sum_f64(s->world, sum, 2));
    SF_TRY(sf_comm_max_i64(s->world, &longest, 1));
    report->run = (int64_t)sum[1];
    report->makespan = (double)longest * 1e-6;
    report->idle = report->makespan * sf_comm_size(s->world) - sum[0];
    if (report->idle < 0) report->idle = 0;
    return SF_OK;
}

sf_status sf_sched_run(sf_comm *world, const sf_groups *groups, const sf_sched_task *tasks, int n,
                       sf_sched_fn *fn, void *user, sf_sched_report *report)
{
    sched s = { .world = world,
                .group = groups ? groups->comm : sf_comm_self(),
                .turn = -1,
                .tasks = tasks,
                .n = n,
                .fn = fn,
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
    if (groups) give_first_tasks(&s, groups);
    SF_GOTO(done, st, sf_board_create(&s.board, world, n + 1, s.state));
    st = sf_comm_rank(s.group) == 0 ? loop(&s) : follow(&s);
    st = sf_comm_agree(world, st);
    /* the report of a run that failed counts too; the failure itself must survive these calls */
    sf_status reported = fill_report(&s, begun, report ? report : &own);
    if (st == SF_OK) st = reported;
done:
    sf_board_destroy(&s.board);
    sf_mem_free(s.state);
    return st;
}
