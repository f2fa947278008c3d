/** A prepared case from the rank that made it to the ranks that predict it with it. */
#ifndef SF_FLEET_HANDOUT_H
#define SF_FLEET_HANDOUT_H
#include "mpi/comm.h"
#include "store/cases.h"

/** Collective over c. Rank 0 gives *p, or why there is none (mine); the others get a copy of what
 *  prediction reads (id, properties, data, seg; no locations), theirs to destroy. The status is the
 *  same on all ranks; after a failure the others hold NULL. */
sf_status sf_handout_prepared(sf_comm *c, sf_prepared **p, sf_status mine);

#endif
