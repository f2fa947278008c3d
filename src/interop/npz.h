/** NumPy's .npz: a ZIP archive of .npy arrays, as nnU-Net stores probabilities
 *  (nnunet-training.md 8.6). Not collective; thread-safe on different files.
 *
 *  .npy: "\x93NUMPY", version, length of the header, then a Python dictionary {'descr': '<f4',
 *  'fortran_order': False, 'shape': (2, 3, 4)} padded with blanks to a multiple of 64 bytes, then
 *  the elements. */
#ifndef SF_INTEROP_NPZ_H
#define SF_INTEROP_NPZ_H
#include "base/error.h"
#include <stdint.h>

enum { SF_NPZ_MAX_DIMS = 8 };

/** Write one float32 array in C order as deflated member `name`.npy; ZIP64 records only where they
 *  are needed. Temporary file + fsync + rename. Bytes depend on the arguments alone (fixed date).
 *  @param[in] data  [product of dim], ndim 1..8, every dim >= 0
 *  @return SF_EIO names the file; SF_ENOMEM */
sf_status sf_npz_save(const char *path, const char *name, const float *data, int ndim,
                      const int64_t *dim);

/** Read the first member among `names` (n_names texts without ".npy") as float32 in C order:
 *  float16, float32 or float64, stored or deflated, also when the file has Fortran order.
 *  @param[out] data  caller frees with sf_mem_free; NULL after a failure
 *  @param[out] dim   [SF_NPZ_MAX_DIMS]
 *  @return SF_EIO: cannot be read; SF_EDATA (file, member, what is wrong): damaged, or none of the
 *          names; SF_EUNSUPPORTED: another element type. Hostile input is never read out of bounds.
 */
sf_status sf_npz_load(float **data, int *ndim, int64_t dim[SF_NPZ_MAX_DIMS], const char *path,
                      const char *const *names, int n_names);

#endif
