/** Hands numbered tasks with dependencies to groups of ranks and calls back; knows nothing of
 * training.
 *
 *  The state of all tasks stands on a small board that every rank reads and changes by itself
 * (mpi/board.h): a free rank takes the ready task with the highest cost, and all of them work, rank
 * 0 too. On one node nobody waits for anybody; between nodes rank 0 answers the others, therefore a
 * callback that computes for long calls sf_comm_poll() once per step (without it the others wait
 * until rank 0 ends its task). Waiting ranks sleep.
 *
 *  In a group of several ranks the first one looks at the board and tells the others. The first
 *  task of group g is the g-th of those that can start at once, by cost: the sizes of groups may
 *  have been made for it. Which group runs a task is not fixed otherwise; results must not depend
 *  on it. */
#ifndef SF_MPI_SCHED_H
#define SF_MPI_SCHED_H
#include "mpi/groups.h"

typedef struct {
    double cost; /* seconds expected: larger first, then the lower index */
    const int *needs;
    int n_needs; /* indices of tasks that must be done before */
    bool done;   /* already finished in an earlier run; what rank 0 says counts */
} sf_sched_task;

/** Runs one task on one group; called on every rank of the group. It may be collective over
 * `group`, never over the world: the other ranks do something else meanwhile. SF_ESTOP = stopped on
 * request, not finished. */
typedef sf_status sf_sched_fn(void *user, int task, sf_comm *group);

/** The same on all ranks: tasks that were finished in this run, seconds from start to end,
 * rank-seconds without a task. */
typedef struct {
    int64_t run;
    double makespan, idle;
} sf_sched_report;

/** Collective over `world`, split into `groups` (NULL: every rank is a group of its own). Stops
 * handing
 * out when a task fails or asks to stop; running tasks finish; then all ranks return that status
 * with its text (sf_comm_agree). The task list must be the same on all ranks: SF_EINTERNAL
 * otherwise. Dependencies that do not exist or form a circle: SF_EINVAL, nothing is run.
 *  @param report  may be NULL */
sf_status sf_sched_run(sf_comm *world, const sf_groups *groups, const sf_sched_task *tasks, int n,
                       sf_sched_fn *fn, void *user, sf_sched_report *report);

#endif
