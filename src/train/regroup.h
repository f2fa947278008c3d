/** Tells that a training goes on with another number of ranks. */
#ifndef SF_TRAIN_REGROUP_H
#define SF_TRAIN_REGROUP_H
#include "mpi/comm.h"
#include "train/checkpoint.h"

/** Collective over `group`. A log line `regroup` of its rank 0: cfg, fold, ranks now and before,
 * the epoch that comes next, and the hosts, each with its ranks of the world ("node1:r0,r2
 * node2:r5"). before: ranks that rank 0 was at this training with; 0: not at all, and nothing is
 * told. Other ranks' numbers do not count. SF_ENOMEM, SF_ECOMM on all ranks together. */
sf_status sf_train_tell_regroup(sf_comm *group, const sf_train_state *s, int before);

#endif
