/** Largest-component post-processing, decided by measurement (paper, Methods: Post-processing; nnunet-training.md 10.3). */
#ifndef SF_EVALUATE_POSTPROC_H
#define SF_EVALUATE_POSTPROC_H
#include "evaluate/metrics.h"

typedef struct { int n_ops; struct { int n; int *value; char *key; } *op; } sf_postproc; /* applied in order */
/** One case in memory, as the determination sees it. ref, pred borrowed. */
typedef struct { const int32_t *ref; int32_t *pred; int64_t shape[3]; } sf_pp_case;
/** Algorithm of v2 (= paper): all foreground jointly, then each class on top. `pred` arrays are changed to the accepted result.
 *  before, after: summaries without names (caller destroys; may be NULL). */
sf_status sf_postproc_determine(sf_postproc **out, sf_pp_case *cases, int n, const sf_labels *labels, sf_summary **before, sf_summary **after);
sf_status sf_postproc_apply(const sf_postproc *p, int32_t *seg, const int64_t shape[3]);
/** postprocessing.json in nnU-Net's form. */
sf_status sf_postproc_save(const sf_postproc *p, const sf_summary *before, const sf_summary *after, const sf_labels *labels, const char *path);
sf_status sf_postproc_load(sf_postproc **out, const char *path);
void sf_postproc_destroy(sf_postproc **p);

#endif
