/* Probabilities and laws of both recipes: against the settings of the peers' own objects
 * (oracle/augment/distributions.json), and our draws against the recipe. */
#include "base/json.h"
#include "batch/augment.h"
#include "batch/cascade.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DRAWS = 4000, MAX_CHANNELS = 8 };

typedef struct {
    const char *peer, *recipe;
    bool v1;
} pairing;
static const pairing PAIRS[] = { { "v1_1.7.0", "paper", true }, { "v2_2.8.1", "nnunetv2", false } };

static void within_5_sigma(const char *what, int64_t hits, int64_t draws, double p)
{
    const double sigma = sqrt(p * (1 - p) * (double)draws);
    if (fabs((double)hits - p * (double)draws) > 5 * sigma + 1e-9) {
        fail_msg("%s: %lld of %lld, expected p=%g", what, (long long)hits, (long long)draws, p);
    }
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Distribution function of a law. */
static double law_at(double x, double lo, double hi, bool halves)
{
    if (!halves) return (x - lo) / (hi - lo);
    return x < 1 ? 0.5 * (x - lo) / (1 - lo) : 0.5 + 0.5 * (x - 1) / (hi - 1);
}

/* Kolmogorov-Smirnov: the probability of sqrt(n) D > 2.3 is 5e-5. */
static void follows(const char *what, double *x, int n, double lo, double hi, bool halves)
{
    double worst = 0;
    assert_true(n > 100);
    qsort(x, (size_t)n, sizeof *x, ascending);
    for (int i = 0; i < n; i++) {
        const double f = law_at(x[i], lo, hi, halves);
        worst = fmax(worst, fmax(fabs(f - (double)i / n), fabs(f - (double)(i + 1) / n)));
    }
    if (x[0] < lo || x[n - 1] > hi || sqrt((double)n) * worst > 2.3) {
        fail_msg("%s: %d draws in [%g, %g], distance %g", what, n, x[0], x[n - 1], worst);
    }
}

/* ---- the recipe's numbers are the peer's ---- */

static void range_of(double out[2], const json_t *settings, const char *key)
{
    const json_t *v = json_object_get(settings, key);
    if (json_is_array(v)) {
        out[0] = sf_json_num(json_array_get(v, 0));
        out[1] = sf_json_num(json_array_get(v, 1));
    } else {
        out[0] = sf_json_num(json_object_get(v, "low"));
        out[1] = sf_json_num(json_object_get(v, "high"));
    }
}

static const struct {
    sf_augment_row row;
    const char *name_v1, *name_v2, *range_v1, *range_v2;
} NAMES[] = {
    { SF_AUG_NOISE, "GaussianNoiseTransform", "GaussianNoiseTransform", "noise_variance",
      "noise_variance" },
    { SF_AUG_BLUR, "GaussianBlurTransform", "GaussianBlurTransform", "blur_sigma", "blur_sigma" },
    { SF_AUG_BRIGHTNESS, "BrightnessMultiplicativeTransform", "MultiplicativeBrightnessTransform",
      "multiplier_range", "multiplier_range" },
    { SF_AUG_CONTRAST, "ContrastAugmentationTransform", "ContrastTransform", "contrast_range",
      "contrast_range" },
    { SF_AUG_LOW_RESOLUTION, "SimulateLowResolutionTransform", "SimulateLowResolutionTransform",
      "zoom_range", "scale" },
    { SF_AUG_GAMMA_INVERTED, "GammaTransform", "GammaTransform", "gamma_range", "gamma" },
    { SF_AUG_GAMMA, "GammaTransform", "GammaTransform", "gamma_range", "gamma" },
};

static double setting(const json_t *settings, const char *key, double otherwise)
{
    const json_t *v = json_object_get(settings, key);
    return v ? sf_json_num(v) : otherwise;
}

static bool is_true(const json_t *settings, const char *key)
{
    const json_t *v = json_object_get(settings, key);
    return json_is_true(v) || (json_is_number(v) && json_number_value(v) != 0);
}

/* Half the draws on either side of 1: v2 says so, v1 shows it in the ranges it drew from. */
static void check_law(const sf_augment_params *r, const json_t *entry, size_t k, bool v1)
{
    const json_t *settings = json_object_get(entry, "settings");
    const json_t *range = json_object_get(settings, v1 ? NAMES[k].range_v1 : NAMES[k].range_v2);
    bool halves = json_is_string(json_object_get(range, "law"));
    if (v1) {
        char key[64];
        const json_t *drawn = json_object_get(json_object_get(entry, "drawn_2000"), "ranges");
        snprintf(key, sizeof key, "uniform(%g, 1)", r->lo);
        halves = r->hi > 1 && json_object_get(drawn, key) != NULL;
        snprintf(key, sizeof key, "uniform(%g, %g)", halves ? 1.0 : r->lo, r->hi);
        if (!json_object_get(drawn, key)) fail_msg("%s: v1 drew no %s", NAMES[k].name_v1, key);
    }
    assert_int_equal(r->halves, halves);
}

/* One value for all channels, one for all axes? */
static void check_sharing(const sf_augment_params *r, const json_t *settings, bool v1)
{
    const bool own =
        is_true(settings, "per_channel") || is_true(settings, "different_sigma_per_channel");
    const json_t *axes = json_object_get(settings, "synchronize_axes");
    assert_int_equal(r->shared, v1 ? !own : is_true(settings, "synchronize_channels"));
    assert_int_equal(r->per_axis,
                     v1 ? is_true(settings, "different_sigma_per_axis") : json_is_false(axes));
}

/* How often the peer's own object fired in 2000 calls. Where it then chooses channels, a call may
 * change nothing: only v2 counts the decision itself. */
static void check_frequency(const json_t *entry, double p, bool v1)
{
    const json_t *drawn = json_object_get(entry, "drawn_2000");
    const json_t *f = v1 ? json_object_get(drawn, "fraction_of_calls_that_changed_the_image")
                         : json_object_get(entry, "drawn_apply_frequency");
    const json_t *settings = json_object_get(entry, "settings");
    const bool chooses = setting(settings, "p_per_channel", 1) < 1;
    assert_true(sf_json_is_num(f));
    if (v1 && chooses) return;
    within_5_sigma(json_string_value(json_object_get(entry, "transform")),
                   (int64_t)rint(sf_json_num(f) * 2000), 2000, p);
}

static void check_row(const sf_augment *a, const json_t *entry, size_t k, bool v1)
{
    const sf_augment_params *r = &a->row[NAMES[k].row];
    const json_t *settings = json_object_get(entry, "settings");
    double range[2];
    range_of(range, settings, v1 ? NAMES[k].range_v1 : NAMES[k].range_v2);
    const double p =
        v1 ? setting(settings, "p_per_sample", -1) : setting(entry, "apply_probability", -1);
    assert_true(r->p == p);
    assert_true(r->p_channel == setting(settings, "p_per_channel", 1.0));
    assert_true(r->lo == range[0] && r->hi == range[1]);
    check_law(r, entry, k, v1);
    check_sharing(r, settings, v1);
    check_frequency(entry, r->p, v1);
}

static bool is_row(const json_t *entry, size_t k, bool v1)
{
    const char *name = json_string_value(json_object_get(entry, "transform"));
    const json_t *settings = json_object_get(entry, "settings");
    if (strcmp(name, v1 ? NAMES[k].name_v1 : NAMES[k].name_v2) != 0) return false;
    const bool inverted = v1 ? json_is_true(json_object_get(settings, "invert_image"))
                             : setting(settings, "p_invert_image", 0) > 0.5;
    if (NAMES[k].row == SF_AUG_GAMMA) return !inverted;
    return NAMES[k].row != SF_AUG_GAMMA_INVERTED || inverted;
}

static void check_spatial(const sf_augment *a, const json_t *entry, bool v1)
{
    const json_t *s = json_object_get(entry, "settings");
    assert_true(a->spatial.p_rotation == setting(s, v1 ? "p_rot_per_sample" : "p_rotation", -1));
    assert_true(a->spatial.p_scaling == setting(s, v1 ? "p_scale_per_sample" : "p_scaling", -1));
    double range[2];
    range_of(range, s, v1 ? "angle_x" : "rotation");
    assert_true(fabs(a->setup.angle - range[1]) < 1e-12 && fabs(a->setup.angle + range[0]) < 1e-12);
    range_of(range, s, v1 ? "scale" : "scaling");
    assert_true(a->spatial.lo == range[0] && a->spatial.hi == range[1]);
}

/* ---- entries that are no row of the table ---- */

static void check_mirror(const sf_augment *a, const json_t *entry, bool v1)
{
    const json_t *axes =
        json_object_get(json_object_get(entry, "settings"), v1 ? "axes" : "allowed_axes");
    const json_t *drawn = json_object_get(entry, "drawn_2000");
    bool allowed[3] = { false };
    for (size_t i = 0; i < json_array_size(axes); i++)
        allowed[3 - a->dim + json_integer_value(json_array_get(axes, i))] = true;
    for (int k = 0; k < 3; k++) assert_int_equal(a->setup.mirror[k], allowed[k]);
    assert_true(a->p_mirror == 0.5);
    if (v1) /* any axis */
        within_5_sigma(
            "mirror",
            (int64_t)rint(2000 * setting(drawn, "fraction_of_calls_that_changed_the_image", -1)),
            2000, 1 - pow(0.5, (double)json_array_size(axes)));
    const char *key;
    json_t *f;
    json_object_foreach(json_object_get(drawn, "axis_flipped"), key, f)
        within_5_sigma("mirror", (int64_t)rint(2000 * sf_json_num(f)), 2000, 0.5);
}

static void check_mask(const sf_augment *a, const json_t *entry, bool v1)
{
    const json_t *settings = json_object_get(entry, "settings");
    const json_t *used = json_object_get(settings, "dct_for_where_it_was_used");
    const json_t *channels = json_object_get(settings, "apply_to_channels");
    assert_true(setting(settings, "set_outside_to", -1) == 0);
    for (int c = 0; c < a->channels; c++) {
        char key[16];
        snprintf(key, sizeof key, "%d", c);
        assert_int_equal(a->use_mask[c], v1 ? json_is_true(json_object_get(used, key))
                                            : (size_t)c < json_array_size(channels));
    }
}

/* v1's trainer swaps two arguments of the removal, so that it never acts (0 of 2000 calls): the
 * paper's 15 % stand in the recipe, as in v2. */
static void check_cascade(const char *recipe, const json_t *entry, bool v1)
{
    const json_t *s = json_object_get(entry, "settings");
    const bool shapes = json_object_get(s, "strel_size") != NULL;
    sf_recipe *r = NULL;
    sf_cascade c;
    double radius[2];
    tst_ok(sf_recipe_load(&r, recipe));
    tst_ok(sf_cascade_parse(&c, r->augment));
    const double p = v1 ? setting(s, "p_per_sample", -1) : setting(entry, "apply_probability", -1);
    const double label = setting(s, "p_per_label", -1);
    assert_true(p == (shapes ? c.p_operator : c.p_component));
    assert_true(label == (shapes ? c.p_operator_label : c.p_component_label));
    if (shapes) {
        range_of(radius, s, "strel_size");
        assert_true(c.radius[0] == radius[0] && c.radius[1] == radius[1]);
        check_frequency(entry, p, v1);
    } else {
        const double part = setting(
            s, v1 ? "fill_with_other_class_p" : "dont_do_if_covers_more_than_x_percent", -1);
        assert_true(c.max_fraction == part);
    }
    sf_recipe_destroy(&r);
}

/* Scales of the targets are powers of two that never grow. */
static void check_targets(const json_t *entry)
{
    const json_t *scales = json_object_get(json_object_get(entry, "settings"), "ds_scales");
    assert_true(json_array_size(scales) > 1);
    for (size_t i = 0; i < json_array_size(scales); i++)
        for (size_t k = 0; k < json_array_size(json_array_get(scales, i)); k++) {
            int e;
            const double x = sf_json_num(json_array_get(json_array_get(scales, i), k));
            assert_true(frexp(x, &e) == 0.5 && e <= 1);
        }
}

static void check_label_removal(const json_t *entry, bool v1)
{
    const json_t *s = json_object_get(entry, "settings");
    assert_true(setting(s, v1 ? "remove_label" : "label_value", 0) == -1);
    assert_true(setting(s, v1 ? "replace_with" : "set_to", -1) == 0);
}

/* Containers and copies: nothing to compare. One-hot, regions: batch.augment_oracle. */
static const char *const plumbing[] = { "SegChannelSelectionTransform",
                                        "RenameTransform",
                                        "NumpyToTensor",
                                        "Convert2DTo3DTransform",
                                        "MoveSegAsOneHotToData",
                                        "MoveSegAsOneHotToDataTransform",
                                        "ConvertSegmentationToRegionsTransform" };

static bool is_plumbing(const char *name)
{
    for (size_t i = 0; i < sizeof plumbing / sizeof *plumbing; i++)
        if (strcmp(name, plumbing[i]) == 0) return true;
    return false;
}

/* An entry of the pipeline that is neither spatial nor a row; an unknown one fails the test. */
static void check_other(const sf_augment *a, const pairing *pair, const json_t *entry)
{
    const char *name = json_string_value(json_object_get(entry, "transform"));
    if (strcmp(name, "MirrorTransform") == 0)
        check_mirror(a, entry, pair->v1);
    else if (strcmp(name, "MaskTransform") == 0 || strcmp(name, "MaskImageTransform") == 0)
        check_mask(a, entry, pair->v1);
    else if (strcmp(name, "RemoveLabelTransform") == 0)
        check_label_removal(entry, pair->v1);
    else if (strcmp(name, "Convert3DTo2DTransform") == 0)
        assert_true(a->setup.dummy_2d);
    else if (strncmp(name, "ApplyRandomBinary", 17) == 0 || strncmp(name, "RemoveRandom", 12) == 0)
        check_cascade(pair->recipe, entry, pair->v1);
    else if (strncmp(name, "DownsampleSegForDS", 18) == 0)
        check_targets(entry);
    else if (!is_plumbing(name))
        fail_msg("%s: unknown transform %s", pair->peer, name);
}

/* The channels that the described pipeline masks. */
static void masked_channels(bool mask[MAX_CHANNELS], const json_t *described)
{
    size_t i;
    json_t *entry;
    memset(mask, 0, MAX_CHANNELS * sizeof *mask);
    json_array_foreach(json_object_get(described, "training"), i, entry)
    {
        const json_t *s = json_object_get(entry, "settings");
        const json_t *used = json_object_get(s, "dct_for_where_it_was_used");
        const size_t n = json_array_size(json_object_get(s, "apply_to_channels"));
        for (int c = 0; c < MAX_CHANNELS; c++) {
            char key[16];
            snprintf(key, sizeof key, "%d", c);
            mask[c] = mask[c] || (size_t)c < n || json_is_true(json_object_get(used, key));
        }
    }
}

static sf_augment *make_augment(const char *recipe, const json_t *described, int *channels)
{
    sf_recipe *r;
    sf_augment *a;
    bool mask[MAX_CHANNELS];
    const json_t *patch = json_object_get(described, "patch_size");
    sf_config cfg = { .dim = (int)json_array_size(patch), .patch = { 1, 1, 1 }, .use_mask = mask };
    for (int i = 0; i < cfg.dim; i++) {
        cfg.patch[3 - cfg.dim + i] = json_integer_value(json_array_get(patch, (size_t)i));
    }
    masked_channels(mask, described);
    *channels = (int)json_integer_value(json_object_get(described, "image_channels"));
    assert_in_range(*channels, 1, MAX_CHANNELS);
    tst_ok(sf_recipe_load(&r, recipe));
    tst_ok(sf_augment_create(&a, r->augment, &cfg, *channels, true));
    sf_recipe_destroy(&r);
    return a;
}

static void check_described(const pairing *pair, const json_t *described)
{
    int channels, seen = 0;
    size_t index;
    json_t *entry;
    sf_augment *a = make_augment(pair->recipe, described, &channels);
    const json_t *loaded = json_object_get(described, "loader_patch_size");
    const size_t dim = json_array_size(loaded);
    for (size_t i = 0; i < dim; i++) {
        assert_int_equal(a->setup.initial[3 - dim + i],
                         json_integer_value(json_array_get(loaded, i)));
    }
    json_array_foreach(json_object_get(described, "training"), index, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "transform"));
        if (strcmp(name, "SpatialTransform") == 0) {
            check_spatial(a, entry, pair->v1);
            continue;
        }
        size_t k = 0;
        while (k < sizeof NAMES / sizeof *NAMES && !is_row(entry, k, pair->v1)) k++;
        if (k == sizeof NAMES / sizeof *NAMES) {
            check_other(a, pair, entry);
            continue;
        }
        assert_int_equal(NAMES[k].row, seen); /* the order of application is the table's */
        check_row(a, entry, k, pair->v1);
        seen++;
    }
    assert_int_equal(seen, SF_AUG_COUNT);
    /* validation: -1 -> 0, the previous stage, regions and targets; no draw, no mask */
    json_array_foreach(json_object_get(described, "validation"), index, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "transform"));
        assert_true(is_plumbing(name) || strcmp(name, "RemoveLabelTransform") == 0 ||
                    strncmp(name, "DownsampleSegForDS", 18) == 0);
    }
    sf_augment_destroy(&a);
}

static void test_settings(void **state)
{
    int pipelines = 0;
    for (size_t p = 0; p < sizeof PAIRS / sizeof *PAIRS; p++) {
        const char *name;
        json_t *described;
        json_object_foreach(json_object_get(*state, PAIRS[p].peer), name, described)
        {
            check_described(&PAIRS[p], described);
            pipelines++;
        }
    }
    assert_int_equal(pipelines, 11);
}

/* ---- our draws follow the recipe ---- */

static sf_augment *plain_augment(const char *recipe, int channels)
{
    sf_recipe *r;
    sf_augment *a;
    const sf_config cfg = { .dim = 3, .patch = { 16, 20, 24 } };
    tst_ok(sf_recipe_load(&r, recipe));
    tst_ok(sf_augment_create(&a, r->augment, &cfg, channels, true));
    sf_recipe_destroy(&r);
    return a;
}

static sf_sample_key key_of(int i)
{
    const sf_sample_key key = { .seed = 11,
                                .scope = "none/3d/0",
                                .epoch = (uint32_t)(i / 250),
                                .iteration = (uint32_t)(i % 250),
                                .sample = (uint32_t)(i % 2) };
    return key;
}

typedef struct {
    bool chosen[MAX_CHANNELS];
    double value[MAX_CHANNELS][3];
} draw_memory;

static void check_draws(const sf_augment *a, sf_augment_row row)
{
    enum { C = 3 };
    const sf_augment_params *r = &a->row[row];
    draw_memory m;
    sf_row_draw d = { .chosen = m.chosen, .value = m.value };
    double *x = malloc(DRAWS * sizeof *x);
    int64_t on = 0, chosen = 0, same_axes = 0, same_channels = 0;
    for (int i = 0; i < DRAWS; i++) {
        const sf_sample_key key = key_of(i);
        sf_augment_draw_row(&d, a, row, &key);
        on += d.on;
        for (int c = 0; c < C; c++) chosen += d.chosen[c];
        same_axes += d.value[1][0] == d.value[1][2];
        same_channels += d.value[0][0] == d.value[2][0];
        x[i] = d.value[i % C][r->per_axis ? i % 2 : 0];
    }
    const char *name = sf_augment_row_name(row);
    within_5_sigma(name, on, DRAWS, r->p);
    within_5_sigma(name, chosen, DRAWS * C, r->p_channel);
    assert_int_equal(same_axes, r->per_axis ? 0 : DRAWS);
    assert_int_equal(same_channels, r->shared ? DRAWS : 0);
    follows(name, x, DRAWS, r->lo, r->hi, r->halves);
    free(x);
}

static void check_spatial_draws(const sf_augment *a)
{
    double *angle = malloc(DRAWS * sizeof *angle), *factor = malloc(DRAWS * sizeof *factor);
    int64_t rotate = 0, scale = 0, both = 0, flip[3] = { 0 };
    for (int i = 0; i < DRAWS; i++) {
        const sf_sample_key key = key_of(i);
        sf_spatial_draw d;
        bool axis[3];
        sf_augment_draw_spatial(&d, a, &key);
        sf_augment_draw_mirror(axis, a, &key);
        rotate += d.rotate;
        scale += d.scale;
        both += d.rotate && d.scale;
        for (int k = 0; k < 3; k++) flip[k] += axis[k];
        angle[i] = d.angle[i % 3];
        factor[i] = d.factor;
    }
    within_5_sigma("rotation", rotate, DRAWS, a->spatial.p_rotation);
    within_5_sigma("scaling", scale, DRAWS, a->spatial.p_scaling);
    within_5_sigma("both", both, DRAWS, a->spatial.p_rotation * a->spatial.p_scaling);
    for (int k = 0; k < 3; k++) within_5_sigma("mirror", flip[k], DRAWS, a->p_mirror);
    follows("angle", angle, DRAWS, -a->setup.angle, a->setup.angle, false);
    follows("factor", factor, DRAWS, a->spatial.lo, a->spatial.hi, a->spatial.halves);
    free(angle);
    free(factor);
}

static void test_draws(void **state)
{
    (void)state;
    for (size_t p = 0; p < sizeof PAIRS / sizeof *PAIRS; p++) {
        sf_augment *a = plain_augment(PAIRS[p].recipe, 3);
        assert_true(a->spatial.lo == 0.7 && a->spatial.hi == 1.4 && !a->spatial.halves);
        for (int r = 0; r < SF_AUG_COUNT; r++) check_draws(a, (sf_augment_row)r);
        check_spatial_draws(a);
        sf_augment_destroy(&a);
    }
}

/* The variant only_mirror_01: never along the last axis, along the others as before. */
static void test_last_axis(void **state)
{
    (void)state;
    sf_recipe *r = NULL;
    sf_augment *a = NULL, *plain = plain_augment("nnunetv2", 1);
    const sf_config cfg = { .dim = 3, .patch = { 16, 20, 24 } };
    tst_ok(sf_recipe_load(&r, "nnunetv2"));
    json_object_set_new(json_object_get(r->augment, "mirror"), "last_axis", json_false());
    tst_ok(sf_augment_create(&a, r->augment, &cfg, 1, true));
    int last = 0;
    for (int i = 0; i < 400; i++) {
        const sf_sample_key key = key_of(i);
        bool axis[3], want[3];
        sf_augment_draw_mirror(axis, a, &key);
        sf_augment_draw_mirror(want, plain, &key);
        assert_true(axis[0] == want[0] && axis[1] == want[1] && !axis[2]);
        last += want[2];
    }
    assert_true(last > 100);
    sf_augment_destroy(&a);
    sf_augment_destroy(&plain);
    sf_recipe_destroy(&r);
}

/* Changing one transform never shifts the draws of another one. */
static void test_streams_are_independent(void **state)
{
    (void)state;
    sf_augment *a = plain_augment("paper", 2);
    draw_memory m1 = { { 0 }, { { 0 } } }, m2 = m1;
    sf_row_draw d1 = { .chosen = m1.chosen, .value = m1.value };
    sf_row_draw d2 = { .chosen = m2.chosen, .value = m2.value };
    int equal_values = 0;
    for (int i = 0; i < 200; i++) {
        const sf_sample_key key = key_of(i);
        sf_augment_draw_row(&d1, a, SF_AUG_GAMMA, &key);
        const sf_augment_params kept = a->row[SF_AUG_BLUR];
        a->row[SF_AUG_BLUR].p = 1;
        a->row[SF_AUG_BLUR].per_axis = true;
        sf_augment_draw_row(&d2, a, SF_AUG_BLUR, &key);
        sf_augment_draw_row(&d2, a, SF_AUG_GAMMA, &key);
        a->row[SF_AUG_BLUR] = kept;
        assert_int_equal(d1.on, d2.on);
        assert_memory_equal(&m1, &m2, sizeof m1);
        sf_augment_draw_row(&d2, a, SF_AUG_GAMMA_INVERTED, &key);
        equal_values += m1.value[0][0] == m2.value[0][0];
    }
    assert_int_equal(equal_values, 0);
    sf_augment_destroy(&a);
}

int main(void)
{
    json_t *described = NULL;
    const char *path = tst_shared("oracle/augment/distributions.json");
    if (path && sf_json_load(&described, path) != SF_OK) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_draws),
        cmocka_unit_test(test_last_axis),
        cmocka_unit_test(test_streams_are_independent),
        cmocka_unit_test_prestate(test_settings, described),
    };
    const int failed = described ? cmocka_run_group_tests(tests, NULL, NULL)
                                 : _cmocka_run_group_tests("laws", tests, 2, NULL, NULL);
    json_decref(described);
    return failed;
}
