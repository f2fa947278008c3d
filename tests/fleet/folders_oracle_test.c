/* The functions behind the commands on folders, on the peer's data: predictions of two models
 * averaged through .npz files (oracle/inference), post-processing decided and applied
 * (oracle/evaluation). The labels must be the peer's, but where the mean of two classes nearly
 * ties. */
#include "base/mem.h"
#include "base/path.h"
#include "fleet/apply.h"
#include "fleet/ensemble.h"
#include "fleet/postprocess.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int ensembles, scenes;

static const char *fresh(const char *name)
{
    static char path[4][SF_PATH_MAX];
    static int next;
    char *p = path[next++ % 4];
    tst_ok(sf_path_join(p, tst_tmp_dir(), name, NULL));
    tst_ok(sf_path_remove(p));
    return p;
}

/* ---- ensembles ---- */

typedef struct {
    const char *dir; /* oracle/inference/NAME */
    sf_dataset *d;
    sf_case c;
    char *image[16];
    char model[SF_APPLY_MAX][SF_PATH_MAX], pred[SF_APPLY_MAX][SF_PATH_MAX];
    int n_models;
} run;

/* The folder also holds the true label, so the case is the one with a channel 0. */
static void find_case(run *r)
{
    char path[SF_PATH_MAX], tail[64], **name;
    size_t count;
    snprintf(tail, sizeof tail, "_0000%s", r->d->file_ending);
    tst_ok(sf_path_join(path, r->dir, "input", NULL));
    tst_ok(sf_path_list(&name, &count, path));
    for (size_t i = 0; i < count; i++) {
        const char *end = strstr(name[i], tail);
        if (end == NULL) continue;
        tst_ok(sf_mem_printf(&r->c.id, "%.*s", (int)(end - name[i]), name[i]));
    }
    sf_path_free_list(&name, count);
    assert_non_null(r->c.id);
    for (int k = 0; k < r->d->n_channels; k++)
        tst_ok(sf_mem_printf(&r->image[k], "%s/%s_%04d%s", path, r->c.id, k, r->d->file_ending));
    r->c.images = r->image;
    r->c.n_images = r->d->n_channels;
}

static void predict_all(run *r)
{
    char **name, out[32];
    size_t count;
    tst_ok(sf_path_list(&name, &count, r->dir));
    for (size_t i = 0; i < count; i++) {
        if (strstr(name[i], "__") == NULL) continue;
        const int m = r->n_models++;
        assert_true(m < SF_APPLY_MAX);
        snprintf(out, sizeof out, "pred%d", m);
        tst_ok(sf_path_join(r->model[m], r->dir, name[i], NULL));
        strcpy(r->pred[m], fresh(out));
        const sf_apply_options o = { .model = { r->model[m] },
                                     .n_models = 1,
                                     .checkpoint = "checkpoint_final",
                                     .mirror = true,
                                     .threads = 2,
                                     .describe = true,
                                     .save_probabilities = true };
        tst_ok(sf_apply_cases(sf_comm_self(), &o, &r->c, 1, r->pred[m]));
    }
    sf_path_free_list(&name, count);
}

/* Distance of the two best classes; with regions, of the closest region to 1/2. */
static double margin(const sf_labels *l, const float *p, int64_t voxels, int64_t v)
{
    double best = -1, second = -1, closest = 1;
    for (int c = 0; c < l->n_heads; c++) {
        const double x = (double)p[c * voxels + v];
        closest = fmin(closest, fabs(x - 0.5));
        second = x > best ? best : fmax(second, x);
        best = fmax(best, x);
    }
    return l->has_regions ? closest : best - second;
}

/* The peer's labels: with regions beside its mean (the file it writes is wrong), else its file. */
static int32_t *peer_labels(const run *r, int64_t voxels)
{
    static const char name[] = "segmentation_from_mean_probabilities";
    char path[SF_PATH_MAX];
    int nd;
    int64_t dims[8];
    tst_ok(sf_path_join(path, r->dir, "ensemble/expected.h5", NULL));
    tst_h5 *f = tst_h5_open(path);
    int32_t *labels = tst_h5_has(f, name) ? tst_h5_i32(f, name, &nd, dims) : NULL;
    tst_h5_close(f);
    if (labels != NULL) return labels;
    sf_label_image *l;
    tst_ok(sf_path_format(path, "%s/ensemble/%s%s", r->dir, r->c.id, r->d->file_ending));
    tst_ok(sf_label_image_read(&l, path));
    labels = malloc((size_t)voxels * sizeof *labels);
    memcpy(labels, l->data, (size_t)voxels * sizeof *labels);
    sf_label_image_destroy(&l);
    return labels;
}

static void check_labels(const run *r, const char *out)
{
    char path[SF_PATH_MAX];
    sf_label_image *got;
    float *mean;
    int heads;
    int64_t shape[3], wrong = 0, ties = 0;
    tst_ok(sf_path_format(path, "%s/%s%s", out, r->c.id, r->d->file_ending));
    tst_ok(sf_label_image_read(&got, path));
    tst_ok(sf_probabilities_read(&mean, &heads, shape, out, r->c.id));
    assert_int_equal(heads, r->d->labels.n_heads);
    assert_memory_equal(shape, got->geo.shape, sizeof shape);
    const int64_t n = shape[0] * shape[1] * shape[2];
    int32_t *want = peer_labels(r, n);
    for (int64_t v = 0; v < n; v++) {
        if (got->data[v] == want[v]) continue;
        if (margin(&r->d->labels, mean, n, v) < 1e-3)
            ties++;
        else
            wrong++;
    }
    printf("%s: %d models, %lld voxels, %lld differ, %lld of them near ties\n", r->dir, r->n_models,
           (long long)n, (long long)(wrong + ties), (long long)ties);
    assert_int_equal(wrong, 0);
    free(want);
    sf_mem_free(mean);
    sf_label_image_destroy(&got);
}

static void check_ensemble(const char *dir)
{
    char path[SF_PATH_MAX];
    run r = { .dir = dir };
    tst_ok(sf_path_join(path, dir, "ensemble/expected.h5", NULL));
    if (!sf_path_is_file(path)) return;
    tst_ok(sf_path_join(path, dir, "dataset.json", NULL));
    tst_ok(sf_dataset_from_json(&r.d, path));
    find_case(&r);
    predict_all(&r);
    assert_true(r.n_models > 1);
    const char *in[SF_APPLY_MAX] = { NULL }, *out = fresh("mean");
    for (int m = 0; m < r.n_models; m++) in[m] = r.pred[m];
    const sf_ensemble_options o = { .dir = in, .n_dirs = r.n_models, .save_probabilities = true };
    int n = 0;
    tst_ok(sf_ensemble_folders(sf_comm_self(), &o, out, &n));
    assert_int_equal(n, 1);
    check_labels(&r, out);
    ensembles++;
    for (int k = 0; k < r.c.n_images; k++) sf_mem_free(r.image[k]);
    sf_mem_free(r.c.id);
    sf_dataset_destroy(&r.d);
}

/* ---- post-processing ---- */

static void compare_folder(const char *got_dir, const char *want_dir, const char *ending)
{
    char path[SF_PATH_MAX], **name;
    size_t count, cases = 0;
    tst_ok(sf_path_list(&name, &count, want_dir));
    for (size_t i = 0; i < count; i++) {
        if (strstr(name[i], ending) == NULL) continue;
        sf_label_image *got, *want;
        tst_ok(sf_path_join(path, got_dir, name[i], NULL));
        tst_ok(sf_label_image_read(&got, path));
        tst_ok(sf_path_join(path, want_dir, name[i], NULL));
        tst_ok(sf_label_image_read(&want, path));
        const int64_t *s = want->geo.shape;
        assert_memory_equal(got->geo.shape, s, sizeof got->geo.shape);
        assert_memory_equal(got->data, want->data, (size_t)(s[0] * s[1] * s[2]) * sizeof(int32_t));
        sf_label_image_destroy(&got);
        sf_label_image_destroy(&want);
        cases++;
    }
    assert_true(cases > 0);
    sf_path_free_list(&name, count);
}

/* Decision and result by our file, and the result by the peer's file. */
static void check_scene(const char *dir)
{
    char pred[SF_PATH_MAX], ref[SF_PATH_MAX], want[SF_PATH_MAX], peer[SF_PATH_MAX];
    char json[SF_PATH_MAX];
    sf_dataset *d = NULL;
    sf_postproc *pp = NULL, *by_file[2] = { NULL, NULL };
    sf_summary *before = NULL, *after = NULL;
    int n = 0;
    tst_ok(sf_path_join(json, dir, "dataset.json", NULL));
    tst_ok(sf_path_join(pred, dir, "pred", NULL));
    tst_ok(sf_path_join(ref, dir, "ref", NULL));
    tst_ok(sf_path_join(want, dir, "postprocessed", NULL));
    tst_ok(sf_path_join(peer, dir, "postprocessing.json", NULL));
    tst_ok(sf_dataset_from_json(&d, json));
    const char *ours = fresh("postprocessing.json");
    tst_ok(sf_postprocess_determine(&pp, &before, &after, pred, ref, d->file_ending, &d->labels,
                                    ours));
    assert_true(!(after->foreground_dice < before->foreground_dice));
    tst_ok(sf_postproc_load(&by_file[0], ours));
    tst_ok(sf_postproc_load(&by_file[1], peer));
    for (int i = 0; i < 2; i++) {
        const char *out = fresh("treated");
        assert_int_equal(by_file[i]->n_ops, pp->n_ops);
        tst_ok(sf_postprocess_apply(&n, by_file[i], pred, d->file_ending, d->labels.n_labels - 1,
                                    out));
        compare_folder(out, want, d->file_ending);
        sf_postproc_destroy(&by_file[i]);
    }
    printf("%s: %d cases, %d removals\n", dir, n, pp->n_ops);
    scenes++;
    sf_postproc_destroy(&pp);
    sf_summary_destroy(&before);
    sf_summary_destroy(&after);
    sf_dataset_destroy(&d);
}

static void each(const char *what, void (*check)(const char *dir))
{
    const char *root = tst_shared(what);
    char path[SF_PATH_MAX], **name;
    size_t count;
    if (root == NULL) tst_skip("no oracle files");
    tst_ok(sf_path_list(&name, &count, root));
    for (size_t i = 0; i < count; i++) {
        tst_ok(sf_path_join(path, root, name[i], NULL));
        if (sf_path_is_dir(path)) check(path);
    }
    sf_path_free_list(&name, count);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

static void test_ensembles(void **state)
{
    (void)state;
    each("oracle/inference", check_ensemble);
    assert_true(ensembles > 0);
}

static void test_postprocessing(void **state)
{
    (void)state;
    each("oracle/evaluation", check_scene);
    assert_true(scenes > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_postprocessing),
                                        cmocka_unit_test(test_ensembles) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
