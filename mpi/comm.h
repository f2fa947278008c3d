/** Groups of ranks without MPI in the header: implemented by comm_mpi.c or, with SEGFLEET_MPI=OFF, comm_serial.c.
 *  "Collective" = every rank of the comm must call it, in the same order. Counts may exceed INT_MAX.
 *  Only the thread that started MPI calls in here (MPI_THREAD_FUNNELED). */
#ifndef SF_MPI_COMM_H
#define SF_MPI_COMM_H
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sf_comm sf_comm;

/** Start MPI (once per process) / end it. sf_mpi_stop(true) after a failure that other ranks may not know: aborts the job
 *  with one line (rank, host, text) and the exit code of the status. */
sf_status sf_mpi_start(int *argc, char ***argv);
void sf_mpi_stop(void);
void sf_mpi_abort(sf_status st);
sf_comm *sf_comm_world(void);       /* borrowed */
sf_comm *sf_comm_self(void);        /* borrowed */

int sf_comm_rank(const sf_comm *c);
int sf_comm_size(const sf_comm *c);
const char *sf_comm_host(void);
/** Collective. Caller destroys (collective as well). color < 0: this rank gets NULL. */
sf_status sf_comm_split(sf_comm **out, sf_comm *c, int color, int key);
void sf_comm_destroy(sf_comm **c);

/** Collective. All ranks return the worst status of all; ranks that were fine get SF_ECOMM with "rank R on HOST: text". */
sf_status sf_comm_agree(sf_comm *c, sf_status mine);
sf_status sf_comm_barrier(sf_comm *c);
sf_status sf_comm_bcast(sf_comm *c, void *data, size_t bytes, int root);
/** Collective. Sum in rank order 0,1,2,... (a fixed order; same on all ranks). */
sf_status sf_comm_sum_f64(sf_comm *c, double *v, int64_t n);
sf_status sf_comm_max_i64(sf_comm *c, int64_t *v, int64_t n);
sf_status sf_comm_min_i64(sf_comm *c, int64_t *v, int64_t n);
/** Collective. Each rank gives `bytes`; all[rank] and sizes[rank] are allocated for the caller (one block: sf_mem_free(all)). */
sf_status sf_comm_allgather_bytes(sf_comm *c, const void *data, size_t bytes, void ***all, size_t **sizes);
sf_status sf_comm_send(sf_comm *c, const void *data, size_t bytes, int to, int tag);
sf_status sf_comm_recv(sf_comm *c, void *data, size_t bytes, int from, int tag); /* from -1: any */
/** Not collective: is a message waiting? */
sf_status sf_comm_probe(sf_comm *c, int *from, int tag, bool *waiting, size_t *bytes);

#endif
