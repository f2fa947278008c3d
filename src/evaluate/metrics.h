/** Overlap metrics with nnU-Net's NaN rules, summary.json (nnunet-training.md 9). Counts are exact. */
#ifndef SF_EVALUATE_METRICS_H
#define SF_EVALUATE_METRICS_H
#include "plan/dataset.h"

typedef struct { int64_t tp, fp, fn, tn; double dice, iou; } sf_metric; /* dice, iou NaN when tp+fp+fn = 0 */
/** m has labels->n_eval entries. Voxels whose reference is the ignore label do not count. */
void sf_metrics_compute(const int32_t *ref, const int32_t *pred, int64_t voxels, const sf_labels *labels, sf_metric *m);

typedef struct {
    int n_cases, n_eval;
    sf_metric *m;              /* [case][eval] */
    double *mean_dice;         /* [eval] nan-mean over cases */
    double foreground_dice;    /* plain mean over eval (NaN when any is) */
    char **id, **pred, **ref;
} sf_summary;
sf_status sf_summary_create(sf_summary **out, int n_cases, const sf_labels *labels);
/** Fill case i from counts; paths are copied and written as given (result files hold no absolute paths: pass relative ones). */
sf_status sf_summary_set(sf_summary *s, int i, const char *id, const char *pred, const char *ref, const sf_metric *m);
void sf_summary_finish(sf_summary *s);
sf_status sf_summary_save(const sf_summary *s, const sf_labels *labels, const char *path);
sf_status sf_summary_load(sf_summary **out, const sf_labels *labels, const char *path);
void sf_summary_destroy(sf_summary **s);
/** All cases of two folders with equal names (missing predictions: SF_EDATA naming them, unless chill). Not collective. */
sf_status sf_evaluate_folders(sf_summary **out, const char *ref_dir, const char *pred_dir, const char *ending, const sf_labels *labels, bool chill, int threads);

#endif
