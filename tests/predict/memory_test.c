/* Many classes: what a streamed prediction holds, by the memory counters, and that it gives the
 * labels of the unstreamed one, byte by byte. */
#include "base/mem.h"
#include "base/path.h"
#include "predict/export.h"
#include "tests/support/support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADS = 100, D = 96, H = 64, W = 64, VOXELS = D * H * W, PATCH = 16 };

typedef struct {
    sf_recipe recipe;
    sf_plans plans;
    sf_config cfg;
    sf_dataset dataset;
    sf_model m;
    sf_weights *weights[1];
    int fold[1];
    sf_prepared c;
} setup;

static void make_arch(sf_arch *a)
{
    *a = (sf_arch){ .net = SF_NET_PLAIN,
                    .dim = 3,
                    .n_stages = 2,
                    .features = { 4, 8 },
                    .blocks = { 1, 1 },
                    .decoder_convs = { 1 },
                    .conv_bias = true,
                    .eps = 1e-5,
                    .slope = 0.01 };
    for (int s = 0; s < 2; s++)
        for (int i = 0; i < 3; i++) {
            a->kernel[s][i] = 3;
            a->stride[s][i] = 1 + s;
        }
}

static void make(setup *s)
{
    memset(s, 0, sizeof *s);
    s->cfg = (sf_config){ .name = "3d_fullres",
                          .dim = 3,
                          .batch_size = 1,
                          .patch = { PATCH, PATCH, PATCH },
                          .spacing = { 2, 1, 1 },
                          .prob = { .order = 1, .force_separate_z = -1 } };
    make_arch(&s->cfg.arch);
    s->recipe.infer.gaussian_sigma = 0.125;
    s->recipe.prep.separate_z_threshold = 3;
    s->plans = (sf_plans){ .transpose_forward = { 0, 1, 2 }, .recipe = &s->recipe };
    s->dataset.n_channels = 1;
    s->dataset.labels = (sf_labels){ .n_heads = HEADS, .n_labels = HEADS, .ignore = -1 };
    s->m = (sf_model){ .plans = &s->plans,
                       .cfg = &s->cfg,
                       .dataset = &s->dataset,
                       .n_folds = 1,
                       .fold = s->fold,
                       .weights = s->weights };
    sf_network *net;
    const sf_network_options o = { .arch = &s->cfg.arch,
                                   .in_channels = 1,
                                   .heads = HEADS,
                                   .batch = 1,
                                   .patch = { PATCH, PATCH, PATCH },
                                   .threads = 1 };
    tst_ok(sf_network_create(&net, &o));
    sf_params_init(sf_network_params(net), 1, "test", 0.01);
    tst_ok(sf_weights_from_params(&s->weights[0], sf_network_params(net)));
    sf_network_destroy(&net);
    s->c = (sf_prepared){ .id = "case", .channels = 1 };
    s->c.props = (sf_case_props){ .spacing = { 1, 1, 1 },
                                  .shape_before_crop = { 2 * D, H, W },
                                  .bbox_hi = { 2 * D, H, W },
                                  .shape_after_crop = { 2 * D, H, W },
                                  .shape = { D, H, W } };
    tst_ok(sf_mem_alloc(&s->c.data, VOXELS, sizeof *s->c.data, SF_MEM_IMAGE));
    uint32_t r = 3;
    for (int i = 0; i < VOXELS; i++) {
        r = r * 1664525u + 1013904223u;
        s->c.data[i] = (float)(r >> 8) / 8388608.0f - 1.0f + (float)(i % 4099) / 1024.0f;
    }
}

static void predict(const setup *s, bool streamed, int64_t memory, int32_t *labels)
{
    const sf_predict_options po = { .step = 1,
                                    .gaussian = true,
                                    .average_probabilities = true,
                                    .threads = 1,
                                    .windows_per_batch = 1,
                                    .memory = memory,
                                    .scratch_dir = tst_tmp_dir() };
    const sf_export_options eo = { &s->plans, &s->cfg, &s->dataset.labels, &s->c.props, false, 1 };
    sf_predictor *p;
    sf_export *e;
    float *values = NULL;
    tst_ok(sf_predictor_create(&p, &s->m, &po));
    if (streamed) {
        tst_ok(sf_export_open(&e, &eo, labels, NULL));
        tst_ok(sf_predictor_rows(p, &s->c, sf_export_sink(e), NULL));
        sf_export_close(&e);
    } else {
        tst_ok(sf_mem_alloc(&values, (size_t)HEADS * VOXELS, sizeof *values, SF_MEM_IMAGE));
        tst_ok(sf_predictor_case(p, &s->c, values, NULL));
        tst_ok(sf_export_case(&s->plans, &s->cfg, &s->dataset.labels, &s->c.props, values, false,
                              labels, NULL, 1));
    }
    sf_mem_free(values);
    sf_predictor_destroy(&p);
}

static void test_memory(void **state)
{
    (void)state;
    static setup s;
    const int64_t mib = 1 << 20, whole = (int64_t)HEADS * VOXELS * 4;
    const int64_t slab = (int64_t)HEADS * PATCH * H * W * 4; /* rows that windows still reach */
    int32_t *labels[3];
    make(&s);
    for (int i = 0; i < 3; i++) labels[i] = malloc((size_t)2 * VOXELS * sizeof **labels);
    const int64_t before = sf_mem_live(SF_MEM_CATEGORIES);
    predict(&s, true, 1, labels[0]);
    const int64_t in_file = sf_mem_peak() - before;
    predict(&s, true, 0, labels[1]);
    const int64_t in_memory = sf_mem_peak() - before;
    predict(&s, false, 0, labels[2]);
    const int64_t unstreamed = sf_mem_peak() - before;
    printf("volume of all classes %lld MiB, slab %lld MiB; held: %lld MiB with a working file, "
           "%lld MiB, unstreamed %lld MiB\n",
           (long long)(whole / mib), (long long)(slab / mib), (long long)(in_file / mib),
           (long long)(in_memory / mib), (long long)(unstreamed / mib));
    /* rows that are handed on, held (twice while room is made) and resampled: 16 MiB and a row each
     */
    assert_true(in_file < 80 * mib);
    assert_true(in_memory < in_file + slab + mib);
    assert_true(unstreamed > whole);
    assert_memory_equal(labels[0], labels[2], (size_t)2 * VOXELS * sizeof **labels);
    assert_memory_equal(labels[1], labels[2], (size_t)2 * VOXELS * sizeof **labels);
    int seen[HEADS] = { 0 }, classes = 0;
    for (int64_t i = 0; i < 2 * VOXELS; i++) classes += seen[labels[0][i]]++ == 0;
    assert_true(classes > 10);
    for (int i = 0; i < 3; i++) free(labels[i]);
    sf_mem_free(s.c.data);
    sf_weights_destroy(&s.weights[0]);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_memory) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
