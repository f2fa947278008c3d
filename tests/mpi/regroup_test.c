/* Groups that grow (mpi/sched.h): tasks made of epochs that ranks at rest may join after each. What
 * an epoch does is sleep, so that any number of ranks fits on any machine. */
#include "base/log.h"
#include "check.h"
#include "mpi/sched.h"
#include <stdlib.h>
#include <unistd.h>

enum { MAX_TASKS = 64, MOST = 8, MICRO = 4000 /* of an epoch on one rank */ };

typedef struct {
    int epochs[MAX_TASKS]; /* of each task */
    int done[MAX_TASKS]; /* epochs that this rank, as the first of a group, has brought to an end */
    int widest;          /* largest group seen */
    int fail, stop;      /* task that fails / stops after an epoch with more than one rank; -1 */
    bool refuse;         /* fails right after ranks were reserved */
    bool newcomer;       /* a rank that joins fails as its first deed */
} plan;

static plan new_plan(void) { return (plan){ .fail = -1, .stop = -1 }; }

static double time_of(int ranks) { return (1 + 0.02 * (ranks - 1)) / ranks; }

static int wanted(void *user, int task, int size, int more)
{
    (void)user, (void)task;
    return size + more < MOST ? size + more : MOST;
}

static sf_status run_task(void *user, int task, sf_comm *group, sf_seat *seat)
{
    plan *p = user;
    const int size = sf_comm_size(group);
    const bool first = sf_comm_rank(group) == 0;
    int at = p->done[task];
    CHECK_OK(sf_comm_bcast(group, &at, sizeof at, 0)); /* the state: rank 0 stays the same */
    if (size > p->widest) p->widest = size;
    sf_status st = SF_OK;
    if (p->newcomer && at > 0 && sf_comm_rank(group) == size - 1 && size > 1)
        st = SF_FAIL(SF_ENOMEM, "no room for what rank %d shall do", size - 1);
    st = sf_comm_agree(group, st);
    if (st != SF_OK) return st;
    while (at < p->epochs[task]) {
        usleep((unsigned)(MICRO * time_of(size)));
        sf_comm_poll();
        at++;
        if (first) p->done[task] = at;
        if (task == p->fail && size > 1) return SF_FAIL(SF_EDATA, "task %d went wrong", task);
        if (task == p->stop && size > 1) return SF_FAIL(SF_ESTOP, "stopped in task %d", task);
        bool leave = first && at < p->epochs[task] && sf_seat_leave(seat);
        CHECK_OK(sf_comm_bcast(group, &leave, sizeof leave, 0));
        if (leave && p->refuse) return SF_FAIL(SF_EIO, "no checkpoint");
        if (leave) return SF_FAIL(SF_ESTOP, "left");
    }
    return SF_OK;
}

static void add_up(plan *p)
{
    int64_t widest = p->widest;
    double done[MAX_TASKS];
    for (int i = 0; i < MAX_TASKS; i++) done[i] = p->done[i];
    CHECK_OK(sf_comm_sum_f64(sf_comm_world(), done, MAX_TASKS));
    CHECK_OK(sf_comm_max_i64(sf_comm_world(), &widest, 1));
    for (int i = 0; i < MAX_TASKS; i++) p->done[i] = (int)done[i];
    p->widest = (int)widest;
}

/* One long task and a short one for each other rank: all end up in the long one. */
static void test_long_task(bool grow)
{
    const int ranks = sf_comm_size(sf_comm_world());
    sf_sched_task t[MAX_TASKS] = { { .cost = 9 } };
    sf_sched_report r;
    plan p = new_plan();
    for (int i = 0; i < ranks; i++) p.epochs[i] = i == 0 ? 60 : 3;
    CHECK_OK(sf_sched_run(sf_comm_world(), NULL, t, ranks, run_task, grow ? wanted : NULL, &p, &r));
    add_up(&p);
    for (int i = 0; i < ranks; i++) CHECK(p.done[i] == p.epochs[i]); /* none lost, none twice */
    CHECK(r.run == ranks);
    CHECK(p.widest == (grow ? ranks : 1));
    CHECK((r.grown > 0) == (grow && ranks > 1));
}

/* A task that becomes ready late is taken by the ranks at rest together. */
static void test_late_task(void)
{
    const int ranks = sf_comm_size(sf_comm_world()), zero = 0;
    sf_sched_task t[2] = { { .cost = 1 }, { .cost = 1, .needs = &zero, .n_needs = 1 } };
    plan p = new_plan();
    p.epochs[0] = p.epochs[1] = 20;
    CHECK_OK(sf_sched_run(sf_comm_world(), NULL, t, 2, run_task, wanted, &p, NULL));
    add_up(&p);
    CHECK(p.done[0] == 20 && p.done[1] == 20 && p.widest == ranks);
}

static void test_end(sf_status want, const char *text)
{
    const int ranks = sf_comm_size(sf_comm_world());
    sf_sched_task t[MAX_TASKS] = { { .cost = 9 } };
    plan p = new_plan();
    for (int i = 0; i < ranks; i++) p.epochs[i] = i == 0 ? 40 : 2;
    if (want == SF_EDATA) p.fail = 0;
    if (want == SF_ESTOP) p.stop = 0;
    if (want == SF_EIO) p.refuse = true;
    if (want == SF_ENOMEM) p.newcomer = true;
    const sf_status st = sf_sched_run(sf_comm_world(), NULL, t, ranks, run_task, wanted, &p, NULL);
    CHECK(st == (ranks > 1 ? want : SF_OK));
    if (ranks > 1) CHECK(strstr(sf_error_text(), text) != NULL);
}

/* Groups of two from the start. */
static void test_groups(void)
{
    const int ranks = sf_comm_size(sf_comm_world());
    sf_groups *groups;
    int size[64], n = 0;
    for (int left = ranks; left > 0; n++) {
        size[n] = left >= 2 ? 2 : 1;
        left -= size[n];
    }
    CHECK_OK(sf_groups_create(&groups, sf_comm_world(), size, n));
    sf_sched_task t[MAX_TASKS] = { { .cost = 9 } };
    plan p = new_plan();
    for (int i = 0; i < n + 2; i++) p.epochs[i] = i == 0 ? 80 : 3;
    CHECK_OK(sf_sched_run(sf_comm_world(), groups, t, n + 2, run_task, wanted, &p, NULL));
    add_up(&p);
    for (int i = 0; i < n + 2; i++) CHECK(p.done[i] == p.epochs[i]);
    CHECK(p.widest == ranks);
    sf_groups_destroy(&groups);
}

/* 64 tasks of unequal length, one of them longer than a rank's share of all. */
static void test_many(bool grow, double *idle)
{
    sf_sched_task t[MAX_TASKS];
    sf_sched_report r;
    plan p = new_plan();
    memset(t, 0, sizeof t);
    for (int i = 0; i < MAX_TASKS; i++) {
        p.epochs[i] = i == 0 ? 240 : 4 + i * 29 % 37;
        t[i].cost = p.epochs[i];
    }
    CHECK_OK(
        sf_sched_run(sf_comm_world(), NULL, t, MAX_TASKS, run_task, grow ? wanted : NULL, &p, &r));
    add_up(&p);
    for (int i = 0; i < MAX_TASKS; i++) CHECK(p.done[i] == p.epochs[i]);
    *idle = 100 * r.idle / (r.makespan * sf_comm_size(sf_comm_world()));
    if (sf_comm_rank(sf_comm_world()) == 0)
        printf("64 tasks on %d ranks, %s: %.2f s, idle %.1f %%, grown %d times\n",
               sf_comm_size(sf_comm_world()), grow ? "groups grow" : "groups stay", r.makespan,
               *idle, (int)r.grown);
}

int main(int argc, char **argv)
{
    double stay, grow;
    CHECK_OK(sf_mpi_start(&argc, &argv));
    test_long_task(true);
    test_long_task(false);
    test_late_task();
    test_end(SF_EDATA, "task 0 went wrong");
    test_end(SF_ESTOP, "stopped in task 0");
    test_end(SF_EIO, "no checkpoint");
    test_end(SF_ENOMEM, "no room for what");
    test_groups();
    if (sf_comm_size(sf_comm_world()) == 8) {
        /* seconds of a machine that does other work too say little: one quiet try is enough */
        bool shown = false;
        for (int tries = 0; tries < 5 && !shown; tries++) {
            test_many(false, &stay);
            test_many(true, &grow);
            shown = grow < 10 && grow < stay;
        }
        CHECK(shown);
    }
    sf_mpi_stop();
    CHECK(sf_mem_live(SF_MEM_CATEGORIES) == 0);
    return 0;
}
