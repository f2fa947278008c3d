/** The trainings of a run as tasks with dependencies: every (configuration, fold) is one, and the
 * second stage of a cascade waits for all folds of the first (paper, Methods: Cascade;
 * nnunet-training.md 7). Results do not depend on who runs what when. */
#ifndef SF_FLEET_TASKS_H
#define SF_FLEET_TASKS_H
#include "fleet/project.h"

/** Collective over `group`: one training. SF_EINVAL when it needs another one that is not done. */
sf_status sf_task_train(const sf_project *p, sf_comm *group, const char *config, int fold);
/** Not collective. Is nothing left to do for it: validated, with `probabilities` also ready for
 * ensembles? */
sf_status sf_task_done(bool *done, const sf_project *p, const char *config, int fold,
                       bool probabilities);
/** Is this layout (NULL: auto) one for the ranks of `world`? SF_EINVAL, on all of them. */
sf_status sf_tasks_check_layout(const char *layout, sf_comm *world);
/** Collective over `world`: everything that is not done, with what it depends on. */
sf_status sf_tasks_run(const sf_project *p, sf_comm *world);

#endif
