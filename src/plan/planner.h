/** Fingerprint -> plans: one function per rule (paper, Methods; nnunet-planning.md 7, 8). Pure:
 * same input, same plan. */
#ifndef SF_PLAN_PLANNER_H
#define SF_PLAN_PLANNER_H
#include "plan/fingerprint.h"

typedef struct {
    double memory_gb;       /* <= 0: the recipe's */
    const char *preset;     /* NULL, "ResEncM", ... (configs/presets) */
    const double *spacing;  /* NULL or 3 numbers, file order */
    const char *plans_name; /* NULL: nnUNetPlans or the preset's */
} sf_planner_options;

/** @param[out] explain  NULL, or an array of
 * {"decision","configuration","rule","source","inputs":{},"result"} (caller decrefs). */
sf_status sf_planner_run(json_t **plans, json_t **explain, const sf_fingerprint *f,
                         const sf_dataset *d, const sf_recipe *r, const sf_planner_options *o);
/** The explanation as text for people; caller frees. */
sf_status sf_planner_explain_text(char **out, const json_t *explain);

#endif
