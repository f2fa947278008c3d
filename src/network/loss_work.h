/** Workspace of the loss inside the arena: targets of one level, sums, coefficients.
 *  Private to this folder. */
#ifndef SF_NETWORK_LOSS_WORK_H
#define SF_NETWORK_LOSS_WORK_H
#include "network/graph.h"

/** Bytes that sf_loss_evaluate needs for any level of `net`. */
int64_t sf_loss_work_bytes(const sf_network *net);

#endif
