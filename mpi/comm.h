/** Groups of ranks without MPI in the header: implemented by comm_mpi.c or, with SEGFLEET_MPI=OFF,
 * comm_serial.c. "Collective" = every rank of the comm must call it, in the same order. Counts may
 * exceed INT_MAX. Only the thread that started MPI calls in here (MPI_THREAD_FUNNELED). */
#ifndef SF_MPI_COMM_H
#define SF_MPI_COMM_H
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sf_comm sf_comm;

/** Start MPI (once per process; without mpirun the world has one rank) / end it. */
sf_status sf_mpi_start(int *argc, char ***argv);
void sf_mpi_stop(void);
/** After a failure that other ranks may not know: one line on stderr (rank, host, text of the last
 * failure), then the whole job ends with the exit code of the status (base/error.h). Does not
 * return. */
void sf_mpi_abort(sf_status st) __attribute__((noreturn));
/** Borrowed, never NULL. Before sf_mpi_start both have one rank and need no MPI. */
sf_comm *sf_comm_world(void);
sf_comm *sf_comm_self(void);
/** Not collective, cheap, callable from any code of the main thread while it computes: lets the
 * library answer ranks that ask this one for work (mpi/sched.h). Call it at least once per training
 * step or prediction tile. A call from another thread does nothing. */
void sf_comm_poll(void);

int sf_comm_rank(const sf_comm *c);
int sf_comm_size(const sf_comm *c);
const char *sf_comm_host(void);
/** Collective. Caller destroys (collective as well). color < 0: this rank gets NULL. */
sf_status sf_comm_split(sf_comm **out, sf_comm *c, int color, int key);
/** Collective over the listed ranks of `c` alone, which all give the same list; others may compute
 * meanwhile. Rank i of the new comm is rank ranks[i] of c, and ranks[] names the caller. Two calls
 * that share ranks must not be under way at once. Caller destroys. */
sf_status sf_comm_of(sf_comm **out, sf_comm *c, const int *ranks, int n);
void sf_comm_destroy(sf_comm **c);

/** Collective; always returns on all ranks as long as all call it. All ranks return the worst
 * status of all (SF_ESTOP and SF_ECOMM count less than a failure with a cause of its own, the
 * others by number). Of the ranks that have it, the lowest keeps its error text; every other rank
 * gets "rank R on HOST: text" (R counted in the world). */
sf_status sf_comm_agree(sf_comm *c, sf_status mine);
/** Not collective: did the last sf_comm_agree of this comm return a failure, so that all its ranks
 * leave what they were doing? A failure that only one rank knows of leaves the others waiting for
 * it: end the job (sf_mpi_abort). One rank: true. */
bool sf_comm_all_know(const sf_comm *c);
sf_status sf_comm_barrier(sf_comm *c);
sf_status sf_comm_bcast(sf_comm *c, void *data, size_t bytes, int root);
/** Collective. Sum in rank order 0,1,2,... (a fixed order; same on all ranks). */
sf_status sf_comm_sum_f64(sf_comm *c, double *v, int64_t n);
sf_status sf_comm_max_i64(sf_comm *c, int64_t *v, int64_t n);
sf_status sf_comm_min_i64(sf_comm *c, int64_t *v, int64_t n);
/** Collective. v is cut at first[0] = 0 <= first[1] <= ... <= first[size] (in elements, the same on
 * all ranks); every rank has filled its part [first[rank], first[rank+1]) and gets all others. */
sf_status sf_comm_allgather_f64(sf_comm *c, double *v, const int64_t *first);
/** Collective. Each rank gives `bytes` (may differ, may be 0); (*all)[rank] (64-byte aligned) and
 * (*sizes)[rank] are allocated for the caller as one block: sf_mem_free(*all) frees everything. Out
 * of memory on one rank: all ranks fail together. */
sf_status sf_comm_allgather_bytes(sf_comm *c, const void *data, size_t bytes, void ***all,
                                  size_t **sizes);
/** Between two ranks; waits (sleeping) until the data may be reused / has come. 0 <= tag < 32768;
 * `to` is not the own rank. */
sf_status sf_comm_send(sf_comm *c, const void *data, size_t bytes, int to, int tag);
/** Exactly `bytes` must come, else SF_ECOMM. from -1: any rank. */
sf_status sf_comm_recv(sf_comm *c, void *data, size_t bytes, int from, int tag);
/** Not collective: is a message waiting? Then from and bytes (each may be NULL) describe it. */
sf_status sf_comm_probe(sf_comm *c, int *from, int tag, bool *waiting, size_t *bytes);

#endif
