/** HDF5 calls with our errors: small attributes, contiguous arrays, slabs. Only src/store includes
 * this.
 *
 *  Nothing here is collective by itself; on a file that several ranks opened (mpi/h5_open.h) every
 * function that changes metadata (write of an attribute, creation) must be called by all ranks with
 * the same values, while sf_h5_write_rows may be called by one rank alone. Errors: SF_EIO with the
 * HDF5 call and its reason; readers give SF_EDATA for content that is not what they expect. Main
 * thread only (HDF5 is not thread-safe). */
#ifndef SF_STORE_H5_H
#define SF_STORE_H5_H
#include "mpi/h5_open.h"
#include <stdint.h>

enum { SF_H5_MAX_DIMS = 8, SF_H5_MAX_TEXT = 60000 };

/** Call HDF5; `var` takes the result (hid_t, herr_t, ...). Negative: SF_EIO into st and jump to the
 * cleanup label. */
#define H5_TRY(label, st, var, call)                                                               \
    do {                                                                                           \
        (var) = (call);                                                                            \
        if ((var) < 0) {                                                                           \
            (st) = sf_h5_fail_(SF_EIO, #call, __FILE__, __LINE__);                                 \
            goto label;                                                                            \
        }                                                                                          \
    } while (0)

/** Put "path: " before the text of the last failure. SF_EIO from a reader becomes SF_EDATA when
 * `reading`: the file was there, but its content made no sense. @return the status to pass on */
sf_status sf_h5_in_file(sf_status st, const char *path, int reading);

/** Attributes of object `at`. Text is at most SF_H5_MAX_TEXT bytes (SF_EINVAL). */
sf_status sf_h5_put_text(hid_t at, const char *name, const char *text);
sf_status sf_h5_put_i64(hid_t at, const char *name, const int64_t *v, int n); /* n >= 1 */
sf_status sf_h5_put_f64(hid_t at, const char *name, const double *v, int n);
/** Caller frees with sf_mem_free. */
sf_status sf_h5_get_text(char **out, hid_t at, const char *name);
/** Exactly n values, else SF_EDATA. */
sf_status sf_h5_get_i64(int64_t *out, int n, hid_t at, const char *name);
sf_status sf_h5_get_f64(double *out, int n, hid_t at, const char *name);

/** Where the values of a contiguous array lie in the file. */
typedef struct {
    int ndim;
    int64_t dim[SF_H5_MAX_DIMS], count; /* count = product */
    int64_t offset, bytes;              /* offset -1: no storage (count 0) */
} sf_h5_array;

/** Create a contiguous dataset, allocated now and never filled; the caller writes all of it and
 * closes *dset. `type` is the file's element type (little endian). ndim 0..8; every dim >= 0. */
sf_status sf_h5_create_array(hid_t *dset, sf_h5_array *info, hid_t at, const char *name, hid_t type,
                             int ndim, const int64_t *dim);
/** Open a dataset and check that it is contiguous, unfiltered, inside this file and of exactly that
 * type. */
sf_status sf_h5_open_array(hid_t *dset, sf_h5_array *info, hid_t at, const char *name, hid_t type);
/** Write or read rows first..first+count-1 (slabs along axis 0; a scalar has one row), in pieces of
 * less than 2 GiB. `type` describes memory. */
sf_status sf_h5_write_rows(hid_t dset, const sf_h5_array *info, int64_t first, int64_t count,
                           hid_t type, const void *data);
sf_status sf_h5_read_rows(hid_t dset, const sf_h5_array *info, int64_t first, int64_t count,
                          hid_t type, void *data);

/** Number of links of a group; name of number i by order of name (or, with by_creation, of
 * creation). */
sf_status sf_h5_count(int64_t *out, hid_t group);
sf_status sf_h5_name(char *out, size_t size, hid_t group, int64_t i, int by_creation);

#endif
