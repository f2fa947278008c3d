/** Several processes that predict one case together (src/predict knows nothing of MPI: whoever has
 *  a group of ranks fills in these calls, train/spread.h).
 *
 *  The answers of the network to samples (sliding.h), fold by fold, are cut into *units* of a few
 *  samples. Unit u is computed by member u mod size; member 0 adds all of them in the order 0, 1,
 *  2, ..., which is the order of one process alone: the same bits. Only member 0 has sums, hands
 *  rows on, and holds one foreign unit at a time; the others hold one unit that is on its way. */
#ifndef SF_PREDICT_TEAM_H
#define SF_PREDICT_TEAM_H
#include "base/error.h"
#include <stdint.h>

typedef struct {
    int member, size;
    void *user;
    /** Member > 0: start sending n values to member 0. v stays untouched until `sent`. */
    sf_status (*give)(void *user, const float *v, int64_t n);
    /** Member > 0: wait until what was given has gone. */
    sf_status (*sent)(void *user);
    /** Member 0: the next n values that `member` gives. */
    sf_status (*take)(void *user, int member, float *v, int64_t n);
    /** All members, in the same order: the worst status of all, for all. */
    sf_status (*agree)(void *user, sf_status mine);
} sf_predict_team;

#endif
