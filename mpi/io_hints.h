/** MPI-IO hints for files that several ranks write (striping_factor, cb_nodes, ...; their names are
 *  the MPI library's and the file system's). Main thread only. */
#ifndef SF_MPI_IO_HINTS_H
#define SF_MPI_IO_HINTS_H
#include "mpi/comm.h"

/** Collective over c, the world. From now on every file that is created on this comm, or on one
 * split from it, with more than one rank (h5_open.h) gets these hints.
 *  @param[in] path  that of rank 0 counts: a JSON object of texts and numbers, or lines KEY=VALUE,
 *                   "#" begins a comment
 *  @return SF_EIO: cannot be read; SF_EDATA: names the line or key that is wrong */
sf_status sf_io_hints_load(sf_comm *c, const char *path);
/** The rule for a file's text, without MPI: calls back for each pair. Not collective; thread-safe.
 *  @param[in] where  for messages;  @return SF_EDATA, or what `take` returns */
sf_status sf_io_hints_parse(const char *text, const char *where,
                            sf_status (*take)(void *user, const char *key, const char *value),
                            void *user);

#endif
