/** How many threads this rank may use: affinity mask and cgroup quota, shared among the ranks of
 * the host that may run on the same processors. */
#ifndef SF_FLEET_THREADS_H
#define SF_FLEET_THREADS_H
#include "mpi/comm.h"

/** Processor time that the control groups of this process grant, in processors; 0 = no limit. The
 *  smallest of its own group and all groups above it, of version 2 (cpu.max) and version 1
 *  (cpu.cfs_quota_us / cpu.cfs_period_us). What cannot be read sets no limit. Not collective.
 *  @param root  "" or a folder that stands for "/" (tests) */
double sf_threads_quota(const char *root);
/** Processors this process may run on (sched_getaffinity, any number of processors), capped by the
 *  whole processors of the quota; >= 1. Not collective. */
int sf_threads_available(void);
/** Collective: `wanted` (0 = automatic) threads per rank, never more than sf_threads_available:
 * more are cut with a warning. Automatic: this rank's share of its processors among the ranks of
 * the host whose affinity masks overlap with its own; ranks that are bound to processors of their
 * own keep these. Logs threads, affinity and quota of rank 0. */
sf_status sf_threads_decide(int *threads, sf_comm *world, int wanted);

#endif
