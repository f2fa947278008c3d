/** Fingerprint -> plans: one function per rule (paper, Methods: Dynamic network adaptation,
 *  Configuration of the U-Net; nnunet-planning.md 7, 8). Pure: same input, same plan. Every switch
 *  and number comes from the recipe or a preset. Not collective; thread-safe. */
#ifndef SF_PLAN_PLANNER_H
#define SF_PLAN_PLANNER_H
#include "plan/fingerprint.h"

typedef struct {
    double memory_gb;       /* <= 0: the recipe's, or the preset's */
    const char *preset;     /* NULL, "ResEncM", ... (configs/presets), or a path ending in .json */
    const double *spacing;  /* NULL or 3 numbers, mm, file order: replaces the target spacing */
    const char *plans_name; /* NULL: nnUNetPlans or the preset's */
} sf_planner_options;

/** @param[out] plans    plans.json (nnunet-planning.md 9.1) plus "segfleet_recipe"; caller decrefs
 *  @param[out] explain  NULL, or an array of {"decision", "configuration" (or ""), "rule",
 *                       "source", "inputs": {}, "result"}, one per decision; caller decrefs
 *  @param d   labels, channels, number of cases and name are used, no files
 *  @return SF_EDATA for a fingerprint that cannot be (spacing <= 0); SF_EINVAL for a memory target
 *          that no network fits in, or an unknown preset. */
sf_status sf_planner_run(json_t **plans, json_t **explain, const sf_fingerprint *f,
                         const sf_dataset *d, const sf_recipe *r, const sf_planner_options *o);
/** Planning again into a file that exists: configurations of `old` that `plans` does not have are
 *  appended, as nnU-Net does (hand-made ones survive), each with a warning in the log, since they
 *  may rest on another target spacing. `where` names the file.
 *  @return SF_EDATA when `old` is no plans file or a kept configuration no longer fits. */
sf_status sf_planner_keep_foreign(json_t *plans, const json_t *old, const char *where);
/** The explanation as text for people; caller frees with sf_mem_free. */
sf_status sf_planner_explain_text(char **out, const json_t *explain);

#endif
