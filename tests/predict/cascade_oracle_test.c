/* The second stage of a cascade (oracle/cascade): labels of the first stage through preprocessing,
 * one-hot channels, the network's logits, the segmentation; and first-stage logits on the grid of
 * the next stage. */
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "predict/export.h"
#include "predict/next_stage.h"
#include "preprocess/resample.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char dir[SF_PATH_MAX], label[SF_PATH_MAX];
    sf_model *m;
    sf_case *cases, sc;
    int n_cases;
    tst_h5 *f;
} setup;

static int64_t volume(const int64_t d[3]) { return d[0] * d[1] * d[2]; }

static void open_folder(setup *s, const char *root, const char *folder)
{
    char path[SF_PATH_MAX], **name;
    size_t count;
    memset(s, 0, sizeof *s);
    tst_ok(sf_path_join(s->dir, root, folder, NULL));
    tst_ok(sf_path_list(&name, &count, s->dir));
    for (size_t i = 0; i < count; i++)
        if (strstr(name[i], "__") != NULL) {
            tst_ok(sf_path_join(path, s->dir, name[i], NULL));
            tst_ok(sf_model_load(&s->m, path, NULL, 0, "checkpoint_final"));
        }
    sf_path_free_list(&name, count);
    const sf_dataset *d = s->m->dataset;
    tst_ok(sf_path_join(path, s->dir, "input", NULL));
    tst_ok(sf_dataset_find_cases(&s->cases, &s->n_cases, d, path));
    assert_int_equal(s->n_cases, 1);
    tst_ok(sf_path_format(s->label, "%s/prev_stage/%s%s", s->dir, s->cases[0].id, d->file_ending));
    s->sc = s->cases[0];
    s->sc.label = s->label;
    tst_ok(sf_path_join(path, s->dir, "expected.h5", NULL));
    s->f = tst_h5_open(path);
}

static void close_folder(setup *s)
{
    tst_h5_close(s->f);
    sf_cases_free(&s->cases, s->n_cases);
    sf_model_destroy(&s->m);
}

/* labels within 0.5 % of the voxels, image channels within 2e-4 */
static void check_input(const setup *s, const sf_prepared *c)
{
    int nd;
    int64_t dims[8], wrong = 0;
    const int64_t n = volume(c->props.shape);
    int16_t *want = tst_h5_i16(s->f, "inference/prev_stage_preprocessed", &nd, dims);
    assert_memory_equal(dims + 1, c->props.shape, sizeof c->props.shape);
    for (int64_t v = 0; v < n; v++) wrong += c->seg[v] != want[v];
    free(want);
    float *input = tst_h5_f32(s->f, "inference/network_input", &nd, dims);
    const double e = tst_max_abs_diff(c->data, input, c->channels * n);
    free(input);
    printf("%s: %lld labels differ, image %.3g", s->dir, (long long)wrong, e);
    assert_true((double)wrong <= 5e-3 * (double)n && e <= 2e-4);
}

/* logits from the stored input, and from our own input when its labels are the same */
static void check_logits(const setup *s, const sf_prepared *c)
{
    const sf_predict_options opt = { .step = 0.5, .mirror = true, .gaussian = true, .threads = 2 };
    const int64_t n = s->m->dataset->labels.n_heads * volume(c->props.shape);
    int nd;
    int64_t dims[8];
    sf_predictor *p;
    float *input = tst_h5_f32(s->f, "inference/network_input", &nd, dims),
          *want = tst_h5_f32(s->f, "inference/logits_fp32", &nd, dims),
          *a = malloc((size_t)n * sizeof *a), *b = malloc((size_t)n * sizeof *b);
    sf_prepared stored = *c;
    stored.data = input;
    stored.channels = s->m->dataset->n_channels + s->m->dataset->labels.n_labels - 1;
    stored.seg = NULL;
    tst_ok(sf_predictor_create(&p, s->m, &opt));
    tst_ok(sf_predictor_case(p, &stored, a, NULL));
    tst_ok(sf_predictor_case(p, c, b, NULL));
    const double ea = tst_max_abs_diff(a, want, n), eb = tst_max_abs_diff(b, want, n);
    printf(", logits %.3g, from our own input %.3g\n", ea, eb);
    assert_true(ea <= 1e-3 && eb <= 5e-3);
    stored.channels--;
    assert_int_equal(sf_predictor_case(p, &stored, a, NULL), SF_EDATA);
    sf_predictor_destroy(&p);
    free(input);
    free(want);
    free(a);
    free(b);
}

static void check_segmentation(const setup *s, const sf_prepared *c)
{
    int nd;
    int64_t dims[8], wrong = 0, n = 1;
    float *logits = tst_h5_f32(s->f, "inference/logits_fp32", &nd, dims);
    int16_t *want = tst_h5_i16(s->f, "inference/segmentation", &nd, dims);
    for (int a = 0; a < nd; a++) n *= dims[a];
    int32_t *got = malloc((size_t)n * sizeof *got);
    tst_ok(sf_export_case(s->m->plans, s->m->cfg, &s->m->dataset->labels, &c->props, logits, true,
                          got, NULL, 2));
    for (int64_t v = 0; v < n; v++) wrong += got[v] != want[v];
    assert_int_equal(wrong, 0);
    free(logits);
    free(want);
    free(got);
}

/* the separate axis comes from the low-resolution spacing alone */
static void check_next_stage(const setup *s, const char *group)
{
    char name[256];
    int nd, count;
    int64_t dims[8], to[3], wrong = 0;
    snprintf(name, sizeof name, "%s/logits_lowres", group);
    float *logits = tst_h5_f32(s->f, name, &nd, dims);
    double *shape = tst_h5_attr_nums(s->f, group, "next_stage_shape", &count),
           *spacing = tst_h5_attr_nums(s->f, group, "lowres_spacing", &count);
    for (int a = 0; a < 3; a++) to[a] = (int64_t)shape[a];
    sf_config lowres = *s->m->cfg; /* the first stage differs in its spacing */
    memcpy(lowres.spacing, spacing, sizeof lowres.spacing);
    sf_case_props props = { .shape = { dims[1], dims[2], dims[3] } };
    assert_int_equal(sf_resample_separate_axis(&lowres.prob, spacing, spacing, 3.0) >= 0,
                     tst_h5_attr_num(s->f, group, "separate_z") != 0);
    const int64_t n = volume(to);
    int16_t *got = malloc((size_t)n * sizeof *got);
    tst_ok(sf_next_stage_labels(s->m->plans, &lowres, &s->m->dataset->labels, &props, logits, true,
                                to, got, 2));
    snprintf(name, sizeof name, "%s/seg", group);
    int16_t *want = tst_h5_i16(s->f, name, &nd, dims);
    for (int64_t v = 0; v < n; v++) wrong += got[v] != want[v];
    assert_int_equal(wrong, 0);
    free(logits);
    free(shape);
    free(spacing);
    free(got);
    free(want);
}

static void check_folder(const char *root, const char *folder)
{
    static setup s;
    char group[128];
    int count;
    sf_prepared *c;
    open_folder(&s, root, folder);
    tst_ok(sf_prepare_case_files(&c, &s.sc, s.m->plans, s.m->cfg, &s.m->dataset->labels, true, NULL,
                                 2));
    check_input(&s, c);
    check_logits(&s, c);
    check_segmentation(&s, c);
    sf_prepared_destroy(&c);
    char **name = tst_h5_list(s.f, "next_stage", &count);
    for (int i = 0; i < count; i++) {
        snprintf(group, sizeof group, "next_stage/%s", name[i]);
        check_next_stage(&s, group);
        free(name[i]);
    }
    free(name);
    close_folder(&s);
}

static void test_cascade(void **state)
{
    (void)state;
    const char *root = tst_shared("oracle/cascade");
    if (root == NULL) tst_skip("oracle/cascade is absent");
    char **name;
    size_t count;
    tst_ok(sf_path_list(&name, &count, root));
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) check_folder(root, name[i]);
    sf_path_free_list(&name, count);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_cascade) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
