/** One case through transpose, crop, normalise, resample, class locations (order of the recipe); cases spread over ranks. */
#ifndef SF_PREPROCESS_PIPELINE_H
#define SF_PREPROCESS_PIPELINE_H
#include "store/cases.h"

/** In memory. labels: file order [z][y][x] or NULL (inference: no seg, no locations). Caller destroys. Not collective. */
sf_status sf_prepare_case(sf_prepared **out, const char *id, const sf_plans *plans, const sf_config *cfg, const sf_labels *labels,
                          const sf_image *img, const int32_t *seg_or_null, int threads);
/** Read the files of a case and prepare it. */
sf_status sf_prepare_case_files(sf_prepared **out, const sf_case *c, const sf_plans *plans, const sf_config *cfg, const sf_labels *labels,
                                bool with_label, sf_geometry *geo, int threads);
/** Collective: all training cases of the dataset into `path` (largest first, dealt to ranks in rounds). Progress is shown. */
sf_status sf_preprocess_config(sf_comm *comm, const sf_dataset *d, const sf_plans *plans, const sf_config *cfg, const char *path, int threads);

#endif
