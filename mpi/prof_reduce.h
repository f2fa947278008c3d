/** The profile of base/prof over all ranks of a comm. */
#ifndef SF_MPI_PROF_REDUCE_H
#define SF_MPI_PROF_REDUCE_H
#include "base/prof.h"
#include "mpi/comm.h"

/** One event over the ranks. calls, flops and bytes are summed; the seconds of the fastest and
 * slowest rank and the mean show imbalance. Ranks without a single call count with 0 seconds. */
typedef struct {
    int64_t calls;
    double flops, bytes;
    double seconds_min, seconds_mean, seconds_max;
    int rank_max; /* the slowest rank (the lowest of equals) */
} sf_prof_event_summary;

typedef struct {
    int ranks;
    sf_prof_event_summary ev[SF_EV_COUNT];
} sf_prof_summary;

/** Collective. Every rank gets the same summary. `p` NULL counts as an empty profile. */
sf_status sf_prof_reduce(sf_prof_summary *out, sf_comm *c, const sf_prof *p);

#endif
