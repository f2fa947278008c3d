/** What the steps of the planner share. Private to src/plan; the entry is plan/planner.h. */
#ifndef SF_PLAN_PLANNING_H
#define SF_PLAN_PLANNING_H
#include "plan/planner.h"

/** The recipe's planner numbers with a preset laid over them. */
typedef struct {
    sf_recipe_plan rule;
    sf_net_class net;
    int blocks[SF_MAX_STAGES]; /* per encoder stage */
    int decoder_convs;
    double slope, eps, memory_gb;
    sf_resampling resampling;         /* fn, force_separate_z and threshold count */
    const char *planner, *plans_name; /* borrowed from preset or options */
    const char *shared;               /* plans name of the shared data identifiers, or NULL */
    json_t *preset;                   /* owned; NULL without one */
} sf_plan_settings;

sf_status sf_plan_settings_make(sf_plan_settings *s, const sf_recipe *r,
                                const sf_planner_options *o);
void sf_plan_settings_free(sf_plan_settings *s);

/** Resampling targets. Triples in file order unless they say transposed. */
typedef struct {
    double median_spacing[3], median_shape[3]; /* of the cases, before resampling */
    double target[3], target_2d[3];
    int forward[3], backward[3];
    /* transposed: target spacing and median shape after resampling to it */
    double spacing[3], shape[3], spacing_2d[3], shape_2d[3];
    bool only_2d;
} sf_plan_grid;

sf_status sf_plan_grid_make(sf_plan_grid *g, const sf_plan_settings *s, const sf_fingerprint *f,
                            const double *overwrite, json_t *explain);

/** One network: patch, batch and topology of one configuration. Transposed order; a 2-D one uses
 *  axes 1 and 2. */
typedef struct {
    int dim;
    double spacing[3], median[3];
    sf_arch arch;
    int64_t patch[3], batch;
    int64_t start[3]; /* the patch before any reduction */
    double first, estimate, budget;
    double headroom, limit; /* batch by memory, and by the share of the dataset */
    int reductions;
    bool padded; /* too small for one pooling, so the patch was enlarged */
} sf_draft;

/** @param voxels  of the whole training set at this spacing: caps the batch
 *  @param classes keys of `labels`
 *  @return SF_EINVAL when no patch with at least one pooling fits the memory target. */
sf_status sf_draft_make(sf_draft *out, const sf_plan_settings *s, int dim, const double spacing[3],
                        const double median[3], double voxels, int classes);
void sf_draft_explain(json_t *explain, const sf_plan_settings *s, const char *name,
                      const sf_draft *d);

/** The lowres network of a cascade, when the fullres patch sees too little. */
typedef struct {
    sf_draft draft;
    bool exists;
    int tries;
} sf_lowres;
sf_status sf_lowres_make(sf_lowres *out, const sf_plan_settings *s, const sf_plan_grid *g,
                         const sf_draft *full, double n_cases, int classes, json_t *explain);

/** The drafts as plans.json; full and low may be NULL. New reference in *out. */
sf_status sf_plans_write(json_t **out, const sf_plan_settings *s, const sf_plan_grid *g,
                         const sf_draft *two, const sf_draft *full, const sf_draft *low,
                         const sf_fingerprint *f, const sf_dataset *d, const sf_recipe *r,
                         bool own_identifiers, json_t *explain);

/** Append one entry; steals inputs and result (either may be NULL). list may be NULL. */
void sf_explain_add(json_t *list, const char *decision, const char *configuration, const char *rule,
                    const char *source, json_t *inputs, json_t *result);
/** "paper" or "nnU-Net v2". */
const char *sf_explain_source(sf_rule r);

#endif
