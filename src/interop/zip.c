#include "interop/zip.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/path.h"
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    END_SIZE = 22,
    END64_SIZE = 56,
    LOCATOR_SIZE = 20,
    ENTRY_SIZE = 46,
    LOCAL_SIZE = 30,
    COMMENT_MAX = 65535,
    MEMBERS_MAX = 1 << 20
};
static const uint32_t END_MARK = 0x06054b50, END64_MARK = 0x06064b50, LOCATOR_MARK = 0x07064b50,
                      ENTRY_MARK = 0x02014b50, LOCAL_MARK = 0x04034b50;

typedef struct {
    const char *name;
    size_t name_len;
    unsigned flags, method;
    uint32_t crc;
    uint64_t stored, size, offset; /* bytes in the file, unpacked bytes, local header */
} member;

struct sf_zip {
    char *path;
    char *data;
    size_t size;
    member *item;
    int count;
};

static uint64_t get(const sf_zip *z, uint64_t at, int bytes)
{
    uint64_t v = 0;
    for (int i = bytes; i-- > 0;) v = v << 8 | (unsigned char)z->data[at + (uint64_t)i];
    return v;
}

static bool inside(const sf_zip *z, uint64_t at, uint64_t bytes)
{
    return at <= z->size && bytes <= z->size - at;
}

/* --- the directory -------------------------------------------------------------------------- */

typedef struct {
    uint64_t at, count;
} directory;

static sf_status find_end(const sf_zip *z, uint64_t *at)
{
    const uint64_t last = z->size >= END_SIZE ? z->size - END_SIZE : 0;
    for (uint64_t i = 0; z->size >= END_SIZE && i <= COMMENT_MAX && i <= last; i++)
        if (get(z, last - i, 4) == END_MARK && get(z, last - i + 20, 2) == i) {
            *at = last - i;
            return SF_OK;
        }
    return SF_FAIL(SF_EDATA, "%s: not a whole ZIP archive (no end record); copy the file again",
                   z->path);
}

static sf_status find_directory(const sf_zip *z, directory *d)
{
    uint64_t end = 0;
    SF_TRY(find_end(z, &end));
    d->count = get(z, end + 10, 2);
    d->at = get(z, end + 16, 4);
    if (d->count != 0xffff && d->at != 0xffffffff) return SF_OK;
    SF_CHECK(end >= LOCATOR_SIZE && get(z, end - LOCATOR_SIZE, 4) == LOCATOR_MARK, SF_EDATA,
             "%s: ZIP64 locator missing", z->path);
    const uint64_t end64 = get(z, end - LOCATOR_SIZE + 8, 8);
    SF_CHECK(inside(z, end64, END64_SIZE) && get(z, end64, 4) == END64_MARK, SF_EDATA,
             "%s: ZIP64 end record missing", z->path);
    d->count = get(z, end64 + 32, 8);
    d->at = get(z, end64 + 48, 8);
    return SF_OK;
}

/** Values of 0xffffffff stand in the ZIP64 extra field, in the order size, stored, offset. */
static sf_status read_zip64(const sf_zip *z, uint64_t at, uint64_t bytes, member *m)
{
    uint64_t *field[3] = { &m->size, &m->stored, &m->offset };
    const uint64_t end = at + bytes;
    for (uint64_t size; at + 4 <= end; at += 4 + size) {
        size = get(z, at + 2, 2);
        SF_CHECK(size <= end - at - 4, SF_EDATA, "%s: broken extra field", z->path);
        if (get(z, at, 2) != 1) continue;
        uint64_t from = at + 4;
        for (int i = 0; i < 3; i++) {
            if (*field[i] != 0xffffffff) continue;
            SF_CHECK(from + 8 <= at + 4 + size, SF_EDATA, "%s: broken ZIP64 field", z->path);
            *field[i] = get(z, from, 8);
            from += 8;
        }
    }
    return SF_OK;
}

static sf_status read_entry(const sf_zip *z, uint64_t *at, member *m)
{
    SF_CHECK(inside(z, *at, ENTRY_SIZE) && get(z, *at, 4) == ENTRY_MARK, SF_EDATA,
             "%s: broken ZIP directory", z->path);
    const uint64_t name = get(z, *at + 28, 2), extra = get(z, *at + 30, 2);
    const uint64_t whole = ENTRY_SIZE + name + extra + get(z, *at + 32, 2);
    SF_CHECK(inside(z, *at, whole), SF_EDATA, "%s: ZIP directory is cut off", z->path);
    *m = (member){ .name = z->data + *at + ENTRY_SIZE,
                   .name_len = name,
                   .flags = (unsigned)get(z, *at + 8, 2),
                   .method = (unsigned)get(z, *at + 10, 2),
                   .crc = (uint32_t)get(z, *at + 16, 4),
                   .stored = get(z, *at + 20, 4),
                   .size = get(z, *at + 24, 4),
                   .offset = get(z, *at + 42, 4) };
    SF_TRY(read_zip64(z, *at + ENTRY_SIZE + name, extra, m));
    *at += whole;
    return SF_OK;
}

static int compare(const char *a, size_t na, const char *b, size_t nb)
{
    const int c = memcmp(a, b, na < nb ? na : nb);
    return c ? c : (na > nb) - (na < nb);
}

static int by_name(const void *a, const void *b)
{
    const member *x = a, *y = b;
    return compare(x->name, x->name_len, y->name, y->name_len);
}

static sf_status read_directory(sf_zip *z)
{
    directory d = { 0 };
    SF_TRY(find_directory(z, &d));
    SF_CHECK(d.count <= MEMBERS_MAX && d.count <= z->size / ENTRY_SIZE, SF_EDATA,
             "%s: ZIP directory claims %llu members", z->path, (unsigned long long)d.count);
    SF_TRY(sf_mem_alloc(&z->item, d.count, sizeof *z->item, SF_MEM_MISC));
    for (uint64_t at = d.at; z->count < (int)d.count; z->count++)
        SF_TRY(read_entry(z, &at, &z->item[z->count]));
    qsort(z->item, (size_t)z->count, sizeof *z->item, by_name);
    return SF_OK;
}

/* --- interface ------------------------------------------------------------------------------ */

sf_status sf_zip_open(sf_zip **out, const char *path)
{
    *out = NULL;
    sf_zip *z = NULL;
    SF_TRY(sf_mem_calloc(&z, 1, sizeof *z, SF_MEM_MISC));
    sf_status st;
    SF_GOTO(fail, st, sf_mem_strdup(&z->path, path));
    SF_GOTO(fail, st, sf_path_read(&z->data, &z->size, path, 0));
    SF_GOTO(fail, st, read_directory(z));
    *out = z;
    return SF_OK;
fail:
    sf_zip_destroy(&z);
    return st;
}

void sf_zip_destroy(sf_zip **z)
{
    if (!z || !*z) return;
    sf_mem_free((*z)->item);
    sf_mem_free((*z)->data);
    sf_mem_free((*z)->path);
    sf_mem_free(*z);
    *z = NULL;
}

int sf_zip_count(const sf_zip *z) { return z->count; }
const char *sf_zip_path(const sf_zip *z) { return z->path; }
size_t sf_zip_size(const sf_zip *z) { return z->size; }

const char *sf_zip_name(const sf_zip *z, int i, size_t *length)
{
    *length = z->item[i].name_len;
    return z->item[i].name;
}

int sf_zip_find(const sf_zip *z, const char *name, size_t length)
{
    const member key = { .name = name, .name_len = length };
    const member *m = bsearch(&key, z->item, (size_t)z->count, sizeof *m, by_name);
    return m ? (int)(m - z->item) : -1;
}

/** The member's bytes as they stand in the file. */
static sf_status find_stored(const sf_zip *z, const member *m, const unsigned char **data)
{
    const int len = (int)m->name_len;
    SF_CHECK(!(m->flags & 1), SF_EUNSUPPORTED, "%s: member %.*s is encrypted", z->path, len,
             m->name);
    SF_CHECK(inside(z, m->offset, LOCAL_SIZE) && get(z, m->offset, 4) == LOCAL_MARK, SF_EDATA,
             "%s: member %.*s has no header", z->path, len, m->name);
    const uint64_t skip = LOCAL_SIZE + get(z, m->offset + 26, 2) + get(z, m->offset + 28, 2);
    SF_CHECK(inside(z, m->offset, skip) && inside(z, m->offset + skip, m->stored), SF_EDATA,
             "%s: member %.*s is cut off", z->path, len, m->name);
    *data = (const unsigned char *)z->data + m->offset + skip;
    return SF_OK;
}

static sf_status check_crc(const sf_zip *z, const member *m, const unsigned char *data)
{
    SF_CHECK(sf_crc32(data, (size_t)m->size) == m->crc, SF_EDATA,
             "%s: member %.*s is damaged (checksum); copy the file again", z->path,
             (int)m->name_len, m->name);
    return SF_OK;
}

sf_status sf_zip_read(const sf_zip *z, int i, const unsigned char **data, size_t *size)
{
    const member *m = &z->item[i];
    SF_CHECK(m->method == 0 && m->stored == m->size, SF_EUNSUPPORTED,
             "%s: member %.*s is compressed or encrypted; PyTorch stores members as they are",
             z->path, (int)m->name_len, m->name);
    SF_TRY(find_stored(z, m, data));
    *size = (size_t)m->size;
    return check_crc(z, m, *data);
}

/** Raw deflate of m->stored bytes into m->size bytes, in pieces that zlib's 32-bit counters hold.
 */
static bool inflate_all(const member *m, const unsigned char *from, unsigned char *to)
{
    const uint64_t piece = 1u << 30;
    uint64_t in = 0, out = 0;
    z_stream s = { 0 };
    int rc = Z_OK;
    if (inflateInit2(&s, -MAX_WBITS) != Z_OK) return false;
    while (rc == Z_OK && (in < m->stored || out < m->size)) {
        const uint64_t give = m->stored - in, room = m->size - out;
        const uInt avail_in = (uInt)(give < piece ? give : piece);
        const uInt avail_out = (uInt)(room < piece ? room : piece);
        s.next_in = (z_const Bytef *)(uintptr_t)(from + in);
        s.next_out = to + out;
        s.avail_in = avail_in;
        s.avail_out = avail_out;
        rc = inflate(&s, Z_NO_FLUSH);
        in += avail_in - s.avail_in;
        out += avail_out - s.avail_out;
    }
    inflateEnd(&s);
    return (rc == Z_OK || rc == Z_STREAM_END) && in == m->stored && out == m->size;
}

sf_status sf_zip_unpack(const sf_zip *z, int i, unsigned char **data, size_t *size)
{
    const uint64_t ratio = 1032; /* the most that deflate can shrink */
    const member *m = &z->item[i];
    const unsigned char *from = NULL;
    const int len = (int)m->name_len;
    *data = NULL;
    *size = (size_t)m->size;
    SF_CHECK(m->method == 0 || m->method == 8, SF_EUNSUPPORTED,
             "%s: member %.*s has compression method %u; only deflate is read", z->path, len,
             m->name, m->method);
    SF_TRY(find_stored(z, m, &from));
    SF_CHECK(m->method == 0 ? m->size == m->stored : m->size / ratio <= m->stored, SF_EDATA,
             "%s: member %.*s claims a size that cannot be", z->path, len, m->name);
    SF_TRY(sf_mem_alloc(data, (size_t)m->size, 1, SF_MEM_MISC));
    sf_status st = SF_OK;
    if (m->method == 0)
        memcpy(*data, from, (size_t)m->size);
    else
        SF_CHECK_GOTO(fail, st, inflate_all(m, from, *data), SF_EDATA,
                      "%s: member %.*s is damaged; copy the file again", z->path, len, m->name);
    SF_GOTO(fail, st, check_crc(z, m, *data));
    return SF_OK;
fail:
    sf_mem_free(*data);
    *data = NULL;
    return st;
}
