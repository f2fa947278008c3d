/* Prediction with a small random network: same bits for any number of threads and windows per
 * batch, averaging as the recipe says, weights that fit and weights that do not. */
#include "base/mem.h"
#include "base/path.h"
#include "store/arrays.h"
#include "tests/predict/small_model.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Layer by layer with the sums in a working file: rows in order, without gaps. */
typedef struct {
    float *out;
    int64_t done;
} rows_taken;

static sf_status take_rows(void *user, int64_t lo, int64_t hi, const float *values)
{
    rows_taken *t = user;
    assert_true(lo == t->done && hi > lo && hi <= TST_D);
    for (int c = 0; c < TST_HEADS; c++)
        memcpy(t->out + (c * TST_D + lo) * TST_PLANE, values + c * (hi - lo) * TST_PLANE,
               (size_t)((hi - lo) * TST_PLANE) * sizeof *values);
    t->done = hi;
    return SF_OK;
}

static float *predict_rows(const tst_small *s, bool probabilities, int threads)
{
    const sf_predict_options o = { .step = 0.5,
                                   .mirror = true,
                                   .gaussian = true,
                                   .average_probabilities = probabilities,
                                   .threads = threads,
                                   .memory = 1,
                                   .scratch_dir = tst_tmp_dir() };
    rows_taken t = { .out = malloc(TST_HEADS * TST_VOXELS * sizeof(float)) };
    sf_predictor *p;
    tst_ok(sf_predictor_create(&p, &s->m, &o));
    tst_ok(sf_predictor_rows(p, &s->c, (sf_row_sink){ .take = take_rows, .user = &t }, NULL));
    assert_int_equal(t.done, TST_D);
    sf_predictor_destroy(&p);
    return t.out;
}

static sf_status refuse_rows(void *user, int64_t lo, int64_t hi, const float *values)
{
    (void)user, (void)lo, (void)hi, (void)values;
    return SF_FAIL(SF_EIO, "no more room");
}

static void destroy(tst_small *s)
{
    tst_small_free(s);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

static float *predict(const tst_small *s, bool probabilities, int threads, int batch)
{
    const sf_predict_options o = { .step = 0.5,
                                   .mirror = true,
                                   .gaussian = true,
                                   .average_probabilities = probabilities,
                                   .threads = threads,
                                   .windows_per_batch = batch };
    float *out = malloc(TST_HEADS * TST_VOXELS * sizeof *out);
    sf_predictor *p;
    tst_ok(sf_predictor_create(&p, &s->m, &o));
    tst_ok(sf_predictor_case(p, &s->c, out, NULL));
    sf_predictor_destroy(&p);
    return out;
}

static void test_same_bits(void **state)
{
    (void)state;
    static tst_small s;
    static const int how[4][2] = { { 2, 1 }, { 3, 1 }, { 1, 3 }, { 2, 0 } };
    tst_small_make(&s, 2, 3);
    for (int prob = 0; prob < 2; prob++) {
        float *one = predict(&s, prob, 1, 1);
        for (int k = 0; k < 4; k++) {
            float *more = predict(&s, prob, how[k][0], how[k][1]);
            assert_memory_equal(one, more, TST_HEADS * TST_VOXELS * sizeof *one);
            free(more);
        }
        for (int threads = 1; threads <= 2; threads++) {
            float *rows = predict_rows(&s, prob, threads);
            assert_memory_equal(one, rows, TST_HEADS * TST_VOXELS * sizeof *one);
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
    static tst_small s;
    tst_small_make(&s, 2, 3);
    for (int prob = 0; prob < 2; prob++) {
        float *both = predict(&s, prob, 2, 0), *alone[2];
        for (int f = 0; f < 2; f++) {
            tst_small t = s;
            t.m.n_folds = 1;
            t.m.cfg = &s.cfg;
            t.m.weights = &s.weights[f];
            t.c.data = s.data;
            alone[f] = predict(&t, prob, 2, 0);
        }
        for (int i = 0; i < TST_HEADS * TST_VOXELS; i++)
            assert_true(fabsf(both[i] - 0.5f * (alone[0][i] + alone[1][i])) < 1e-6f);
        for (int i = 0; prob && i < TST_VOXELS; i++)
            assert_true(fabsf(both[i] + both[TST_VOXELS + i] + both[2 * TST_VOXELS + i] - 1) <
                        1e-5f);
        sf_network *net = tst_small_network(&s, 2, 1);
        const sf_predict_options o = { .step = 0.5,
                                       .mirror = true,
                                       .gaussian = true,
                                       .average_probabilities = prob,
                                       .threads = 2 };
        tst_ok(sf_predict_network(net, &s.cfg, &o, s.m.mirror_axis, TST_HEADS, s.data, TST_CHANNELS,
                                  s.c.props.shape, false, both));
        assert_memory_equal(both, alone[1], TST_HEADS * TST_VOXELS * sizeof *both);
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
    static tst_small s;
    char path[SF_PATH_MAX];
    tst_small_make(&s, 1, 3);
    sf_network *net = tst_small_network(&s, 1, 5);
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
    sf_network *other = tst_small_network(&s, 1, 6);
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
