/** Memory estimate of a network and a patch: the number of feature-map elements that one sample
 *  keeps for the backward pass (nnunet-planning.md 8.3). Input, deep-supervision heads and kernels
 *  do not enter; it is a yardstick that is compared with the recipe's reference, not bytes. */
#ifndef SF_PLAN_BUDGET_H
#define SF_PLAN_BUDGET_H
#include "plan/plans.h"

/** @param patch      transposed order, entry 0 = 1 in 2-D
 *  @param n_entries  keys of `labels`: background, regions and ignore all count
 *  @return elements; exact below 2^53. Thread-safe. */
double sf_budget_estimate(const sf_arch *a, const int64_t patch[3], int n_entries);

#endif
