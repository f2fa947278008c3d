/* The end-to-end vector of nnunet-planning.md 10.7, and properties of one prepared case. */
#include "base/mem.h"
#include "preprocess/locations.h"
#include "preprocess/pipeline.h"
#include "tests/support/support.h"
#include <math.h>
#include <string.h>

enum { NZ = 6, NY = 12, NX = 14, N = NZ * NY * NX };

typedef struct {
    float image[N];
    int32_t label[N];
    int value[2];
    sf_recipe recipe;
    sf_plans plans;
    sf_config cfg;
    sf_norm_scheme norm[1];
    bool use_mask[1];
    sf_intensity stats[1];
    sf_labels labels;
    sf_image img;
} setup;

static bool inside(int v, int lo, int hi) { return lo <= v && v <= hi; }

static void fill_voxels(setup *s)
{
    for (int z = 0, i = 0; z < NZ; z++)
        for (int y = 0; y < NY; y++)
            for (int x = 0; x < NX; x++, i++) {
                const bool body = z >= 1 && inside(y, 1, 10) && inside(x, 2, 12);
                s->image[i] = body ? (float)(((7 * z + 3 * y + 5 * x) % 11 + 1) * 10) : 0.0f;
                s->label[i] = inside(z, 2, 4) && inside(y, 3, 7) && inside(x, 4, 8);
                if (z == 3 && inside(y, 4, 6) && inside(x, 5, 9)) s->label[i] = 2;
            }
    s->image[(3 * NY + 5) * NX + 5] = 0.0f;
    s->image[(1 * NY + 1) * NX + 2] = 0.0f;
}

static void make(setup *s, const double spacing[3], const double target[3], bool mask)
{
    static const int64_t shape[3] = { NZ, NY, NX };
    memset(s, 0, sizeof *s);
    fill_voxels(s);
    s->recipe.prep.normalize_before_resample = true;
    s->recipe.prep.separate_z_threshold = 3;
    s->recipe.prep.min_locations = 10000;
    s->recipe.prep.location_fraction = 0.01;
    s->use_mask[0] = mask;
    s->norm[0] = SF_NORM_ZSCORE;
    s->cfg = (sf_config){ .dim = 3,
                          .norm = s->norm,
                          .use_mask = s->use_mask,
                          .data = { .order = 3, .force_separate_z = -1 },
                          .seg = { .is_seg = true, .order = 1, .force_separate_z = -1 } };
    memcpy(s->cfg.spacing, target, sizeof s->cfg.spacing);
    s->plans = (sf_plans){ .transpose_forward = { 0, 1, 2 },
                           .transpose_backward = { 0, 1, 2 },
                           .intensity = s->stats,
                           .n_channels = 1,
                           .recipe = &s->recipe };
    s->labels =
        (sf_labels){ .n_entries = 3, .n_heads = 3, .n_labels = 3, .ignore = -1, .n_eval = 2 };
    tst_ok(sf_mem_calloc(&s->labels.eval, 2, sizeof *s->labels.eval, SF_MEM_MISC));
    for (int e = 0; e < 2; e++) {
        s->value[e] = e + 1;
        s->labels.eval[e].count = 1;
        s->labels.eval[e].value = &s->value[e];
    }
    s->img = (sf_image){ .channels = 1, .data = s->image };
    sf_geometry_make(&s->img.geo, SF_FORMAT_NIFTI, shape, spacing);
}

typedef struct {
    double spacing[3], target[3];
    bool mask;
    int64_t shape[3];
    double sum, abs_sum, min, max, sample[4];
    int64_t labels[4];
    int32_t row1[3][3], row2[3][3];
} vector;

static const vector vectors[2] = {
    { { 4, 1, 1.25 },
      { 3, .8, 1 },
      true,
      { 7, 12, 14 },
      0.8328,
      765.2551,
      -1.752100,
      1.583330,
      { -0.628792, 1.012836, -1.132862, 0.004858 },
      { 1, 998, 159, 18 },
      { { 4, 3, 3 }, { 1, 6, 7 }, { 2, 5, 8 } },
      { { 3, 4, 4 }, { 3, 5, 8 }, { 3, 6, 9 } } },
    { { 1.5, 1, 1.25 },
      { 1.2, .8, 1 },
      false,
      { 6, 12, 14 },
      -1.3801,
      614.6408,
      -1.878313,
      1.583092,
      { -0.227543, -0.133505, -0.361831, -0.681083 },
      { 1, 871, 100, 36 },
      { { 2, 3, 8 }, { 2, 3, 3 }, { 4, 4, 8 } },
      { { 2, 5, 4 }, { 3, 4, 9 }, { 2, 6, 6 } } },
};

static void check_data(const vector *v, const sf_prepared *c)
{
    double sum = 0, abs_sum = 0, lo = INFINITY, hi = -INFINITY;
    int64_t count[4] = { 0 };
    const int64_t n = c->props.shape[0] * c->props.shape[1] * c->props.shape[2];
    for (int64_t i = 0; i < n; i++) {
        const double x = (double)c->data[i];
        sum += x;
        abs_sum += fabs(x);
        lo = fmin(lo, x);
        hi = fmax(hi, x);
        count[c->seg[i] + 1]++;
    }
    assert_true(fabs(sum - v->sum) < 2e-3 && fabs(abs_sum - v->abs_sum) < 2e-3);
    assert_true(fabs(lo - v->min) < 2e-6 && fabs(hi - v->max) < 2e-6);
    assert_memory_equal(count, v->labels, sizeof count);
    for (int x = 0; x < 4; x++) {
        const int64_t at = (2 * c->props.shape[1] + 4) * c->props.shape[2] + 3 + x;
        assert_true(fabs((double)c->data[at] - v->sample[x]) < 2e-6);
    }
}

static void test_vectors(void **state)
{
    (void)state;
    static const int64_t lo[3] = { 1, 1, 2 }, hi[3] = { 6, 11, 13 };
    for (int k = 0; k < 2; k++) {
        const vector *v = &vectors[k];
        static setup s;
        sf_prepared *c;
        make(&s, v->spacing, v->target, v->mask);
        tst_ok(sf_prepare_case(&c, "case", &s.plans, &s.cfg, &s.labels, &s.img, s.label, 2));
        assert_memory_equal(c->props.bbox_lo, lo, sizeof lo);
        assert_memory_equal(c->props.bbox_hi, hi, sizeof hi);
        assert_memory_equal(c->props.shape, v->shape, sizeof v->shape);
        check_data(v, c);
        assert_int_equal(c->loc.n_entries, 2);
        for (int e = 0; e < 2; e++) assert_int_equal(c->loc.count[e], v->labels[e + 2]);
        assert_memory_equal(c->loc.row[0], v->row1, sizeof v->row1);
        assert_memory_equal(c->loc.row[1], v->row2, sizeof v->row2);
        sf_prepared_destroy(&c);
        sf_mem_free(s.labels.eval);
    }
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

/* a transposed plan gives the transposed result; the label does not change the image; threads do
 * not change bits */
static void test_transposed(void **state)
{
    (void)state;
    static setup s;
    sf_prepared *a, *b, *c;
    make(&s, vectors[1].spacing, vectors[1].target, false);
    tst_ok(sf_prepare_case(&a, "a", &s.plans, &s.cfg, &s.labels, &s.img, s.label, 1));
    tst_ok(sf_prepare_case(&c, "c", &s.plans, &s.cfg, &s.labels, &s.img, NULL, 3));
    const int forward[3] = { 2, 0, 1 };
    for (int i = 0; i < 3; i++) {
        s.plans.transpose_forward[i] = forward[i];
        s.plans.transpose_backward[forward[i]] = i;
        s.cfg.spacing[i] = vectors[1].target[forward[i]];
    }
    tst_ok(sf_prepare_case(&b, "b", &s.plans, &s.cfg, &s.labels, &s.img, s.label, 2));
    const int64_t *n = a->props.shape;
    assert_memory_equal(a->data, c->data, (size_t)(n[0] * n[1] * n[2]) * sizeof(float));
    assert_null(c->seg);
    assert_int_equal(c->loc.n_entries, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(b->props.shape[i], n[forward[i]]);
        assert_int_equal(b->props.bbox_lo[i], a->props.bbox_lo[forward[i]]);
        assert_true(b->props.spacing[i] == a->props.spacing[forward[i]]);
        assert_true(b->props.spacing_file[i] == a->props.spacing_file[i]);
    }
    for (int64_t z = 0; z < n[0]; z++)
        for (int64_t y = 0; y < n[1]; y++)
            for (int64_t x = 0; x < n[2]; x++) {
                const int64_t i = (z * n[1] + y) * n[2] + x, k = (x * n[0] + z) * n[1] + y;
                assert_true(fabsf(a->data[i] - b->data[k]) < 1e-6f && a->seg[i] == b->seg[k]);
            }
    sf_prepared_destroy(&a);
    sf_prepared_destroy(&b);
    sf_prepared_destroy(&c);
    sf_mem_free(s.labels.eval);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

/* a 2-D configuration never changes the first axis; normalising last uses the resampled mask and
 * clears the outside */
static void test_2d_and_order(void **state)
{
    (void)state;
    static setup s;
    sf_prepared *c;
    make(&s, vectors[1].spacing, vectors[1].target, true);
    s.cfg.dim = 2;
    s.cfg.spacing[0] = 0;
    tst_ok(sf_prepare_case(&c, "c", &s.plans, &s.cfg, &s.labels, &s.img, s.label, 2));
    assert_int_equal(c->props.shape[0], 5);
    assert_int_equal(c->props.shape[1], 12);
    sf_prepared_destroy(&c);
    s.recipe.prep.normalize_before_resample = false;
    s.recipe.prep.mask_outside_zero = true;
    tst_ok(sf_prepare_case(&c, "c", &s.plans, &s.cfg, &s.labels, &s.img, s.label, 2));
    double sum = 0, squares = 0;
    int64_t count = 0;
    for (int64_t i = 0; i < 5 * 12 * 14; i++) {
        if (c->seg[i] < 0) assert_true(c->data[i] == 0.0f);
        if (c->seg[i] < 0) continue;
        sum += (double)c->data[i];
        squares += (double)c->data[i] * (double)c->data[i];
        count++;
    }
    assert_true(fabs(sum / (double)count) < 1e-5 && fabs(squares / (double)count - 1) < 1e-5);
    sf_prepared_destroy(&c);
    s.label[0] = 40000; /* does not fit; outside the crop it would not matter */
    s.label[(3 * NY + 5) * NX + 6] = 40000;
    assert_int_equal(sf_prepare_case(&c, "case7", &s.plans, &s.cfg, &s.labels, &s.img, s.label, 2),
                     SF_EDATA);
    assert_null(c);
    assert_non_null(strstr(sf_error_text(), "case7"));
    assert_non_null(strstr(sf_error_text(), "40000"));
    s.img.channels = 2;
    assert_int_equal(sf_prepare_case(&c, "c", &s.plans, &s.cfg, &s.labels, &s.img, s.label, 2),
                     SF_EDATA);
    sf_mem_free(s.labels.eval);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

/* regions in their own label order, and the entry "annotated" with an ignore label */
static void test_locations(void **state)
{
    (void)state;
    enum { M = 40 };
    static int16_t seg[M * M * M];
    const int64_t shape[3] = { M, M, M };
    int both[2] = { 2, 1 }, one[1] = { 1 };
    for (int i = 0; i < M * M * M; i++) seg[i] = (int16_t)(i % 5) - 1; /* -1, 0, 1, 2, 3 = ignore */
    sf_labels l = { .has_regions = true, .n_labels = 3, .ignore = 3, .n_eval = 2 };
    tst_ok(sf_mem_calloc(&l.eval, 2, sizeof *l.eval, SF_MEM_MISC));
    l.eval[0].count = 2;
    l.eval[0].value = both;
    l.eval[1].count = 1;
    l.eval[1].value = one;
    sf_locations loc;
    tst_ok(sf_locations_make(&loc, seg, shape, &l, 100, 0.5));
    assert_int_equal(loc.n_entries, 3);
    assert_int_equal(loc.count[0], 12800);
    assert_int_equal(loc.count[1], 6400);
    assert_int_equal(loc.count[2], 25600);
    bool seen[5] = { false };
    for (int e = 0; e < 3; e++)
        for (int64_t r = 0; r < loc.count[e]; r++) {
            const int32_t *v = loc.row[e][r];
            const int label = seg[(v[0] * M + v[1]) * M + v[2]];
            assert_true(e == 0 ? label == 1 || label == 2 : e == 1 ? label == 1 : label < 3);
            if (e == 2) seen[label + 1] = true;
        }
    assert_true(seen[0] && seen[1] && seen[2] && seen[3] && !seen[4]);
    sf_locations_free(&loc);
    sf_mem_free(l.eval);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_transposed),
        cmocka_unit_test(test_2d_and_order),
        cmocka_unit_test(test_locations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
