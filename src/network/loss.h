/** Dice + cross-entropy over the deep-supervision outputs (paper, Methods: Training;
 * nnunet-training.md 2, 3), and the targets of each level. Collective when a group shares the
 * batch: the sums of each sample then go through `gather`. */
#ifndef SF_NETWORK_LOSS_H
#define SF_NETWORK_LOSS_H
#include "network/network.h"
#include "plan/dataset.h"

/** rows [global_batch][width]: those of the network's own samples are filled; fill the others'. All
 *  sums over samples are then made here, in one fixed tree. */
typedef sf_status sf_gather_fn(void *user, double *rows, int64_t width);

typedef struct {
    const sf_labels *labels; /* classes or regions, ignore label */
    bool batch_dice;
    double smooth, weight_ce, weight_dice; /* from the recipe */
    int64_t global_batch;                  /* samples of the whole group's batch */
    /* With `gather` (for a network that was built for a group), terms and dlogits are those of the
       whole group's loss: the ranks' parameter gradients are to be added, not averaged. */
    sf_gather_fn *gather;
    void *gather_user;
} sf_loss_options;

/** Weights of the levels: 2^-i, last 0 (kept 1 when it is the only one), normalised. w has `levels`
 * entries. */
void sf_deep_supervision_weights(int levels, double *w);
/** Nearest sample at pixel centres: src index = min(floor((d+0.5)*N_in/N_out), N_in-1). int16
 * [n][d][h][w]. */
void sf_target_downscale(const int16_t *src, sf_shape in, int16_t *dst, sf_shape out);

typedef struct {
    double total, ce[16], dice[16];
} sf_loss_report; /* per level, unweighted; dice is the term (-mean dc) */

/** Numbers per sample that go through `gather`, over all levels. */
int64_t sf_loss_gathered(const sf_network *net);
/** What sf_loss_evaluate would refuse: SF_EINVAL, SF_EDATA names a label that dataset.json does not
 *  declare. Not collective: a group agrees on it before the ranks evaluate together. */
sf_status sf_loss_check(const sf_network *net, const int16_t *labels, const sf_loss_options *opt);
/** Loss of the network's last forward against full-resolution labels int16 [batch][d][h][w] (c
 * ignored); with `grad`, also fills dlogits of every level with weight > 0 and skips the others. */
sf_status sf_loss_evaluate(sf_network *net, const int16_t *labels, const sf_loss_options *opt,
                           bool grad, sf_loss_report *report);

/** Hard counts of the last forward's full-resolution output over the samples (of a slab: its
 * slices) held here ("pseudo Dice"):
 *  tp, fp, fn per foreground class or region (labels->n_eval entries), ignored voxels left out;
 * added to the arrays. */
sf_status sf_loss_online_counts(const sf_network *net, const int16_t *labels, const sf_labels *lab,
                                double *tp, double *fp, double *fn);

#endif
