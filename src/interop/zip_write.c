/* Writing an archive of one deflated member. */
#include "base/path.h"
#include "interop/zip.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum {
    EXTRA_SIZE = 20, /* ZIP64 field: tag, length, unpacked size, stored size */
    DATE_1980 = 0x0021,
    DEFLATE = 8,
    LEVEL = 3 /* probabilities hardly shrink further, but take three times as long at 6 */
};
/* From here on sizes go into ZIP64 records: deflate may add up to 0.03 % to what does not shrink.
 */
static const uint64_t LIMIT32 = 0xf0000000u;

typedef struct {
    FILE *file;
    const char *name;
    uint64_t size, stored;
    uint32_t crc;
} writer;

typedef struct {
    unsigned char data[128];
    size_t n;
} record;

static void put(record *r, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++, v >>= 8) r->data[r->n++] = (unsigned char)v;
}

static bool wide(const writer *w) { return w->size >= LIMIT32; }

/** From "version needed" to "length of the extra field": the same in both headers. */
static void put_common(record *r, const writer *w)
{
    put(r, wide(w) ? 45 : 20, 2);
    put(r, 0, 2);
    put(r, DEFLATE, 2);
    put(r, 0, 2);
    put(r, DATE_1980, 2);
    put(r, w->crc, 4);
    put(r, wide(w) ? 0xffffffff : w->stored, 4);
    put(r, wide(w) ? 0xffffffff : w->size, 4);
    put(r, strlen(w->name), 2);
    put(r, wide(w) ? EXTRA_SIZE : 0, 2);
}

static bool write_name(const writer *w)
{
    record r = { .n = 0 };
    if (wide(w)) {
        put(&r, 1, 2);
        put(&r, 16, 2);
        put(&r, w->size, 8);
        put(&r, w->stored, 8);
    }
    return fwrite(w->name, 1, strlen(w->name), w->file) == strlen(w->name) &&
           fwrite(r.data, 1, r.n, w->file) == r.n;
}

static bool write_local(const writer *w)
{
    record r = { .n = 0 };
    put(&r, 0x04034b50, 4);
    put_common(&r, w);
    return fwrite(r.data, 1, r.n, w->file) == r.n && write_name(w);
}

static bool write_directory(const writer *w)
{
    record r = { .n = 0 };
    put(&r, 0x02014b50, 4);
    put(&r, wide(w) ? 45 : 20, 2);
    put_common(&r, w);
    put(&r, 0, 2 + 2 + 2 + 4 + 4); /* comment, disk, attributes, offset of the local header */
    return fwrite(r.data, 1, r.n, w->file) == r.n && write_name(w);
}

static bool write_end(const writer *w, uint64_t at, uint64_t size)
{
    record r = { .n = 0 };
    if (wide(w)) {
        put(&r, 0x06064b50, 4);
        put(&r, 44, 8);
        put(&r, 45, 2);
        put(&r, 45, 2);
        put(&r, 0, 8);
        put(&r, 1, 8);
        put(&r, 1, 8);
        put(&r, size, 8);
        put(&r, at, 8);
        put(&r, 0x07064b50, 4);
        put(&r, 0, 4);
        put(&r, at + size, 8);
        put(&r, 1, 4);
    }
    put(&r, 0x06054b50, 4);
    put(&r, 0, 4);
    put(&r, 1, 2);
    put(&r, 1, 2);
    put(&r, size, 4);
    put(&r, wide(w) ? 0xffffffff : at, 4);
    put(&r, 0, 2);
    return fwrite(r.data, 1, r.n, w->file) == r.n;
}

static bool drain(writer *w, z_stream *s, int flush)
{
    unsigned char out[1 << 16];
    do {
        s->next_out = out;
        s->avail_out = sizeof out;
        if (deflate(s, flush) == Z_STREAM_ERROR) return false;
        const size_t n = sizeof out - s->avail_out;
        w->stored += n;
        if (fwrite(out, 1, n, w->file) != n) return false;
    } while (s->avail_out == 0);
    return true;
}

static bool write_data(writer *w, const sf_zip_part *part, int n)
{
    const size_t piece = 1u << 30; /* zlib counts in 32 bits */
    z_stream s = { 0 };
    bool ok = deflateInit2(&s, LEVEL, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK;
    for (int i = 0; i < n; i++) {
        const Bytef *data = part[i].data;
        for (size_t at = 0; ok && at < part[i].size;) {
            const size_t left = part[i].size - at, now = left < piece ? left : piece;
            s.next_in = (z_const Bytef *)(uintptr_t)(data + at);
            s.avail_in = (uInt)now;
            w->crc = (uint32_t)crc32(w->crc, data + at, (uInt)now);
            ok = drain(w, &s, Z_NO_FLUSH);
            at += now;
        }
    }
    ok = ok && drain(w, &s, Z_FINISH);
    deflateEnd(&s);
    return ok;
}

static bool write_all(writer *w, const sf_zip_part *part, int n)
{
    if (!write_local(w) || !write_data(w, part, n)) return false;
    const long directory = ftell(w->file);
    if (directory < 0 || !write_directory(w)) return false;
    const long end = ftell(w->file);
    if (end < 0 || !write_end(w, (uint64_t)directory, (uint64_t)(end - directory))) return false;
    return fseek(w->file, 0, SEEK_SET) == 0 && write_local(w); /* now with sizes and CRC */
}

sf_status sf_zip_save(const char *path, const char *member, const sf_zip_part *part, int n)
{
    char tmp[SF_PATH_MAX];
    writer w = { .name = member };
    for (int i = 0; i < n; i++) w.size += part[i].size;
    SF_TRY(sf_path_tmp_name(tmp, path));
    w.file = fopen(tmp, "wb");
    SF_CHECK(w.file != NULL, SF_EIO, "%s: cannot be written: %s", path, strerror(errno));
    errno = 0;
    bool ok = write_all(&w, part, n);
    ok = fclose(w.file) == 0 && ok;
    if (ok) return sf_path_commit(tmp, path);
    const int why = errno;
    unlink(tmp);
    return SF_FAIL(SF_EIO, "%s: cannot be written: %s", path, why ? strerror(why) : "zlib failed");
}
