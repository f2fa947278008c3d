/* SHA-256 by libmd, CRC-32 by zlib. */
#include "base/hash.h"
#include <sha2.h>
#include <zlib.h>

_Static_assert(sizeof(SHA2_CTX) <= sizeof(sf_sha256), "sf_sha256 is too small for libmd's state");
_Static_assert(_Alignof(SHA2_CTX) <= _Alignof(sf_sha256), "sf_sha256 is not aligned for libmd");

void sf_sha256_begin(sf_sha256 *h) { SHA256Init((SHA2_CTX *)(void *)h); }

void sf_sha256_add(sf_sha256 *h, const void *data, size_t size)
{
    if (size > 0) SHA256Update((SHA2_CTX *)(void *)h, data, size);
}

void sf_sha256_end(sf_sha256 *h, char hex[65])
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256Final(digest, (SHA2_CTX *)(void *)h);
    for (int i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    hex[64] = 0;
}

uint32_t sf_crc32(const void *data, size_t size)
{
    if (size == 0) return 0;
    return (uint32_t)crc32_z(0, data, size);
}
