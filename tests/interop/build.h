/** Small PyTorch checkpoints made in memory, so that broken ones can be made too. */
#ifndef SF_TESTS_INTEROP_BUILD_H
#define SF_TESTS_INTEROP_BUILD_H
#include <stddef.h>
#include <stdint.h>

typedef struct {
    unsigned char data[1 << 16];
    size_t n;
} tst_bytes;

void tst_put(tst_bytes *b, const void *data, size_t n);
void tst_put_text(tst_bytes *b, const char *s); /* without the final 0 */
/** Little-endian. */
void tst_put_int(tst_bytes *b, uint64_t v, int bytes);

/* pickle */
void tst_pk_text(tst_bytes *b, const char *s); /* BINUNICODE */
void tst_pk_int(tst_bytes *b, int32_t v);
/** Tensor call on storage `key` of class `storage` ("FloatStorage"). */
void tst_pk_tensor(tst_bytes *b, const char *storage, const char *key, int numel, int offset,
                   int rows, int cols, int row_stride, int col_stride);

/** ZIP of stored members; `method` is written into every header, `crc_off` added to each CRC. */
typedef struct {
    const char *name;
    const void *data;
    size_t n;
} tst_member;
void tst_zip(tst_bytes *out, const tst_member *m, int count, int method, uint32_t crc_off);

/** One member, all sizes and offsets in ZIP64 records as in files beyond 4 GiB. */
void tst_zip64(tst_bytes *out, const tst_member *m);

/** data.pkl of a complete small checkpoint: weights "a" (2,3 from storage 0, transposed strides),
 *  "a_again" (the same), "half" (2 from storage 1, HalfStorage), then meta data. */
void tst_checkpoint_pickle(tst_bytes *pk);
/** The archive around a pickle; storage 0 = floats 0..5, storage 1 = halves 1, -2. */
void tst_checkpoint_zip(tst_bytes *out, const tst_bytes *pk);

#endif
