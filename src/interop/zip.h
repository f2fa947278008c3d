/** ZIP archives: reading members that are stored (method 0), as PyTorch writes them, or deflated,
 *  as NumPy's .npz; writing one deflated member.
 *
 *  Sizes and offsets come from the central directory (the local headers may say 0), ZIP64 records
 * are understood, the CRC of a member is checked when it is read. Encrypted members are listed but
 * refused on reading. Hostile input gives SF_EDATA, never a read out of bounds. Not
 * collective; a const archive may be read by several threads. Source: nnunet-training.md 11.1. */
#ifndef SF_INTEROP_ZIP_H
#define SF_INTEROP_ZIP_H
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sf_zip sf_zip;

/** Load the archive at `path` into memory and read its directory. Caller destroys.
 *  @return SF_EIO when it cannot be read; SF_EDATA (naming the file) when it is no whole ZIP
 * archive. */
sf_status sf_zip_open(sf_zip **out, const char *path);
/** NULL and *NULL are fine. */
void sf_zip_destroy(sf_zip **z);

int sf_zip_count(const sf_zip *z);
/** Name of member i in byte order of the names; not 0-terminated: `length` bytes. Borrowed. */
const char *sf_zip_name(const sf_zip *z, int i, size_t *length);
/** Index of a member by name, or -1. */
int sf_zip_find(const sf_zip *z, const char *name, size_t length);
/** Borrowed view of a member's bytes (valid until destroy); checks bounds, method and CRC.
 *  SF_EDATA or SF_EUNSUPPORTED naming file and member. */
sf_status sf_zip_read(const sf_zip *z, int i, const unsigned char **data, size_t *size);
/** A member's unpacked bytes, stored or deflated; the caller frees with sf_mem_free. A size that
 *  deflate cannot reach from the stored bytes is refused before memory is reserved. */
sf_status sf_zip_unpack(const sf_zip *z, int i, unsigned char **data, size_t *size);
/** Path given to sf_zip_open, and size of the file in bytes. */
const char *sf_zip_path(const sf_zip *z);
size_t sf_zip_size(const sf_zip *z);

/** Bytes of a member to be written, one piece after the other. Borrowed. */
typedef struct {
    const void *data;
    size_t size;
} sf_zip_part;

/** Write an archive with one deflated member of fixed date (1980-01-01), ZIP64 only above 3.7 GiB:
 *  equal input gives equal bytes. Temporary file + fsync + rename. SF_EIO names the file. */
sf_status sf_zip_save(const char *path, const char *member, const sf_zip_part *part, int n);

#endif
