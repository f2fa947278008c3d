/** plans.json in nnU-Net v2's form (nnunet-planning.md 9), decoded. Every per-axis triple is in
 *  transposed order; a 2-D configuration has dim = 2 and uses entries 1 and 2 (entry 0: patch 1,
 *  median 1, stride 1, kernel 1, spacing 0). Immutable after load; thread-safe to read. Not
 *  collective. */
#ifndef SF_PLAN_PLANS_H
#define SF_PLAN_PLANS_H
#include "base/error.h"
#include "base/json.h"
#include "plan/dataset.h"
#include "plan/recipe.h"
#include <stdbool.h>
#include <stdint.h>

enum { SF_MAX_STAGES = 16 };

typedef enum { SF_NET_PLAIN, SF_NET_RESENC } sf_net_class;

/** A U-Net. patch is divisible by the product of strides along every axis (checked). */
typedef struct {
    sf_net_class net;
    int dim, n_stages;
    int64_t features[SF_MAX_STAGES];
    int kernel[SF_MAX_STAGES][3], stride[SF_MAX_STAGES][3];
    int blocks[SF_MAX_STAGES];        /* convs (plain) or residual blocks per encoder stage */
    int decoder_convs[SF_MAX_STAGES]; /* n_stages-1 entries, from the bottleneck up */
    bool conv_bias;
    double eps, slope; /* instance norm; leaky ReLU */
} sf_arch;

typedef enum {
    SF_NORM_ZSCORE,
    SF_NORM_CT,
    SF_NORM_NONE,
    SF_NORM_RESCALE01,
    SF_NORM_RGB01
} sf_norm_scheme;

/** resample_data_or_seg_to_shape; resample_torch_fornnunet: linear, labels by the largest
 *  indicator; no_resampling_hack (nnunet-planning.md 6.6, 6.8). */
typedef enum { SF_RESAMPLE_SPLINE, SF_RESAMPLE_TORCH, SF_RESAMPLE_NONE } sf_resample_fn;

/** One of the three resamplings of a configuration. */
typedef struct {
    bool is_seg;
    int order, order_z;   /* spline orders 0, 1 or 3; with torch 1 and 0 */
    int force_separate_z; /* -1 null, 0, 1 */
    sf_resample_fn fn;    /* none: none of the three resamples */
    double threshold;     /* of the separate axis; 0: the recipe's */
} sf_resampling;

typedef struct {
    char *name, *data_identifier;
    int dim;
    int64_t batch_size, patch[3];
    double median[3], spacing[3]; /* voxels; mm */
    sf_norm_scheme *norm;         /* one per channel */
    bool *use_mask;
    sf_resampling data, seg, prob;
    sf_arch arch;
    bool batch_dice;
    char *previous_stage, *next_stage; /* NULL = none */
} sf_config;

/** Foreground intensity statistics of one channel. */
typedef struct {
    double max, mean, median, min, p00_5, p99_5, std;
} sf_intensity;

typedef struct {
    json_t *json; /* the whole file; unknown keys kept */
    char *dataset_name, *plans_name;
    int transpose_forward[3], transpose_backward[3];
    sf_config *config; /* order of the file, inheritance resolved */
    int n_configs;
    sf_intensity *intensity;
    int n_channels;
    sf_recipe *recipe; /* key "segfleet_recipe"; nnU-Net's own plans have none: nnunetv2 */
    char *variant;     /* name in key "segfleet_variant"; NULL: none */
} sf_plans;

/** Decode; older layouts (nnunet-planning.md 9.2) too.
 *  @return SF_EDATA names the file, configuration and key that is wrong; SF_EUNSUPPORTED names an
 *          unknown architecture, norm or resampling function. Caller destroys. */
sf_status sf_plans_load(sf_plans **out, const char *path);
/** The same from memory; takes a reference of its own. `where` stands for the file in errors. */
sf_status sf_plans_from_json(sf_plans **out, json_t *json, const char *where);
/** Plans of a variant (recipe.h): the same patches, batches and data, the recipe and the networks
 *  changed as it says; complete in themselves. Key "segfleet_variant" records the variant.
 *  @return what sf_variant_load and sf_recipe_vary say; SF_EINVAL: `base` is a variant's already;
 *  SF_EUNSUPPORTED: a change that a network cannot take. Caller destroys *out. */
sf_status sf_plans_vary(sf_plans **out, const sf_plans *base, const char *variant);
void sf_plans_destroy(sf_plans **p);
/** Borrowed. SF_EINVAL lists the configurations that exist. */
sf_status sf_plans_config(const sf_config **out, const sf_plans *p, const char *name);
/** Whose preprocessed data `c` reads: the first configuration of the file with the same data
 *  identifier, dimension, spacing, normalization and resampling; often c itself. The second stage
 * of a cascade has no data of its own. Borrowed. */
const sf_config *sf_plans_data_owner(const sf_plans *p, const sf_config *c);
/** Channels that the network of `c` sees: the image's, and in the second stage of a cascade one per
 *  foreground label of the first. */
int sf_plans_input_channels(const sf_plans *p, const sf_config *c, const sf_labels *l);

/** Class name in plans of a scheme and back ("ZScoreNormalization"); false when unknown. */
const char *sf_norm_class(sf_norm_scheme s);
bool sf_norm_from_class(sf_norm_scheme *s, const char *name);

/** nnU-Net's name of a resampling function and back; SF_EUNSUPPORTED lists those that exist. */
const char *sf_resample_fn_name(sf_resample_fn fn);
sf_status sf_resample_fn_from_name(sf_resample_fn *fn, const char *name, const char *where);

/** The seven numbers under nnU-Net's keys ("percentile_00_5" ...), in its order. New reference. */
json_t *sf_intensity_json(const sf_intensity *v);
sf_status sf_intensity_read(sf_intensity *v, const json_t *obj, const char *where);

#endif
