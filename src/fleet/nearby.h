/** The containers that a work folder's trainings read, brought near the processors. */
#ifndef SF_FLEET_NEARBY_H
#define SF_FLEET_NEARBY_H
#include "fleet/project.h"
#include "train/near.h"

/** Collective, before anything long: are the words of --cache and --stage sound, and the hints of
 * --mpi-io-hints? The hints hold from now on. */
sf_status sf_nearby_check(sf_comm *world, const sf_run_options *o);
/** Collective. The container of each configuration of the project, and of first stages of cascades,
 * as --cache and --stage say. Caller destroys (sf_near_destroy). */
sf_status sf_nearby_open(sf_near **out, const sf_project *p, sf_comm *world);

#endif
