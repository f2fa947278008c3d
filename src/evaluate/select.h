/** Choice of the best model or pair (paper, Methods: Ensembling; nnunet-training.md 10.1).
 *  Not collective; thread-safe on different objects. */
#ifndef SF_EVALUATE_SELECT_H
#define SF_EVALUATE_SELECT_H
#include "evaluate/postproc.h"

/** out[i] = (p[0][i] + p[1][i] + ...) / n in float32, in model order. out may be one of the p. */
void sf_ensemble_mean(const float *const *p, int n, int64_t count, float *out);

typedef struct {
    char *name; /* the model's, or "ensemble___A___B" */
    int member[2], n_members;
    double dice; /* foreground mean Dice over the pooled validation cases; NaN until filled */
    double *class_dice; /* [n_eval] */
} sf_candidate;

typedef struct {
    sf_candidate *candidate;
    int n, best;
} sf_selection;

/** Singles in the given order, then (with `ensembles`) every pair i < j. The caller fills dice and
 *  class_dice of each candidate, then calls sf_selection_choose; and destroys. */
sf_status sf_selection_create(sf_selection **out, const char *const *models, int n_models,
                              bool ensembles, int n_eval);
/** best = the largest dice; ties: the first; NaN loses against every number. */
void sf_selection_choose(sf_selection *s);
void sf_selection_destroy(sf_selection **s);

#endif
