/** Byte streams: a plain or gzipped file read in order, and a file written plain or gzipped with
 *  the same bytes every time. Private to src/image. Not collective; one thread per stream. */
#ifndef SF_IMAGE_GZ_H
#define SF_IMAGE_GZ_H
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** No deflate stream expands its input more than this. */
enum { SF_DEFLATE_RATIO = 1032 };

typedef struct sf_stream sf_stream;

/** Open for reading; gzip is recognised by its first two bytes, not by the file's name.
 *  SF_EIO when it cannot be opened, SF_EDATA when it is empty. Caller closes. */
sf_status sf_stream_open(sf_stream **out, const char *file);
void sf_stream_close(sf_stream **s);
/** Bytes of the file on disk, and whether they are gzipped. */
int64_t sf_stream_file_bytes(const sf_stream *s);
bool sf_stream_is_gzip(const sf_stream *s);
/** Exactly `size` bytes, or SF_EDATA "ends after N bytes" / "is damaged"; SF_EIO on a read error.
 */
sf_status sf_stream_read(sf_stream *s, void *dst, size_t size);
/** Read over `size` bytes. */
sf_status sf_stream_skip(sf_stream *s, int64_t size);
/** After the last byte that is wanted: check gzip's checksum when the stream ends here. Bytes that
 *  follow are ignored. */
sf_status sf_stream_finish(sf_stream *s);

/** One piece of a file to be written (borrowed). */
typedef struct {
    const void *data;
    size_t size;
} sf_piece;
/** Write the pieces one after the other, gzipped (time 0, no name: equal content gives equal
 *  files) or plain. Temp file + fsync + rename.
 *  @param level  0 = plain, else gzip of level 1 (fast) to 9 (small) */
sf_status sf_stream_save(const char *path, const sf_piece *pieces, int n, int level);

#endif
