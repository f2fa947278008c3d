#include "network/params.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK = 1024 }; /* even: both numbers of each normal pair are used */

sf_param *sf_params_find(const sf_params *p, const char *name)
{
    for (int i = 0; i < p->count; i++)
        if (strcmp(p->item[i].name, name) == 0) return &p->item[i];
    return NULL;
}

static void store(sf_dtype dtype, void *dst, int64_t at, double x)
{
    if (dtype == SF_F64)
        ((double *)dst)[at] = x;
    else
        ((float *)dst)[at] = (float)x;
}

static void fill(const sf_params *p, sf_param *q, double x)
{
    for (int64_t i = 0; i < q->count; i++) store(p->dtype, q->value, i, x);
}

/* Drawn in float in both precisions, so that the double network starts from the same weights. */
static void fill_he(const sf_params *p, sf_param *q, uint64_t seed, const char *scope, double slope)
{
    char key_scope[512];
    snprintf(key_scope, sizeof key_scope, "%s/%s", scope ? scope : "", q->name);
    const sf_rng_key key = { .seed = seed, .scope = key_scope, .purpose = SF_RNG_INIT };
    sf_rng rng;
    sf_rng_init(&rng, &key);
    int64_t fan_in = 1;
    for (int d = 1; d < q->ndim; d++) fan_in *= q->dim[d];
    const double std = sqrt(2.0 / (1.0 + slope * slope) / (double)fan_in);
    float draw[CHUNK];
    for (int64_t i = 0; i < q->count; i += CHUNK) {
        const int64_t n = q->count - i < CHUNK ? q->count - i : CHUNK;
        sf_rng_fill_normal(&rng, n, draw);
        for (int64_t j = 0; j < n; j++)
            store(p->dtype, q->value, i + j, (double)(float)(std * (double)draw[j]));
    }
}

/** The last norm of a residual block starts at zero, so that the block starts as its skip. */
static bool starts_at_zero(const sf_param *q) { return strstr(q->name, ".conv2.norm.") != NULL; }

void sf_params_init(sf_params *p, uint64_t seed, const char *scope, double slope)
{
    for (int i = 0; i < p->count; i++) {
        sf_param *q = &p->item[i];
        if (q->kind == SF_PARAM_CONV || q->kind == SF_PARAM_CONVT)
            fill_he(p, q, seed, scope, slope);
        else
            fill(p, q, q->kind == SF_PARAM_GAMMA && !starts_at_zero(q) ? 1.0 : 0.0);
        q->has_velocity = false;
    }
}

static void hash_param(sf_sha256 *h, sf_dtype dtype, const sf_param *q)
{
    float part[CHUNK];
    for (int64_t i = 0; i < q->count; i += CHUNK) {
        const int64_t n = q->count - i < CHUNK ? q->count - i : CHUNK;
        for (int64_t j = 0; j < n; j++)
            part[j] = dtype == SF_F64 ? (float)((const double *)q->value)[i + j]
                                      : ((const float *)q->value)[i + j];
        sf_sha256_add(h, part, (size_t)n * sizeof *part);
    }
}

static int by_name(const void *a, const void *b)
{
    const sf_param *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

sf_status sf_params_hash(const sf_params *p, char hex[65])
{
    const sf_param **order = NULL;
    SF_TRY(sf_mem_alloc(&order, (size_t)p->count, sizeof *order, SF_MEM_MISC));
    for (int i = 0; i < p->count; i++) order[i] = &p->item[i];
    qsort(order, (size_t)p->count, sizeof *order, by_name);
    sf_sha256 h;
    sf_sha256_begin(&h);
    for (int i = 0; i < p->count; i++) hash_param(&h, p->dtype, order[i]);
    sf_sha256_end(&h, hex);
    sf_mem_free(order);
    return SF_OK;
}
