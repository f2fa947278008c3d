/* Prediction with a small random network: same bits for any number of threads and windows per
 * batch, averaging as the recipe says, weights that fit and weights that do not. */
#include "base/mem.h"
#include "base/path.h"
#include "predict/predict.h"
#include "store/arrays.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADS = 3, CHANNELS = 2, D = 6, H = 11, W = 10, VOXELS = D * H * W };

typedef struct {
    sf_recipe recipe;
    sf_plans plans;
    sf_config cfg;
    sf_dataset dataset;
    sf_model m;
    sf_weights *weights[2];
    int fold[2];
    sf_prepared c;
    float data[CHANNELS * VOXELS];
} setup;

static sf_network *make_network(const setup *s, int64_t batch, uint64_t seed)
{
    sf_network *net;
    const sf_network_options o = { .arch = &s->cfg.arch,
                                   .in_channels = CHANNELS,
                                   .heads = HEADS,
                                   .batch = batch,
                                   .patch = { 4, 8, 8 },
                                   .threads = 1 };
    tst_ok(sf_network_create(&net, &o));
    sf_params_init(sf_network_params(net), seed, "test", 0.01);
    return net;
}

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

static void make(setup *s, int folds)
{
    memset(s, 0, sizeof *s);
    uint32_t r = 3;
    for (int i = 0; i < CHANNELS * VOXELS; i++) {
        r = r * 1664525u + 1013904223u;
        s->data[i] = (float)(r >> 8) / 8388608.0f - 1.0f;
    }
    s->cfg = (sf_config){ .name = "3d_fullres", .dim = 3, .batch_size = 2, .patch = { 4, 8, 8 } };
    make_arch(&s->cfg.arch);
    s->recipe.infer.gaussian_sigma = 0.125;
    s->plans.recipe = &s->recipe;
    s->dataset.n_channels = CHANNELS;
    s->dataset.labels = (sf_labels){ .n_heads = HEADS, .n_labels = HEADS, .ignore = -1 };
    s->m = (sf_model){ .plans = &s->plans,
                       .cfg = &s->cfg,
                       .dataset = &s->dataset,
                       .n_folds = folds,
                       .fold = s->fold,
                       .weights = s->weights,
                       .mirror_axis = { true, false, true } };
    for (int f = 0; f < folds; f++) {
        sf_network *net = make_network(s, 1, (uint64_t)f);
        tst_ok(sf_weights_from_params(&s->weights[f], sf_network_params(net)));
        sf_network_destroy(&net);
    }
    s->c = (sf_prepared){ .id = "case", .channels = CHANNELS, .data = s->data };
    memcpy(s->c.props.shape, (int64_t[3]){ D, H, W }, sizeof s->c.props.shape);
}

/* Layer by layer with the sums in a working file: rows in order, without gaps. */
typedef struct {
    float *out;
    int64_t done;
} rows_taken;

static sf_status take_rows(void *user, int64_t lo, int64_t hi, const float *values)
{
    rows_taken *t = user;
    assert_true(lo == t->done && hi > lo && hi <= D);
    for (int c = 0; c < HEADS; c++)
        memcpy(t->out + (c * D + lo) * H * W, values + c * (hi - lo) * H * W,
               (size_t)((hi - lo) * H * W) * sizeof *values);
    t->done = hi;
    return SF_OK;
}

static float *predict_rows(const setup *s, bool probabilities, int threads)
{
    const sf_predict_options o = { .step = 0.5,
                                   .mirror = true,
                                   .gaussian = true,
                                   .average_probabilities = probabilities,
                                   .threads = threads,
                                   .memory = 1,
                                   .scratch_dir = tst_tmp_dir() };
    rows_taken t = { .out = malloc(HEADS * VOXELS * sizeof(float)) };
    sf_predictor *p;
    tst_ok(sf_predictor_create(&p, &s->m, &o));
    tst_ok(sf_predictor_rows(p, &s->c, (sf_row_sink){ .take = take_rows, .user = &t }, NULL));
    assert_int_equal(t.done, D);
    sf_predictor_destroy(&p);
    return t.out;
}

static sf_status refuse_rows(void *user, int64_t lo, int64_t hi, const float *values)
{
    (void)user, (void)lo, (void)hi, (void)values;
    return SF_FAIL(SF_EIO, "no more room");
}

static void destroy(setup *s)
{
    for (int f = 0; f < s->m.n_folds; f++) sf_weights_destroy(&s->weights[f]);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

static float *predict(const setup *s, bool probabilities, int threads, int batch)
{
    const sf_predict_options o = { .step = 0.5,
                                   .mirror = true,
                                   .gaussian = true,
                                   .average_probabilities = probabilities,
                                   .threads = threads,
                                   .windows_per_batch = batch };
    float *out = malloc(HEADS * VOXELS * sizeof *out);
    sf_predictor *p;
    tst_ok(sf_predictor_create(&p, &s->m, &o));
    tst_ok(sf_predictor_case(p, &s->c, out, NULL));
    sf_predictor_destroy(&p);
    return out;
}

static void test_same_bits(void **state)
{
    (void)state;
    static setup s;
    static const int how[4][2] = { { 2, 1 }, { 3, 1 }, { 1, 3 }, { 2, 0 } };
    make(&s, 2);
    for (int prob = 0; prob < 2; prob++) {
        float *one = predict(&s, prob, 1, 1);
        for (int k = 0; k < 4; k++) {
            float *more = predict(&s, prob, how[k][0], how[k][1]);
            assert_memory_equal(one, more, HEADS * VOXELS * sizeof *one);
            free(more);
        }
        for (int threads = 1; threads <= 2; threads++) {
            float *rows = predict_rows(&s, prob, threads);
            assert_memory_equal(one, rows, HEADS * VOXELS * sizeof *one);
            free(rows);
        }
        free(one);
    }
    sf_predictor *p;
    const sf_predict_options o = { .step = 1, .threads = 1 };
    tst_ok(sf_predictor_create(&p, &s.m, &o));
    assert_int_equal(sf_predictor_rows(p, &s.c, (sf_row_sink){ .take = refuse_rows }, NULL),
                     SF_EIO);
    assert_non_null(strstr(sf_error_text(), "no more room"));
    sf_predictor_destroy(&p);
    destroy(&s);
}

/* probabilities sum to 1; two folds are the mean of each alone; a borrowed network answers as a
 * predictor does */
static void test_averaging(void **state)
{
    (void)state;
    static setup s;
    make(&s, 2);
    for (int prob = 0; prob < 2; prob++) {
        float *both = predict(&s, prob, 2, 0), *alone[2];
        for (int f = 0; f < 2; f++) {
            setup t = s;
            t.m.n_folds = 1;
            t.m.cfg = &s.cfg;
            t.m.weights = &s.weights[f];
            t.c.data = s.data;
            alone[f] = predict(&t, prob, 2, 0);
        }
        for (int i = 0; i < HEADS * VOXELS; i++)
            assert_true(fabsf(both[i] - 0.5f * (alone[0][i] + alone[1][i])) < 1e-6f);
        for (int i = 0; prob && i < VOXELS; i++)
            assert_true(fabsf(both[i] + both[VOXELS + i] + both[2 * VOXELS + i] - 1) < 1e-5f);
        sf_network *net = make_network(&s, 2, 1);
        const sf_predict_options o = { .step = 0.5,
                                       .mirror = true,
                                       .gaussian = true,
                                       .average_probabilities = prob,
                                       .threads = 2 };
        tst_ok(sf_predict_network(net, &s.cfg, &o, s.m.mirror_axis, HEADS, s.data, CHANNELS,
                                  s.c.props.shape, false, both));
        assert_memory_equal(both, alone[1], HEADS * VOXELS * sizeof *both);
        sf_network_destroy(&net);
        free(both);
        free(alone[0]);
        free(alone[1]);
    }
    destroy(&s);
}

static void test_weights(void **state)
{
    (void)state;
    static setup s;
    char path[SF_PATH_MAX];
    make(&s, 1);
    sf_network *net = make_network(&s, 1, 5);
    sf_params *p = sf_network_params(net);
    sf_array *a = calloc((size_t)p->count, sizeof *a);
    for (int i = 0; i < p->count; i++) {
        const sf_param *q = &p->item[i];
        snprintf(a[i].name, sizeof a[i].name, "%s", q->name);
        a[i].ndim = q->ndim;
        memcpy(a[i].dim, q->dim, sizeof q->dim);
        a[i].count = q->count;
        a[i].data = q->value;
    }
    sf_array_group g = { "params", a, p->count };
    tst_ok(sf_path_join(path, tst_tmp_dir(), "checkpoint_final.h5", NULL));
    tst_ok(sf_arrays_save(path, &g, 1, NULL));
    sf_network *other = make_network(&s, 1, 6);
    sf_weights *w;
    tst_ok(sf_weights_load(&w, path));
    tst_ok(sf_weights_apply(w, sf_network_params(other)));
    for (int i = 0; i < p->count; i++)
        assert_memory_equal(sf_network_params(other)->item[i].value, p->item[i].value,
                            (size_t)p->item[i].count * sizeof(float));
    sf_weights_destroy(&w);
    g.count--; /* the last one is missing */
    tst_ok(sf_arrays_save(path, &g, 1, NULL));
    tst_ok(sf_weights_load(&w, path));
    assert_int_equal(sf_weights_apply(w, p), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), a[p->count - 1].name));
    sf_weights_destroy(&w);
    tst_ok(sf_path_write(path, "neither", 7));
    assert_int_equal(sf_weights_load(&w, path), SF_EDATA);
    assert_null(w);
    assert_int_equal(sf_weights_load(&w, "/nonexistent/file.h5"), SF_EIO);
    free(a);
    sf_network_destroy(&net);
    sf_network_destroy(&other);
    destroy(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_averaging),
        cmocka_unit_test(test_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
