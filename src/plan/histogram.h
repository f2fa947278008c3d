/** Exact distribution of float values: sorted distinct values with cumulative counts. Private to
 *  src/plan. */
#ifndef SF_PLAN_HISTOGRAM_H
#define SF_PLAN_HISTOGRAM_H
#include "base/error.h"
#include <stddef.h>
#include <stdint.h>

typedef struct {
    float *value;   /* [n] ascending, distinct, finite; -0 is stored as 0 */
    uint64_t *upto; /* [n] voxels with a value <= value[i]; upto[n-1] = all */
    int64_t n;
} sf_histogram;

/** From n finite values. */
sf_status sf_histogram_make(sf_histogram *h, const float *values, int64_t n);
void sf_histogram_free(sf_histogram *h);
/** Voxels in all. */
static inline uint64_t sf_histogram_total(const sf_histogram *h)
{
    return h->n ? h->upto[h->n - 1] : 0;
}
/** Voxels with a value <= v. */
uint64_t sf_histogram_upto(const sf_histogram *h, float v);
/** Sum of the values, and of their squared distances from `mean`, in ascending order of value. */
double sf_histogram_sum(const sf_histogram *h);
double sf_histogram_squares(const sf_histogram *h, double mean);

/** Order-preserving map of floats to integers and back, for bisection over all floats. */
uint32_t sf_float_key(float v);
float sf_float_of_key(uint32_t key);

#endif
