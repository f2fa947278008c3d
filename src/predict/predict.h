/** From an image to a segmentation with trained models (paper, Methods: Inference;
 * nnunet-training.md 8): weights and model folders, then windows x mirrorings x folds. Not
 * collective. A predictor is driven by one thread (it uses `threads` OpenMP threads inside);
 * different predictors are independent. */
#ifndef SF_PREDICT_PREDICT_H
#define SF_PREDICT_PREDICT_H
#include "base/prof.h"
#include "network/network.h"
#include "predict/rows.h"
#include "predict/team.h"
#include "preprocess/pipeline.h"

/** Parameters of one fold by name, float32, detached from any network: copied into it before
 * predicting. */
typedef struct sf_weights sf_weights;
/** Our checkpoint_*.h5 or PyTorch's .pth, told apart by content. Caller destroys.
 *  @return SF_EIO: cannot be read; SF_EDATA: damaged or neither. The text names the file. */
sf_status sf_weights_load(sf_weights **out, const char *path);
/** Copy of a network's parameters (float or double). Caller destroys. */
sf_status sf_weights_from_params(sf_weights **out, const sf_params *p);
/** Every parameter of `p` gets its value; extra tensors in `w` do not matter.
 *  @return SF_EDATA names the file and the first parameter that is missing or has another shape. */
sf_status sf_weights_apply(const sf_weights *w, sf_params *p);
/** Start of a training from another one's end (nnunet-training.md 11.5): the same, but the heads
 *  (".seg_layers.") of `p` stay as they are. @param[out] copied  parameters that got a value */
sf_status sf_weights_apply_body(const sf_weights *w, sf_params *p, int *copied);
/** NULL inside is fine; sets NULL. */
void sf_weights_destroy(sf_weights **w);

/** A model folder: results/CONFIG of ours (plans.json, dataset.json, model.json,
 * fold_K/checkpoint_final.h5) or nnU-Net's TRAINER__PLANS__CONFIG (plans.json, dataset.json,
 * fold_K/checkpoint_final.pth). model.json may say "configuration" and "mirror_axes"
 * (three booleans z,y,x; else: all axes). nnU-Net's checkpoints say both themselves; where neither
 * does, the configuration is the last part of the folder's name. */
typedef struct {
    sf_plans *plans;
    const sf_config *cfg; /* borrowed from plans */
    sf_dataset *dataset;  /* labels, channels, file ending */
    int n_folds;
    int *fold;            /* ascending, or as asked for; SF_FOLD_ALL possible */
    sf_weights **weights; /* one per fold */
    bool mirror_axis[3];  /* axes that training mirrored: z,y,x of the patch */
} sf_model;
/** @param[in] folds  NULL = all numbered fold_* that hold `checkpoint` ("checkpoint_final", no
 * ending), and fold_all only when there is no other
 *  @return SF_EINVAL: no model folder, no such fold; SF_EDATA, SF_EIO as the files say. Caller
 * destroys. */
sf_status sf_model_load(sf_model **out, const char *dir, const int *folds, int n_folds,
                        const char *checkpoint);
void sf_model_destroy(sf_model **m);

typedef struct {
    double step;           /* tile step, 0 < step <= 1, part of the patch */
    double gaussian_sigma; /* of the patch, per axis; 0 = the recipe's (sf_predict_network: 1/8) */
    bool mirror, gaussian;
    bool exact;                     /* --conv exact (sf_predictor_create only) */
    sf_dtype precision;             /* SF_F32, SF_BF16 (sf_predictor_create only) */
    bool average_probabilities;     /* the recipe's rule: probabilities, else logits */
    int threads, windows_per_batch; /* windows_per_batch 0 = automatic, from the patch alone */
    int64_t memory; /* bytes for network, weights and sums together, as far as the sums can help it:
                       what they may not take goes to a working file. 0 = no bound */
    const char *scratch_dir;     /* folder of that file; NULL: none, no bound */
    const sf_predict_team *team; /* who shares the case (team.h), borrowed; NULL: nobody */
} sf_predict_options;

typedef struct sf_predictor sf_predictor;
/** One network for all folds and cases. Borrows the model. Caller destroys. */
sf_status sf_predictor_create(sf_predictor **out, const sf_model *m, const sf_predict_options *opt);
void sf_predictor_destroy(sf_predictor **p);
/** All windows x mirrorings x folds of a prepared case. Logits, or probabilities when
 * average_probabilities. Summed in float32 in one fixed order (fold, window, mirroring): same bits
 * for any number of threads or of windows per batch, in memory or in a working file. Layer after
 * layer of windows, all folds in each, so that sums of all heads are held for the rows that windows
 * still reach only. A cascade's second stage takes c->seg (previous stage's labels) as one-hot
 * channels, unless c->data holds them already.
 *  @param[in] sink  gets [heads][rows][plane] of the grid c->props.shape
 *  @param[in] prof  gets cut, forward, accumulate, and export (the sink's time); may be NULL
 *  @return SF_EDATA: channels that do not fit the model; SF_EINVAL: previous stage's labels are
 * missing; SF_EIO: the working file; what the sink returns. */
sf_status sf_predictor_rows(sf_predictor *p, const sf_prepared *c, sf_row_sink sink, sf_prof *prof);
/** From now on cases are shared with a team, or (NULL) not: then each call for a case is collective
 * over the team, whose members give the same model, options and case; the same bits. The sink of a
 * member > 0 gets nothing. One member's failure is everybody's. */
void sf_predictor_team(sf_predictor *p, const sf_predict_team *team);
/** All rows into out [heads][c->props.shape], the caller's. */
sf_status sf_predictor_case(sf_predictor *p, const sf_prepared *c, float *out, sf_prof *prof);
/** The same with a network that the caller holds (validation inside training): one fold, weights as
 * they are, the network's own patch and batch.
 *  @param[in] data  [channels][shape], all input channels; @param[in] sigmoid  regions
 *  @param[out] out  [heads][shape], caller's; not used by members > 0 of opt->team */
sf_status sf_predict_network(sf_network *net, const sf_config *cfg, const sf_predict_options *opt,
                             const bool mirror_axis[3], int heads, const float *data, int channels,
                             const int64_t shape[3], bool sigmoid, float *out);

#endif
