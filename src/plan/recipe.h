/** A recipe: every fixed parameter and every switch on which the sources differ, from
 *  configs/recipes/NAME.json (embedded in the program at build time) or a user's file. No such
 *  number is written in C. A variant file overrides single values. The keys of the JSON file are
 *  the field names below, in the groups "plan", "prep", "train", "infer" and "augment"; a missing
 *  or unknown key is an error that names it. Source: decisions.md "Recipes".
 *  Immutable after load; thread-safe to read. Nothing here is collective. */
#ifndef SF_PLAN_RECIPE_H
#define SF_PLAN_RECIPE_H
#include "base/error.h"
#include "base/json.h"
#include <stdbool.h>
#include <stdint.h>

/** Whose wording a switch follows: "paper" or "v2" in the file. */
typedef enum { SF_RULE_PAPER, SF_RULE_V2 } sf_rule;

/** Fingerprint -> plans. Edges in voxels, memory references in feature-map elements. */
typedef struct {
    sf_rule initial_patch;         /* paper: median shape; v2: volume guess clipped to it */
    sf_rule batch_after_reduction; /* paper: exactly min_batch; v2: the formula */
    sf_rule pooling;               /* paper: spacing against the finest axis of all, then size */
    sf_rule kernel_size;           /* paper: 1 while ratio > kernel_ratio; v2: >= */
    sf_rule lowres_stop;           /* paper: patch > lowres_cover of the median; v2: >= */
    sf_rule target_spacing_3d;     /* v2 adds a floor above the other axes */
    sf_rule target_spacing_2d;     /* paper: plain medians; v2: the 3-D rule */
    sf_rule ct_statistics;         /* paper: all voxels pooled; v2: every case weighs the same */
    sf_rule mask_rule;             /* paper: average size <= 1 - mask_shrink; v2: median, < */
    bool ignore_in_statistics;     /* the ignore label counts as foreground, as in v2 */
    double cascade_trigger;        /* lowres is tried when patch / median is below */
    double lowres_step;            /* relative growth of the spacing per try */
    double lowres_cover;           /* the part of the median that the lowres patch must cover */
    double lowres_min_shrink;      /* lowres is dropped when it is less than this times smaller */
    double lowres_axis_ratio;      /* axes finer than coarsest / this grow alone */
    double batch_cap;              /* a batch holds at most this part of all voxels */
    double anisotropy;             /* "anisotropic" means a ratio above this */
    double anisotropy_percentile;  /* of the coarse axis' spacings, in 0..100 */
    double anisotropy_floor;       /* v2: added to the coarser in-plane spacing */
    double mask_shrink;            /* cropping removes at least this part: z-score on the mask */
    double memory_gb_ref;          /* the memory that the references stand for */
    double memory_gb;              /* target when the user names none */
    double ref_3d, ref_2d;         /* feature-map elements of one sample */
    int64_t ref_batch_3d, ref_batch_2d;
    bool reduce_at_ref_batch; /* shrink until ref_batch samples fit (else: min_batch) */
    int64_t min_batch;
    int64_t min_edge;                /* smallest edge of a feature map */
    double pool_ratio, kernel_ratio; /* spacing ratios */
    int64_t lone_axis_factor;        /* v2: one axis alone is pooled from this times min_edge on */
    int64_t base_features, max_features_3d, max_features_2d;
    int64_t convs_per_stage, convs_per_stage_decoder;
    bool conv_bias;
    int64_t guess_volume_edge_3d, guess_volume_edge_2d; /* v2's first patch: edge^dim voxels */
    double fingerprint_samples; /* v2's number of draws; scales nothing here, recorded only */
} sf_recipe_plan;

/** Raw case -> network grid, and back. Orders are spline orders. */
typedef struct {
    bool normalize_before_resample, mask_outside_zero, labels_argmax;
    int64_t order_data, order_seg, order_prob, order_z;
    double separate_z_threshold; /* spacing ratio above which one axis is resampled apart */
    int64_t min_locations;       /* stored voxels per class: at least this many ... */
    double location_fraction;    /* ... or this part of the class */
} sf_recipe_prep;

typedef struct {
    int64_t epochs, iterations, val_iterations; /* iterations per epoch */
    double lr, momentum, decay, clip, poly_power;
    double foreground_fraction;   /* of the samples of a batch are forced to show foreground */
    bool foreground_at_least_one; /* also at batch size 1 */
    double dice_smooth, weight_ce, weight_dice, leaky_slope, norm_eps;
    double ema;               /* weight of the past in the running Dice */
    int64_t checkpoint_every; /* epochs */
    bool deep_supervision;    /* false: loss at full resolution alone */
} sf_recipe_train;

typedef struct {
    bool average_probabilities; /* mirrors, tiles, folds: probabilities (paper), logits (v2) */
    double step;                /* tile step, part of the tile edge */
    double gaussian_sigma;      /* part of the tile edge */
    bool mirror;
    bool mirror_last_axis; /* false: nnU-Net's nnUNetTrainer_onlyMirror01 */
} sf_recipe_infer;

typedef struct {
    char *name;
    json_t *json; /* complete, as used; recorded in plans.json */
    sf_recipe_plan plan;
    sf_recipe_prep prep;
    sf_recipe_train train;
    sf_recipe_infer infer;
    json_t *augment; /* borrowed from json: read by src/batch */
} sf_recipe;

/** @param name  "paper", "nnunetv2", or a path ending in .json
 *  @return SF_OK; SF_EINVAL for an unknown name (lists those that exist), SF_EDATA for a wrong
 *          file. Caller destroys *out. */
sf_status sf_recipe_load(sf_recipe **out, const char *name);
/** From the copy that plans.json records. `json` is copied. */
sf_status sf_recipe_from_json(sf_recipe **out, const json_t *json);
void sf_recipe_destroy(sf_recipe **r);

/** A variant: a JSON object with a name and values that replace those of a recipe, object by object
 *  (nnunet-training.md 3.1). Of "plan" it may change the network alone, of "prep" nothing: all
 *  variants of a work folder share plan and preprocessed data. */
enum { SF_VARIANT_NAME = 64 }; /* bytes of a name with its final 0 */
/** @param variant  the name of a shipped one, or a path ending in .json
 *  @return SF_EINVAL for an unknown name (lists those that exist); SF_EDATA: a name that cannot be
 *  part of a path, a key that no variant may change. Caller decrefs *out; NULL on failure. */
sf_status sf_variant_load(json_t **out, const char *variant);
/** SF_EDATA names a key that the recipe does not have. Caller destroys *out. */
sf_status sf_recipe_vary(sf_recipe **out, const sf_recipe *base, const json_t *variant);
/** Shipped variants with their descriptions, a line each, for help texts. Caller frees *out. */
sf_status sf_variant_list(char **out);

/** A planner preset of configs/presets ("ResEncM", ...): a JSON object, caller decrefs.
 *  SF_EINVAL lists the names that exist. */
sf_status sf_preset_load(json_t **out, const char *name);

#endif
