/** Voxel bytes that stand behind a text header: the rest of a stream, as it is or deflated (zlib or
 *  gzip form, told apart by their first bytes). Private to src/image. Not collective; one thread
 *  per object. */
#ifndef SF_IMAGE_PACKED_H
#define SF_IMAGE_PACKED_H
#include "image/gz.h"

typedef struct sf_packed sf_packed;

/** Read on from the current place of `s` (borrowed, so is `name`).
 *  @param deflated  unpack what follows; else the bytes are passed on
 *  @param rest      bytes that the file holds from here on
 *  Caller closes. */
sf_status sf_packed_open(sf_packed **out, sf_stream *s, const char *name, bool deflated,
                         int64_t rest);
void sf_packed_close(sf_packed **p);
/** Exactly `size` bytes: an sf_bytes_fn (values.h). SF_EDATA "cut short" or "damaged". */
sf_status sf_packed_read(void *packed, void *dst, size_t size);
/** After the last byte that is wanted: check the checksum when the packed stream ends here. */
sf_status sf_packed_finish(sf_packed *p);

/** Deflate a block in memory. Equal input gives equal bytes (gzip: time 0, no name).
 *  @param level  1 (fast) to 9 (small)
 *  @param gzip   gzip form, else zlib form
 *  Caller frees *out with sf_mem_free. */
sf_status sf_pack(void **out, size_t *out_size, const void *data, size_t size, int level,
                  bool gzip);

#endif
