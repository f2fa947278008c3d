/** The seal at the end of our HDF5 files: text after the last byte of HDF5, which the library
 * ignores.
 *
 *      segfleet-trailer 1
 *      bytes N                      length of the HDF5 part
 *      array OFFSET SIZE SHA256     zero or more, ascending: large arrays, each with the hash of
 * its bytes rest SHA256                  of the N bytes without these arrays segfleet-end N T
 * SHA256      128 bytes: T = length of the lines above, their hash; blanks; newline
 *
 *  A reader checks the seal before it lets HDF5 parse a single byte, so that a truncated, damaged
 * or foreign file is one clear error and never reaches the library. That costs little even for
 * containers of many GiB, because the arrays have hashes of their own: their writers make them from
 * memory, in parallel, and readers check them on request. Without arrays: head -c N FILE |
 * sha256sum. The hashes tell of damage; they do not protect against somebody who forges a whole
 * file. Not collective. */
#ifndef SF_STORE_TRAILER_H
#define SF_STORE_TRAILER_H
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

/** A large array: where its bytes lie and their SHA-256 (64 hexadecimal digits). */
typedef struct {
    int64_t offset, bytes;
    char sha256[65];
} sf_sealed;

/** Append the seal to a closed HDF5 file. `array` is sorted in place; its hashes are taken as they
 * are. Overlapping or outside the file: SF_EINTERNAL; SF_EIO names the file. */
sf_status sf_trailer_append(const char *path, sf_sealed *array, int64_t n);
/** What tells this file from others: the hash at the end of its seal, unchecked. SF_EDATA: no seal;
 * SF_EIO. Both name `path`. */
sf_status sf_trailer_id(const char *path, char id[65]);
/** Check the file behind `fd`; the bytes of the arrays only when `full`. *bytes = N. SF_EDATA: no
 * seal (foreign or truncated), or a hash differs (damaged); SF_EIO: cannot be read. All name
 * `path`. */
sf_status sf_trailer_verify(int fd, const char *path, bool full, int64_t *bytes);

#endif
