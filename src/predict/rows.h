/** Rows of values on their way from the network's grid to another one: whoever makes them hands
 *  them on in ascending order, without gaps, each once, so that nobody has to hold a whole volume.
 *  Not collective; one object is driven by one thread. */
#ifndef SF_PREDICT_ROWS_H
#define SF_PREDICT_ROWS_H
#include "plan/plans.h"

/** Somebody who takes rows. */
typedef struct {
    /** values [heads][hi-lo][plane], borrowed for this call. */
    sf_status (*take)(void *user, int64_t lo, int64_t hi, const float *values);
    void *user;
} sf_row_sink;

/** Resampling of rows as they come (preprocess/resample.h: the same bits as at once). Holds the
 *  rows that later ones still need and at most 16 MiB (or one row) of results; all rows when an
 *  interpolation of order 3 is asked for. */
typedef struct sf_row_resampler sf_row_resampler;
/** @param[in] axis  separate axis or -1;  @param[in] next  gets the rows of the grid `to`
 *  @return SF_EINVAL for an order that the plan may not ask for; SF_ENOMEM. Caller destroys. */
sf_status sf_row_resampler_create(sf_row_resampler **out, int heads, const int64_t from[3],
                                  const int64_t to[3], const sf_resampling *r, int axis,
                                  int threads, sf_row_sink next);
/** A sink for the rows of the grid `from`; borrows r. */
sf_row_sink sf_row_resampler_sink(sf_row_resampler *r);
void sf_row_resampler_destroy(sf_row_resampler **r);

#endif
