/** Ranks that predict a case together (predict/team.h), and which ranks do so: cases go to ranks
 *  one by one as long as there is one for each rank; each of those left over is shared by a group
 *  of ranks. The files do not depend on it. */
#ifndef SF_TRAIN_SPREAD_H
#define SF_TRAIN_SPREAD_H
#include "mpi/comm.h"
#include "predict/team.h"

/** Of n cases the first `whole` (a multiple of the ranks) are predicted by one rank each: case i by
 *  rank i mod size. The `shared` others: by groups of consecutive ranks, of sizes that differ by
 *  one at most. */
typedef struct {
    int whole, shared;
    int group; /* this rank's: it shares case whole + group; -1 when nothing is shared */
    int ranks; /* in the smallest group; 0 when nothing is shared */
} sf_spread_plan;
sf_spread_plan sf_spread_make(int n, int rank, int size);

typedef struct sf_spread sf_spread;
/** Not collective; borrows c. Caller destroys, when no prediction is under way. SF_ENOMEM. */
sf_status sf_spread_create(sf_spread **out, sf_comm *c);
/** Borrowed. NULL inside, or one rank: NULL, which means alone. Its calls are collective as team.h
 *  says. */
const sf_predict_team *sf_spread_team(const sf_spread *s);
void sf_spread_destroy(sf_spread **s);

#endif
