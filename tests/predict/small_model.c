#include "tests/predict/small_model.h"
#include "base/error.h"
#include "base/mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(sf_status st)
{
    if (st == SF_OK) return;
    fprintf(stderr, "small model: %s\n", sf_error_text());
    abort();
}

sf_network *tst_small_network(const tst_small *s, int64_t batch, uint64_t seed)
{
    sf_network *net;
    const sf_network_options o = { .arch = &s->cfg.arch,
                                   .in_channels = TST_CHANNELS,
                                   .heads = TST_HEADS,
                                   .batch = batch,
                                   .patch = { s->cfg.patch[0], 8, 8 },
                                   .threads = 1 };
    must(sf_network_create(&net, &o));
    sf_params_init(sf_network_params(net), seed, "test", 0.01);
    return net;
}

static void make_arch(sf_arch *a, int dim)
{
    *a = (sf_arch){ .net = SF_NET_PLAIN,
                    .dim = dim,
                    .n_stages = 2,
                    .features = { 4, 8 },
                    .blocks = { 1, 1 },
                    .decoder_convs = { 1 },
                    .conv_bias = true,
                    .eps = 1e-5,
                    .slope = 0.01 };
    for (int s = 0; s < 2; s++)
        for (int i = 0; i < 3; i++) {
            const bool flat = dim == 2 && i == 0;
            a->kernel[s][i] = flat ? 1 : 3;
            a->stride[s][i] = flat ? 1 : 1 + s;
        }
}

void tst_small_make(tst_small *s, int folds, int dim)
{
    memset(s, 0, sizeof *s);
    uint32_t r = 3;
    for (int i = 0; i < TST_CHANNELS * TST_VOXELS; i++) {
        r = r * 1664525u + 1013904223u;
        s->data[i] = (float)(r >> 8) / 8388608.0f - 1.0f;
    }
    s->cfg = (sf_config){ .name = dim == 2 ? "2d" : "3d_fullres",
                          .dim = dim,
                          .batch_size = 2,
                          .patch = { dim == 2 ? 1 : 4, 8, 8 } };
    make_arch(&s->cfg.arch, dim);
    s->recipe.infer.gaussian_sigma = 0.125;
    s->plans.recipe = &s->recipe;
    s->dataset.n_channels = TST_CHANNELS;
    s->dataset.labels = (sf_labels){ .n_heads = TST_HEADS, .n_labels = TST_HEADS, .ignore = -1 };
    s->m = (sf_model){ .plans = &s->plans,
                       .cfg = &s->cfg,
                       .dataset = &s->dataset,
                       .n_folds = folds,
                       .fold = s->fold,
                       .weights = s->weights,
                       .mirror_axis = { dim == 3, dim == 2, true } };
    for (int f = 0; f < folds; f++) {
        sf_network *net = tst_small_network(s, 1, (uint64_t)f);
        must(sf_weights_from_params(&s->weights[f], sf_network_params(net)));
        sf_network_destroy(&net);
    }
    s->c = (sf_prepared){ .id = "case", .channels = TST_CHANNELS, .data = s->data };
    memcpy(s->c.props.shape, (int64_t[3]){ TST_D, 11, 10 }, sizeof s->c.props.shape);
}

void tst_small_free(tst_small *s)
{
    for (int f = 0; f < s->m.n_folds; f++) sf_weights_destroy(&s->weights[f]);
}
