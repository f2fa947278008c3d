/** Choice of the best model or pair (paper, Methods: Ensembling; nnunet-training.md 10.1). */
#ifndef SF_EVALUATE_SELECT_H
#define SF_EVALUATE_SELECT_H
#include "evaluate/postproc.h"

/** mean of several probability maps in float32, model order; then labels. */
void sf_ensemble_mean(const float *const *p, int n, int64_t count, float *out);

typedef struct { char *name; int member[2]; int n_members; double dice; double *class_dice; } sf_candidate;
typedef struct { sf_candidate *candidate; int n; int best; } sf_selection;
/** Singles in the given order, then every pair i<j; the largest score wins, ties: the first. scores: filled by the caller per candidate
 *  through sf_selection_create (names) and candidate[i].dice / class_dice; then sf_selection_choose. */
sf_status sf_selection_create(sf_selection **out, const char *const *models, int n_models, bool ensembles, int n_eval);
void sf_selection_choose(sf_selection *s);
void sf_selection_destroy(sf_selection **s);

#endif
