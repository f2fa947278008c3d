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
 *  on it.
 *
 *  Groups that grow: a group that finds no task any more breaks up, and its ranks rest. A running
 *  task asks now and then (sf_seat_leave) whether resting ranks would help it; then it is left, the
 *  ranks join its group, and it is called again to go on from where it was. */
#ifndef SF_MPI_SCHED_H
#define SF_MPI_SCHED_H
#include "mpi/groups.h"

typedef struct {
    double cost; /* seconds expected: larger first, then the lower index */
    const int *needs;
    int n_needs; /* indices of tasks that must be done before */
    bool done;   /* already finished in an earlier run; what rank 0 says counts */
} sf_sched_task;

/** A group's place at the task that it runs. */
typedef struct sf_seat sf_seat;

/** Runs one task on one group; called on every rank of the group. It may be collective over
 * `group`, never over the world: the other ranks do something else meanwhile. SF_ESTOP = stopped on
 * request, not finished. */
typedef sf_status sf_sched_fn(void *user, int task, sf_comm *group, sf_seat *seat);

/** How many ranks should go on with a task that has `size` now, when `more` others are free for it?
 * From `size`, which says that more would not help, to size + more. Not collective. */
typedef int sf_sched_size_fn(void *user, int task, int size, int more);

/** For rank 0 of a group, inside sf_sched_fn, where the task can be left and taken up again without
 *  loss. True: resting ranks would help and are reserved now; the task must put its state where
 *  they find it and return SF_ESTOP on all its ranks. It is then called again with a larger group
 *  whose rank 0 is the same. seat NULL: false. */
bool sf_seat_leave(sf_seat *seat);

/** The same on all ranks: tasks that were finished in this run, how often a group grew, seconds
 * from start to end, rank-seconds without a task. */
typedef struct {
    int64_t run, grown;
    double makespan, idle;
} sf_sched_report;

/** Collective over `world`, split into `groups` (NULL: every rank is a group of its own). Stops
 * handing
 * out when a task fails or asks to stop; running tasks finish; then all ranks return that status
 * with its text (sf_comm_agree). The task list must be the same on all ranks: SF_EINTERNAL
 * otherwise. Dependencies that do not exist or form a circle: SF_EINVAL, nothing is run.
 *  @param size    NULL: groups stay as they are
 *  @param report  may be NULL */
sf_status sf_sched_run(sf_comm *world, const sf_groups *groups, const sf_sched_task *tasks, int n,
                       sf_sched_fn *fn, sf_sched_size_fn *size, void *user,
                       sf_sched_report *report);

#endif
