#include "mpi/prof_reduce.h"
#include "base/mem.h"
#include <string.h>

static void add_rank(sf_prof_summary *s, const sf_prof *p, int rank)
{
    for (int e = 0; e < SF_EV_COUNT; e++) {
        sf_prof_event_summary *d = &s->ev[e];
        const double sec = p->ev[e].seconds;
        d->calls += p->ev[e].calls;
        d->flops += p->ev[e].flops;
        d->bytes += p->ev[e].bytes;
        d->seconds_mean += sec / s->ranks;
        if (rank == 0 || sec < d->seconds_min) d->seconds_min = sec;
        if (rank == 0 || sec > d->seconds_max) {
            d->seconds_max = sec;
            d->rank_max = rank;
        }
    }
}

sf_status sf_prof_reduce(sf_prof_summary *out, sf_comm *c, const sf_prof *p)
{
    sf_prof mine;
    void **all = NULL;
    size_t *sizes = NULL;
    memset(&mine, 0, sizeof mine);
    if (p) mine = *p;
    memset(out, 0, sizeof *out);
    out->ranks = sf_comm_size(c);
    SF_TRY(sf_comm_allgather_bytes(c, &mine, sizeof mine, &all, &sizes));
    for (int r = 0; r < out->ranks; r++) add_rank(out, all[r], r);
    sf_mem_free(all);
    return SF_OK;
}
