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
    sf_plans *plans;
    sf_splits *splits;
    char **config;
    int n_configs;
    int *fold;
    int n_folds;
    int threads;
    sf_prof *prof;              /* seconds per stage of this rank are added; may be NULL */
    const struct sf_near *near; /* where containers are read; NULL: where they lie */
    int lock;                   /* on the work folder, of rank 0 */
} sf_project;

/** Dataset and settings (stored or checked in W/run.json by rank 0), thread count. Collective.
 * @param alone  no other process may be at work in the folder; else those that are not alone may
 *  @return SF_EINVAL: the folder is in use */
sf_status sf_project_open(sf_project *p, sf_comm *world, const sf_run_options *o, bool alone);
/** W/plans.json and W/splits_final.json, then the lists of configurations and folds that were asked
 * for. Not collective. */
sf_status sf_project_load_plans(sf_project *p);
/** W/splits_final.json; fold "all" has every case of the dataset, named in the file or not.
 *  @return SF_EINVAL: not there; SF_EDATA: it names a case that the dataset does not have. */
sf_status sf_project_splits(sf_splits **out, const sf_dataset *d, const char *work);
/** Key of a training of this project. Borrows config. */
sf_task_key sf_project_key(const sf_project *p, const char *config, int fold);
void sf_project_close(sf_project *p);

#endif
