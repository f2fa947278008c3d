/** HDF5 files on a communicator: the only place that knows which driver is used. With one rank (or
 * without MPI) files go through the serial driver, which needs no MPI.
 *
 *  HDF5's own printing of errors is switched off by every function here. File locks are not used:
 * our files are written under a temporary name, renamed when complete and never changed afterwards.
 */
#ifndef SF_MPI_H5_OPEN_H
#define SF_MPI_H5_OPEN_H
#include "mpi/comm.h"
#include <hdf5.h>

/** Collective. Create (or empty) `path`, the same on all ranks; metadata operations on the file are
 * collective then. Objects of at least `alignment` bytes start at multiples of it (0 = anywhere).
 * SF_EIO on all ranks together. Close: H5Fclose. */
sf_status sf_h5_create(hid_t *out, sf_comm *c, const char *path, int64_t alignment);
/** Not collective: open for reading with the serial driver. SF_EIO when it is missing, SF_EDATA
 * when it is not HDF5. */
sf_status sf_h5_open_read(hid_t *out, const char *path);
/** Make the last failure of the HDF5 library our own: "call: reason". @return st */
sf_status sf_h5_fail_(sf_status st, const char *call, const char *file, int line);

#endif
