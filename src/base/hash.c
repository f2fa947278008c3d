/* SHA-256 by nettle, CRC-32 by libdeflate: both use what the processor offers for it. */
#include "base/hash.h"
#include <libdeflate.h>
#include <nettle/sha2.h>

_Static_assert(sizeof(struct sha256_ctx) <= sizeof(sf_sha256), "sf_sha256 is too small");
_Static_assert(_Alignof(struct sha256_ctx) <= _Alignof(sf_sha256), "sf_sha256 is not aligned");

void sf_sha256_begin(sf_sha256 *h) { sha256_init((struct sha256_ctx *)(void *)h); }

void sf_sha256_add(sf_sha256 *h, const void *data, size_t size)
{
    if (size > 0) sha256_update((struct sha256_ctx *)(void *)h, size, data);
}

void sf_sha256_end(sf_sha256 *h, char hex[65])
{
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_digest((struct sha256_ctx *)(void *)h, SHA256_DIGEST_SIZE, digest);
    for (int i = 0; i < SHA256_DIGEST_SIZE; i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    hex[64] = 0;
}

uint32_t sf_crc32(const void *data, size_t size)
{
    return size == 0 ? 0 : libdeflate_crc32(0, data, size);
}
