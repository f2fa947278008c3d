/** The augmentation of one configuration: the recipe's "augment" object decoded, draws,
 * application.
 *
 *  Order: spatial (row 1 of nnunet-training.md 6.1), the table of intensity transforms (rows 2 to
 * 8), mirroring (9), masking (10), label -1 -> 0 (11). Each transform draws from a stream of its
 * own, keyed by (seed, scope/transform, epoch, iteration, sample), with a fixed number of draws per
 *  channel; so a changed probability or an added transform never shifts the draws of another one.
 *  An sf_augment is immutable after creation: any number of threads may use it. Not collective. */
#ifndef SF_BATCH_AUGMENT_H
#define SF_BATCH_AUGMENT_H
#include "batch/intensity.h"
#include "batch/sampler.h"
#include "batch/spatial.h"
#include "plan/plans.h"

/** Rows of the table of intensity transforms, in the order of application. */
typedef enum {
    SF_AUG_NOISE,
    SF_AUG_BLUR,
    SF_AUG_BRIGHTNESS,
    SF_AUG_CONTRAST,
    SF_AUG_LOW_RESOLUTION,
    SF_AUG_GAMMA_INVERTED,
    SF_AUG_GAMMA,
    SF_AUG_COUNT
} sf_augment_row;

/** What sf_augment_sample spends its time in: the rows, and around them cutting with the spatial
 *  transform, and mirroring with the rows behind it. */
enum { SF_AUG_SPATIAL = SF_AUG_COUNT, SF_AUG_FINISH, SF_AUG_STAGES };

/** Parameters of one row, from the recipe. */
typedef struct {
    double p;         /* probability per sample */
    double p_channel; /* then per channel */
    double lo, hi;    /* range of the drawn value */
    bool halves;      /* law: half the draws below 1, half above; else uniform */
    bool shared;      /* one value for all channels */
    bool per_axis;    /* one value per axis; else one for all axes */
} sf_augment_params;

typedef struct {
    bool enabled; /* false: no augmentation at all, the loader cuts the patch directly */
    sf_formulas formulas;
    sf_patch_setup setup;
    int dim, channels;
    int64_t patch[3];
    struct {
        double p_rotation, p_scaling, lo, hi;
        bool halves;
        sf_image_rule image;
        sf_label_rule labels;
    } spatial;
    sf_augment_params row[SF_AUG_COUNT];
    sf_image_rule low_resolution_up;
    double p_mirror; /* per allowed axis; 0 with --no-mirroring */
    bool *use_mask;  /* [channels], owned */
} sf_augment;

/** @param json      the recipe's "augment" object
 *  @param cfg       dim, patch and use_mask of the configuration
 *  @param channels  image channels
 *  @param mirror    false: never mirror
 *  @return SF_EDATA naming the key that is missing or has no meaning. Caller destroys. */
sf_status sf_augment_create(sf_augment **out, const json_t *json, const sf_config *cfg,
                            int channels, bool mirror);
void sf_augment_destroy(sf_augment **a);
/** Key of a row in the recipe and name of its stream ("blur"). */
const char *sf_augment_row_name(sf_augment_row row);
/** The same for any stage. */
const char *sf_augment_stage_name(int stage);

/** Which sample: what every stream is keyed by. `scope` is the task's ("none/2d/0"). */
typedef struct {
    uint64_t seed;
    const char *scope;
    uint32_t epoch, iteration, sample;
} sf_sample_key;

/** The generator of one named stream of a sample. */
void sf_augment_stream(sf_rng *out, const sf_sample_key *key, const char *name);

/** What one row drew for one sample. Arrays are the caller's, [channels]. */
typedef struct {
    bool on;
    bool *chosen;
    double (*value)[3]; /* per axis; all three equal unless per_axis */
} sf_row_draw;

/** The draw steps alone, as the application below makes them: for tests of the laws. Values are
 *  drawn whether or not the transform fires, so that the number of draws is always the same. */
void sf_augment_draw_spatial(sf_spatial_draw *out, const sf_augment *a, const sf_sample_key *key);
void sf_augment_draw_row(sf_row_draw *out, const sf_augment *a, sf_augment_row row,
                         const sf_sample_key *key);
void sf_augment_draw_mirror(bool axis[3], const sf_augment *a, const sf_sample_key *key);

/** A case that samples are cut from; borrowed. */
typedef struct {
    const float *data;       /* [channels][shape] */
    const int16_t *seg;      /* [shape] */
    const int16_t *previous; /* [shape], labels of a cascade's first stage; NULL: none */
    int64_t shape[3];
} sf_sample_source;

/** Where a sample goes; the caller's. */
typedef struct {
    float *data;       /* [channels][patch] */
    int16_t *seg;      /* [patch] */
    int16_t *previous; /* [patch]; not touched without previous labels in the source */
} sf_sample_patch;

/** Everything above for one sample. The previous stage's labels are a second segmentation channel:
 *  the spatial transform and mirroring move them along, -1 becomes 0.
 *  @param start  lower corner of the box of size setup.initial
 *  @param ws     workspace of the calling thread; SF_WS_PREVIOUS is not used. Its stage_seconds, if
 *                there, grow by the time of each stage */
sf_status sf_augment_sample(const sf_augment *a, const sf_sample_key *key,
                            const sf_sample_source *src, const int64_t start[3],
                            const sf_sample_patch *out, sf_workspace *ws);
/** Validation: cut the patch at `start`, pad, label -1 -> 0; nothing else. */
void sf_plain_sample(int channels, const sf_sample_source *src, const int64_t start[3],
                     const int64_t patch[3], const sf_sample_patch *out);

#endif
