/* Network grid -> image grid: a transposed, cropped case; any number of threads; the probabilities
 * file. */
#include "base/mem.h"
#include "base/path.h"
#include "predict/export.h"
#include "predict/sums.h"
#include "preprocess/resample.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    sf_recipe recipe;
    sf_plans plans;
    sf_config cfg;
    sf_labels labels;
    sf_case_props props;
} setup;

/* File shape (7, 9, 8); transposed order 2,0,1; the box and the network grid in transposed order.
 */
static void make(setup *s)
{
    memset(s, 0, sizeof *s);
    s->recipe.prep.separate_z_threshold = 3;
    s->plans = (sf_plans){ .transpose_forward = { 2, 0, 1 },
                           .transpose_backward = { 1, 2, 0 },
                           .recipe = &s->recipe };
    s->cfg = (sf_config){ .dim = 3,
                          .spacing = { 2, 2, 2 },
                          .prob = { .order = 1, .force_separate_z = -1 } };
    s->labels =
        (sf_labels){ .n_entries = 3, .n_heads = 3, .n_labels = 3, .ignore = -1, .n_eval = 2 };
    s->props = (sf_case_props){ .spacing = { 1, 1, 1 },
                                .spacing_file = { 1, 1, 1 },
                                .shape_before_crop = { 8, 7, 9 },
                                .bbox_lo = { 2, 1, 0 },
                                .bbox_hi = { 8, 7, 8 },
                                .shape_after_crop = { 6, 6, 8 },
                                .shape = { 3, 3, 4 } };
}

enum { OUT = 7 * 9 * 8, IN = 3 * 3 * 4 };

static void fill(float *v)
{
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < IN; i++) v[c * IN + i] = (float)((i * 7 + c * 5) % 13) / 3.0f;
}

/* linear, pixel centres aligned, factor 2: output k lies between samples (k-1)/2 and (k+1)/2 with
 * weights 1/4, 3/4 */
static double expected(const float *v, const int64_t at[3])
{
    static const int64_t n[3] = { 3, 3, 4 };
    double sum = 0;
    for (int corner = 0; corner < 8; corner++) {
        double w = 1;
        int64_t index = 0;
        for (int a = 0; a < 3; a++) {
            const double x = fmin(fmax(0.5 * ((double)at[a] + 0.5) - 0.5, 0), (double)(n[a] - 1));
            const int64_t f = (int64_t)floor(x) + (corner >> a & 1);
            w *= corner >> a & 1 ? x - floor(x) : 1 - (x - floor(x));
            index = index * n[a] + (f < n[a] ? f : n[a] - 1);
        }
        sum += w * (double)v[index];
    }
    return sum;
}

static void test_geometry(void **state)
{
    (void)state;
    static setup s;
    static float v[3 * IN], p[3 * OUT], p2[3 * OUT];
    static int32_t l[OUT], l2[OUT];
    make(&s);
    fill(v);
    tst_ok(sf_export_case(&s.plans, &s.cfg, &s.labels, &s.props, v, true, l, p, 1));
    for (int threads = 2; threads <= 3; threads++) {
        tst_ok(sf_export_case(&s.plans, &s.cfg, &s.labels, &s.props, v, true, l2, p2, threads));
        assert_memory_equal(l, l2, sizeof l);
        assert_memory_equal(p, p2, sizeof p);
    }
    for (int64_t z = 0; z < 7; z++)
        for (int64_t y = 0; y < 9; y++)
            for (int64_t x = 0; x < 8; x++) {
                const int64_t i = (z * 9 + y) * 8 + x, at[3] = { x - 2, z - 1, y };
                if (at[0] < 0 || at[1] < 0 || at[1] >= 6 || at[2] >= 8) {
                    assert_true(l[i] == 0 && p[i] == 1 && p[OUT + i] == 0 && p[2 * OUT + i] == 0);
                    continue;
                }
                double e[3], sum = 0;
                for (int c = 0; c < 3; c++) sum += e[c] = exp(expected(v + c * IN, at));
                for (int c = 0; c < 3; c++)
                    assert_true(fabs((double)p[c * OUT + i] - e[c] / sum) < 1e-6);
                for (int c = 0; c < 3; c++) assert_true(e[l[i]] >= e[c] * (1 - 1e-6));
            }
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

/* Rows as they come give what resampling and deciding of the whole volume give, byte by byte:
 * larger and smaller grids, every interpolation, a separate axis in every place. */
static void test_rows(void **state)
{
    (void)state;
    static const struct {
        int64_t from[3], to[3];
        double spacing[3]; /* of the network's grid; the image has 1, 1, 1 */
        int order, order_z;
    } row[] = {
        { { 7, 6, 5 }, { 17, 13, 11 }, { 2, 2, 2 }, 1, 0 },
        { { 17, 13, 11 }, { 7, 6, 5 }, { 2, 2, 2 }, 1, 0 },
        { { 5, 12, 9 }, { 17, 16, 9 }, { 7, 1, 1 }, 1, 0 },
        { { 5, 12, 9 }, { 17, 16, 9 }, { 7, 1, 1 }, 1, 1 },
        { { 9, 12, 5 }, { 17, 16, 9 }, { 1, 1, 7 }, 1, 0 },
        { { 9, 5, 12 }, { 4, 17, 16 }, { 1, 7, 1 }, 1, 1 },
        { { 9, 5, 12 }, { 9, 17, 16 }, { 1, 7, 1 }, 3, 0 },
        { { 9, 5, 12 }, { 14, 7, 13 }, { 2, 2, 2 }, 3, 0 },
        { { 5, 12, 9 }, { 17, 16, 9 }, { 7, 1, 1 }, 1, 3 },
        { { 9, 5, 12 }, { 9, 5, 12 }, { 1, 1, 1 }, 1, 0 },
    };
    for (size_t k = 0; k < sizeof row / sizeof row[0]; k++) {
        static setup s;
        make(&s);
        const int64_t *from = row[k].from, *to = row[k].to, in = from[0] * from[1] * from[2],
                      n = to[0] * to[1] * to[2], plane = from[1] * from[2];
        s.plans = (sf_plans){ .transpose_forward = { 0, 1, 2 }, .recipe = &s.recipe };
        memcpy(s.cfg.spacing, row[k].spacing, sizeof s.cfg.spacing);
        s.cfg.prob.order = row[k].order;
        s.cfg.prob.order_z = row[k].order_z;
        s.props = (sf_case_props){ .spacing = { 1, 1, 1 } };
        memcpy(s.props.shape, from, sizeof s.props.shape);
        memcpy(s.props.shape_after_crop, to, sizeof s.props.shape);
        memcpy(s.props.shape_before_crop, to, sizeof s.props.shape);
        const int axis = sf_resample_separate_axis(&s.cfg.prob, s.cfg.spacing, s.props.spacing, 3);
        float *v = malloc((size_t)(3 * in) * 4), *part = malloc((size_t)(3 * in) * 4),
              *want = malloc((size_t)(3 * n) * 4), *p = malloc((size_t)(3 * n) * 4);
        int32_t *want_l = malloc((size_t)n * 4), *l = malloc((size_t)n * 4);
        for (int64_t i = 0; i < 3 * in; i++) v[i] = (float)(i * 7919 % 1009) / 101.0f;
        tst_ok(sf_resample_data(v, from, want, to, 3, row[k].order, row[k].order_z, axis, 1));
        sf_labels_decide(&s.labels, want, true, n, want_l);
        sf_to_probabilities(want, 3, n, false, 1);
        for (int chunk = 0; chunk <= 4; chunk++) { /* 0: everything at once */
            const sf_export_options o = { &s.plans, &s.cfg, &s.labels, &s.props, true, chunk };
            sf_export *e;
            tst_ok(sf_export_open(&e, &o, l, p));
            const sf_row_sink sink = sf_export_sink(e);
            for (int64_t lo = 0, hi; lo < from[0]; lo = hi) {
                hi = chunk == 0 || lo + chunk > from[0] ? from[0] : lo + chunk;
                for (int c = 0; c < 3; c++)
                    memcpy(part + c * (hi - lo) * plane, v + c * in + lo * plane,
                           (size_t)((hi - lo) * plane) * 4);
                tst_ok(sink.take(sink.user, lo, hi, part));
            }
            sf_export_close(&e);
            assert_memory_equal(l, want_l, (size_t)n * 4);
            assert_memory_equal(p, want, (size_t)(3 * n) * 4);
            memset(l, 1, (size_t)n * 4);
        }
        free(v);
        free(part);
        free(want);
        free(p);
        free(want_l);
        free(l);
    }
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

static void test_file(void **state)
{
    (void)state;
    char path[SF_PATH_MAX];
    float v[24], *p;
    int heads;
    int64_t shape[3] = { 2, 2, 3 }, got[3];
    for (int i = 0; i < 24; i++) v[i] = (float)i / 24.0f;
    tst_ok(sf_path_join(path, tst_tmp_dir(), "p.h5", NULL));
    tst_ok(sf_probabilities_save(path, v, 2, shape));
    tst_ok(sf_probabilities_load(path, &p, &heads, got));
    assert_int_equal(heads, 2);
    assert_memory_equal(got, shape, sizeof shape);
    assert_memory_equal(p, v, sizeof v);
    sf_mem_free(p);
    tst_ok(sf_path_write(path, "no HDF5", 7));
    assert_true(sf_probabilities_load(path, &p, &heads, got) != SF_OK);
    assert_non_null(strstr(sf_error_text(), "p.h5"));
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_geometry),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
