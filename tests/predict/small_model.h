/** A small model with random weights and one case for it, 2-D or 3-D. */
#ifndef TST_SMALL_MODEL_H
#define TST_SMALL_MODEL_H
#include "predict/predict.h"

enum {
    TST_HEADS = 3,
    TST_CHANNELS = 2,
    TST_D = 6,
    TST_PLANE = 11 * 10,
    TST_VOXELS = TST_D * TST_PLANE
};

typedef struct {
    sf_recipe recipe;
    sf_plans plans;
    sf_config cfg;
    sf_dataset dataset;
    sf_model m;
    sf_weights *weights[2];
    int fold[2];
    sf_prepared c;
    float data[TST_CHANNELS * TST_VOXELS];
} tst_small;

/** s must stay where it is. @param[in] dim  2 or 3 */
void tst_small_make(tst_small *s, int folds, int dim);
void tst_small_free(tst_small *s);
/** Of the model's architecture, initialised by `seed`; caller destroys. */
sf_network *tst_small_network(const tst_small *s, int64_t batch, uint64_t seed);

#endif
