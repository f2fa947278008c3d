/** Largest-component post-processing, decided by measurement (paper, Methods: Post-processing;
 *  nnunet-training.md 10.3). Paper and nnU-Net v2 agree on the rule. Not collective. */
#ifndef SF_EVALUATE_POSTPROC_H
#define SF_EVALUATE_POSTPROC_H
#include "evaluate/metrics.h"

/** Removals in the order in which they are applied. value: the labels whose union is treated; key:
 *  `labels_or_regions` as JSON text: "2" for a class, "[1, 2]" for a region or all foreground. */
typedef struct {
    int n_ops;
    struct {
        int n;
        int *value;
        char *key;
    } * op;
} sf_postproc;

/** One case in memory, as the determination sees it. ref and pred are borrowed. */
typedef struct {
    const int32_t *ref;
    int32_t *pred;
    int64_t shape[3];
} sf_pp_case;

/** First all foreground jointly: accepted when the foreground mean Dice rises and no class or
 *  region falls. Then, with more than one, each class or region on top: accepted when its own mean
 *  Dice rises. A mean that is NaN never accepts. The pred arrays are changed to the accepted
 * result.
 *  @param before,after  summaries without names, the caller destroys; may be NULL
 *  On failure pred may hold some of the removals. Cases are treated in parallel. */
sf_status sf_postproc_determine(sf_postproc **out, sf_pp_case *cases, int n,
                                const sf_labels *labels, sf_summary **before, sf_summary **after);
/** Apply all removals to one segmentation. */
sf_status sf_postproc_apply(const sf_postproc *p, int32_t *seg, const int64_t shape[3]);
/** postprocessing.json in nnU-Net's form; before and after may be NULL. Atomic. */
sf_status sf_postproc_save(const sf_postproc *p, const sf_summary *before, const sf_summary *after,
                           const sf_labels *labels, const char *path);
/** Also reads nnU-Net's own file. SF_EUNSUPPORTED for a function we do not know. Caller destroys.
 */
sf_status sf_postproc_load(sf_postproc **out, const char *path);
void sf_postproc_destroy(sf_postproc **p);

#endif
