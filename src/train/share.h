/** The state of a training, sent from one rank to its group. */
#ifndef SF_TRAIN_SHARE_H
#define SF_TRAIN_SHARE_H
#include "mpi/comm.h"
#include "train/checkpoint.h"

/** Collective: epoch, iteration, averages, running sums and parameters with momentum of rank 0 on
 *  all ranks. So one rank reads a checkpoint, and none goes on from an older one that a network
 * file system may still show. Both are of the same shape on all ranks; float32. SF_ECOMM. */
sf_status sf_state_share(sf_comm *group, sf_train_state *s, sf_params *p);

#endif
