/** Previous-stage labels as network input (nnunet-training.md 6.1 rows 12 to 14, 6.2).
 *
 *  The labels 1..K of the previous stage become K channels of 0 and 1 behind the image; in training
 *  they are then disturbed, so that the network does not trust them blindly. One-hot stacks are
 *  [classes][n0][n1][n2]. Thread-safe on different stacks. Not collective. */
#ifndef SF_BATCH_CASCADE_H
#define SF_BATCH_CASCADE_H
#include "batch/augment.h"

/** out [classes][count]: 1 where prev equals labels[k], else 0. */
void sf_one_hot(float *out, const int16_t *prev, int64_t count, const int *labels, int classes);

typedef enum { SF_DILATION, SF_EROSION, SF_CLOSING, SF_OPENING } sf_binary_operation;

/** A ball on a grid of floor(2 radius + 1) points per axis from -radius to radius. A point is set
 * where (x^2 + y^2) + z^2 <= radius^2 in double (x = last axis), so each line of it is one run
 * [first, last]. */
enum { SF_BALL_MAX = 33 };
typedef struct {
    int size;                               /* points per axis, 1..SF_BALL_MAX */
    int8_t first[SF_BALL_MAX][SF_BALL_MAX]; /* along the last axis; first > last: none set */
    int8_t last[SF_BALL_MAX][SF_BALL_MAX];
    int64_t set; /* number of points set */
} sf_ball;
/** SF_EINVAL for a radius below 0.5 or above 16. */
sf_status sf_ball_make(sf_ball *out, double radius);

/** Apply an operation to one class. Voxels gained are cleared in all other classes, voxels lost
 *  become background. The border counts as set for erosion. Element of even size: v2 has one more
 *  point after the centre than before, v1 centres at size/2 and mirrors the element to dilate.
 *  Uses SF_WS_VOLUME_A, SF_WS_VOLUME_B and SF_WS_LINES. */
sf_status sf_binary_operator(float *one_hot, int classes, int channel, const int64_t n[3],
                             sf_binary_operation op, const sf_ball *ball, sf_formulas formulas,
                             sf_workspace *ws);

/** Connected components of x > 0 with full connectivity (26 neighbours), numbered 1.. in order of
 *  their first voxel. label [voxels]; *size (borrowed from the workspace) has *count entries.
 *  Uses SF_WS_VOLUME_A and SF_WS_VOLUME_B. */
sf_status sf_components_find(int32_t *label, int64_t **size, int *count, const float *x,
                             const int64_t n[3], sf_workspace *ws);

/** The recipe's numbers for rows 13 and 14. */
typedef struct {
    double p_operator, p_operator_label, radius[2];
    double p_component, p_component_label, max_fraction;
    sf_formulas formulas;
} sf_cascade;
/** SF_EDATA names what is missing or impossible. */
sf_status sf_cascade_parse(sf_cascade *out, const json_t *augment);

/** Rows 13 and 14 on one sample's stack, drawn from the streams "binary_operator" and
 *  "remove_component" of the sample. Uses also SF_WS_CUT_SEG. */
sf_status sf_cascade_disturb(const sf_cascade *c, const sf_sample_key *key, float *one_hot,
                             int classes, const int64_t n[3], sf_workspace *ws);

#endif
