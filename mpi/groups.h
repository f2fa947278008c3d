/** Splits the ranks of a comm into groups of given sizes, such that a group lies on one node where
 *  that can be: its ranks talk to each other in every step, groups hardly ever. A node is a host
 *  name. Which rank is in which group never changes a result. Main thread only. */
#ifndef SF_MPI_GROUPS_H
#define SF_MPI_GROUPS_H
#include "mpi/comm.h"

typedef struct {
    sf_comm *comm; /* of the own group; rank 0 in it is the lowest rank of the world */
    int index, n;  /* number of the own group; how many there are */
} sf_groups;

/** Collective. sizes[n], all >= 1, in any order, must sum to the ranks of `world` and be the same
 * on all of them: SF_EINVAL. Caller destroys (collective). */
sf_status sf_groups_create(sf_groups **out, sf_comm *world, const int *sizes, int n);
/** Collective. NULL inside is allowed when it is so on all ranks. */
void sf_groups_destroy(sf_groups **g);

/** The rule, without MPI: group_of[rank] for ranks on the nodes node_of[rank] (numbers >= 0).
 *  Larger groups choose first; each takes the node with the fewest free ranks that hold it, or,
 *  where none does, whole nodes with the most free ranks. Pure: the same on all ranks.
 *  SF_EINVAL, SF_ENOMEM. */
sf_status sf_groups_place(int *group_of, const int *node_of, int ranks, const int *sizes, int n);

#endif
