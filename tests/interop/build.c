#include "tests/interop/build.h"
#include "base/hash.h"
#include <string.h>

void tst_put(tst_bytes *b, const void *data, size_t n)
{
    if (b->n + n > sizeof b->data) __builtin_trap();
    memcpy(b->data + b->n, data, n);
    b->n += n;
}

void tst_put_text(tst_bytes *b, const char *s) { tst_put(b, s, strlen(s)); }

void tst_put_int(tst_bytes *b, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        const unsigned char c = i < 8 ? (unsigned char)(v >> 8 * i) : 0;
        tst_put(b, &c, 1);
    }
}

void tst_pk_text(tst_bytes *b, const char *s)
{
    tst_put_text(b, "X");
    tst_put_int(b, strlen(s), 4);
    tst_put_text(b, s);
}

void tst_pk_int(tst_bytes *b, int32_t v)
{
    tst_put_text(b, "J");
    tst_put_int(b, (uint32_t)v, 4);
}

void tst_pk_tensor(tst_bytes *b, const char *storage, const char *key, int numel, int offset,
                   int rows, int cols, int row_stride, int col_stride)
{
    tst_put_text(b, "ctorch._utils\n_rebuild_tensor_v2\n((");
    tst_pk_text(b, "storage");
    tst_put_text(b, "ctorch\n");
    tst_put_text(b, storage);
    tst_put_text(b, "\n");
    tst_pk_text(b, key);
    tst_pk_text(b, "cpu");
    tst_pk_int(b, numel);
    tst_put_text(b, "tQ");
    tst_pk_int(b, offset);
    tst_pk_int(b, rows);
    tst_pk_int(b, cols);
    tst_put_text(b, "\x86");
    tst_pk_int(b, row_stride);
    tst_pk_int(b, col_stride);
    tst_put_text(b, "\x86\x89"
                    "ccollections\nOrderedDict\n)RtR");
}

static void local_header(tst_bytes *out, const tst_member *m, int method, uint32_t crc)
{
    tst_put_int(out, 0x04034b50, 4);
    tst_put_int(out, 20, 2);
    tst_put_int(out, 0x808, 2);
    tst_put_int(out, (uint64_t)method, 2);
    tst_put_int(out, 0, 4);
    tst_put_int(out, crc, 4);
    tst_put_int(out, 0, 8); /* sizes follow in the directory only */
    tst_put_int(out, strlen(m->name), 2);
    tst_put_int(out, 0, 2);
    tst_put_text(out, m->name);
}

static void entry(tst_bytes *out, const tst_member *m, int method, uint32_t crc, size_t at)
{
    tst_put_int(out, 0x02014b50, 4);
    tst_put_int(out, 20, 2);
    tst_put_int(out, 20, 2);
    tst_put_int(out, 0x808, 2);
    tst_put_int(out, (uint64_t)method, 2);
    tst_put_int(out, 0, 4);
    tst_put_int(out, crc, 4);
    tst_put_int(out, m->n, 4);
    tst_put_int(out, m->n, 4);
    tst_put_int(out, strlen(m->name), 2);
    tst_put_int(out, 0, 12);
    tst_put_int(out, at, 4);
    tst_put_text(out, m->name);
}

void tst_zip(tst_bytes *out, const tst_member *m, int count, int method, uint32_t crc_off)
{
    size_t at[16];
    out->n = 0;
    for (int i = 0; i < count; i++) {
        at[i] = out->n;
        local_header(out, &m[i], method, sf_crc32(m[i].data, m[i].n) + crc_off);
        tst_put(out, m[i].data, m[i].n);
    }
    const size_t directory = out->n;
    for (int i = 0; i < count; i++)
        entry(out, &m[i], method, sf_crc32(m[i].data, m[i].n) + crc_off, at[i]);
    const size_t end = out->n;
    tst_put_int(out, 0x06054b50, 4);
    tst_put_int(out, 0, 4);
    tst_put_int(out, (uint64_t)count, 2);
    tst_put_int(out, (uint64_t)count, 2);
    tst_put_int(out, end - directory, 4);
    tst_put_int(out, directory, 4);
    tst_put_int(out, 0, 2);
}

void tst_zip64(tst_bytes *out, const tst_member *m)
{
    const uint32_t crc = sf_crc32(m->data, m->n);
    out->n = 0;
    local_header(out, m, 0, crc);
    tst_put(out, m->data, m->n);
    const size_t directory = out->n;
    tst_put_int(out, 0x02014b50, 4);
    tst_put_int(out, 0, 12);
    tst_put_int(out, crc, 4);
    tst_put_int(out, UINT64_MAX, 8); /* both sizes stand in the extra field */
    tst_put_int(out, strlen(m->name), 2);
    tst_put_int(out, 28, 2);
    tst_put_int(out, 0, 10);
    tst_put_int(out, UINT32_MAX, 4); /* the offset too */
    tst_put_text(out, m->name);
    tst_put_int(out, 1, 2);
    tst_put_int(out, 24, 2);
    tst_put_int(out, m->n, 8);
    tst_put_int(out, m->n, 8);
    tst_put_int(out, 0, 8);
    const size_t end64 = out->n;
    tst_put_int(out, 0x06064b50, 4);
    tst_put_int(out, 44, 8);
    tst_put_int(out, 0, 12);
    tst_put_int(out, 1, 8);
    tst_put_int(out, 1, 8);
    tst_put_int(out, end64 - directory, 8);
    tst_put_int(out, directory, 8);
    tst_put_int(out, 0x07064b50, 4);
    tst_put_int(out, 0, 4);
    tst_put_int(out, end64, 8);
    tst_put_int(out, 1, 4);
    tst_put_int(out, 0x06054b50, 4);
    tst_put_int(out, 0, 4);
    tst_put_int(out, UINT64_MAX, 8);
    tst_put_int(out, UINT32_MAX, 4);
    tst_put_int(out, 0, 2);
}

/** A NumPy double as protocol 2 writes it: bytes as latin-1 text in UTF-8. */
static void numpy_double(tst_bytes *b, double x)
{
    unsigned char raw[8], utf[16];
    size_t n = 0;
    memcpy(raw, &x, 8);
    for (int i = 0; i < 8; i++) {
        if (raw[i] >= 0x80) utf[n++] = (unsigned char)(0xc0 | raw[i] >> 6);
        utf[n++] = raw[i] >= 0x80 ? (unsigned char)(0x80 | (raw[i] & 0x3f)) : raw[i];
    }
    tst_put_text(b, "cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(");
    tst_pk_text(b, "f8");
    tst_put_text(b, "\x89\x88tR(K\x03");
    tst_pk_text(b, "<");
    tst_put_text(b, "NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff");
    tst_put(b, "K\0tb", 4);
    tst_put_text(b, "c_codecs\nencode\n(X");
    tst_put_int(b, n, 4);
    tst_put(b, utf, n);
    tst_pk_text(b, "latin1");
    tst_put_text(b, "tRtR");
}

static void meta(tst_bytes *b)
{
    tst_pk_text(b, "current_epoch");
    tst_put_text(b, "M");
    tst_put_int(b, 1000, 2);
    tst_pk_text(b, "_best_ema");
    numpy_double(b, -0.8125);
    tst_pk_text(b, "inference_allowed_mirroring_axes");
    tst_put(b, "K\0K\1\x86", 5);
    tst_pk_text(b, "init_args");
    tst_put_text(b, "}(");
    tst_pk_text(b, "device");
    tst_put_text(b, "ctorch\ndevice\n");
    tst_pk_text(b, "cuda");
    tst_put_text(b, "\x85R");
    tst_pk_text(b, "spacing");
    tst_put_text(b, "](G");
    tst_put(b, "\x3f\xf8\0\0\0\0\0\0", 8);        /* 1.5, big-endian */
    tst_put(b, "NK\x07\x8a\x02\x00\xff\x65u", 9); /* None, 7, -256; append, set items */
}

void tst_checkpoint_pickle(tst_bytes *b)
{
    b->n = 0;
    tst_put_text(b, "\x80\x02}(");
    tst_pk_text(b, "network_weights");
    tst_put_text(b, "ccollections\nOrderedDict\n)R(");
    tst_pk_text(b, "module.a");
    tst_pk_tensor(b, "FloatStorage", "0", 6, 0, 2, 3, 1, 2);
    tst_pk_text(b, "a_again");
    tst_pk_tensor(b, "FloatStorage", "0", 6, 0, 2, 3, 1, 2);
    tst_pk_text(b, "half");
    tst_pk_tensor(b, "HalfStorage", "1", 2, 0, 1, 2, 2, 1);
    tst_put_text(b, "u}");
    tst_pk_text(b, "_metadata");
    tst_put_text(b, "}sb"); /* module versions, dropped */
    tst_pk_text(b, "optimizer_state");
    tst_put_text(b, "}");
    meta(b);
    tst_put_text(b, "u.");
}

void tst_checkpoint_zip(tst_bytes *out, const tst_bytes *pk)
{
    const float floats[6] = { 0, 1, 2, 3, 4, 5 };
    const uint16_t halves[2] = { 0x3c00, 0xc000 };
    const tst_member m[] = { { "top/data.pkl", pk->data, pk->n },
                             { "top/byteorder", "little", 6 },
                             { "top/data/0", floats, sizeof floats },
                             { "top/data/1", halves, sizeof halves },
                             { "top/version", "3\n", 2 } };
    tst_zip(out, m, 5, 0, 0);
}
