/** The network part of a configuration. Private to src/plan. */
#ifndef SF_PLAN_ARCH_H
#define SF_PLAN_ARCH_H
#include "plan/plans.h"

/** Decode `architecture`, or the flat keys that nnU-Net wrote before 2.3 (nnunet-planning.md 9.2).
 *  Everything that we cannot follow is refused by name: other classes, sizes and unknown keys that
 *  are not off (null, false, 0, empty).
 *  @param cfg    the configuration's JSON object, inheritance resolved
 *  @param r      leaky slope and eps of the norm where the plans name none
 *  @return SF_EDATA, SF_EUNSUPPORTED: `where`, the key, what is possible. */
sf_status sf_arch_read(sf_arch *a, const json_t *cfg, int dim, const sf_recipe_train *r,
                       const char *where);
/** The `architecture` object as nnU-Net v2 writes it. New reference, NULL when out of memory. */
json_t *sf_arch_json(const sf_arch *a);

#endif
