/** A recipe: every fixed parameter and every switch on which the sources differ, from configs/recipes/NAME.json
 *  (embedded in the program at build time) or a user's file. No such number is written in C.
 *  A variant file overrides single values. Source: decisions.md "Recipes". */
#ifndef SF_PLAN_RECIPE_H
#define SF_PLAN_RECIPE_H
#include "base/error.h"
#include "base/json.h"
#include <stdbool.h>
#include <stdint.h>

typedef enum { SF_RULE_PAPER, SF_RULE_V2 } sf_rule;

typedef struct {
    char *name;
    json_t *json;              /* complete, as used; recorded in plans.json */
    struct {                   /* planner */
        sf_rule initial_patch, batch_after_reduction, pooling, kernel_size, cascade_trigger_rule, lowres_stop, target_spacing_3d, target_spacing_2d, ct_statistics, mask_rule;
        double cascade_trigger, lowres_step, batch_cap, anisotropy, anisotropy_percentile, mask_shrink;
        double memory_gb_ref, ref_3d, ref_2d; int64_t ref_batch_3d, ref_batch_2d, min_batch;
        int64_t min_edge, base_features, max_features_3d, max_features_2d, convs_per_stage, convs_per_stage_decoder;
        int64_t guess_volume_edge_3d, guess_volume_edge_2d;
        double fingerprint_samples; /* v2: 1e8 over all cases */
    } plan;
    struct { bool normalize_before_resample, mask_outside_zero, labels_argmax; int64_t order_data, order_seg, order_prob, order_z; double separate_z_threshold; int64_t min_locations; double location_fraction; } prep;
    struct {                   /* training */
        int64_t epochs, iterations, val_iterations; double lr, momentum, decay, clip, poly_power; double foreground_fraction; bool foreground_at_least_one;
        double dice_smooth, weight_ce, weight_dice, leaky_slope, norm_eps, ema; int64_t checkpoint_every;
    } train;
    struct {                   /* inference */
        bool average_probabilities; /* mirrors, tiles, folds: probabilities (paper) or logits (v2) */
        double step, gaussian_sigma; bool mirror;
    } infer;
    json_t *augment;           /* borrowed from json: read by src/batch */
} sf_recipe;

/** name: "paper", "nnunetv2", or a path ending in .json. variant: NULL, a name, or a path. */
sf_status sf_recipe_load(sf_recipe **out, const char *name, const char *variant);
/** From the copy that plans.json records. */
sf_status sf_recipe_from_json(sf_recipe **out, const json_t *json);
void sf_recipe_destroy(sf_recipe **r);

#endif
