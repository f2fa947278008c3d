#include "image/gz.h"
#include "base/mem.h"
#include "base/path.h"
#include <errno.h>
#include <libdeflate.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

/* From LARGE bytes on, a read is worth unpacking the whole file at once. */
enum { BUFFER = 1 << 20, LARGE = 1 << 13 };

struct sf_stream {
    char *name;
    FILE *file;
    int64_t file_bytes, delivered;
    bool gzip, ended; /* ended: the last gzip member is complete */
    z_stream z;
    bool z_live;
    unsigned char *in;
    unsigned char *whole; /* [whole_bytes] the unpacked file, when libdeflate could make it */
    size_t whole_bytes;
    bool whole_tried;
};

static sf_status open_file(sf_stream *s)
{
    struct stat info;
    unsigned char magic[2] = { 0, 0 };
    s->file = fopen(s->name, "rb");
    SF_CHECK(s->file, SF_EIO, "%s: cannot open: %s", s->name, strerror(errno));
    SF_CHECK(fstat(fileno(s->file), &info) == 0, SF_EIO, "%s: %s", s->name, strerror(errno));
    SF_CHECK(S_ISREG(info.st_mode), SF_EIO, "%s: not a regular file", s->name);
    s->file_bytes = info.st_size;
    SF_CHECK(s->file_bytes > 0, SF_EDATA, "%s: the file is empty (0 bytes)", s->name);
    if (s->file_bytes >= 2 && fread(magic, 1, 2, s->file) != 2)
        return SF_FAIL(SF_EIO, "%s: cannot read", s->name);
    rewind(s->file);
    s->gzip = magic[0] == 0x1f && magic[1] == 0x8b;
    return SF_OK;
}

static sf_status start_inflate(sf_stream *s)
{
    if (!s->gzip) return SF_OK;
    SF_TRY(sf_mem_alloc(&s->in, BUFFER, 1, SF_MEM_SCRATCH));
    SF_CHECK(inflateInit2(&s->z, 15 + 16) == Z_OK, SF_ENOMEM, "%s: zlib does not start", s->name);
    s->z_live = true;
    return SF_OK;
}

sf_status sf_stream_open(sf_stream **out, const char *file)
{
    sf_stream *s = NULL;
    sf_status st = SF_OK;
    *out = NULL;
    SF_TRY(sf_mem_calloc(&s, 1, sizeof *s, SF_MEM_SCRATCH));
    SF_GOTO(fail, st, sf_mem_strdup(&s->name, file));
    SF_GOTO(fail, st, open_file(s));
    SF_GOTO(fail, st, start_inflate(s));
    *out = s;
    return SF_OK;
fail:
    sf_stream_close(&s);
    return st;
}

void sf_stream_close(sf_stream **stream)
{
    sf_stream *s = *stream;
    if (!s) return;
    if (s->z_live) inflateEnd(&s->z);
    if (s->file) fclose(s->file);
    sf_mem_free(s->in);
    sf_mem_free(s->whole);
    sf_mem_free(s->name);
    sf_mem_free(s);
    *stream = NULL;
}

int64_t sf_stream_file_bytes(const sf_stream *s) { return s->file_bytes; }
bool sf_stream_is_gzip(const sf_stream *s) { return s->gzip; }

/* More compressed bytes into the input buffer; leaves avail_in = 0 at the end of the file. */
static sf_status refill(sf_stream *s)
{
    if (s->z.avail_in > 0) return SF_OK;
    const size_t got = fread(s->in, 1, BUFFER, s->file);
    SF_CHECK(got > 0 || !ferror(s->file), SF_EIO, "%s: cannot read", s->name);
    s->z.next_in = s->in;
    s->z.avail_in = (unsigned)got;
    return SF_OK;
}

/* A gzip file may hold several members one after the other; anything else after one is padding. */
static sf_status next_member(sf_stream *s)
{
    SF_TRY(refill(s));
    s->ended = s->z.avail_in == 0 || s->z.next_in[0] != 0x1f;
    if (!s->ended) inflateReset(&s->z);
    return SF_OK;
}

/* Up to `size` bytes; *got < size only at the end of the stream. */
static sf_status inflate_some(sf_stream *s, unsigned char *dst, size_t size, size_t *got)
{
    *got = 0;
    while (*got < size && !s->ended) {
        const size_t left = size - *got;
        const unsigned room = left > (1u << 30) ? 1u << 30 : (unsigned)left;
        SF_TRY(refill(s));
        if (s->z.avail_in == 0) break;
        s->z.next_out = dst + *got;
        s->z.avail_out = room;
        const int rc = inflate(&s->z, Z_NO_FLUSH);
        *got += room - s->z.avail_out;
        SF_CHECK(rc != Z_MEM_ERROR, SF_ENOMEM, "%s: memory ran out in zlib", s->name);
        SF_CHECK(rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR, SF_EDATA,
                 "%s: the gzip stream is damaged (%s); copy the file again", s->name,
                 s->z.msg ? s->z.msg : "unknown");
        if (rc == Z_STREAM_END) SF_TRY(next_member(s));
    }
    return SF_OK;
}

/* What the last four bytes of a gzip file with one member say: its unpacked size modulo 2^32. */
static size_t promised_size(const unsigned char *packed, size_t size)
{
    const unsigned char *end = packed + size;
    return (size_t)end[-4] | (size_t)end[-3] << 8 | (size_t)end[-2] << 16 | (size_t)end[-1] << 24;
}

/* Unpack a file of one member into s->whole; false: zlib must do it (several members, 4 GiB and
 * more, damage, or memory that is short), and says what is wrong. */
static bool unpack_whole(sf_stream *s, size_t needed)
{
    unsigned char *packed = NULL;
    struct libdeflate_decompressor *d = NULL;
    const size_t size = (size_t)s->file_bytes;
    const long here = ftell(s->file);
    size_t promised = 0, used = 0, made = 0;
    bool done = false;
    if (size < 18 || here < 0 || sf_mem_alloc(&packed, size, 1, SF_MEM_SCRATCH) != SF_OK)
        return false;
    rewind(s->file);
    if (fread(packed, 1, size, s->file) != size) goto end;
    promised = promised_size(packed, size);
    if (promised < needed || promised / SF_DEFLATE_RATIO > size) goto end;
    d = libdeflate_alloc_decompressor();
    if (d == NULL || sf_mem_alloc(&s->whole, promised, 1, SF_MEM_SCRATCH) != SF_OK) goto end;
    done = libdeflate_gzip_decompress_ex(d, packed, size, s->whole, promised, &used, &made) ==
               LIBDEFLATE_SUCCESS &&
           used == size && made == promised;
end:
    libdeflate_free_decompressor(d);
    sf_mem_free(packed);
    if (!done) {
        sf_mem_free(s->whole);
        s->whole = NULL;
        clearerr(s->file);
        fseek(s->file, here, SEEK_SET);
    }
    s->whole_bytes = promised;
    s->ended = s->ended || done;
    return done;
}

/* Bytes of a gzip file: from the unpacked whole where there is one. */
static sf_status read_gzip(sf_stream *s, void *dst, size_t size, size_t *got)
{
    if (size >= LARGE && !s->whole_tried) {
        s->whole_tried = true;
        if (!unpack_whole(s, (size_t)s->delivered + size)) sf_error_clear();
    }
    if (s->whole == NULL) return inflate_some(s, dst, size, got);
    const size_t left = s->whole_bytes - (size_t)s->delivered;
    *got = size < left ? size : left;
    memcpy(dst, s->whole + s->delivered, *got);
    return SF_OK;
}

sf_status sf_stream_read(sf_stream *s, void *dst, size_t size)
{
    size_t got = 0;
    if (s->gzip)
        SF_TRY(read_gzip(s, dst, size, &got));
    else
        got = fread(dst, 1, size, s->file);
    s->delivered += (int64_t)got;
    SF_CHECK(got == size || !ferror(s->file), SF_EIO, "%s: cannot read", s->name);
    SF_CHECK(got == size, SF_EDATA,
             "%s: the file is cut short: it ends after %lld bytes%s, but its header promises more; "
             "copy the file again",
             s->name, (long long)s->delivered, s->gzip ? " of unpacked data" : "");
    return SF_OK;
}

sf_status sf_stream_skip(sf_stream *s, int64_t size)
{
    char drop[4096];
    while (size > 0) {
        const size_t n = size < (int64_t)sizeof drop ? (size_t)size : sizeof drop;
        SF_TRY(sf_stream_read(s, drop, n));
        size -= (int64_t)n;
    }
    return SF_OK;
}

sf_status sf_stream_finish(sf_stream *s)
{
    unsigned char drop[4096];
    size_t got = 0;
    if (!s->gzip || s->ended) return SF_OK;
    SF_TRY(inflate_some(s, drop, sizeof drop, &got));
    SF_CHECK(s->ended || got > 0, SF_EDATA,
             "%s: the file is cut short: gzip's checksum is missing; copy the file again", s->name);
    return SF_OK;
}

static sf_status put(FILE *f, const char *path, const void *data, size_t size)
{
    SF_CHECK(fwrite(data, 1, size, f) == size, SF_EIO, "%s: cannot write: %s", path,
             strerror(errno));
    return SF_OK;
}

/* Feeds one piece to deflate and writes what comes out; flush = Z_FINISH for the last one. */
static sf_status deflate_piece(z_stream *z, FILE *f, const char *path, const sf_piece *p, int flush,
                               unsigned char *out)
{
    const unsigned char *data = p->data;
    size_t left = p->size;
    do {
        const unsigned n = left > (1u << 30) ? 1u << 30 : (unsigned)left;
        z->next_in = (unsigned char *)(uintptr_t)data; /* zlib's old const-less interface */
        z->avail_in = n;
        data += n;
        left -= n;
        do {
            z->next_out = out;
            z->avail_out = BUFFER;
            SF_CHECK(deflate(z, left == 0 ? flush : Z_NO_FLUSH) != Z_STREAM_ERROR, SF_EINTERNAL,
                     "%s: zlib refuses to pack", path);
            SF_TRY(put(f, path, out, BUFFER - z->avail_out));
        } while (z->avail_out == 0);
    } while (left > 0);
    return SF_OK;
}

static sf_status save_gzip(FILE *f, const char *path, const sf_piece *pieces, int n, int level)
{
    z_stream z;
    gz_header head;
    unsigned char *out = NULL;
    sf_status st = SF_OK;
    memset(&z, 0, sizeof z);
    memset(&head, 0, sizeof head);
    head.os = 255; /* unknown: the same bytes on every system */
    SF_TRY(sf_mem_alloc(&out, BUFFER, 1, SF_MEM_SCRATCH));
    if (deflateInit2(&z, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        sf_mem_free(out);
        return SF_FAIL(SF_ENOMEM, "%s: zlib does not start", path);
    }
    deflateSetHeader(&z, &head);
    for (int i = 0; i < n && st == SF_OK; i++)
        st = deflate_piece(&z, f, path, &pieces[i], i + 1 == n ? Z_FINISH : Z_NO_FLUSH, out);
    deflateEnd(&z);
    sf_mem_free(out);
    return st;
}

sf_status sf_stream_save(const char *path, const sf_piece *pieces, int n, int level)
{
    char tmp[SF_PATH_MAX];
    sf_status st = SF_OK;
    SF_TRY(sf_path_tmp_name(tmp, path));
    FILE *f = fopen(tmp, "wb");
    SF_CHECK(f, SF_EIO, "%s: cannot create: %s", tmp, strerror(errno));
    if (level > 0)
        st = save_gzip(f, path, pieces, n, level);
    else
        for (int i = 0; i < n && st == SF_OK; i++)
            st = put(f, path, pieces[i].data, pieces[i].size);
    if (fclose(f) != 0 && st == SF_OK)
        st = SF_FAIL(SF_EIO, "%s: cannot write: %s", path, strerror(errno));
    if (st != SF_OK) {
        remove(tmp);
        return st;
    }
    SF_TRY(sf_path_commit(tmp, path));
    return SF_OK;
}
