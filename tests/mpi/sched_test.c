/* sched.h: every rank keeps a record of what it ran; the records are compared afterwards. */
#include "base/log.h"
#include "check.h"
#include "mpi/sched.h"
#include <unistd.h>

enum { MAX_TASKS = 64 };
static sf_groups *groups; /* NULL: every rank by itself */

typedef struct {
    int runs[MAX_TASKS]; /* how often each task ran on this rank */
    double begun[MAX_TASKS], ended[MAX_TASKS];
} record;

typedef struct {
    record rec;
    int naps;        /* ms per task */
    int fail, stop;  /* task that fails / stops, or -1 */
    bool slow_rank0; /* rank 0's first task computes for long without any call into MPI */
    bool slow_task0; /* task 0 does */
    int64_t ran;
} plan;

static void compute(double seconds)
{
    volatile double x = 1;
    for (double end = sf_now() + seconds; sf_now() < end;) {
        for (int i = 0; i < 1000; i++) x = x * 1.0000001 + 1e-9;
#ifdef TST_POLL /* the variant with messages: once per "training step" */
        sf_comm_poll();
#endif
    }
}

static sf_status run_task(void *user, int task, sf_comm *group, sf_seat *seat)
{
    (void)seat;
    plan *p = user;
    int told = task;
    CHECK(sf_comm_size(group) == (groups ? sf_comm_size(groups->comm) : 1));
    CHECK_OK(sf_comm_bcast(group, &told, sizeof told, 0));
    CHECK(told == task); /* all ranks of the group are here */
    if (sf_comm_rank(group) > 0) return SF_OK;
    p->rec.runs[task]++;
    p->rec.begun[task] = sf_now();
    const bool slow = (p->slow_rank0 && sf_comm_rank(sf_comm_world()) == 0 && p->ran == 0) ||
                      (p->slow_task0 && task == 0);
    p->ran++;
    if (slow)
        compute(1.2);
    else
        usleep((unsigned)p->naps * 1000);
    p->rec.ended[task] = sf_now();
    if (task == p->fail) return SF_FAIL(SF_EDATA, "task %d went wrong", task);
    if (task == p->stop) return SF_FAIL(SF_ESTOP, "stopped in task %d", task);
    return SF_OK;
}

static plan new_plan(int naps)
{
    plan p;
    memset(&p, 0, sizeof p);
    p.naps = naps;
    p.fail = p.stop = -1;
    return p;
}

/* Sum of runs over ranks, and the times of the rank that ran it. */
static record collect(const plan *p)
{
    record all;
    void **each;
    size_t *sizes;
    memset(&all, 0, sizeof all);
    CHECK_OK(sf_comm_allgather_bytes(sf_comm_world(), &p->rec, sizeof p->rec, &each, &sizes));
    for (int r = 0; r < sf_comm_size(sf_comm_world()); r++) {
        const record *q = each[r];
        for (int t = 0; t < MAX_TASKS; t++) {
            if (q->runs[t] == 0) continue;
            all.runs[t] += q->runs[t];
            all.begun[t] = q->begun[t];
            all.ended[t] = q->ended[t];
        }
    }
    sf_mem_free(each);
    return all;
}

static int total(const record *r)
{
    int k = 0;
    for (int t = 0; t < MAX_TASKS; t++) k += r->runs[t];
    return k;
}

/* 0 and 1 are free; 2 needs 0; 3 needs 1, 2; 4..11 need 3; 12 needs all of them; 13 was done before
 * and 14 needs it. */
static const int needs_3[] = { 1, 2 }, needs_12[] = { 4, 5, 6, 7, 8, 9, 10, 11 };
static const int zero = 0, three = 3, thirteen = 13;

static int diamond(sf_sched_task *t)
{
    memset(t, 0, 15 * sizeof *t);
    for (int i = 0; i < 15; i++) t[i].cost = 1 + i % 4;
    t[2] = (sf_sched_task){ 5, &zero, 1, false };
    t[3] = (sf_sched_task){ 1, needs_3, 2, false };
    for (int i = 4; i < 12; i++) t[i].needs = &three, t[i].n_needs = 1;
    t[12] = (sf_sched_task){ 100, needs_12, 8, false };
    t[13].done = true;
    t[14] = (sf_sched_task){ 50, &thirteen, 1, false };
    return 15;
}

static void test_dependencies(void)
{
    sf_sched_task t[MAX_TASKS];
    sf_sched_report report;
    plan p = new_plan(2);
    const int n = diamond(t);
    if (sf_comm_rank(sf_comm_world()) != 0) t[13].done = false; /* rank 0 decides */
    CHECK_OK(sf_sched_run(sf_comm_world(), groups, t, n, run_task, NULL, &p, &report));
    record all = collect(&p);
    for (int i = 0; i < n; i++) {
        CHECK(all.runs[i] == (i != 13));
        for (int k = 0; k < t[i].n_needs; k++)
            CHECK(t[i].needs[k] == 13 || all.ended[t[i].needs[k]] <= all.begun[i]);
    }
    CHECK(report.run == 14 && report.makespan > 0.01 && report.idle >= 0);
}

static void test_priority(void)
{
    sf_sched_task t[20];
    plan p = new_plan(0);
    memset(t, 0, sizeof t);
    for (int i = 0; i < 20; i++) t[i].cost = (i * 7) % 20;
    CHECK_OK(sf_sched_run(sf_comm_self(), NULL, t, 20, run_task, NULL, &p,
                          NULL)); /* one rank: a strict order */
    for (int i = 0; i < 20; i++) {
        CHECK(p.rec.runs[i] == 1);
        for (int k = 0; k < 20; k++)
            CHECK(t[i].cost <= t[k].cost || p.rec.begun[i] <= p.rec.begun[k]);
    }
}

static void test_end(sf_status want, const char *text)
{
    sf_sched_task t[40];
    sf_sched_report report;
    plan p = new_plan(10);
    memset(t, 0, sizeof t);
    for (int i = 0; i < 40; i++) t[i].cost = 40 - i;
    *(want == SF_ESTOP ? &p.stop : &p.fail) = 3;
    CHECK(sf_sched_run(sf_comm_world(), groups, t, 40, run_task, NULL, &p, &report) == want);
    CHECK(strstr(sf_error_text(), text) != NULL);
    record all = collect(&p);
    CHECK(all.runs[3] == 1);
    for (int i = 0; i < 40; i++)
        CHECK(all.runs[i] <= 1 && (i < 3 || all.begun[i] <= all.ended[3] + 1));
    CHECK(total(&all) < 40); /* the rest was not handed out */
    CHECK(report.run == total(&all) - 1);
}

static void test_refused(void)
{
    sf_sched_task t[3];
    plan p = new_plan(0);
    const int a = 0, b = 1, far = 7;
    memset(t, 0, sizeof t);
    t[0].needs = &b, t[0].n_needs = 1;
    t[1].needs = &a, t[1].n_needs = 1;
    CHECK(sf_sched_run(sf_comm_world(), groups, t, 3, run_task, NULL, &p, NULL) == SF_EINVAL);
    CHECK(strstr(sf_error_text(), "task 0 can never start") != NULL);
    t[1].done = true; /* cuts the circle */
    CHECK_OK(sf_sched_run(sf_comm_world(), groups, t, 3, run_task, NULL, &p, NULL));
    t[1].needs = &far;
    CHECK(sf_sched_run(sf_comm_world(), groups, t, 3, run_task, NULL, &p, NULL) == SF_EINVAL);
    t[1].needs = &b; /* needs itself */
    t[1].done = false;
    CHECK(sf_sched_run(sf_comm_world(), groups, t, 3, run_task, NULL, &p, NULL) == SF_EINVAL);
    memset(t, 0, sizeof t);
    t[2].cost = sf_comm_rank(sf_comm_world());
    CHECK(sf_sched_run(sf_comm_world(), groups, t, 3, run_task, NULL, &p, NULL) ==
          (sf_comm_size(sf_comm_world()) > 1 ? SF_EINTERNAL : SF_OK));
}

static void test_few(void)
{
    sf_sched_task t[2];
    sf_sched_report report;
    plan p = new_plan(5);
    memset(t, 0, sizeof t);
    CHECK_OK(sf_sched_run(sf_comm_world(), groups, t, 0, run_task, NULL, &p, &report));
    CHECK(report.run == 0);
    CHECK_OK(sf_sched_run(sf_comm_world(), groups, t, 2, run_task, NULL, &p, &report));
    record all = collect(&p);
    CHECK(all.runs[0] == 1 && all.runs[1] == 1 && report.run == 2);
    t[0].done = t[1].done = true;
    CHECK_OK(sf_sched_run(sf_comm_world(), groups, t, 2, run_task, NULL, &p, &report));
    CHECK(report.run == 0);
}

/* The others get on while rank 0 computes (on one node even without any call into MPI). */
static void test_busy_rank0(void)
{
    sf_sched_task t[30];
    plan p = new_plan(4);
    memset(t, 0, sizeof t);
    p.slow_rank0 = true;
    CHECK_OK(sf_sched_run(sf_comm_world(), groups, t, 30, run_task, NULL, &p, NULL));
    record all = collect(&p);
    CHECK(total(&all) == 30);
    if (sf_comm_size(sf_comm_world()) > 1 && sf_comm_rank(sf_comm_world()) == 0) CHECK(p.ran <= 3);
}

/* Ranks that wait sleep. */
static void test_idle(void)
{
    sf_sched_task t[2];
    sf_sched_report report;
    plan p = new_plan(1);
    memset(t, 0, sizeof t);
    t[1].needs = &zero, t[1].n_needs = 1;
    p.slow_task0 = true;
    const double cpu = sf_cpu_seconds();
    CHECK_OK(sf_sched_run(sf_comm_world(), groups, t, 2, run_task, NULL, &p, &report));
    if (p.rec.runs[0] == 0) CHECK(sf_cpu_seconds() - cpu < 0.4);
    CHECK(report.idle > 0.8 * (sf_comm_size(sf_comm_world()) - 1));
}

/* 10 ranks on nodes of 4, 4 and 2: whole groups on one node where they fit. */
static void test_places(void)
{
    const int node_of[10] = { 0, 0, 1, 1, 1, 1, 0, 0, 2, 2 };
    const struct {
        int n, size[5], want[10];
    } rows[] = {
        { 1, { 10 }, { 0 } },
        { 4, { 1, 3, 4, 2 }, { 2, 2, 1, 1, 1, 0, 2, 2, 3, 3 } },
        { 2, { 4, 6 }, { 1, 1, 0, 0, 0, 0, 1, 1, 1, 1 } },
    };
    int got[10];
    for (int i = 0; i < 3; i++) {
        CHECK_OK(sf_groups_place(got, node_of, 10, rows[i].size, rows[i].n));
        for (int r = 0; r < 10; r++) CHECK(got[r] == rows[i].want[r]);
    }
    const int few[2] = { 4, 5 }, none[2] = { 10, 0 };
    CHECK(sf_groups_place(got, node_of, 10, few, 2) == SF_EINVAL);
    CHECK(sf_groups_place(got, node_of, 10, none, 2) == SF_EINVAL);
}

/* Groups of 2, 1, 1, ... ranks, the largest in the middle. */
static void make_groups(void)
{
    const int ranks = sf_comm_size(sf_comm_world());
    int size[64], n = 0;
    for (int left = ranks; left > 0; n++) {
        size[n] = n == 1 && left >= 2 ? 2 : 1;
        left -= size[n];
    }
    CHECK_OK(sf_groups_create(&groups, sf_comm_world(), size, n));
    CHECK(groups->n == n && sf_comm_size(groups->comm) == size[groups->index]);
    size[0]++;
    sf_groups *bad;
    CHECK(sf_groups_create(&bad, sf_comm_world(), size, n) == SF_EINVAL && bad == NULL);
}

/* Group g begins with the g-th task by cost, although all are there at the same time. */
static void test_first_tasks(void)
{
    sf_sched_task t[MAX_TASKS];
    plan p = new_plan(20);
    memset(t, 0, sizeof t);
    const int n = groups->n;
    for (int i = 0; i < n; i++) t[i].cost = i;
    CHECK_OK(sf_sched_run(sf_comm_world(), groups, t, n, run_task, NULL, &p, NULL));
    if (sf_comm_rank(groups->comm) == 0) CHECK(p.rec.runs[n - 1 - groups->index] == 1);
}

int main(int argc, char **argv)
{
    CHECK_OK(sf_mpi_start(&argc, &argv));
    test_dependencies();
    test_priority();
    test_end(SF_EDATA, "task 3 went wrong");
    test_end(SF_ESTOP, "stopped in task 3");
    test_refused();
    test_few();
    test_busy_rank0();
    test_idle();
    test_places();
    make_groups();
    test_dependencies();
    test_end(SF_EDATA, "task 3 went wrong");
    test_end(SF_ESTOP, "stopped in task 3");
    test_few();
    test_first_tasks();
    sf_groups_destroy(&groups);
    sf_mpi_stop();
    CHECK(sf_mem_live(SF_MEM_CATEGORIES) == 0);
    return 0;
}
