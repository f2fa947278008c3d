/** What the files of mpi/ share and nobody else sees. */
#ifndef SF_MPI_COMM_PRIVATE_H
#define SF_MPI_COMM_PRIVATE_H
#include "mpi/comm.h"
#ifdef SEGFLEET_MPI
#include <mpi.h>
#endif

struct sf_comm {
    int rank, size;
    int world_rank; /* for texts */
    bool failed;    /* what the last sf_comm_agree said */
#ifdef SEGFLEET_MPI
    MPI_Comm mpi; /* MPI_COMM_NULL with one rank: such a comm never calls MPI */
    bool has_hints;
    MPI_Info hints; /* of the world (io_hints.h); comms that are split from it borrow them */
#endif
};

enum { SF_COMM_HOST_MAX = 64, SF_COMM_TAG_MAX = 32767 };

/** Process exit code of a status (base/error.h). */
int sf_comm_exit_code_(sf_status st);
/** Print the one line of sf_mpi_abort. */
void sf_comm_abort_line_(sf_status st, int rank);
/** The one-rank case of sf_comm_allgather_bytes. */
sf_status sf_comm_gather_self_(const void *data, size_t bytes, void ***all, size_t **sizes);
/** Block for sf_comm_allgather_bytes: table of pointers, table of sizes, then the pieces, each
 * 64-byte aligned. */
sf_status sf_comm_gather_block_(void ***all, size_t **sizes, const int64_t *bytes, int n);

#ifdef SEGFLEET_MPI
/** Before MPI_Init, from the environment: where Slurm's srun starts the ranks of Open MPI, one that
 *  has left MPI_Init can send to another that is still inside, which dies of it over TCP (seen with
 *  Open MPI 4.1.4 and PMIx 4.2.2, docs/slurm.md). Sets OMPI_MCA_pmix_base_async_modex=1 there, so
 *  that a rank waits for the others only once it can take messages; a value of the user's stays. */
void sf_comm_prepare_launch_(void);
/** An MPI call failed: SF_ECOMM with the call and the library's text. */
sf_status sf_comm_mpi_fail_(int code, const char *call, const char *file, int line);
/** What sf_comm_poll and every wait in this folder call as well, on the main thread; NULL =
 * nothing. */
void sf_comm_poll_hook_(void (*hook)(void *user), void *user);
/** Wait for a request: first spin, then sleep, so that a waiting rank leaves its core to those who
 * compute. */
int sf_comm_wait_(MPI_Request *request, MPI_Status *status);

#define SF_MPI_CODE(code, name)                                                                    \
    do {                                                                                           \
        if ((code) != MPI_SUCCESS) return sf_comm_mpi_fail_((code), name, __FILE__, __LINE__);     \
    } while (0)
#define SF_MPI_TRY(call)                                                                           \
    do {                                                                                           \
        int rc_ = (call);                                                                          \
        if (rc_ != MPI_SUCCESS) return sf_comm_mpi_fail_(rc_, #call, __FILE__, __LINE__);          \
    } while (0)
/** Start a request and wait for it. */
#define SF_MPI_WAIT(call)                                                                          \
    do {                                                                                           \
        SF_MPI_TRY(call);                                                                          \
        int rc_ = sf_comm_wait_(&request, MPI_STATUS_IGNORE);                                      \
        if (rc_ != MPI_SUCCESS) return sf_comm_mpi_fail_(rc_, #call, __FILE__, __LINE__);          \
    } while (0)
#endif

#endif
