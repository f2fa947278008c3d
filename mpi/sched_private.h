/** What sched.c (checks, start, report) and sched_work.c (the work itself) share. */
#ifndef SF_MPI_SCHED_PRIVATE_H
#define SF_MPI_SCHED_PRIVATE_H
#include "mpi/board.h"
#include "mpi/sched.h"

/* The board: a word for each task, the flag "hand out nothing more", a word for each rank. */
enum { FREE = 0, RUNNING = 1, DONE = 2, FAILED = 3 }; /* a task */
enum { AT_WORK = 0, AT_REST = 1, CALLED = 2 };        /* a rank */

typedef struct {
    sf_comm *world;
    sf_comm *group; /* the own one */
    sf_comm *made;  /* the same where it was made here; else NULL */
    int *member;    /* [ranks]: world ranks of the group in its order */
    int n_members;
    int *called; /* [ranks]: room for a seat's list */
    const sf_sched_task *tasks;
    int n, ranks;
    sf_sched_fn *fn;
    sf_sched_size_fn *size; /* NULL: groups stay as they are */
    void *user;
    sf_board *board;
    int64_t *state; /* n + 1 + ranks words: this rank's last look at the board */
    int turn;       /* the task that this group begins with; -1: it has begun */
    bool over;      /* nothing is left to do */
    int64_t run, grown;
    double busy;
} sf_sched_;

/** The ready task with the highest cost below that of `after` (-1: of all), then the lowest index;
 *  -1: none. */
int sf_sched_next_(const sf_sched_ *s, int after);
/** All work of this rank, until nothing runs and nothing more may start. */
sf_status sf_sched_work_(sf_sched_ *s);
bool sf_sched_needs_done_(const sf_sched_task *t, const int64_t *state);

#endif
