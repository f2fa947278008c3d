/** SHA-256 (libmd) for checkpoints and containers, CRC-32 (zlib) for blocks. */
#ifndef SF_BASE_HASH_H
#define SF_BASE_HASH_H
#include <stddef.h>
#include <stdint.h>

typedef struct sf_sha256 {
    uint64_t opaque[32];
} sf_sha256; /* large enough for libmd's state */
void sf_sha256_begin(sf_sha256 *h);
void sf_sha256_add(sf_sha256 *h, const void *data, size_t size);
void sf_sha256_end(sf_sha256 *h, char hex[65]);
uint32_t sf_crc32(const void *data, size_t size);

#endif
