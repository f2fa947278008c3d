/** SHA-256 (nettle) for checkpoints and containers, CRC-32 (libdeflate) for blocks.
 *  Bytes in, text or number out; nothing here can fail or allocate. Thread-safe on different
 *  states. Not collective. */
#ifndef SF_BASE_HASH_H
#define SF_BASE_HASH_H
#include <stddef.h>
#include <stdint.h>

/** State of one digest: a plain value, no owner. Large enough for nettle's own (checked by the
 *  compiler), so that no other file needs nettle's header. */
typedef struct sf_sha256 {
    uint64_t opaque[32];
} sf_sha256;

void sf_sha256_begin(sf_sha256 *h);
/** Any number of times; `size` in bytes, 0 is fine (data may then be NULL). The digest depends on
 *  the bytes alone, not on how they are cut. */
void sf_sha256_add(sf_sha256 *h, const void *data, size_t size);
/** 64 lower-case hexadecimal digits and a final 0. The state is used up. */
void sf_sha256_end(sf_sha256 *h, char hex[65]);

/** CRC-32 as in gzip and PNG; 0 for no bytes. */
uint32_t sf_crc32(const void *data, size_t size);

#endif
