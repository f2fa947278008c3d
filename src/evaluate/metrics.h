/** Overlap metrics with nnU-Net's NaN rules, and summary.json (nnunet-training.md 9).
 *  Counts are exact integers; means are summed in NumPy's order, so a summary equals nnU-Net's.
 *  Not collective; thread-safe on different objects. */
#ifndef SF_EVALUATE_METRICS_H
#define SF_EVALUATE_METRICS_H
#include "plan/dataset.h"

/** One evaluated thing (class or region) in one case. dice and iou are NaN when tp+fp+fn = 0. */
typedef struct {
    int64_t tp, fp, fn, tn;
    double dice, iou;
} sf_metric;

/** Voxels whose reference is the ignore label do not count. Cannot fail.
 *  @param[in]  ref,pred  [voxels]; labels that are not declared count as background
 *  @param[out] m         [labels->n_eval], the caller's */
void sf_metrics_compute(const int32_t *ref, const int32_t *pred, int64_t voxels,
                        const sf_labels *labels, sf_metric *m);

typedef struct {
    int n_cases, n_eval;
    sf_metric *m;           /* [case][eval] */
    double *mean_dice;      /* [eval] mean over the cases where it is defined; NaN if none */
    double foreground_dice; /* plain mean over eval (NaN when any is) */
    char **id, **pred, **ref;
} sf_summary;

/** All counts 0, no names. Caller destroys. */
sf_status sf_summary_create(sf_summary **out, int n_cases, const sf_labels *labels);
/** Fill case i from counts. Texts are copied (NULL = none) and written as given: result files hold
 *  no absolute paths, so pass relative ones. */
sf_status sf_summary_set(sf_summary *s, int i, const char *id, const char *pred, const char *ref,
                         const sf_metric *m);
/** Compute the means; needed before they are read, not before saving. */
void sf_summary_finish(sf_summary *s);
/** nnU-Net's summary.json: indent 4, sorted keys, bare NaN. Atomic. */
sf_status sf_summary_save(const sf_summary *s, const sf_labels *labels, const char *path);
/** Read it back, finished. SF_EDATA names the file and the key that is missing. Caller destroys. */
sf_status sf_summary_load(sf_summary **out, const sf_labels *labels, const char *path);
void sf_summary_destroy(sf_summary **s);

/** Evaluate the files of two folders that have equal names and end in `ending`, in byte order of
 *  the names. The summary's file names are these names, without folder.
 *  @param chill    cases without a prediction are left out; else SF_EDATA names them
 *  @param threads  cases read and counted at once; the result does not depend on it */
sf_status sf_evaluate_folders(sf_summary **out, const char *ref_dir, const char *pred_dir,
                              const char *ending, const sf_labels *labels, bool chill, int threads);

#endif
