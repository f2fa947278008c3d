/** Random numbers.
 *
 *  Everything random in segfleet is a function of a key, never of the order of calls elsewhere:
 *  Philox 4x32-10 keyed by (seed, variant, configuration, fold, epoch, iteration, sample, purpose).
 *  So any rank, thread or resumed run that handles the same sample draws the same numbers.
 *  sf_mt19937 is only for what must equal NumPy's legacy generator: splits, class locations. */
#ifndef SF_BASE_RNG_H
#define SF_BASE_RNG_H
#include <stdint.h>

typedef enum {
    SF_RNG_INIT = 1,
    SF_RNG_SAMPLE = 2,
    SF_RNG_AUGMENT = 3,
    SF_RNG_PHANTOM = 4,
    SF_RNG_BOOTSTRAP = 5,
    SF_RNG_TEST = 15
} sf_rng_purpose;

typedef struct {
    uint64_t seed;
    const char *scope; /* "variant/configuration/fold" or any text; hashed; NULL = "" */
    uint32_t epoch, iteration, sample; /* sample = global index in the batch, < 2^24 */
    sf_rng_purpose purpose;
} sf_rng_key;

typedef struct {
    uint32_t key[2], ctr[4], out[4];
    int used;
} sf_rng;

void sf_rng_init(sf_rng *r, const sf_rng_key *key);
uint32_t sf_rng_u32(sf_rng *r);
double sf_rng_u01(sf_rng *r); /* [0,1), 53 bits, two words per call */
double sf_rng_uniform(sf_rng *r, double lo, double hi);
int64_t sf_rng_below(sf_rng *r, int64_t n); /* 0..n-1, unbiased; n >= 1 */
double
sf_rng_normal(sf_rng *r); /* N(0,1), Box-Muller in double; fixed two u01 per pair, no state kept */
void sf_rng_fill_normal(sf_rng *r, int64_t n,
                        float *x); /* n N(0,1) draws, both values of each pair used */
/** The raw block function, for tests with published vectors. */
void sf_philox4x32_10(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4]);

typedef struct {
    uint32_t mt[624];
    int pos;
} sf_mt19937;
void sf_mt_seed(sf_mt19937 *g, uint32_t seed); /* init_genrand */
uint32_t sf_mt_u32(sf_mt19937 *g);
uint64_t sf_mt_interval(sf_mt19937 *g,
                        uint64_t max); /* 0..max, masked rejection, as NumPy's RandomState */
void sf_mt_permutation(sf_mt19937 *g, int64_t n, int64_t *out);

#endif
