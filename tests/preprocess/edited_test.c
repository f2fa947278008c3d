/* What a hand-edited plan changes in the preprocessed data: every key of the resampling and the
 * normalisation acts on what it should and on nothing else; no resampling; torch's resampling
 * against its own formulas (nnunet-planning.md 6.8). */
#include "base/log.h"
#include "base/mem.h"
#include "preprocess/origin.h"
#include "preprocess/pipeline.h"
#include "preprocess/resample.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NZ = 7, NY = 18, NX = 20, N = NZ * NY * NX };

typedef struct {
    float image[N];
    int32_t label[N];
    sf_recipe recipe;
    sf_plans plans;
    sf_config cfg;
    sf_norm_scheme norm[1];
    bool use_mask[1];
    sf_intensity stats[1];
    sf_labels labels;
    sf_image img;
} setup;

/** A lumpy image with a border of zeros, three labels; voxels of 4 x 1 x 1.25 mm. */
static void make(setup *s)
{
    static const int64_t shape[3] = { NZ, NY, NX };
    static const double spacing[3] = { 4, 1, 1.25 };
    memset(s, 0, sizeof *s);
    for (int z = 0, i = 0; z < NZ; z++)
        for (int y = 0; y < NY; y++)
            for (int x = 0; x < NX; x++, i++) {
                const bool body = y > 0 && y < NY - 1 && x > 1 && x < NX - 1;
                s->image[i] = body ? (float)(120 + 90 * sin(0.9 * z + 0.7 * y) * cos(0.6 * x)) : 0;
                s->label[i] = body ? (z + y / 3 + x / 4) % 4 : 0;
            }
    s->recipe.prep = (sf_recipe_prep){ .normalize_before_resample = true,
                                       .separate_z_threshold = 3,
                                       .min_locations = 10,
                                       .location_fraction = 0.01 };
    s->stats[0] = (sf_intensity){ .mean = 100, .std = 50, .p00_5 = 40, .p99_5 = 180 };
    s->cfg = (sf_config){ .dim = 3,
                          .spacing = { 3, .8, 1 },
                          .norm = s->norm,
                          .use_mask = s->use_mask,
                          .data = { .order = 3, .force_separate_z = -1 },
                          .seg = { .is_seg = true, .order = 1, .force_separate_z = -1 } };
    s->plans = (sf_plans){ .transpose_forward = { 0, 1, 2 },
                           .transpose_backward = { 0, 1, 2 },
                           .intensity = s->stats,
                           .n_channels = 1,
                           .recipe = &s->recipe };
    s->labels = (sf_labels){ .n_entries = 4, .n_heads = 4, .n_labels = 4, .ignore = -1 };
    s->img = (sf_image){ .channels = 1, .data = s->image };
    sf_geometry_make(&s->img.geo, SF_FORMAT_NIFTI, shape, spacing);
}

static sf_prepared *prepare(const setup *s)
{
    sf_prepared *c = NULL;
    tst_ok(sf_prepare_case(&c, "case", &s->plans, &s->cfg, &s->labels, &s->img, s->label, 2));
    return c;
}

static int64_t voxels(const sf_prepared *c)
{
    return c->props.shape[0] * c->props.shape[1] * c->props.shape[2];
}

/* ---- each key acts, on image or labels alone ---- */

static void data_linear(setup *s) { s->cfg.data.order = 1; }
static void data_nearest(setup *s) { s->cfg.data.order = 0; }
static void data_order_z(setup *s) { s->cfg.data.order_z = 1; }
static void data_whole(setup *s) { s->cfg.data.force_separate_z = 0; }
static void data_threshold(setup *s) { s->cfg.data.threshold = 9; }
static void seg_nearest(setup *s) { s->cfg.seg.order = 0; }
static void seg_order_z(setup *s) { s->cfg.seg.order_z = 3; }
static void seg_whole(setup *s) { s->cfg.seg.force_separate_z = 0; }
static void seg_threshold(setup *s) { s->cfg.seg.threshold = 9; }
static void seg_torch(setup *s) { s->cfg.seg.fn = SF_RESAMPLE_TORCH; }
static void norm_ct(setup *s) { s->norm[0] = SF_NORM_CT; }
static void norm_none(setup *s) { s->norm[0] = SF_NORM_NONE; }
static void norm_rescale(setup *s) { s->norm[0] = SF_NORM_RESCALE01; }
static void norm_rgb(setup *s) { s->norm[0] = SF_NORM_RGB01; }
static void norm_mask(setup *s)
{
    s->use_mask[0] = true;
    s->image[(3 * NY + 9) * NX + 1] = 5; /* the crop now holds voxels outside the mask */
}

static const struct {
    const char *name;
    void (*edit)(setup *s);
    bool data, seg; /* what changes */
} edits[] = {
    { "data order 1", data_linear, true, false },
    { "data order 0", data_nearest, true, false },
    { "data order_z", data_order_z, true, false },
    { "data force_separate_z", data_whole, true, false },
    { "data threshold", data_threshold, true, false },
    { "seg order 0", seg_nearest, false, true },
    { "seg order_z", seg_order_z, false, true },
    { "seg force_separate_z", seg_whole, false, true },
    { "seg threshold", seg_threshold, false, true },
    { "seg torch", seg_torch, false, true },
    { "CT", norm_ct, true, false },
    { "no normalisation", norm_none, true, false },
    { "rescale", norm_rescale, true, false },
    { "RGB", norm_rgb, true, false },
    { "mask", norm_mask, true, true },
};

static void test_each_key(void **state)
{
    static setup s;
    (void)state;
    make(&s);
    sf_prepared *base = prepare(&s);
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        make(&s);
        edits[i].edit(&s);
        sf_prepared *c = prepare(&s);
        const bool same = voxels(c) == voxels(base);
        const size_t n = (size_t)voxels(c);
        const bool data = !same || memcmp(c->data, base->data, n * sizeof *c->data) != 0;
        const bool seg = !same || memcmp(c->seg, base->seg, n * sizeof *c->seg) != 0;
        if (data != edits[i].data || seg != edits[i].seg)
            fail_msg("%s: image %s, labels %s", edits[i].name, data ? "changed" : "as before",
                     seg ? "changed" : "as before");
        sf_prepared_destroy(&c);
    }
    sf_prepared_destroy(&base);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

/* ---- no resampling ---- */

static void test_no_resampling(void **state)
{
    static setup s;
    (void)state;
    make(&s);
    s.norm[0] = SF_NORM_NONE;
    s.cfg.data.fn = s.cfg.seg.fn = SF_RESAMPLE_NONE;
    sf_prepared *c = prepare(&s);
    assert_memory_equal(c->props.shape, c->props.shape_after_crop, sizeof c->props.shape);
    assert_int_equal(c->props.shape[2], NX - 3);
    for (int64_t z = 0, i = 0; z < NZ; z++)
        for (int64_t y = 0; y < c->props.shape[1]; y++)
            for (int64_t x = 0; x < c->props.shape[2]; x++, i++) {
                const int64_t at = (z * NY + y + 1) * NX + x + 2;
                assert_true(c->data[i] == s.image[at] && c->seg[i] == s.label[at]);
            }
    sf_prepared_destroy(&c);
}

/* ---- torch: trilinear in float32, labels by indicators x 1000 in float16 ---- */

/** Rounded to the 11 significant bits of a float16 (values of 0..1000). */
static double half(double v)
{
    int e;
    const double m = frexp(v, &e);
    return ldexp(rint(ldexp(m, 11)), e - 11);
}

static float at(const float *x, const int64_t n[3], const int64_t i[3])
{
    return x[(i[0] * n[1] + i[1]) * n[2] + i[2]];
}

/** align_corners = false, edges clamped; `nearest`: axis 0 by nearest-exact. */
static float torch_value(const float *x, const int64_t n[3], const int64_t to[3],
                         const int64_t k[3], bool nearest)
{
    int64_t lo[3], hi[3], corner[3];
    float t[3], sum = 0;
    for (int a = 0; a < 3; a++) {
        const float scale = (float)n[a] / (float)to[a];
        float p = ((float)k[a] + 0.5f) * scale - (nearest && a == 0 ? 0.0f : 0.5f);
        if (p < 0) p = 0;
        lo[a] = (int64_t)p < n[a] ? (int64_t)p : n[a] - 1;
        hi[a] = lo[a] + 1 < n[a] ? lo[a] + 1 : n[a] - 1;
        t[a] = nearest && a == 0 ? 0 : p - (float)lo[a];
    }
    for (int c = 0; c < 8; c++) {
        float w = 1;
        for (int a = 0; a < 3; a++) {
            corner[a] = c >> a & 1 ? hi[a] : lo[a];
            w *= c >> a & 1 ? t[a] : 1 - t[a];
        }
        sum += w * at(x, n, corner);
    }
    return sum;
}

/** Above 700 a label is written at once, the rest takes the largest, ties the lowest. */
static int16_t torch_label(const int16_t *seg, const int64_t n[3], const int64_t to[3],
                           const int64_t k[3], bool nearest)
{
    static float indicator[N];
    int16_t best = 0, sure = -1;
    double most = -1;
    for (int16_t v = 0; v < 4; v++) {
        for (int64_t i = 0; i < n[0] * n[1] * n[2]; i++) indicator[i] = seg[i] == v ? 1000 : 0;
        const double p = half((double)torch_value(indicator, n, to, k, nearest));
        if (p > 700) sure = v;
        if (p > most) {
            most = p;
            best = v;
        }
    }
    return sure >= 0 ? sure : best;
}

/** The same image and labels through resample_torch_fornnunet of nnU-Net 2.8.1: sum of the image,
 *  sum weighted by index mod 97, labels of each value, labels weighted likewise. */
static const struct {
    double sum, weighted;
    int count[4];
    int64_t weighted_labels;
} peer[2] = {
    { 610625.6579723358, 29065828.75993347, { 3065, 1225, 1246, 1214 }, 352683 },
    { 610980.8497161865, 29074555.44551468, { 2924, 1294, 1294, 1238 }, 361707 },
};

static void check_peer(bool nearest, const float *x, const int16_t *labels, int n)
{
    double sum = 0, weighted = 0;
    int count[4] = { 0 };
    int64_t weighted_labels = 0;
    for (int i = 0; i < n; i++) {
        sum += (double)x[i];
        weighted += (double)x[i] * (i % 97);
        count[labels[i]]++;
        weighted_labels += labels[i] * (i % 97);
    }
    assert_true(fabs(sum - peer[nearest].sum) < 1e-7 * sum);
    assert_true(fabs(weighted - peer[nearest].weighted) < 1e-7 * weighted);
    assert_memory_equal(count, peer[nearest].count, sizeof count);
    assert_int_equal(weighted_labels, peer[nearest].weighted_labels);
}

static void check_torch(bool nearest)
{
    static setup s;
    static float x[N];
    static int16_t seg[N];
    make(&s);
    const int64_t n[3] = { NZ, NY, NX }, to[3] = { 10, 25, 27 };
    const sf_resampling r = {
        .fn = SF_RESAMPLE_TORCH, .order = 1, .force_separate_z = nearest ? -1 : 0, .threshold = 3
    };
    const double cur[3] = { 4, 1, 1.25 }, next[3] = { 3, .8, 1 };
    const int axis = sf_resample_separate_axis(&r, cur, next, 100);
    assert_int_equal(axis, nearest ? 0 : -1);
    for (int i = 0; i < N; i++) {
        x[i] = s.image[i];
        seg[i] = (int16_t)s.label[i];
    }
    static float got[10 * 25 * 27];
    static int16_t labels[10 * 25 * 27];
    tst_ok(sf_resample_data(x, n, got, to, 1, r.order, r.order_z, axis, 2));
    tst_ok(sf_resample_labels(seg, n, labels, to, r.order, r.order_z, axis, true, 2));
    check_peer(nearest, got, labels, 10 * 25 * 27);
    int wrong = 0, i = 0;
    double worst = 0;
    for (int64_t z = 0; z < to[0]; z++)
        for (int64_t y = 0; y < to[1]; y++)
            for (int64_t c = 0; c < to[2]; c++, i++) {
                const int64_t k[3] = { z, y, c };
                worst =
                    fmax(worst, fabs((double)got[i] - (double)torch_value(x, n, to, k, nearest)));
                wrong += labels[i] != torch_label(seg, n, to, k, nearest);
            }
    print_message("torch, separate axis %d: image %.2g of 210, %d of %d labels differ\n", axis,
                  worst, wrong, i);
    assert_true(worst < 1e-5 * 210 && wrong <= i / 200);
}

static void test_torch(void **state)
{
    (void)state;
    check_torch(false);
    check_torch(true);
}

/* ---- images that say nothing ---- */

/** All zeros: no crop; every scheme leaves zeros (CT: the value of zero), never NaN. */
static void test_all_zero(void **state)
{
    static const sf_norm_scheme schemes[] = { SF_NORM_ZSCORE, SF_NORM_CT, SF_NORM_NONE,
                                              SF_NORM_RESCALE01, SF_NORM_RGB01 };
    static setup s;
    (void)state;
    for (int k = 0; k < 10; k++) {
        make(&s);
        memset(s.image, 0, sizeof s.image);
        memset(s.label, 0, sizeof s.label);
        s.norm[0] = schemes[k / 2];
        s.use_mask[0] = k % 2;
        s.recipe.prep.mask_outside_zero = k % 2;
        sf_prepared *c = prepare(&s);
        assert_int_equal(c->props.shape_after_crop[1], NY);
        const float want =
            schemes[k / 2] == SF_NORM_CT ? (float)((s.stats[0].p00_5 - s.stats[0].mean) / 50) : 0;
        for (int64_t i = 0; i < voxels(c); i++)
            assert_true(fabsf(c->data[i] - want) < 1e-6f && c->seg[i] == -1);
        sf_prepared_destroy(&c);
    }
}

/** A constant image, and a CT whose foreground is constant: finite numbers. */
static void test_constant(void **state)
{
    static setup s;
    (void)state;
    for (int k = 0; k < 2; k++) {
        make(&s);
        for (int i = 0; i < N; i++) s.image[i] = 7;
        s.norm[0] = k ? SF_NORM_CT : SF_NORM_ZSCORE;
        s.stats[0] = (sf_intensity){ .mean = 7, .std = 0, .p00_5 = 7, .p99_5 = 7 };
        sf_prepared *c = prepare(&s);
        for (int64_t i = 0; i < voxels(c); i++) assert_true(c->data[i] == 0);
        sf_prepared_destroy(&c);
    }
}

static int warnings;

static void count_warnings(void *user, sf_log_level level, const char *line)
{
    (void)user;
    warnings += level == SF_LOG_WARN && strstr(line, "label=dot") && strstr(line, "lost");
}

/** A class of one voxel that falls between the voxels of a coarse grid is told by name; a class
 *  that the case never had is not. */
static void test_lost_class(void **state)
{
    static setup s;
    int dot[1] = { 3 }, absent[1] = { 9 };
    (void)state;
    make(&s);
    for (int i = 0; i < N; i++) s.label[i] = i % NX > 5;
    s.label[(3 * NY + 9) * NX + 11] = 3;
    tst_ok(sf_mem_calloc(&s.labels.eval, 2, sizeof *s.labels.eval, SF_MEM_MISC));
    s.labels.n_eval = 2;
    s.labels.eval[0].count = s.labels.eval[1].count = 1;
    s.labels.eval[0].value = dot;
    s.labels.eval[1].value = absent;
    s.labels.eval[0].name = (char *)(uintptr_t) "dot";
    for (int k = 0; k < 2; k++) {
        for (int a = 0; a < 3; a++) s.cfg.spacing[a] = k ? 5 : s.img.geo.spacing[a];
        warnings = 0;
        sf_log_set_sink(count_warnings, NULL);
        sf_prepared *c = prepare(&s);
        sf_log_set_sink(NULL, NULL);
        assert_int_equal(warnings, k);
        assert_int_equal(c->loc.count[0], 1 - k);
        assert_int_equal(c->loc.count[1], 0);
        sf_prepared_destroy(&c);
    }
    sf_mem_free(s.labels.eval);
}

/* ---- data of another plan never pass for this one's ---- */

/** What decides the voxels changes the origin, and nothing else does. */
static void test_origin(void **state)
{
    static setup s;
    char before[65], after[65];
    (void)state;
    make(&s);
    tst_ok(sf_data_origin(before, &s.plans, &s.cfg));
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        make(&s);
        edits[i].edit(&s);
        tst_ok(sf_data_origin(after, &s.plans, &s.cfg));
        if (strcmp(before, after) == 0) fail_msg("%s leaves no trace", edits[i].name);
    }
    make(&s);
    s.cfg.spacing[1] = .9;
    tst_ok(sf_data_origin(after, &s.plans, &s.cfg));
    assert_string_not_equal(before, after);
    make(&s);
    s.cfg.batch_size = 9;
    s.cfg.patch[0] = 16;
    s.cfg.batch_dice = true;
    s.stats[0].mean = 1; /* no CT here */
    tst_ok(sf_data_origin(after, &s.plans, &s.cfg));
    assert_string_equal(before, after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_key), cmocka_unit_test(test_no_resampling),
        cmocka_unit_test(test_torch),    cmocka_unit_test(test_all_zero),
        cmocka_unit_test(test_constant), cmocka_unit_test(test_lost_class),
        cmocka_unit_test(test_origin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
