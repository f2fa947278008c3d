/** Named arrays in one group of an HDF5 file, with a checksum over all of them: what checkpoints are made of, readable
 *  from below src/train. Not collective (one rank writes, any rank reads). */
#ifndef SF_STORE_ARRAYS_H
#define SF_STORE_ARRAYS_H
#include "base/error.h"
#include "base/json.h"
#include <stdint.h>

typedef struct { char name[128]; int ndim; int64_t dim[8]; int64_t count; const float *data; } sf_array;

/** A file to be written: groups of float32 arrays and text attributes; committed atomically by sf_arrays_save. */
typedef struct { const char *group; const sf_array *array; int count; } sf_array_group;
sf_status sf_arrays_save(const char *path, const sf_array_group *groups, int n_groups, const json_t *attributes);
/** Arrays of one group, in the order they were written; data is owned by the returned block: free with sf_arrays_free.
 *  `attributes` may be NULL. SF_EIO / SF_EDATA (damaged: checksum) name the file. */
sf_status sf_arrays_load(sf_array **out, int *count, json_t **attributes, const char *path, const char *group);
void sf_arrays_free(sf_array **a, int count);

#endif
