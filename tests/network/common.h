/** What the network tests share: small architectures, filled parameters, gradients checked. */
#ifndef SF_TESTS_NETWORK_COMMON_H
#define SF_TESTS_NETWORK_COMMON_H
#include "tests/support/support.h"
/* support.h first: cmocka's order */
#include "network/loss.h"
#include "network/network.h"
#include "network/optim.h"

/** The architecture of nnunet-training.md section 15: 4 stages, features 4,8,16,16. */
sf_arch tst_small_arch(sf_net_class net);
/** Softmax labels 0..heads-1; the arrays live in the caller's struct. */
typedef struct {
    sf_labels labels;
    int value[16];
    void *eval;
} tst_labels;
void tst_labels_make(tst_labels *l, int heads);
void tst_labels_free(tst_labels *l);

double tst_get(sf_dtype dtype, const void *x, int64_t i);
void tst_set(sf_dtype dtype, void *x, int64_t i, double v);
/** Parameters of section 15: v = sin(0.7t+0.3) with a running counter. */
void tst_fill_params(sf_params *p);
/** The recipe's loss and optimiser. */
sf_loss_options tst_loss_options(const sf_labels *labels, bool batch_dice, int64_t batch);
sf_optim tst_optim(void);

#endif
