#include "plan/histogram.h"
#include "base/mem.h"
#include <string.h>

enum { RADIX_BITS = 11, RADIX = 1 << RADIX_BITS, PASSES = 3 };

uint32_t sf_float_key(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

float sf_float_of_key(uint32_t key)
{
    const uint32_t bits = key & 0x80000000u ? key & 0x7fffffffu : ~key;
    float v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

static void radix_pass(const uint32_t *from, uint32_t *to, int64_t n, int shift)
{
    int64_t start[RADIX + 1] = { 0 };
    for (int64_t i = 0; i < n; i++) start[(from[i] >> shift & (RADIX - 1)) + 1]++;
    for (int b = 0; b < RADIX; b++) start[b + 1] += start[b];
    for (int64_t i = 0; i < n; i++) to[start[from[i] >> shift & (RADIX - 1)]++] = from[i];
}

/** Three passes: the sorted keys end in `scratch`. */
static void sort_keys(uint32_t *keys, uint32_t *scratch, int64_t n)
{
    for (int p = 0; p < PASSES; p++) {
        radix_pass(p % 2 ? scratch : keys, p % 2 ? keys : scratch, n, p * RADIX_BITS);
    }
}

static sf_status compress(sf_histogram *h, const uint32_t *keys, int64_t n)
{
    int64_t distinct = 0;
    for (int64_t i = 0; i < n; i++) distinct += i == 0 || keys[i] != keys[i - 1];
    SF_TRY(sf_mem_alloc(&h->value, (size_t)distinct, sizeof *h->value, SF_MEM_MISC));
    SF_TRY(sf_mem_alloc(&h->upto, (size_t)distinct, sizeof *h->upto, SF_MEM_MISC));
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || keys[i] != keys[i - 1]) h->value[h->n++] = sf_float_of_key(keys[i]);
        h->upto[h->n - 1] = (uint64_t)i + 1;
    }
    return SF_OK;
}

sf_status sf_histogram_make(sf_histogram *h, const float *values, int64_t n)
{
    uint32_t *keys = NULL, *scratch = NULL;
    sf_status st = SF_OK;
    memset(h, 0, sizeof *h);
    SF_GOTO(done, st, sf_mem_alloc(&keys, (size_t)n, sizeof *keys, SF_MEM_SCRATCH));
    SF_GOTO(done, st, sf_mem_alloc(&scratch, (size_t)n, sizeof *scratch, SF_MEM_SCRATCH));
    for (int64_t i = 0; i < n; i++) keys[i] = sf_float_key(values[i] == 0 ? 0.0f : values[i]);
    sort_keys(keys, scratch, n);
    st = compress(h, scratch, n);
    if (st != SF_OK) sf_histogram_free(h);
done:
    sf_mem_free(keys);
    sf_mem_free(scratch);
    return st;
}

void sf_histogram_free(sf_histogram *h)
{
    sf_mem_free(h->value);
    sf_mem_free(h->upto);
    memset(h, 0, sizeof *h);
}

uint64_t sf_histogram_upto(const sf_histogram *h, float v)
{
    int64_t lo = 0, hi = h->n; /* first index with value > v */
    while (lo < hi) {
        const int64_t mid = lo + (hi - lo) / 2;
        if (h->value[mid] <= v)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo ? h->upto[lo - 1] : 0;
}

static double count_at(const sf_histogram *h, int64_t i)
{
    return (double)(h->upto[i] - (i ? h->upto[i - 1] : 0));
}

double sf_histogram_sum(const sf_histogram *h)
{
    double sum = 0;
    for (int64_t i = 0; i < h->n; i++) sum += count_at(h, i) * (double)h->value[i];
    return sum;
}

double sf_histogram_squares(const sf_histogram *h, double mean)
{
    double sum = 0;
    for (int64_t i = 0; i < h->n; i++) {
        const double d = (double)h->value[i] - mean;
        sum += count_at(h, i) * d * d;
    }
    return sum;
}
