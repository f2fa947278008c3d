/* Labels and probabilities from logits against the peer (oracle/label_export.h5). */
#include "base/json.h"
#include "base/path.h"
#include "predict/export.h"
#include "tests/support/support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    sf_dataset *d;
    sf_recipe recipe;
    sf_plans plans;
    sf_config cfg;
    sf_case_props props;
    float *logits, *probabilities, *reverted;
    int16_t *segmentation;
    int64_t crop[3], whole[3];
    int heads;
} setup;

/* the labels as a dataset.json of their own */
static void load_labels(setup *s, tst_h5 *f, const char *group)
{
    char *labels = tst_h5_attr_str(f, group, "labels_json"),
         *order = tst_h5_attr_str(f, group, "regions_class_order_json"), text[2048],
         path[SF_PATH_MAX];
    snprintf(text, sizeof text,
             "{\"channel_names\": {\"0\": \"MRI\"}, \"labels\": %s, \"regions_class_order\": %s, "
             "\"numTraining\": 1, \"file_ending\": \".nii.gz\"}",
             labels, order);
    char *null = strstr(text, "\"regions_class_order\": null, ");
    if (null != NULL) memmove(null, null + 29, strlen(null + 29) + 1);
    tst_ok(sf_path_join(path, tst_tmp_dir(), "dataset.json", NULL));
    tst_ok(sf_path_write(path, text, strlen(text)));
    tst_ok(sf_dataset_from_json(&s->d, path));
    free(labels);
    free(order);
}

static void load(setup *s, tst_h5 *f, const char *group)
{
    char name[128];
    int nd;
    int64_t dims[8];
    memset(s, 0, sizeof *s);
    load_labels(s, f, group);
    snprintf(name, sizeof name, "%s/logits", group);
    s->logits = tst_h5_f32(f, name, &nd, dims);
    s->heads = (int)dims[0];
    memcpy(s->crop, dims + 1, sizeof s->crop);
    snprintf(name, sizeof name, "%s/probabilities", group);
    s->probabilities = tst_h5_f32(f, name, &nd, dims);
    snprintf(name, sizeof name, "%s/segmentation", group);
    s->segmentation = tst_h5_i16(f, name, &nd, dims);
    snprintf(name, sizeof name, "%s/reverted_crop_probabilities", group);
    s->reverted = tst_h5_f32(f, name, &nd, dims);
    memcpy(s->whole, dims + 1, sizeof s->whole);
    s->recipe.prep.separate_z_threshold = 3;
    s->plans = (sf_plans){ .transpose_forward = { 0, 1, 2 },
                           .transpose_backward = { 0, 1, 2 },
                           .recipe = &s->recipe };
    s->cfg = (sf_config){ .dim = 3,
                          .spacing = { 1, 1, 1 },
                          .prob = { .order = 1, .force_separate_z = -1 } };
    assert_int_equal(s->d->labels.n_heads, s->heads);
}

static void unload(setup *s)
{
    free(s->logits);
    free(s->probabilities);
    free(s->reverted);
    free(s->segmentation);
    sf_dataset_destroy(&s->d);
}

static void place(setup *s, const int64_t at[3], const int64_t whole[3])
{
    for (int a = 0; a < 3; a++) {
        s->props.spacing[a] = s->props.spacing_file[a] = 1;
        s->props.shape_before_crop[a] = whole[a];
        s->props.bbox_lo[a] = at[a];
        s->props.bbox_hi[a] = at[a] + s->crop[a];
        s->props.shape_after_crop[a] = s->props.shape[a] = s->crop[a];
    }
}

static int64_t volume(const int64_t d[3]) { return d[0] * d[1] * d[2]; }

static void check_uncropped(setup *s)
{
    static const int64_t origin[3] = { 0, 0, 0 };
    const int64_t n = volume(s->crop);
    float *p = malloc((size_t)(s->heads * n) * sizeof *p);
    int32_t *l = malloc((size_t)n * sizeof *l);
    place(s, origin, s->crop);
    for (int logits = 0; logits < 2; logits++) { /* from logits, and from their probabilities */
        tst_ok(sf_export_case(&s->plans, &s->cfg, &s->d->labels, &s->props,
                              logits ? s->logits : s->probabilities, logits, l, p, 2));
        for (int64_t i = 0; i < n; i++) assert_int_equal(l[i], s->segmentation[i]);
        assert_true(tst_max_abs_diff(p, s->probabilities, s->heads * n) <= 1e-6);
    }
    free(p);
    free(l);
}

/* The file does not say where the crop lay: exactly one position may reproduce the uncropped
 * volume. */
static void check_reverted(setup *s)
{
    const int64_t n = volume(s->whole);
    float *p = malloc((size_t)(s->heads * n) * sizeof *p);
    int32_t *l = malloc((size_t)n * sizeof *l);
    int64_t at[3];
    int matches = 0;
    for (at[0] = 0; at[0] <= s->whole[0] - s->crop[0]; at[0]++)
        for (at[1] = 0; at[1] <= s->whole[1] - s->crop[1]; at[1]++)
            for (at[2] = 0; at[2] <= s->whole[2] - s->crop[2]; at[2]++) {
                place(s, at, s->whole);
                tst_ok(sf_export_case(&s->plans, &s->cfg, &s->d->labels, &s->props, s->logits, true,
                                      l, p, 2));
                matches += tst_max_abs_diff(p, s->reverted, s->heads * n) <= 1e-6;
            }
    assert_int_equal(matches, 1);
    free(p);
    free(l);
}

static void test_export(void **state)
{
    (void)state;
    const char *path = tst_shared("oracle/label_export.h5");
    if (path == NULL) tst_skip("oracle/label_export.h5 is absent");
    tst_h5 *f = tst_h5_open(path);
    int count;
    char **name = tst_h5_list(f, "/", &count);
    assert_true(count > 0);
    for (int i = 0; i < count; i++) {
        static setup s;
        load(&s, f, name[i]);
        check_uncropped(&s);
        check_reverted(&s);
        unload(&s);
        free(name[i]);
    }
    free(name);
    tst_h5_close(f);
    printf("%d groups\n", count);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_export) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
