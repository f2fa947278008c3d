/** Random numbers.
 *
 *  Everything random in segfleet is a function of a key, never of the order of calls elsewhere:
 *  Philox 4x32-10 keyed by (seed, variant, configuration, fold, epoch, iteration, sample, purpose).
 *  So any rank, thread or resumed run that handles the same sample draws the same numbers.
 *  sf_mt19937 is only for what must equal NumPy's legacy generator: splits, class locations.
 *
 *  Both generators are plain values that the caller owns; nothing here can fail or allocate.
 *  Thread-safe on different generators. Not collective.
 *  Sources: Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011; decisions.md 6;
 *  nnunet-planning.md 10.5, 10.6. */
#ifndef SF_BASE_RNG_H
#define SF_BASE_RNG_H
#include <stdint.h>

/** What the numbers are for; 1..255. Different purposes never share numbers. */
typedef enum {
    SF_RNG_INIT = 1,      /* initial weights */
    SF_RNG_SAMPLE = 2,    /* which case, where */
    SF_RNG_AUGMENT = 3,   /* transforms */
    SF_RNG_PHANTOM = 4,   /* made-up images */
    SF_RNG_BOOTSTRAP = 5, /* ranking */
    SF_RNG_TEST = 15      /* tests */
} sf_rng_purpose;

typedef struct {
    uint64_t seed;
    const char *scope; /* "variant/configuration/fold" or any text; hashed; NULL = "" */
    uint32_t epoch, iteration, sample; /* sample = global index in the batch, < 2^24 */
    sf_rng_purpose purpose;
} sf_rng_key;

/** A stream of 2^34 words. Copying one copies its position. */
typedef struct {
    uint32_t key[2], ctr[4], out[4];
    int used;
} sf_rng;

/** `key` is not kept. Equal keys give equal streams. */
void sf_rng_init(sf_rng *r, const sf_rng_key *key);
/** All 32 bits uniform. One word. */
uint32_t sf_rng_u32(sf_rng *r);
/** Uniform in [0,1), 53 bits. Two words. */
double sf_rng_u01(sf_rng *r);
/** lo + (hi - lo) * u01. Two words. */
double sf_rng_uniform(sf_rng *r, double lo, double hi);
/** Uniform in 0..n-1, unbiased (masked rejection, so the number of words varies); 0 when n <= 1. */
int64_t sf_rng_below(sf_rng *r, int64_t n);
/** N(0,1), Box-Muller in double: always four words, no state kept between calls. */
double sf_rng_normal(sf_rng *r);
/** n draws of N(0,1) into x, both values of each pair used: 4 * ceil(n/2) words. */
void sf_rng_fill_normal(sf_rng *r, int64_t n, float *x);
/** The raw block function, for tests with published vectors. */
void sf_philox4x32_10(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4]);

/** Mersenne Twister, period 2^19937 - 1, the stream of numpy.random.RandomState(seed). */
typedef struct {
    uint32_t mt[624];
    int pos;
} sf_mt19937;

/** init_genrand of the 2002 reference code, as RandomState(seed) does. */
void sf_mt_seed(sf_mt19937 *g, uint32_t seed);
/** genrand_int32. */
uint32_t sf_mt_u32(sf_mt19937 *g);
/** Uniform in 0..max (inclusive) by masked rejection, as RandomState; max = 0 draws nothing;
 *  max >= 2^32 draws pairs, high half first. */
uint64_t sf_mt_interval(sf_mt19937 *g, uint64_t max);
/** RandomState.permutation(n) into out[n]: a shuffle from the end. */
void sf_mt_permutation(sf_mt19937 *g, int64_t n, int64_t *out);

#endif
