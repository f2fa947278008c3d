/** Hands numbered tasks with dependencies to groups of ranks and calls back; knows nothing of training.
 *  World rank 0 keeps the list (and works too when it is alone); tasks go out in priority order as groups become free. */
#ifndef SF_MPI_SCHED_H
#define SF_MPI_SCHED_H
#include "mpi/comm.h"

typedef struct {
    double cost;               /* seconds expected: larger first */
    const int *needs; int n_needs; /* indices of tasks that must be done before */
    bool done;                 /* already finished in an earlier run */
} sf_sched_task;

/** Runs one task on one group; called on every rank of the group. */
typedef sf_status sf_sched_fn(void *user, int task, sf_comm *group);

typedef struct { int64_t run; double makespan, idle; } sf_sched_report;

/** Collective over `world`. Each group is one rank for now (D brings larger ones). Stops handing out when a task fails or asks
 *  to stop; then all ranks return that status. The task list must be the same on all ranks. */
sf_status sf_sched_run(sf_comm *world, const sf_sched_task *tasks, int n, sf_sched_fn *fn, void *user, sf_sched_report *report);

#endif
