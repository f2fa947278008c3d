/** The network part of a configuration. Private to src/plan. */
#ifndef SF_PLAN_ARCH_H
#define SF_PLAN_ARCH_H
#include "plan/plans.h"

/** Decode `architecture`, or the flat keys that nnU-Net wrote before 2.3 (nnunet-planning.md 9.2).
 *  @param cfg    the configuration's JSON object, inheritance resolved
 *  @param slope  leaky slope where the plans name none */
sf_status sf_arch_read(sf_arch *a, const json_t *cfg, int dim, double slope, const char *where);
/** The `architecture` object as nnU-Net v2 writes it. New reference, NULL when out of memory. */
json_t *sf_arch_json(const sf_arch *a);

#endif
