/* Resampling and normalisation against the peer's vectors (oracle/resample.h5,
 * oracle/normalise.h5). */
#include "base/json.h"
#include "preprocess/normalize.h"
#include "preprocess/resample.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int64_t from[3], to[3];
    double old[3], next[3];
    sf_resampling r;
    int axis, channels;
    char input[64], out[64];
} vector;

static void nums3(tst_h5 *f, const char *group, const char *attr, double v[3])
{
    int n;
    double *a = tst_h5_attr_nums(f, group, attr, &n);
    assert_int_equal(n, 3);
    memcpy(v, a, 3 * sizeof *v);
    free(a);
}

static void read_vector(tst_h5 *f, const char *group, vector *v)
{
    double shape[3];
    nums3(f, group, "old_spacing", v->old);
    nums3(f, group, "new_spacing", v->next);
    nums3(f, group, "new_shape", shape);
    for (int a = 0; a < 3; a++) v->to[a] = (int64_t)shape[a];
    char *force = tst_h5_attr_str(f, group, "force_separate_z"),
         *input = tst_h5_attr_str(f, group, "input");
    v->r.force_separate_z = strcmp(force, "None") == 0 ? -1 : strcmp(force, "True") == 0;
    v->r.is_seg = tst_h5_attr_num(f, group, "is_seg") != 0;
    v->r.order = (int)tst_h5_attr_num(f, group, "order");
    v->r.order_z = (int)tst_h5_attr_num(f, group, "order_z");
    v->axis =
        tst_h5_attr_num(f, group, "separate_z") != 0 ? (int)tst_h5_attr_num(f, group, "axis") : -1;
    snprintf(v->input, sizeof v->input, "%s", input);
    snprintf(v->out, sizeof v->out, "%s/out", group);
    free(force);
    free(input);
}

static int64_t volume(const int64_t d[3]) { return d[0] * d[1] * d[2]; }

/* tolerance: 1e-5 of the input's range */
static double check_data(tst_h5 *f, vector *v)
{
    int nd;
    int64_t in[8], out[8];
    float *x = tst_h5_f32(f, v->input, &nd, in), *want = tst_h5_f32(f, v->out, &nd, out);
    memcpy(v->from, in + 1, sizeof v->from);
    assert_memory_equal(v->to, out + 1, sizeof v->to);
    const int64_t n = in[0] * volume(v->to);
    float *got = malloc((size_t)n * sizeof *got), lo = INFINITY, hi = -INFINITY;
    for (int64_t i = 0; i < in[0] * volume(v->from); i++) {
        lo = fminf(lo, x[i]);
        hi = fmaxf(hi, x[i]);
    }
    tst_ok(
        sf_resample_data(x, v->from, got, v->to, (int)in[0], v->r.order, v->r.order_z, v->axis, 2));
    const double error = tst_max_abs_diff(got, want, n) / ((double)hi - (double)lo);
    free(x);
    free(want);
    free(got);
    return error;
}

/* tolerance: 0.5 % of the voxels */
static double check_labels(tst_h5 *f, vector *v)
{
    int nd;
    int64_t in[8], out[8], wrong = 0;
    int16_t *x = tst_h5_i16(f, v->input, &nd, in), *want = tst_h5_i16(f, v->out, &nd, out);
    memcpy(v->from, in + 1, sizeof v->from);
    const int64_t n = volume(v->to);
    int16_t *got = malloc((size_t)n * sizeof *got);
    tst_ok(sf_resample_labels(x, v->from, got, v->to, v->r.order, v->r.order_z, v->axis, false, 2));
    for (int64_t i = 0; i < n; i++) wrong += got[i] != want[i];
    free(x);
    free(want);
    free(got);
    return (double)wrong / (double)n;
}

static void test_resample(void **state)
{
    (void)state;
    const char *path = tst_shared("oracle/resample.h5");
    if (path == NULL) tst_skip("oracle/resample.h5 is absent");
    tst_h5 *f = tst_h5_open(path);
    int count, vectors = 0, failed = 0;
    char **name = tst_h5_list(f, "/", &count);
    double worst[2] = { 0, 0 };
    for (int i = 0; i < count; i++) {
        vector v = { 0 };
        if (tst_h5_has_attr(f, name[i], "old_spacing")) {
            read_vector(f, name[i], &v);
            const int axis = sf_resample_separate_axis(&v.r, v.old, v.next, 3.0);
            const double e = v.r.is_seg ? check_labels(f, &v) : check_data(f, &v);
            if (axis != v.axis || e > (v.r.is_seg ? 5e-3 : 1e-5)) {
                printf("%s: error %.3g, separate axis %d, peer %d\n", name[i], e, axis, v.axis);
                failed++;
            }
            worst[v.r.is_seg] = fmax(worst[v.r.is_seg], e);
            vectors++;
        }
        free(name[i]);
    }
    free(name);
    tst_h5_close(f);
    printf("%d vectors, worst data %.3g of the range, worst labels %.3g of the voxels\n", vectors,
           worst[0], worst[1]);
    assert_true(vectors > 0 && failed == 0);
}

static void test_new_shape(void **state)
{
    (void)state;
    const char *path = tst_shared("oracle/resample.h5");
    if (path == NULL) tst_skip("oracle/resample.h5 is absent");
    tst_h5 *f = tst_h5_open(path);
    int nd;
    int64_t dims[8];
    double *t = tst_h5_f64(f, "new_shape_table", &nd, dims);
    assert_true(dims[0] > 0 && dims[1] == 12);
    for (int64_t r = 0; r < dims[0]; r++) {
        const double *row = t + r * 12;
        const int64_t shape[3] = { (int64_t)row[0], (int64_t)row[1], (int64_t)row[2] };
        int64_t out[3];
        sf_resampled_shape(out, shape, row + 3, row + 6);
        for (int a = 0; a < 3; a++) /* the peer may answer 0 voxels, which nothing can hold */
            assert_int_equal(out[a], row[9 + a] < 1 ? 1 : (int64_t)row[9 + a]);
    }
    free(t);
    tst_h5_close(f);
}

static sf_norm_scheme scheme_of(const char *group)
{
    static const char *const names[] = { "ZScore", "CTNorm", "NoNorm", "RescaleTo01", "RGBTo01" };
    for (int k = 0; k < 5; k++)
        if (strstr(group, names[k]) != NULL) return (sf_norm_scheme)k;
    fail_msg("%s: unknown scheme", group);
    return SF_NORM_NONE;
}

static void read_stats(tst_h5 *f, sf_intensity *s)
{
    char *text = tst_h5_attr_str(f, "/", "intensity_properties_json");
    json_t *j;
    tst_ok(sf_json_parse(&j, text, "intensity_properties_json"));
    tst_ok(sf_json_get_num(&s->mean, j, "mean", "oracle"));
    tst_ok(sf_json_get_num(&s->std, j, "std", "oracle"));
    tst_ok(sf_json_get_num(&s->p00_5, j, "percentile_00_5", "oracle"));
    tst_ok(sf_json_get_num(&s->p99_5, j, "percentile_99_5", "oracle"));
    json_decref(j);
    free(text);
}

/* tolerance: 1e-5 absolute + 1e-5 relative */
static double check_scheme(tst_h5 *f, const char *group, const sf_intensity *stats)
{
    char name[128];
    int nd;
    int64_t dims[8], n = 1;
    snprintf(name, sizeof name, "%s/in", group);
    float *x = tst_h5_f32(f, name, &nd, dims);
    snprintf(name, sizeof name, "%s/out", group);
    float *want = tst_h5_f32(f, name, &nd, dims);
    snprintf(name, sizeof name, "%s/seg", group);
    int16_t *seg = tst_h5_i16(f, name, &nd, dims);
    for (int a = 0; a < nd; a++) n *= dims[a];
    const bool mask = strstr(group, "nomask") == NULL;
    tst_ok(sf_normalize(scheme_of(group), mask, stats, false, n, x, seg));
    double worst = 0;
    for (int64_t i = 0; i < n; i++)
        worst = fmax(worst,
                     fabs((double)x[i] - (double)want[i]) / (1e-5 + 1e-5 * fabs((double)want[i])));
    free(x);
    free(want);
    free(seg);
    return worst;
}

static void test_normalise(void **state)
{
    (void)state;
    const char *path = tst_shared("oracle/normalise.h5");
    if (path == NULL) tst_skip("oracle/normalise.h5 is absent");
    tst_h5 *f = tst_h5_open(path);
    sf_intensity stats = { 0 };
    read_stats(f, &stats);
    int count, vectors = 0;
    double worst = 0;
    char **name = tst_h5_list(f, "/", &count);
    for (int i = 0; i < count; i++) {
        if (strstr(name[i], "Normalization") != NULL) {
            const double e = check_scheme(f, name[i], &stats);
            if (e > 1) printf("%s: %.3g times the tolerance\n", name[i], e);
            worst = fmax(worst, e);
            vectors++;
        }
        free(name[i]);
    }
    free(name);
    tst_h5_close(f);
    printf("%d schemes, worst %.3g of the tolerance\n", vectors, worst);
    assert_true(vectors > 0 && worst <= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resample),
        cmocka_unit_test(test_new_shape),
        cmocka_unit_test(test_normalise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
