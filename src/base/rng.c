/* Philox 4x32-10 (Salmon et al., SC 2011) and MT19937 (Matsumoto and Nishimura, 1998). */
#include "base/rng.h"
#include <math.h>
#include <stddef.h>

void sf_philox4x32_10(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = ctr[0], c1 = ctr[1], c2 = ctr[2], c3 = ctr[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

/* Finaliser of SplitMix64: spreads every input bit over the whole word. */
static uint64_t mix64(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static uint64_t fnv1a(const char *text)
{
    uint64_t h = 0xCBF29CE484222325u;
    for (; text != NULL && *text != 0; text++) h = (h ^ (unsigned char)*text) * 0x100000001B3u;
    return h;
}

/* Key words: seed and scope. Counter words: block number, epoch, iteration, sample and purpose.
 * So one key has 2^34 words before it repeats. */
void sf_rng_init(sf_rng *r, const sf_rng_key *key)
{
    const uint64_t k = mix64(key->seed + 0x9E3779B97F4A7C15u * (mix64(fnv1a(key->scope)) | 1));
    *r = (sf_rng){ .key = { (uint32_t)k, (uint32_t)(k >> 32) },
                   .ctr = { 0, key->epoch, key->iteration,
                            (key->sample << 8) | ((uint32_t)key->purpose & 255u) },
                   .used = 4 };
}

uint32_t sf_rng_u32(sf_rng *r)
{
    if (r->used == 4) {
        sf_philox4x32_10(r->ctr, r->key, r->out);
        r->ctr[0]++;
        r->used = 0;
    }
    return r->out[r->used++];
}

double sf_rng_u01(sf_rng *r)
{
    const uint32_t a = sf_rng_u32(r) >> 5, b = sf_rng_u32(r) >> 6;
    return ((double)a * 67108864.0 + (double)b) / 9007199254740992.0;
}

double sf_rng_uniform(sf_rng *r, double lo, double hi) { return lo + (hi - lo) * sf_rng_u01(r); }

static uint64_t mask_of(uint64_t max)
{
    uint64_t mask = max;
    for (int shift = 1; shift < 64; shift *= 2) mask |= mask >> shift;
    return mask;
}

int64_t sf_rng_below(sf_rng *r, int64_t n)
{
    if (n <= 1) return 0;
    const uint64_t max = (uint64_t)n - 1, mask = mask_of(max);
    uint64_t v = 0;
    do {
        v = sf_rng_u32(r);
        if (mask > UINT32_MAX) v = v << 32 | sf_rng_u32(r);
        v &= mask;
    } while (v > max);
    return (int64_t)v;
}

static void normal_pair(sf_rng *r, double *a, double *b)
{
    const double two_pi = 6.283185307179586476925;
    const double radius = sqrt(-2.0 * log(1.0 - sf_rng_u01(r))), angle = two_pi * sf_rng_u01(r);
    *a = radius * cos(angle);
    *b = radius * sin(angle);
}

double sf_rng_normal(sf_rng *r)
{
    double a, b;
    normal_pair(r, &a, &b);
    return a;
}

void sf_rng_fill_normal(sf_rng *r, int64_t n, float *x)
{
    for (int64_t i = 0; i < n; i += 2) {
        double a, b;
        normal_pair(r, &a, &b);
        x[i] = (float)a;
        if (i + 1 < n) x[i + 1] = (float)b;
    }
}

enum { MT_N = 624, MT_M = 397 };

void sf_mt_seed(sf_mt19937 *g, uint32_t seed)
{
    g->mt[0] = seed;
    for (uint32_t i = 1; i < MT_N; i++)
        g->mt[i] = 1812433253u * (g->mt[i - 1] ^ (g->mt[i - 1] >> 30)) + i;
    g->pos = MT_N;
}

static void mt_refill(sf_mt19937 *g)
{
    for (int i = 0; i < MT_N; i++) {
        const uint32_t y = (g->mt[i] & 0x80000000u) | (g->mt[(i + 1) % MT_N] & 0x7FFFFFFFu);
        g->mt[i] = g->mt[(i + MT_M) % MT_N] ^ (y >> 1) ^ ((y & 1u) ? 0x9908B0DFu : 0u);
    }
    g->pos = 0;
}

uint32_t sf_mt_u32(sf_mt19937 *g)
{
    if (g->pos >= MT_N) mt_refill(g);
    uint32_t y = g->mt[g->pos++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9D2C5680u;
    y ^= (y << 15) & 0xEFC60000u;
    return y ^ (y >> 18);
}

uint64_t sf_mt_interval(sf_mt19937 *g, uint64_t max)
{
    if (max == 0) return 0; /* NumPy draws nothing here */
    const uint64_t mask = mask_of(max);
    uint64_t v = 0;
    do {
        v = sf_mt_u32(g);
        if (max > UINT32_MAX) v = v << 32 | sf_mt_u32(g);
        v &= mask;
    } while (v > max);
    return v;
}

void sf_mt_permutation(sf_mt19937 *g, int64_t n, int64_t *out)
{
    for (int64_t i = 0; i < n; i++) out[i] = i;
    for (int64_t i = n - 1; i >= 0; i--) {
        const int64_t j = (int64_t)sf_mt_interval(g, (uint64_t)i), keep = out[i];
        out[i] = out[j];
        out[j] = keep;
    }
}
