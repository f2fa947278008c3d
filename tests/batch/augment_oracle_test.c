/* Every transform with its drawn parameters fixed, against both code lines (oracle/augment). */
#include "base/json.h"
#include "batch/augment.h"
#include "batch/cascade.h"
#include "batch/labels_ops.h"
#include "network/loss.h"
#include "plan/dataset.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One vector: arrays with three spatial axes (a 2-D one has size 1 in front). */
typedef struct {
    tst_h5 *file;
    char name[256];
    sf_formulas formulas;
    json_t *params;
    int dim, channels, seg_channels;
    int64_t n[3], seg_n[3];
    float *image;
    int16_t *seg;
    double worst; /* largest error seen */
} vector;

static void shape_of(int ndim, const int64_t dims[8], int *channels, int64_t n[3])
{
    *channels = (int)dims[0];
    n[0] = ndim == 4 ? dims[1] : 1;
    n[1] = dims[ndim - 2];
    n[2] = dims[ndim - 1];
}

static char *member(const vector *v, const char *what)
{
    static char path[320];
    snprintf(path, sizeof path, "%.250s/%.60s", v->name, what);
    return path;
}

static void load(vector *v)
{
    int ndim;
    int64_t dims[8];
    if (tst_h5_has(v->file, member(v, "image"))) {
        v->image = tst_h5_f32(v->file, member(v, "image"), &ndim, dims);
        shape_of(ndim, dims, &v->channels, v->n);
        v->dim = ndim - 1;
    }
    if (tst_h5_has(v->file, member(v, "seg"))) {
        v->seg = tst_h5_i16(v->file, member(v, "seg"), &ndim, dims);
        shape_of(ndim, dims, &v->seg_channels, v->seg_n);
        v->dim = ndim - 1;
    }
    char *text = tst_h5_attr_str(v->file, v->name, "params_json");
    tst_ok(sf_json_parse(&v->params, text, v->name));
    free(text);
}

static double number(const json_t *array, size_t i)
{
    return sf_json_num(json_array_get(array, i));
}

static void expect_image(vector *v, const float *got, int64_t count, double tolerance)
{
    int ndim;
    int64_t dims[8], n = 1;
    float *want = tst_h5_f32(v->file, member(v, "image_out"), &ndim, dims);
    for (int i = 0; i < ndim; i++) n *= dims[i];
    assert_int_equal(n, count);
    const double worst = tst_max_abs_diff(got, want, n);
    if (!(worst <= tolerance))
        fail_msg("%s: image differs by %g (allowed %g)", v->name, worst, tolerance);
    if (worst > v->worst) v->worst = worst;
    free(want);
}

static void expect_seg(vector *v, const int16_t *got, int64_t count, int64_t allowed)
{
    int ndim;
    int64_t dims[8], n = 1, differ = 0;
    int16_t *want = tst_h5_i16(v->file, member(v, "seg_out"), &ndim, dims);
    for (int i = 0; i < ndim; i++) n *= dims[i];
    assert_int_equal(n, count);
    for (int64_t i = 0; i < n; i++) differ += got[i] != want[i];
    if (differ > allowed) {
        fail_msg("%s: %lld labels differ (allowed %lld)", v->name, (long long)differ,
                 (long long)allowed);
    }
    free(want);
}

static int64_t voxels(const int64_t n[3]) { return n[0] * n[1] * n[2]; }

static void sizes(int64_t out[3], const json_t *params, const char *key)
{
    const json_t *a = json_object_get(params, key);
    const size_t n = json_array_size(a);
    out[0] = n == 3 ? (int64_t)number(a, 0) : 1;
    out[1] = (int64_t)number(a, n - 2);
    out[2] = (int64_t)number(a, n - 1);
}

static bool read_draw(sf_spatial_draw *d, const json_t *params)
{
    const json_t *angles = json_object_get(params, "angles"),
                 *scale = json_object_get(params, "scale");
    memset(d, 0, sizeof *d);
    d->rotate = json_is_array(angles);
    for (size_t i = 0; d->rotate && i < json_array_size(angles); i++)
        d->angle[i] = number(angles, i);
    d->scale = sf_json_is_num(scale);
    if (d->scale) d->factor = sf_json_num(scale);
    return d->rotate || d->scale;
}

/* Plain crops are exact; peers differ in the label that pads them (v1: 0), which the loader never
 * needs because the box is at least as large as the patch. */
static void check_crop(vector *v, const int64_t patch[3])
{
    sf_box box = { .image = { v->n[0], v->n[1], v->n[2] },
                   .size = { patch[0], patch[1], patch[2] } };
    sf_spatial_crop_start(box.lo, v->formulas, v->n, patch);
    const int64_t count = voxels(patch);
    float *x = malloc((size_t)(count * v->channels) * sizeof *x);
    int16_t *s = malloc((size_t)(count * v->seg_channels) * sizeof *s);
    for (int c = 0; c < v->channels; c++) {
        sf_cut_image(x + c * count, v->image + c * voxels(v->n), &box);
    }
    for (int c = 0; c < v->seg_channels; c++) {
        sf_cut_labels(s + c * count, v->seg + c * voxels(v->n), &box);
    }
    if (v->formulas == SF_FORMULAS_V1) {
        int64_t at = 0;
        for (int c = 0; c < v->seg_channels; c++) {
            for (int64_t i = 0; i < count; i++, at++) {
                const int64_t q[3] = { i / (patch[1] * patch[2]), i / patch[2] % patch[1],
                                       i % patch[2] };
                for (int a = 0; a < 3; a++) {
                    if (q[a] + box.lo[a] < 0 || q[a] + box.lo[a] >= v->n[a]) s[at] = 0;
                }
            }
        }
    }
    expect_image(v, x, count * v->channels, 0);
    expect_seg(v, s, count * v->seg_channels, 0);
    free(x);
    free(s);
}

static void check_spatial(vector *v)
{
    sf_spatial_draw draw;
    int64_t patch[3];
    sizes(patch, v->params, "patch");
    if (!read_draw(&draw, v->params)) {
        check_crop(v, patch);
        return;
    }
    const bool v2 = v->formulas == SF_FORMULAS_V2;
    const bool planar = v->dim == 2 || json_is_true(json_object_get(v->params, "dummy_2d"));
    const sf_box box = { .image = { v->n[0], v->n[1], v->n[2] },
                         .size = { v->n[0], v->n[1], v->n[2] } };
    sf_affine map;
    sf_spatial_affine(&map, &draw, planar, v->formulas, v->n, patch);
    const int64_t count = voxels(patch);
    float *x = malloc((size_t)(count * v->channels) * sizeof *x);
    int16_t *s = malloc((size_t)(count * v->seg_channels) * sizeof *s);
    sf_workspace ws = { 0 };
    for (int c = 0; c < v->channels; c++) {
        tst_ok(sf_spatial_image(x + c * count, patch, v->image + c * voxels(v->n), &box, &map,
                                v2 ? SF_IMAGE_LINEAR : SF_IMAGE_CUBIC, &ws));
    }
    for (int c = 0; c < v->seg_channels; c++) {
        tst_ok(sf_spatial_labels(s + c * count, patch, v->seg + c * voxels(v->n), &box, &map,
                                 v2 ? SF_LABEL_ARGMAX : SF_LABEL_THRESHOLD, &ws));
    }
    const char *const attr = "seg_out_voxels_differing_under_plain_border_rule";
    const double plain =
        tst_h5_has_attr(v->file, v->name, attr) ? tst_h5_attr_num(v->file, v->name, attr) : 0;
    expect_image(v, x, count * v->channels, v2 ? 2e-5 : 1e-5);
    expect_seg(v, s, count * v->seg_channels, (int64_t)plain);
    sf_workspace_clear(&ws);
    free(x);
    free(s);
}

static void check_blur(vector *v)
{
    sf_workspace ws = { 0 };
    const json_t *channels = json_object_get(v->params, "channels");
    const json_t *one = json_object_get(v->params, "sigma_per_channel");
    const json_t *each = json_object_get(v->params, "sigma_per_channel_and_axis");
    for (size_t i = 0; i < json_array_size(channels); i++) {
        double sigma[3];
        for (int a = 0; a < 3; a++) {
            const json_t *list = json_array_get(each, i);
            const int skip = 3 - v->dim;
            sigma[a] = one ? number(one, i) : a < skip ? 1.0 : number(list, (size_t)(a - skip));
        }
        float *x = v->image + (int64_t)number(channels, i) * voxels(v->n);
        tst_ok(sf_blur(x, v->n, sigma, v->formulas, v->dim == 2, &ws));
    }
    expect_image(v, v->image, voxels(v->n) * v->channels, 5e-6);
    sf_workspace_clear(&ws);
}

static void check_factor(vector *v, void (*apply)(float *, int64_t, double))
{
    const json_t *factor = json_object_get(v->params, "factor_per_channel");
    for (int c = 0; c < v->channels; c++) {
        apply(v->image + c * voxels(v->n), voxels(v->n), number(factor, (size_t)c));
    }
    expect_image(v, v->image, voxels(v->n) * v->channels, 5e-6);
}

static void check_brightness(vector *v) { check_factor(v, sf_brightness); }

static void check_contrast(vector *v) { check_factor(v, sf_contrast); }

static void check_low_resolution(vector *v)
{
    sf_workspace ws = { 0 };
    const json_t *channels = json_object_get(v->params, "channels");
    const json_t *zoom = json_object_get(v->params, "zoom_per_channel");
    const json_t *shapes = json_object_get(v->params, "small_shape");
    const bool keep = v->dim == 2 || json_is_true(json_object_get(v->params, "axis0_untouched"));
    for (size_t i = 0; i < json_array_size(channels); i++) {
        int64_t small[3];
        float *x = v->image + (int64_t)number(channels, i) * voxels(v->n);
        tst_ok(sf_low_resolution(x, v->n, number(zoom, i), keep,
                                 v->formulas == SF_FORMULAS_V2 ? SF_IMAGE_LINEAR : SF_IMAGE_CUBIC,
                                 small, &ws));
        const json_t *want = json_array_get(shapes, i);
        for (int a = 3 - v->dim; a < 3; a++) {
            assert_int_equal(small[a], (int64_t)number(want, (size_t)(a - 3 + v->dim)));
        }
    }
    expect_image(v, v->image, voxels(v->n) * v->channels, 1e-5);
    sf_workspace_clear(&ws);
}

static void check_gamma(vector *v)
{
    const json_t *gamma = json_object_get(v->params, "gamma_per_channel");
    for (int c = 0; c < v->channels; c++) {
        sf_gamma(v->image + c * voxels(v->n), voxels(v->n), number(gamma, (size_t)c),
                 json_is_true(json_object_get(v->params, "inverted")), v->formulas);
    }
    expect_image(v, v->image, voxels(v->n) * v->channels, 1e-5);
}

static void check_mirror(vector *v)
{
    bool axis[3] = { false, false, false };
    const json_t *axes = json_object_get(v->params, "axes");
    for (size_t i = 0; i < json_array_size(axes); i++)
        axis[(int)number(axes, i) + 3 - v->dim] = true;
    for (int c = 0; c < v->channels; c++) sf_mirror_f32(v->image + c * voxels(v->n), v->n, axis);
    for (int c = 0; c < v->seg_channels; c++) sf_mirror_i16(v->seg + c * voxels(v->n), v->n, axis);
    expect_image(v, v->image, voxels(v->n) * v->channels, 0);
    expect_seg(v, v->seg, voxels(v->n) * v->seg_channels, 0);
}

static void check_mask(vector *v)
{
    const json_t *channels = json_object_get(v->params, "channels_normalised_with_mask");
    for (size_t i = 0; i < json_array_size(channels); i++) {
        sf_mask_outside(v->image + (int64_t)number(channels, i) * voxels(v->n), v->seg,
                        voxels(v->n));
    }
    expect_image(v, v->image, voxels(v->n) * v->channels, 0);
}

static void check_remove_label(vector *v)
{
    sf_remove_label(v->seg, voxels(v->seg_n) * v->seg_channels);
    expect_seg(v, v->seg, voxels(v->seg_n) * v->seg_channels, 0);
}

/* Targets of all resolutions; the loss makes them, from the labels of the patch. */
static void check_deep_supervision(vector *v)
{
    const json_t *scales = json_object_get(v->params, "scales");
    const sf_shape in = { 1, 1, v->seg_n[0], v->seg_n[1], v->seg_n[2] };
    assert_int_equal(v->seg_channels, 1);
    for (size_t k = 0; k < json_array_size(scales); k++) {
        char name[32];
        int ndim;
        int64_t dims[8], m[3];
        const json_t *scale = json_array_get(scales, k);
        for (int a = 0; a < 3; a++) {
            const int at = a - 3 + v->dim;
            m[a] = at < 0 ? 1 : (int64_t)rint((double)v->seg_n[a] * number(scale, (size_t)at));
        }
        snprintf(name, sizeof name, "scaled%zu", k);
        int16_t *want = tst_h5_i16(v->file, member(v, name), &ndim, dims);
        for (int a = 3 - v->dim; a < 3; a++) assert_int_equal(m[a], dims[a - 2 + v->dim]);
        int16_t *got = malloc((size_t)voxels(m) * sizeof *got);
        sf_target_downscale(v->seg, in, got, (sf_shape){ 1, 1, m[0], m[1], m[2] });
        assert_memory_equal(got, want, (size_t)voxels(m) * sizeof *got);
        free(got);
        free(want);
    }
}

/* dataset.json with these regions, decoded. */
static sf_dataset *dataset_of(const json_t *regions)
{
    char path[512];
    sf_dataset *d = NULL;
    json_t *labels = json_pack("{s:i}", "background", 0), *order = json_array();
    for (size_t r = 0; r < json_array_size(regions); r++) {
        char name[32];
        snprintf(name, sizeof name, "r%zu", r);
        json_object_set(labels, name, json_array_get(regions, r));
        json_array_append_new(order, json_integer((json_int_t)r + 1));
    }
    json_t *json =
        json_pack("{s:{s:s}, s:o, s:o, s:i, s:s}", "channel_names", "0", "MRI", "labels", labels,
                  "regions_class_order", order, "numTraining", 1, "file_ending", ".nii.gz");
    snprintf(path, sizeof path, "%s/dataset.json", tst_tmp_dir());
    tst_ok(sf_json_save(json, path, 2, false));
    tst_ok(sf_dataset_from_json(&d, path));
    json_decref(json);
    return d;
}

/* Region r is one where the label is in it; an ignore label is one more channel. The loss reads
 * labels and this table, and never stores such channels. */
static void check_regions(vector *v)
{
    const json_t *ignore = json_object_get(v->params, "ignore_label");
    sf_dataset *d = dataset_of(json_object_get(v->params, "regions"));
    const sf_labels *l = &d->labels;
    const int channels = l->n_eval + json_is_integer(ignore);
    const int64_t n = voxels(v->seg_n);
    int16_t *got = calloc((size_t)(channels * n), sizeof *got);
    for (int64_t i = 0; i < n; i++) {
        const int label = v->seg[i];
        for (int r = 0; r < l->n_eval && label < l->n_labels; r++)
            got[r * n + i] = (int16_t)(l->region_of[label] >> r & 1);
        if (json_is_integer(ignore)) got[l->n_eval * n + i] = label == json_integer_value(ignore);
    }
    expect_seg(v, got, channels * n, 0);
    free(got);
    sf_dataset_destroy(&d);
}

/* The previous stage is channel 1 of seg; its one-hot channels follow the image. */
static void check_one_hot(vector *v)
{
    const json_t *labels = json_object_get(v->params, "labels");
    const int classes = (int)json_array_size(labels);
    const int64_t count = voxels(v->n);
    int *list = malloc((size_t)classes * sizeof *list);
    for (int k = 0; k < classes; k++) list[k] = (int)number(labels, (size_t)k);
    float *all = malloc((size_t)(count * (v->channels + classes)) * sizeof *all);
    memcpy(all, v->image, (size_t)(count * v->channels) * sizeof *all);
    sf_one_hot(all + count * v->channels, v->seg + count, count, list, classes);
    expect_image(v, all, count * (v->channels + classes), 0);
    free(all);
    free(list);
}

static sf_binary_operation operation_of(const char *name)
{
    static const char *const names[] = { "dilation", "erosion", "closing", "opening" };
    for (int i = 0; i < 4; i++) {
        if (strcmp(name, names[i]) == 0) return (sf_binary_operation)i;
    }
    fail_msg("unknown operation %s", name);
    return SF_DILATION;
}

static void check_binary_operator(vector *v)
{
    sf_workspace ws = { 0 };
    const json_t *sequence = json_object_get(v->params, "sequence");
    for (size_t i = 0; i < json_array_size(sequence); i++) {
        const json_t *s = json_array_get(sequence, i);
        sf_ball ball;
        tst_ok(sf_ball_make(&ball, sf_json_num(json_object_get(s, "radius"))));
        if (i == 0 && json_array_size(sequence) == 1 && json_object_get(v->params, "element_set")) {
            assert_int_equal(ball.size,
                             (int)number(json_object_get(v->params, "element_shape"), 0));
            assert_int_equal(ball.set,
                             json_integer_value(json_object_get(v->params, "element_set")));
        }
        tst_ok(sf_binary_operator(v->image, v->channels,
                                  (int)json_integer_value(json_object_get(s, "channel")), v->n,
                                  operation_of(json_string_value(json_object_get(s, "operation"))),
                                  &ball, v->formulas, &ws));
    }
    expect_image(v, v->image, voxels(v->n) * v->channels, 0);
    sf_workspace_clear(&ws);
}

/* The component that holds the chosen voxel is removed; its size and the candidates must agree. */
static void check_remove_component(vector *v)
{
    sf_workspace ws = { 0 };
    const json_t *chosen = json_object_get(v->params, "chosen_voxel");
    const json_t *sizes_wanted = json_object_get(v->params, "all_sizes");
    float *x = v->image + json_integer_value(json_object_get(v->params, "channel")) * voxels(v->n);
    int32_t *label = malloc((size_t)voxels(v->n) * sizeof *label);
    int64_t *size;
    int count, candidates = 0;
    tst_ok(sf_components_find(label, &size, &count, x, v->n, &ws));
    assert_int_equal(count, json_array_size(sizes_wanted));
    const double limit =
        sf_json_num(json_object_get(v->params, "max_fraction")) * (double)voxels(v->n);
    for (int i = 0; i < count; i++) candidates += (double)size[i] < limit;
    assert_int_equal(candidates, json_array_size(json_object_get(v->params, "candidate_sizes")));
    if (json_array_size(chosen) == 3) {
        const int64_t at =
            ((int64_t)number(chosen, 0) * v->n[1] + (int64_t)number(chosen, 1)) * v->n[2] +
            (int64_t)number(chosen, 2);
        const int32_t id = label[at];
        assert_true(id > 0);
        assert_int_equal(size[id - 1],
                         json_integer_value(json_object_get(v->params, "chosen_size")));
        for (int64_t i = 0; i < voxels(v->n); i++) x[i] = label[i] == id ? 0.0f : x[i];
    }
    expect_image(v, v->image, voxels(v->n) * v->channels, 0);
    sf_workspace_clear(&ws);
    free(label);
}

static const struct {
    const char *kind;
    void (*check)(vector *v);
} KINDS[] = {
    { "spatial", check_spatial },
    { "blur", check_blur },
    { "brightness", check_brightness },
    { "contrast", check_contrast },
    { "gamma", check_gamma },
    { "low_resolution", check_low_resolution },
    { "mirror", check_mirror },
    { "mask", check_mask },
    { "remove_label", check_remove_label },
    { "deep_supervision", check_deep_supervision },
    { "regions", check_regions },
    { "one_hot", check_one_hot },
    { "binary_operator", check_binary_operator },
    { "remove_component", check_remove_component },
};

static void check_kind(tst_h5 *file, sf_formulas formulas, size_t k)
{
    int count;
    double worst = 0;
    char **names = tst_h5_list(file, KINDS[k].kind, &count);
    assert_true(count > 0);
    for (int i = 0; i < count; i++) {
        vector v = { .file = file, .formulas = formulas };
        snprintf(v.name, sizeof v.name, "%s/%s", KINDS[k].kind, names[i]);
        load(&v);
        KINDS[k].check(&v);
        if (v.worst > worst) worst = v.worst;
        free(v.image);
        free(v.seg);
        json_decref(v.params);
        free(names[i]);
    }
    free(names);
    print_message("v%d %-16s %3d vectors, largest error %.2g\n", formulas == SF_FORMULAS_V1 ? 1 : 2,
                  KINDS[k].kind, count, worst);
}

/* Every group of the file is a kind that we know: nothing is left out. */
static void check_file(const char *path, sf_formulas formulas)
{
    int count;
    tst_h5 *file = tst_h5_open(path);
    char **names = tst_h5_list(file, "/", &count);
    for (int i = 0; i < count; i++) {
        size_t k = 0;
        while (k < sizeof KINDS / sizeof *KINDS && strcmp(KINDS[k].kind, names[i]) != 0) k++;
        if (k == sizeof KINDS / sizeof *KINDS) fail_msg("%s: unknown kind %s", path, names[i]);
        check_kind(file, formulas, k);
        free(names[i]);
    }
    assert_int_equal(count, sizeof KINDS / sizeof *KINDS);
    free(names);
    tst_h5_close(file);
}

static void test_v1(void **state)
{
    (void)state;
    check_file(tst_shared("oracle/augment/v1.h5"), SF_FORMULAS_V1);
}

static void test_v2(void **state)
{
    (void)state;
    check_file(tst_shared("oracle/augment/v2.h5"), SF_FORMULAS_V2);
}

int main(void)
{
    if (!tst_shared("oracle/augment/v1.h5") || !tst_shared("oracle/augment/v2.h5")) {
        tst_skip("oracle/augment is absent");
    }
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_v1), cmocka_unit_test(test_v2) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
