/** A file without a name for what does not fit into memory: it starts as zeros, and its space is
 *  given back when it is closed or the process ends, however that happens. Not collective; reads
 *  and writes of disjoint ranges are thread-safe. */
#ifndef SF_PREDICT_SCRATCH_H
#define SF_PREDICT_SCRATCH_H
#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct sf_scratch sf_scratch;

/** A file of `bytes` zeros on the file system of the folder `dir` (blocks are taken when they are
 *  written). Caller closes. SF_EIO names the folder. */
sf_status sf_scratch_open(sf_scratch **out, const char *dir, int64_t bytes);
/** NULL inside is fine; sets NULL. */
void sf_scratch_close(sf_scratch **s);
/** All `bytes` at `offset`. SF_EIO names the folder and the reason (a full disk). */
sf_status sf_scratch_read(const sf_scratch *s, int64_t offset, void *dst, size_t bytes);
sf_status sf_scratch_write(const sf_scratch *s, int64_t offset, const void *src, size_t bytes);

#endif
