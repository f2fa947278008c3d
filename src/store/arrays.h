/** Named arrays in one group of an HDF5 file, with a checksum over all of them: what checkpoints
 * are made of, readable from below src/train. Not collective (one rank writes, any rank reads). */
#ifndef SF_STORE_ARRAYS_H
#define SF_STORE_ARRAYS_H
#include "base/error.h"
#include "base/json.h"
#include <stdint.h>

typedef struct {
    char name[128];
    int ndim;
    int64_t dim[8];
    int64_t count;
    const float *data;
} sf_array;

/** A file to be written: groups ("network", "a/b") of float32 arrays, each in C order with
 * ndim 0..8 and count = product of dim (1 when ndim is 0). Names of arrays are not empty and have
 * no '/'. Everything is borrowed. */
typedef struct {
    const char *group;
    const sf_array *array;
    int count;
} sf_array_group;

/** Write by temporary file, fsync and rename; a failure leaves an older file of that name as it was
 * and names `path` (SF_EIO), or the array that contradicts itself (SF_EINTERNAL). `attributes`: a
 * JSON value of any size, or NULL. Bytes of the file depend on the arguments alone. */
sf_status sf_arrays_save(const char *path, const sf_array_group *groups, int n_groups,
                         const json_t *attributes);
/** Arrays of one group, in the order they were written; data (64-byte aligned) is owned by the
 * returned block: free with sf_arrays_free. `attributes` may be NULL, else the caller owns
 * *attributes (an empty object when none were written). The SHA-256 of the whole file is checked
 * first. SF_EIO (cannot be read) and SF_EDATA (damaged, foreign, no such group) name the file; then
 * *out is NULL. */
sf_status sf_arrays_load(sf_array **out, int *count, json_t **attributes, const char *path,
                         const char *group);
/** "HDF5 1.10.8": what files are written with. */
void sf_store_library(char out[32]);
void sf_arrays_free(sf_array **a, int count);

#endif
