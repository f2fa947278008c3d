/** A small table of numbers that all ranks of a comm read and change one at a time: the shared
 * memory of mpi/sched.
 *
 *  When all ranks are on one node it is shared memory and nobody needs anybody's help. Otherwise it
 * belongs to rank 0, which answers the others whenever it waits for something in mpi/ or calls
 * sf_comm_poll. One-sided MPI would do without that in theory; in practice it needs the target's
 * help as well, and its atomics are among the least tested parts of MPI. Only sf_board_create and
 * sf_board_destroy are collective; one board per process at a time. Main thread only. */
#ifndef SF_MPI_BOARD_H
#define SF_MPI_BOARD_H
#include "mpi/comm.h"

typedef struct sf_board sf_board;

/** Collective. n >= 1 words; rank 0's `first` (n words) are the start values. SF_ENOMEM or SF_ECOMM
 * on all ranks together. */
sf_status sf_board_create(sf_board **out, sf_comm *c, int n, const int64_t *first);
/** Collective; NULL is allowed when it is NULL on all ranks. */
void sf_board_destroy(sf_board **b);
/** Copy all words; each word is read whole, the table as such may change meanwhile. Sleeps while it
 * waits. */
sf_status sf_board_read(sf_board *b, int64_t *words);
/** If word i equals `expect`, set it to `wanted`; *found = its value before. Atomic over all ranks.
 */
sf_status sf_board_swap(sf_board *b, int i, int64_t expect, int64_t wanted, int64_t *found);

#endif
