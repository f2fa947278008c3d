/** What a training costs, roughly and without computing: orders the tasks of a run and feeds the
 *  model of fleet/layout.h. */
#ifndef SF_FLEET_COST_H
#define SF_FLEET_COST_H
#include "fleet/layout.h"
#include "plan/plans.h"

/** work: multiply-adds per voxel of one pass over a batch. Pure. */
void sf_cost_of(sf_layout_task *out, const sf_config *c, int64_t batch);

#endif
