#include "train/pretrained.h"
#include "base/hash.h"
#include "base/log.h"
#include "predict/predict.h"
#include <stdio.h>

sf_status sf_pretrained_hash(char hex[65], const char *path)
{
    char block[65536];
    sf_sha256 h;
    size_t n;
    hex[0] = 0;
    if (path == NULL) return SF_OK;
    FILE *f = fopen(path, "rb");
    SF_CHECK(f != NULL, SF_EIO, "%s: cannot be opened for reading", path);
    sf_sha256_begin(&h);
    while ((n = fread(block, 1, sizeof block, f)) > 0) sf_sha256_add(&h, block, n);
    const bool bad = ferror(f) != 0;
    fclose(f);
    SF_CHECK(!bad, SF_EIO, "%s: cannot be read", path);
    sf_sha256_end(&h, hex);
    return SF_OK;
}

sf_status sf_pretrained_apply(sf_params *p, const char *path)
{
    sf_weights *w = NULL;
    int copied;
    SF_TRY(sf_weights_load(&w, path));
    const sf_status st = sf_weights_apply_body(w, p, &copied);
    sf_weights_destroy(&w);
    if (st == SF_OK)
        sf_log(SF_LOG_INFO, "pretrained", "file=%s parameters=%d new=%d (the heads)", path, copied,
               p->count - copied);
    return st;
}
