/** The stages before and after training, each resumable: what is there is kept. All collective over
 * `world`: every rank calls with the same arguments; files are written by rank 0; errors are agreed
 * before anyone goes on. */
#ifndef SF_FLEET_STAGES_H
#define SF_FLEET_STAGES_H
#include "mpi/comm.h"
#include "plan/planner.h"
#include "plan/splits.h"

/** Dataset fingerprint -> `path`; cases are spread over the ranks. */
sf_status sf_stage_fingerprint(sf_comm *world, const sf_dataset *d, const sf_recipe *r,
                               const char *path);
/** Fingerprint file -> plans file. */
sf_status sf_stage_plan(sf_comm *world, const sf_dataset *d, const sf_recipe *r,
                        const sf_planner_options *o, const char *fingerprint, const char *plans);
/** W/splits_final.json, unless it is there: the file `splits`, else the dataset's own (SF_EDATA
 * when it names unknown cases, SF_EINVAL together with groups), else made. groups: "" or a file
 * (sf_splits_groups); splits: "" or a file. */
sf_status sf_stage_splits(sf_comm *world, const sf_dataset *d, const char *work, int folds,
                          const char *groups, const char *splits);
/** W/preprocessed/CONFIG.h5 of every named configuration, of the first stage where one is the
 * second of a cascade (which itself reads another one's data), and W/dataset.json. */
sf_status sf_stage_preprocess(sf_comm *world, const sf_dataset *d, const sf_plans *p,
                              char *const *configs, int n, const char *work, int threads);

#endif
