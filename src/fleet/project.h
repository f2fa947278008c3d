/** A work folder with what every stage needs, opened once: settings, dataset, plans, splits, lists
 * of configurations and folds. */
#ifndef SF_FLEET_PROJECT_H
#define SF_FLEET_PROJECT_H
#include "fleet/run.h"
#include "plan/plans.h"
#include "plan/splits.h"

typedef struct {
    const sf_run_options *o;
    const char *work;
    sf_settings settings;
    sf_dataset *dataset;
    sf_recipe *recipe; /* until plans exist; plans carry their own */
    sf_plans *plans;
    sf_splits *splits;
    char **config;
    int n_configs;
    int *fold;
    int n_folds;
    int threads;
} sf_project;

/** Dataset and settings (stored or checked in W/run.json by rank 0), thread count. Collective. */
sf_status sf_project_open(sf_project *p, sf_comm *world, const sf_run_options *o);
/** W/plans.json and W/splits_final.json, then the lists of configurations and folds that were asked
 * for. Not collective. */
sf_status sf_project_load_plans(sf_project *p);
void sf_project_close(sf_project *p);

#endif
