/** How many threads this rank may use: affinity mask and cgroup quota, shared among the ranks of
 * the host. */
#ifndef SF_FLEET_THREADS_H
#define SF_FLEET_THREADS_H
#include "mpi/comm.h"

/** Processors this process may run on: sched_getaffinity, capped by the cgroup's cpu quota; >= 1.
 */
int sf_threads_available(void);
/** Collective: `wanted` (0 = automatic) threads per rank, never more than this rank's share unless
 * asked for; asking for more than affinity allows is cut and said in the log. */
sf_status sf_threads_decide(int *threads, sf_comm *world, int wanted);

#endif
