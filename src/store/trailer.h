/** The seal at the end of our HDF5 files: text after the last byte of HDF5, which the library
 * ignores.
 *
 *      segfleet-trailer 1
 *      bytes N                    length of the HDF5 part
 *      skip OFFSET SIZE           zero or more, ascending: large arrays
 *      part SHA256                of the N bytes without the skipped ones
 *      full SHA256                of all N bytes (head -c N FILE | sha256sum)
 *      segfleet-end N T SHA256    128 bytes: T = length of the lines above, their hash; blanks;
 * newline
 *
 *  A reader checks the seal before it lets HDF5 parse a single byte, so that a truncated, damaged
 * or foreign file is one clear error and never reaches the library. `part` makes that cheap for
 * containers of many GiB; `full` is for --check. The hashes tell of damage; they do not protect
 * against somebody who forges a whole file. Not collective. */
#ifndef SF_STORE_TRAILER_H
#define SF_STORE_TRAILER_H
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int64_t offset, bytes;
} sf_span;

/** Append the seal to a closed HDF5 file. `skip` is sorted in place; overlapping or outside:
 * SF_EINTERNAL. */
sf_status sf_trailer_append(const char *path, sf_span *skip, int64_t n);
/** Check the file behind `fd`. *bytes = N. SF_EDATA: no seal (foreign or truncated), or a hash
 * differs (damaged). */
sf_status sf_trailer_verify(int fd, const char *path, bool full, int64_t *bytes);

#endif
