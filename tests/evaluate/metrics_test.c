/* Overlap counts against the definition, NaN rules, selection and post-processing decisions. */
#include "base/mem.h"
#include "base/path.h"
#include "base/rng.h"
#include "evaluate/select.h"
#include "plan/labels.h"
#include "tests/support/support.h"
#include <math.h>
#include <string.h>

static void make_labels(sf_labels *l, const char *json)
{
    json_t *root = NULL;
    memset(l, 0, sizeof *l);
    tst_ok(sf_json_parse(&root, json, "test"));
    tst_ok(sf_labels_parse(l, root, "test"));
    json_decref(root);
}

static const char plain[] = "{\"labels\": {\"background\": 0, \"a\": 1, \"b\": 2, \"c\": 3}}";
static const char regions[] =
    "{\"labels\": {\"background\": 0, \"whole\": [1, 2, 3], \"core\": [2, 3], "
    "\"one\": 2, \"ignore\": 4}, \"regions_class_order\": [1, 3, 2]}";

static void check_definition(const char *json, uint32_t seed)
{
    enum { N = 3000 };
    const sf_rng_key key = { .seed = seed, .purpose = SF_RNG_TEST };
    int32_t ref[N], pred[N];
    sf_metric m[3];
    sf_labels l;
    sf_rng r;
    make_labels(&l, json);
    sf_rng_init(&r, &key);
    for (int i = 0; i < N; i++) {
        ref[i] = (int32_t)sf_rng_below(&r, l.n_labels + (l.ignore >= 0));
        pred[i] = i % 3 ? (int32_t)sf_rng_below(&r, l.n_labels) : ref[i] % l.n_labels;
    }
    sf_metrics_compute(ref, pred, N, &l, m);
    for (int e = 0; e < l.n_eval; e++) {
        int64_t tp = 0, fp = 0, fn = 0, tn = 0;
        for (int i = 0; i < N; i++) {
            if (ref[i] == l.ignore) continue;
            const bool a = sf_labels_contains(&l, e, ref[i]),
                       b = sf_labels_contains(&l, e, pred[i]);
            tp += a && b;
            fp += !a && b;
            fn += a && !b;
            tn += !a && !b;
        }
        assert_true(m[e].tp == tp && m[e].fp == fp && m[e].fn == fn && m[e].tn == tn);
        assert_true(m[e].dice == 2.0 * (double)tp / (double)(2 * tp + fp + fn));
        assert_true(m[e].iou == (double)tp / (double)(tp + fp + fn));
    }
    sf_labels_free(&l);
}

static void test_definition(void **state)
{
    (void)state;
    check_definition(plain, 1);
    check_definition(regions, 2);
}

/* Absent in both: NaN, left out of the mean; absent in the reference only: 0, counts. */
static void test_nan_rules(void **state)
{
    const int32_t ref[2][4] = { { 0, 1, 1, 0 }, { 0, 0, 0, 0 } };
    const int32_t pred[2][4] = { { 0, 1, 0, 2 }, { 1, 0, 0, 0 } };
    sf_labels l;
    sf_metric m[3];
    sf_summary *s = NULL, *back = NULL;
    char path[SF_PATH_MAX];
    (void)state;
    make_labels(&l, plain);
    tst_ok(sf_summary_create(&s, 2, &l));
    for (int i = 0; i < 2; i++) {
        sf_metrics_compute(ref[i], pred[i], 4, &l, m);
        tst_ok(sf_summary_set(s, i, i ? "y" : "x", i ? "y.png" : "x.png", "r", m));
    }
    sf_summary_finish(s);
    assert_true(fabs(s->mean_dice[0] - (2.0 / 3.0 + 0.0) / 2.0) < 1e-15);
    assert_true(s->mean_dice[1] == 0.0 && isnan(s->mean_dice[2]) && isnan(s->foreground_dice));
    tst_ok(sf_path_join(path, tst_tmp_dir(), "summary.json", NULL));
    tst_ok(sf_summary_save(s, &l, path));
    tst_ok(sf_summary_load(&back, &l, path));
    assert_int_equal(2, back->n_cases);
    assert_string_equal("y", back->id[1]);
    assert_string_equal("y.png", back->pred[1]);
    for (int i = 0; i < 6; i++)
        assert_true(back->m[i].tp == s->m[i].tp && back->m[i].tn == s->m[i].tn);
    assert_true(back->mean_dice[0] == s->mean_dice[0] && isnan(back->m[2].dice));
    sf_summary_destroy(&s);
    sf_summary_destroy(&back);
    sf_labels_free(&l);
}

static void test_selection(void **state)
{
    static const char *const models[] = { "m0", "m1", "m2" };
    static const double dice[] = { 0.5, 0.7, NAN, 0.7, 0.2, 0.71 };
    sf_selection *s = NULL;
    (void)state;
    tst_ok(sf_selection_create(&s, models, 3, true, 2));
    assert_int_equal(6, s->n);
    assert_string_equal("ensemble___m0___m2", s->candidate[4].name);
    for (int i = 0; i < 6; i++) s->candidate[i].dice = dice[i];
    sf_selection_choose(s);
    assert_int_equal(5, s->best);
    s->candidate[5].dice = 0.7; /* a tie goes to the one named first */
    sf_selection_choose(s);
    assert_int_equal(1, s->best);
    s->candidate[0].dice = NAN;
    sf_selection_choose(s);
    assert_int_equal(1, s->best);
    sf_selection_destroy(&s);
}

/* A stray blob beside the object: joint removal is accepted, recorded, written and read back. */
static void test_postprocessing(void **state)
{
    enum { N = 20 };
    int32_t ref[N] = { 0 }, pred[N] = { 0 };
    char path[SF_PATH_MAX];
    sf_pp_case c = { ref, pred, { 1, 1, N } };
    sf_postproc *p = NULL, *back = NULL;
    sf_summary *before = NULL, *after = NULL;
    sf_labels l;
    (void)state;
    make_labels(&l, "{\"labels\": {\"background\": 0, \"a\": 1, \"b\": 2}}");
    for (int i = 2; i < 8; i++) ref[i] = pred[i] = 1 + (i > 4);
    pred[12] = pred[13] = 1;
    tst_ok(sf_postproc_determine(&p, &c, 1, &l, &before, &after));
    assert_int_equal(1, p->n_ops);
    assert_string_equal("[1, 2]", p->op[0].key);
    assert_memory_equal(ref, pred, sizeof ref);
    assert_true(before->foreground_dice < 1.0 && after->foreground_dice == 1.0);
    tst_ok(sf_path_join(path, tst_tmp_dir(), "postprocessing.json", NULL));
    tst_ok(sf_postproc_save(p, before, after, &l, path));
    tst_ok(sf_postproc_load(&back, path));
    assert_int_equal(1, back->n_ops);
    assert_string_equal("[1, 2]", back->op[0].key);
    assert_int_equal(2, back->op[0].value[1]);
    pred[15] = 2;
    tst_ok(sf_postproc_apply(back, pred, c.shape));
    assert_memory_equal(ref, pred, sizeof ref);
    sf_postproc_destroy(&p);
    sf_postproc_destroy(&back);
    sf_summary_destroy(&before);
    sf_summary_destroy(&after);
    sf_labels_free(&l);
}

static int no_leak(void **state)
{
    (void)state;
    assert_int_equal(0, sf_mem_live(SF_MEM_CATEGORIES));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_definition),
        cmocka_unit_test(test_nan_rules),
        cmocka_unit_test(test_selection),
        cmocka_unit_test(test_postprocessing),
    };
    return cmocka_run_group_tests(tests, NULL, no_leak);
}
