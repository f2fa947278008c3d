#include "tests/network/common.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

sf_arch tst_small_arch(sf_net_class net)
{
    static const int stride[4][3] = { { 1, 1, 1 }, { 2, 2, 2 }, { 2, 2, 2 }, { 2, 1, 1 } };
    static const int64_t features[4] = { 4, 8, 16, 16 };
    sf_arch a = {
        .net = net, .dim = 3, .n_stages = 4, .conv_bias = true, .eps = 1e-5, .slope = 0.01
    };
    for (int s = 0; s < 4; s++) {
        a.features[s] = features[s];
        for (int d = 0; d < 3; d++) {
            a.stride[s][d] = stride[s][d];
            a.kernel[s][d] = s == 0 && d == 0 ? 1 : 3;
        }
        a.blocks[s] = net == SF_NET_RESENC && s == 0 ? 1 : 2;
        a.decoder_convs[s] = net == SF_NET_RESENC ? 1 : 2;
    }
    return a;
}

void tst_labels_make(tst_labels *l, int heads)
{
    memset(l, 0, sizeof *l);
    l->labels.n_heads = l->labels.n_labels = l->labels.n_entries = heads;
    l->labels.n_eval = heads - 1;
    l->labels.ignore = -1;
    l->labels.eval = l->eval = calloc((size_t)heads, sizeof *l->labels.eval);
    for (int e = 0; e < heads - 1; e++) {
        l->value[e] = e + 1;
        l->labels.eval[e].count = 1;
        l->labels.eval[e].value = &l->value[e];
    }
}

void tst_labels_free(tst_labels *l) { free(l->eval); }

double tst_get(sf_dtype dtype, const void *x, int64_t i)
{
    return dtype == SF_F64 ? ((const double *)x)[i] : (double)((const float *)x)[i];
}

void tst_set(sf_dtype dtype, void *x, int64_t i, double v)
{
    if (dtype == SF_F64)
        ((double *)x)[i] = v;
    else
        ((float *)x)[i] = (float)v;
}

void tst_fill_params(sf_params *p)
{
    int64_t t = 0;
    for (int i = 0; i < p->count; i++) {
        sf_param *q = &p->item[i];
        for (int64_t k = 0; k < q->count; k++, t++) {
            const double v = sin(0.7 * (double)t + 0.3);
            const double x = q->kind == SF_PARAM_GAMMA  ? 1.0 + 0.1 * v
                             : q->kind == SF_PARAM_BETA ? 0.1 * v
                                                        : 0.2 * v;
            tst_set(p->dtype, q->value, k, x);
        }
    }
}

sf_loss_options tst_loss_options(const sf_labels *labels, bool batch_dice, int64_t batch)
{
    return (sf_loss_options){ .labels = labels,
                              .batch_dice = batch_dice,
                              .smooth = 1e-5,
                              .weight_ce = 1.0,
                              .weight_dice = 1.0,
                              .global_batch = batch };
}

sf_optim tst_optim(void)
{
    return (sf_optim){
        .lr0 = 0.01, .momentum = 0.99, .decay = 3e-5, .clip_norm = 12.0, .poly_power = 0.9
    };
}
