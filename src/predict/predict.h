/** From an image to a segmentation with trained models (paper, Methods: Inference; nnunet-training.md 8). */
#ifndef SF_PREDICT_PREDICT_H
#define SF_PREDICT_PREDICT_H
#include "base/prof.h"
#include "network/network.h"
#include "preprocess/pipeline.h"

/** Parameters of one fold, detached from any network: copied into it before predicting. */
typedef struct sf_weights sf_weights;
/** Our checkpoint_*.h5 or PyTorch's .pth (by content). SF_EDATA when damaged. */
sf_status sf_weights_load(sf_weights **out, const char *path);
/** Copy of a network's parameters. */
sf_status sf_weights_from_params(sf_weights **out, const sf_params *p);
/** SF_EDATA names the first parameter that is missing or has another shape. */
sf_status sf_weights_apply(const sf_weights *w, sf_params *p);
void sf_weights_destroy(sf_weights **w);

/** A model folder: results/CONFIG of ours (plans.json, dataset.json, model.json, fold_K/checkpoint_final.h5) or nnU-Net's
 *  TRAINER__PLANS__CONFIG (plans.json, dataset.json, fold_K/checkpoint_final.pth). */
typedef struct {
    sf_plans *plans;
    const sf_config *cfg;      /* borrowed from plans */
    sf_dataset *dataset;       /* labels, channels, file ending */
    int n_folds;
    int *fold;                 /* SF_FOLD_ALL possible */
    sf_weights **weights;      /* one per fold */
    bool mirror_axis[3];       /* axes that training mirrored: z,y,x of the patch */
} sf_model;
/** folds: NULL = all fold_* that hold `checkpoint` ("checkpoint_final" without ending). */
sf_status sf_model_load(sf_model **out, const char *dir, const int *folds, int n_folds, const char *checkpoint);
void sf_model_destroy(sf_model **m);

typedef struct {
    double step;               /* tile step, 0.5 */
    double gaussian_sigma;     /* of the patch, per axis; 0 = the recipe's (sf_predict_network: 1/8) */
    bool mirror, gaussian, exact; /* exact: --conv exact */
    bool average_probabilities; /* the recipe's rule */
    int threads, windows_per_batch; /* 0 = automatic */
} sf_predict_options;

typedef struct sf_predictor sf_predictor;
/** Borrows the model. */
sf_status sf_predictor_create(sf_predictor **out, const sf_model *m, const sf_predict_options *opt);
void sf_predictor_destroy(sf_predictor **p);
/** All windows x mirrors x folds of a prepared case: out [heads][case shape], caller's. Logits, or probabilities when
 *  average_probabilities. Summed in one fixed order (fold, window, mirror): same bits for any thread count. */
sf_status sf_predictor_case(sf_predictor *p, const sf_prepared *c, float *out, sf_prof *prof);
/** The same with a network that the caller holds (validation inside training): one fold, weights as they are. */
sf_status sf_predict_network(sf_network *net, const sf_config *cfg, const sf_predict_options *opt, const bool mirror_axis[3], int heads,
                             const float *data, int channels, const int64_t shape[3], bool sigmoid, float *out);

#endif
