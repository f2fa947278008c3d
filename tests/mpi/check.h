/** Checks for programs of several ranks: a failed check ends the whole job at once, so nothing
 * waits for the timeout. */
#ifndef TST_MPI_CHECK_H
#define TST_MPI_CHECK_H
#include "base/mem.h"
#include "mpi/comm.h"
#include <stdio.h>
#include <string.h>

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            fprintf(stderr, "%s:%d: rank %d: %s (last error: %s)\n", __FILE__, __LINE__,           \
                    sf_comm_rank(sf_comm_world()), #cond, sf_error_text());                        \
            sf_mpi_abort(SF_EINTERNAL);                                                            \
        }                                                                                          \
    } while (0)
#define CHECK_OK(call) CHECK((call) == SF_OK)

#endif
