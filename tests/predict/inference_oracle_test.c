/* Whole predictions with the peer's trained models (oracle/inference): preprocessed image, logits
 * of every variant, probabilities, segmentations, the written file, the ensemble of the
 * configurations. */
#include "base/mem.h"
#include "base/path.h"
#include "predict/export.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CONFIGS = 8 };

typedef struct {
    const char *dir; /* oracle/inference/NAME */
    sf_dataset *dataset;
    sf_case sc;
    char *images[16];
    /* of the default variant, one per configuration: ours, and from the peer's own fp16 logits */
    float *probabilities[MAX_CONFIGS], *from_half[MAX_CONFIGS];
    int64_t file_shape[3];
    int n_configs, heads, failed;
    double data, logits, prob, ensemble; /* worst errors */
    int64_t differing, near_ties, seg_checked;
} run;

static int64_t volume(const int64_t d[3]) { return d[0] * d[1] * d[2]; }

/** Distance of the two best classes; with regions, of the closest region to 1/2. */
static double margin(const sf_labels *l, const float *p, int64_t voxels, int64_t v)
{
    double best = -1, second = -1, closest = 1;
    for (int c = 0; c < l->n_heads; c++) {
        const double x = (double)p[c * voxels + v];
        closest = fmin(closest, fabs(x - 0.5));
        if (x > best) {
            second = best;
            best = x;
        } else if (x > second) {
            second = x;
        }
    }
    return l->has_regions ? closest : best - second;
}

/** Identical but for voxels whose two best classes are closer than 1e-3. */
static void compare_labels(run *r, const char *what, const int32_t *got, const int16_t *want,
                           const float *p, int64_t n)
{
    int64_t wrong = 0;
    for (int64_t v = 0; v < n; v++) {
        if (got[v] == want[v]) continue;
        r->differing++;
        if (margin(&r->dataset->labels, p, n, v) < 1e-3)
            r->near_ties++;
        else
            wrong++;
    }
    r->seg_checked++;
    if (wrong == 0) return;
    printf("%s %s: %lld voxels differ\n", r->dir, what, (long long)wrong);
    r->failed++;
}

static double against(tst_h5 *f, const char *name, const float *got, int64_t n)
{
    int nd;
    int64_t dims[8], count = 1;
    float *want = tst_h5_f32(f, name, &nd, dims);
    for (int a = 0; a < nd; a++) count *= dims[a];
    const double e = count == n ? tst_max_abs_diff(got, want, n) : INFINITY;
    free(want);
    return e;
}

static void note(run *r, const char *what, double e, double limit, double *worst)
{
    *worst = fmax(*worst, e);
    if (e <= limit) return;
    printf("%s %s: error %.3g\n", r->dir, what, e);
    r->failed++;
}

/** Written file: the labels come back, and the geometry is the input's. */
static void check_file(const sf_geometry *geo, const int32_t *labels, int max_label)
{
    char path[SF_PATH_MAX];
    sf_label_image *back;
    tst_ok(sf_path_join(path, tst_tmp_dir(), "case.nii.gz", NULL));
    tst_ok(sf_label_write(path, geo, labels, max_label));
    tst_ok(sf_label_image_read(&back, path));
    assert_memory_equal(back->geo.shape, geo->shape, sizeof geo->shape);
    assert_memory_equal(back->data, labels, (size_t)volume(geo->shape) * sizeof *labels);
    for (int a = 0; a < 3; a++) assert_true(fabs(back->geo.spacing[a] - geo->spacing[a]) < 1e-6);
    for (int i = 0; i < 16; i++)
        assert_true(fabs(back->geo.affine[i / 4][i % 4] - geo->affine[i / 4][i % 4]) < 1e-4);
    sf_label_image_destroy(&back);
}

typedef struct {
    const char *name;
    bool all_folds;
    sf_predict_options opt;
} variant;

static const variant variants[] = {
    { "default", true, { .step = 0.5, .mirror = true, .gaussian = true, .threads = 2 } },
    { "one_fold", false, { .step = 0.5, .mirror = true, .gaussian = true, .threads = 2 } },
    { "no_mirror", false, { .step = 0.5, .gaussian = true, .threads = 2 } },
    { "no_gauss", false, { .step = 0.5, .threads = 2 } },
    { "step075", false, { .step = 0.75, .gaussian = true, .threads = 2 } },
};

/** Probabilities of what the peer really returned: sums in fp16. */
static float *export_half(const sf_model *m, tst_h5 *f, const sf_prepared *c, int64_t file)
{
    const sf_labels *l = &m->dataset->labels;
    int nd;
    int64_t dims[8];
    float *logits = tst_h5_f32(f, "default/logits_half", &nd, dims);
    float *prob = malloc((size_t)(l->n_heads * file) * sizeof *prob);
    int32_t *labels = malloc((size_t)file * sizeof *labels);
    tst_ok(sf_export_case(m->plans, m->cfg, l, &c->props, logits, true, labels, prob, 2));
    free(logits);
    free(labels);
    return prob;
}

static void check_variant(run *r, const variant *v, const char *model_dir, tst_h5 *f,
                          const sf_prepared *c, const sf_geometry *geo)
{
    const int first_fold = 0;
    sf_model *m;
    sf_predictor *p;
    char what[256], name[128];
    tst_ok(sf_model_load(&m, model_dir, v->all_folds ? NULL : &first_fold, 1, "checkpoint_final"));
    tst_ok(sf_predictor_create(&p, m, &v->opt));
    const sf_labels *l = &m->dataset->labels;
    const int64_t n = l->n_heads * volume(c->props.shape), file = volume(geo->shape);
    float *logits = malloc((size_t)n * sizeof *logits),
          *prob = malloc((size_t)(l->n_heads * file) * 4);
    int32_t *labels = malloc((size_t)file * sizeof *labels);
    int nd;
    int64_t dims[8];
    tst_ok(sf_predictor_case(p, c, logits, NULL));
    tst_ok(sf_export_case(m->plans, m->cfg, l, &c->props, logits, true, labels, prob, 2));
    snprintf(what, sizeof what, "%s %s", m->cfg->name, v->name);
    snprintf(name, sizeof name, "%s/logits_fp32", v->name);
    note(r, what, against(f, name, logits, n), 1e-3, &r->logits);
    snprintf(name, sizeof name, "%s/segmentation", v->name);
    int16_t *seg = tst_h5_i16(f, name, &nd, dims);
    assert_memory_equal(dims, geo->shape, sizeof geo->shape);
    compare_labels(r, what, labels, seg, prob, file);
    snprintf(name, sizeof name, "%s/probabilities", v->name);
    if (tst_h5_has(f, name)) {
        note(r, what, against(f, name, prob, l->n_heads * file), 1e-3, &r->prob);
        check_file(geo, labels, l->n_labels - 1);
        r->from_half[r->n_configs] = export_half(m, f, c, file);
        r->probabilities[r->n_configs++] = prob;
        r->heads = l->n_heads;
        memcpy(r->file_shape, geo->shape, sizeof r->file_shape);
    } else {
        free(prob);
    }
    free(seg);
    free(logits);
    free(labels);
    sf_predictor_destroy(&p);
    sf_model_destroy(&m);
}

static void check_model(run *r, const char *model)
{
    char path[SF_PATH_MAX], model_dir[SF_PATH_MAX];
    const char *config = strstr(strstr(model, "__") + 2, "__") + 2;
    sf_plans *plans;
    const sf_config *cfg;
    sf_prepared *c;
    sf_geometry geo;
    tst_ok(sf_path_join(model_dir, r->dir, model, NULL));
    tst_ok(sf_path_join(path, model_dir, "plans.json", NULL));
    tst_ok(sf_plans_load(&plans, path));
    tst_ok(sf_plans_config(&cfg, plans, config));
    tst_ok(sf_prepare_case_files(&c, &r->sc, plans, cfg, &r->dataset->labels, false, &geo, 2));
    tst_ok(sf_path_format(path, "%s/expected_%s.h5", r->dir, config));
    tst_h5 *f = tst_h5_open(path);
    note(r, config, against(f, "data", c->data, c->channels * volume(c->props.shape)), 2e-4,
         &r->data);
    for (size_t v = 0; v < sizeof variants / sizeof variants[0]; v++)
        if (tst_h5_has(f, variants[v].name)) check_variant(r, &variants[v], model_dir, f, c, &geo);
    tst_h5_close(f);
    sf_prepared_destroy(&c);
    sf_plans_destroy(&plans);
}

/** Segmentation of the ensemble: beside the mean (regions: the peer's file is wrong) or as a file.
 */
static int16_t *ensemble_labels(const run *r, tst_h5 *f)
{
    static const char name[] = "segmentation_from_mean_probabilities";
    char path[SF_PATH_MAX];
    int nd;
    int64_t dims[8], n = volume(r->file_shape);
    if (tst_h5_has(f, name)) return tst_h5_i16(f, name, &nd, dims);
    sf_label_image *l;
    tst_ok(sf_path_format(path, "%s/ensemble/%s%s", r->dir, r->sc.id, r->dataset->file_ending));
    tst_ok(sf_label_image_read(&l, path));
    int16_t *seg = malloc((size_t)n * sizeof *seg);
    for (int64_t v = 0; v < n; v++) seg[v] = (int16_t)l->data[v];
    sf_label_image_destroy(&l);
    return seg;
}

static void mean_of(float *const *p, int count, int64_t n, float *mean)
{
    for (int64_t i = 0; i < n; i++) {
        mean[i] = 0;
        for (int m = 0; m < count; m++) mean[i] += p[m][i];
        mean[i] /= (float)count;
    }
}

/* The stored mean is that of the peer's fp16 results, and fp16 is kept through its resampling: ours
 * from the same fp16 logits may differ by that rounding. The labels of our own mean must be the
 * peer's. */
static void check_ensemble(run *r)
{
    char path[SF_PATH_MAX];
    const int64_t file = volume(r->file_shape), n = r->heads * file;
    tst_ok(sf_path_format(path, "%s/ensemble/expected.h5", r->dir));
    if (!sf_path_is_file(path)) return;
    tst_h5 *f = tst_h5_open(path);
    float *mean = calloc((size_t)n, sizeof *mean);
    int32_t *labels = malloc((size_t)file * sizeof *labels);
    mean_of(r->from_half, r->n_configs, n, mean);
    note(r, "ensemble", against(f, "mean_probabilities", mean, n), 1e-3, &r->ensemble);
    mean_of(r->probabilities, r->n_configs, n, mean);
    sf_labels_decide(&r->dataset->labels, mean, false, file, labels);
    int16_t *seg = ensemble_labels(r, f);
    compare_labels(r, "ensemble", labels, seg, mean, file);
    free(seg);
    free(labels);
    free(mean);
    tst_h5_close(f);
}

/* The folder holds the true label as well (label_CASE), so the case is the one with a channel 0. */
static void find_case(run *r, const char *dir)
{
    char **name, tail[64];
    size_t count;
    snprintf(tail, sizeof tail, "_0000%s", r->dataset->file_ending);
    tst_ok(sf_path_list(&name, &count, dir));
    for (size_t i = 0; i < count; i++) {
        char *found = strstr(name[i], tail);
        if (found == NULL) continue;
        *found = 0;
        tst_ok(sf_mem_strdup(&r->sc.id, name[i]));
    }
    sf_path_free_list(&name, count);
    assert_non_null(r->sc.id);
    r->sc.images = r->images;
    for (int c = 0; c < r->dataset->n_channels; c++)
        tst_ok(sf_mem_printf(&r->images[r->sc.n_images++], "%s/%s_%04d%s", dir, r->sc.id, c,
                             r->dataset->file_ending));
}

static void check_folder(const char *root, const char *folder, run *total)
{
    char dir[SF_PATH_MAX], path[SF_PATH_MAX], **name;
    size_t count;
    run r = { .dir = dir };
    tst_ok(sf_path_join(dir, root, folder, NULL));
    tst_ok(sf_path_join(path, dir, "dataset.json", NULL));
    tst_ok(sf_dataset_from_json(&r.dataset, path));
    tst_ok(sf_path_join(path, dir, "input", NULL));
    find_case(&r, path);
    tst_ok(sf_path_list(&name, &count, dir));
    for (size_t i = 0; i < count; i++)
        if (strstr(name[i], "__") != NULL) check_model(&r, name[i]);
    sf_path_free_list(&name, count);
    if (r.n_configs > 1) check_ensemble(&r);
    for (int m = 0; m < r.n_configs; m++) {
        free(r.probabilities[m]);
        free(r.from_half[m]);
    }
    for (int c = 0; c < r.sc.n_images; c++) sf_mem_free(r.images[c]);
    sf_mem_free(r.sc.id);
    sf_dataset_destroy(&r.dataset);
    total->failed += r.failed;
    total->data = fmax(total->data, r.data);
    total->logits = fmax(total->logits, r.logits);
    total->prob = fmax(total->prob, r.prob);
    total->ensemble = fmax(total->ensemble, r.ensemble);
    total->differing += r.differing;
    total->near_ties += r.near_ties;
    total->seg_checked += r.seg_checked;
}

static void test_inference(void **state)
{
    (void)state;
    const char *root = tst_shared("oracle/inference");
    if (root == NULL) tst_skip("oracle/inference is absent");
    char **name;
    size_t count;
    run total = { 0 };
    tst_ok(sf_path_list(&name, &count, root));
    for (size_t i = 0; i < count; i++) check_folder(root, name[i], &total);
    sf_path_free_list(&name, count);
    printf("worst: data %.3g, logits %.3g, probabilities %.3g, ensemble %.3g; %lld segmentations, "
           "%lld voxels "
           "differ, "
           "%lld of them near ties\n",
           total.data, total.logits, total.prob, total.ensemble, (long long)total.seg_checked,
           (long long)total.differing, (long long)total.near_ties);
    assert_true(total.seg_checked > 0 && total.failed == 0);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_inference) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
