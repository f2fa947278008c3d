#include "image/packed.h"
#include "base/mem.h"
#include <string.h>
#include <zlib.h>

enum { BUFFER = 1 << 18, PIECE = 1 << 30 };

struct sf_packed {
    sf_stream *stream;
    const char *name;
    int64_t rest;
    bool deflated, live, ended;
    z_stream z;
    unsigned char *in;
};

sf_status sf_packed_open(sf_packed **out, sf_stream *s, const char *name, bool deflated,
                         int64_t rest)
{
    sf_packed *p = NULL;
    sf_status st = SF_OK;
    *out = NULL;
    SF_TRY(sf_mem_calloc(&p, 1, sizeof *p, SF_MEM_SCRATCH));
    p->stream = s;
    p->name = name;
    p->rest = rest;
    p->deflated = deflated;
    if (deflated) {
        SF_GOTO(fail, st, sf_mem_alloc(&p->in, BUFFER, 1, SF_MEM_SCRATCH));
        p->live = inflateInit2(&p->z, 15 + 32) == Z_OK; /* zlib or gzip */
        SF_CHECK_GOTO(fail, st, p->live, SF_ENOMEM, "%s: zlib does not start", name);
    }
    *out = p;
    return SF_OK;
fail:
    sf_packed_close(&p);
    return st;
}

void sf_packed_close(sf_packed **packed)
{
    sf_packed *p = *packed;
    if (!p) return;
    if (p->live) inflateEnd(&p->z);
    sf_mem_free(p->in);
    sf_mem_free(p);
    *packed = NULL;
}

static sf_status refill(sf_packed *p)
{
    if (p->z.avail_in > 0) return SF_OK;
    const int64_t n = p->rest < BUFFER ? p->rest : BUFFER;
    SF_CHECK(n > 0, SF_EDATA, "%s: the file is cut short within its packed voxels; copy it again",
             p->name);
    SF_TRY(sf_stream_read(p->stream, p->in, (size_t)n));
    p->rest -= n;
    p->z.next_in = p->in;
    p->z.avail_in = (unsigned)n;
    return SF_OK;
}

/* A stream may hold several gzip members one after the other. */
static sf_status next_member(sf_packed *p)
{
    p->ended = p->z.avail_in == 0 && p->rest == 0;
    if (!p->ended) SF_TRY(refill(p));
    if (!p->ended && p->z.next_in[0] == 0x1f)
        inflateReset(&p->z);
    else
        p->ended = true;
    return SF_OK;
}

/* Some more output bytes, or the end of a member. */
static sf_status inflate_step(sf_packed *p)
{
    SF_CHECK(!p->ended, SF_EDATA, "%s: the packed voxels end too early for the size in the header",
             p->name);
    SF_TRY(refill(p));
    const int rc = inflate(&p->z, Z_NO_FLUSH);
    SF_CHECK(rc != Z_MEM_ERROR, SF_ENOMEM, "%s: memory ran out in zlib", p->name);
    SF_CHECK(rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR, SF_EDATA,
             "%s: the packed voxels are damaged (%s); copy the file again", p->name,
             p->z.msg ? p->z.msg : "unknown");
    return rc == Z_STREAM_END ? next_member(p) : SF_OK;
}

static sf_status inflate_some(sf_packed *p, unsigned char *dst, unsigned room)
{
    p->z.next_out = dst;
    p->z.avail_out = room;
    while (p->z.avail_out > 0) SF_TRY(inflate_step(p));
    return SF_OK;
}

sf_status sf_packed_finish(sf_packed *p)
{
    unsigned char drop[64];
    if (!p->deflated) return SF_OK;
    p->z.next_out = drop;
    p->z.avail_out = sizeof drop;
    while (!p->ended && p->z.avail_out == sizeof drop) SF_TRY(inflate_step(p));
    return SF_OK;
}

sf_status sf_packed_read(void *packed, void *dst, size_t size)
{
    sf_packed *p = packed;
    unsigned char *at = dst;
    if (!p->deflated) return sf_stream_read(p->stream, dst, size);
    for (size_t left = size; left > 0;) {
        const unsigned room = left > PIECE ? PIECE : (unsigned)left;
        SF_TRY(inflate_some(p, at, room));
        at += room;
        left -= room;
    }
    return SF_OK;
}

static int deflate_all(z_stream *z, const unsigned char *data, size_t size, unsigned char *out,
                       size_t room, size_t *done)
{
    int rc = Z_OK;
    *done = 0;
    while (rc == Z_OK) {
        const size_t in = size > PIECE ? PIECE : size, left = room - *done;
        const unsigned free_out = left > PIECE ? PIECE : (unsigned)left;
        z->next_in = (unsigned char *)(uintptr_t)data; /* zlib's old const-less interface */
        z->avail_in = (unsigned)in;
        z->next_out = out + *done;
        z->avail_out = free_out;
        rc = deflate(z, size == in ? Z_FINISH : Z_NO_FLUSH);
        data += in - z->avail_in;
        size -= in - z->avail_in;
        *done += free_out - z->avail_out;
    }
    return rc;
}

sf_status sf_pack(void **out, size_t *out_size, const void *data, size_t size, int level, bool gzip)
{
    z_stream z;
    gz_header head;
    void *block = NULL;
    sf_status st = SF_OK;
    memset(&z, 0, sizeof z);
    memset(&head, 0, sizeof head);
    head.os = 255; /* unknown: the same bytes on every system */
    SF_CHECK(deflateInit2(&z, level, Z_DEFLATED, gzip ? 31 : 15, 8, Z_DEFAULT_STRATEGY) == Z_OK,
             SF_ENOMEM, "zlib does not start");
    if (gzip) deflateSetHeader(&z, &head);
    const size_t room = deflateBound(&z, size) + 64;
    SF_GOTO(done, st, sf_mem_alloc(&block, room, 1, SF_MEM_SCRATCH));
    SF_CHECK_GOTO(done, st, deflate_all(&z, data, size, block, room, out_size) == Z_STREAM_END,
                  SF_EINTERNAL, "zlib refuses to pack");
    *out = block;
    block = NULL;
done:
    deflateEnd(&z);
    sf_mem_free(block);
    return st;
}
