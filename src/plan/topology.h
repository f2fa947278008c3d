/** Where a network pools and which kernels it has (paper, Methods: Dynamic network adaptation;
 *  nnunet-planning.md 8.1). Pure function. Private to src/plan. */
#ifndef SF_PLAN_TOPOLOGY_H
#define SF_PLAN_TOPOLOGY_H
#include "plan/plans.h"

/** Axes 3-dim .. 2 are used (transposed order); axis 0 of a 2-D topology has stride, kernel, patch
 *  and divisor 1. */
typedef struct {
    int n_stages; /* 1 = no pooling fits */
    int stride[SF_MAX_STAGES][3], kernel[SF_MAX_STAGES][3];
    int64_t patch[3]; /* size rounded up to a multiple of div */
    int64_t div[3];   /* 2 ^ poolings */
} sf_topology;

/** @param spacing  mm, > 0
 *  @param size     voxels, may be fractional (a median), > 0 */
void sf_topology_make(sf_topology *t, const sf_recipe_plan *r, int dim, const double spacing[3],
                      const double size[3]);

#endif
