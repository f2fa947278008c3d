/** Whole runs on datasets at the edge: no foreground, a class in one case only, cases without
 *  foreground, tiny images, one slice along any axis; and overlapping regions with unannotated
 *  parts, learnt (nnunet-planning.md 13, column "Suggestion"). */
#include "base/mem.h"
#include "base/rng.h"
#include "evaluate/metrics.h"
#include "fleet/run.h"
#include "image/image.h"
#include "image/phantom.h"
#include "plan/plans.h"
#include "tests/support/support.h"
#include <stdio.h>
#include <string.h>

static char work[SF_PATH_MAX], data[SF_PATH_MAX];

typedef int label_fn(int index, const int64_t at[3], const int64_t shape[3]);

/** A cube of class 1 in the middle with a core of class 2. */
static int both_classes(int index, const int64_t at[3], const int64_t shape[3])
{
    bool cube = true, core = true;
    (void)index;
    for (int a = 0; a < 3; a++) {
        cube = cube && at[a] >= shape[a] / 4 && at[a] <= shape[a] * 3 / 4;
        core = core && at[a] >= shape[a] * 3 / 8 && at[a] <= shape[a] * 5 / 8;
    }
    return core ? 2 : cube;
}

static int nothing(int index, const int64_t at[3], const int64_t shape[3])
{
    (void)index, (void)at, (void)shape;
    return 0;
}

/** Class 2 in case 1 alone, nothing at all in case 2. */
static int rare(int index, const int64_t at[3], const int64_t shape[3])
{
    const int label = both_classes(index, at, shape);
    return index == 2 ? 0 : label == 2 && index != 1 ? 1 : label;
}

static void write_case(const char *set, int index, const int64_t shape[3], label_fn *label)
{
    static const double spacing[3] = { 1, 1, 1 };
    const int64_t n = shape[0] * shape[1] * shape[2];
    float *image = test_calloc((size_t)n, sizeof *image);
    int32_t *labels = test_calloc((size_t)n, sizeof *labels);
    const sf_rng_key key = { .seed = 1, .scope = set, .sample = (uint32_t)index };
    sf_geometry geo;
    sf_rng rng;
    char path[SF_PATH_MAX];
    sf_rng_init(&rng, &key);
    for (int64_t i = 0; i < n; i++) {
        const int64_t at[3] = { i / (shape[1] * shape[2]), i / shape[2] % shape[1], i % shape[2] };
        labels[i] = label(index, at, shape);
        image[i] = (float)(100 + 40 * labels[i] + 5 * sf_rng_normal(&rng));
    }
    sf_geometry_make(&geo, SF_FORMAT_NIFTI, shape, spacing);
    tst_ok(sf_path_format(path, "%s/images%s/c%d_0000.nii.gz", data, set, index));
    tst_ok(sf_image_write(path, &geo, image));
    tst_ok(sf_path_format(path, "%s/labels%s/c%d.nii.gz", data, set, index));
    tst_ok(sf_label_write(path, &geo, labels, 2));
    test_free(image);
    test_free(labels);
}

/** A dataset of n training cases and one test case, and options for one step of training. */
static sf_run_options made(const char *name, int n, int64_t z, int64_t y, int64_t x,
                           label_fn *label)
{
    static const char *const sub[] = { "imagesTr", "labelsTr", "imagesTs", "labelsTs" };
    const int64_t shape[3] = { z, y, x };
    char path[SF_PATH_MAX];
    tst_ok(sf_path_format(data, "%s/%s/Dataset001_Edge", tst_tmp_dir(), name));
    tst_ok(sf_path_format(work, "%s/%s/work", tst_tmp_dir(), name));
    for (int i = 0; i < 4; i++) {
        tst_ok(sf_path_join(path, data, sub[i], NULL));
        tst_ok(sf_path_make_dirs(path));
    }
    for (int i = 0; i < n; i++) write_case("Tr", i, shape, label);
    write_case("Ts", 1, shape, label);
    json_t *doc =
        json_pack("{s:{s:s},s:{s:i,s:i,s:i},s:i,s:s}", "channel_names", "0", "MRI", "labels",
                  "background", 0, "one", 1, "two", 2, "numTraining", n, "file_ending", ".nii.gz");
    tst_ok(sf_path_join(path, data, "dataset.json", NULL));
    tst_ok(sf_json_save(doc, path, 4, false));
    json_decref(doc);
    sf_run_options o = { .work = work, .threads = 1 };
    sf_settings_default(&o.settings);
    tst_ok(sf_path_format(o.settings.dataset, "%s", data));
    o.settings.epochs = o.settings.iterations = 1;
    o.settings.batch = 2;
    o.settings.num_folds = 2;
    o.settings.mirror = false;
    return o;
}

static const char *at(const char *name)
{
    static char path[SF_PATH_MAX];
    tst_ok(sf_path_join(path, work, name, NULL));
    return path;
}

/** The configurations that were planned, and that every network among them was trained. */
static void configs_are(const char *want)
{
    sf_plans *p = NULL;
    char got[200] = "", name[200];
    tst_ok(sf_plans_load(&p, at("plans.json")));
    for (int i = 0; i < p->n_configs; i++) {
        if (i) strcat(got, " ");
        strcat(got, p->config[i].name);
        snprintf(name, sizeof name, "results/%s/fold_1/checkpoint_final.h5", p->config[i].name);
        if (!sf_path_is_file(at(name))) fail_msg("%s is missing", name);
    }
    assert_string_equal(got, want);
    sf_plans_destroy(&p);
}

/** The test image comes back in its own shape. */
static void predicted(int64_t z, int64_t y, int64_t x)
{
    sf_label_image *seg = NULL;
    tst_ok(sf_label_image_read(&seg, at("predictions/c1.nii.gz")));
    const int64_t want[3] = { z, y, x };
    assert_memory_equal(seg->geo.shape, want, sizeof want);
    sf_label_image_destroy(&seg);
}

static void no_foreground(void **state)
{
    sf_run_options o = made("empty", 3, 8, 16, 16, nothing);
    (void)state;
    assert_int_equal(sf_run(sf_comm_self(), &o), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "no case has a labelled voxel"));
    assert_non_null(strstr(sf_error_text(), "Dataset001_Edge"));
    assert_false(sf_path_is_file(at("dataset_fingerprint.json")));
}

/** A class that one case has, and a case that has none: trained, scored, chosen, predicted. */
static void rare_class(void **state)
{
    sf_run_options o = made("rare", 4, 12, 16, 16, rare);
    sf_dataset *d = NULL;
    sf_summary *s = NULL;
    int64_t with = 0;
    (void)state;
    o.configs = "3d_fullres";
    tst_ok(sf_run(sf_comm_self(), &o));
    tst_ok(sf_dataset_load(&d, data));
    tst_ok(sf_summary_load(&s, &d->labels,
                           at("results/3d_fullres/crossval_results_folds_0_1/summary.json")));
    assert_int_equal(s->n_cases, 4);
    for (int c = 0; c < 4; c++) {
        const sf_metric *two = &s->m[2 * c + 1];
        if (two->tp + two->fn > 0) with++;
        if (two->tp + two->fp + two->fn == 0) assert_true(two->dice != two->dice);
    }
    assert_int_equal(with, 1);
    predicted(12, 16, 16);
    sf_summary_destroy(&s);
    sf_dataset_destroy(&d);
}

/** Smaller than any pooling: the patch is padded, and the network runs. */
static void tiny(void **state)
{
    sf_run_options o = made("tiny", 3, 5, 6, 7, both_classes);
    (void)state;
    tst_ok(sf_run(sf_comm_self(), &o));
    configs_are("2d 3d_fullres");
    predicted(5, 6, 7);
}

/** One slice along whatever axis: 2-D alone, and the slice is where it was. */
static void one_slice(void **state)
{
    static const char *const name[] = { "slice0", "slice1", "slice2" };
    (void)state;
    for (int a = 0; a < 3; a++) {
        int64_t s[3] = { 16, 20, 24 };
        s[a] = 1;
        sf_run_options o = made(name[a], 3, s[0], s[1], s[2], both_classes);
        tst_ok(sf_run(sf_comm_self(), &o));
        configs_are("2d");
        predicted(s[0], s[1], s[2]);
    }
}

static int64_t total(const sf_metric *m) { return m->tp + m->fp + m->fn + m->tn; }

/** Regions with an ignore label: learnt, scored under nnU-Net's keys, ignored voxels neither
 *  counted nor predicted. */
static void regions_and_ignore(void **state)
{
    const sf_phantom_options po = {
        .cases = 4, .flat = true, .extent = 32, .seed = 3, .regions = true, .ignore = true
    };
    sf_run_options o = { .work = work, .threads = 1, .configs = "2d" };
    sf_dataset *d = NULL;
    sf_summary *s = NULL;
    sf_label_image *seg = NULL;
    (void)state;
    tst_ok(sf_path_format(work, "%s/regions/work", tst_tmp_dir()));
    tst_ok(sf_path_format(data, "%s/regions", tst_tmp_dir()));
    tst_ok(sf_phantom_make(data, &po));
    sf_settings_default(&o.settings);
    tst_ok(sf_path_join(o.settings.dataset, data, "Dataset999_Phantom", NULL));
    o.settings.epochs = 2;
    o.settings.iterations = 25;
    o.settings.batch = 4;
    o.settings.num_folds = 2;
    o.settings.mirror = false;
    tst_ok(sf_run(sf_comm_self(), &o));
    tst_ok(sf_dataset_load(&d, o.settings.dataset));
    assert_string_equal(d->labels.eval[0].key, "(1, 2)");
    assert_int_equal(d->labels.n_heads, 2);
    tst_ok(
        sf_summary_load(&s, &d->labels, at("results/2d/crossval_results_folds_0_1/summary.json")));
    for (int e = 0; e < 2; e++)
        if (!(s->mean_dice[e] > 0.5)) fail_msg("region %d: Dice %g", e, s->mean_dice[e]);
    for (int c = 0; c < 4; c++) {
        tst_ok(sf_label_image_read(&seg, d->train[c].label));
        const int64_t *n = seg->geo.shape, voxels = n[1] * n[2];
        int64_t ignored = 0;
        for (int64_t v = 0; v < voxels; v++) ignored += seg->data[v] == 3;
        assert_int_equal(ignored > 0, c % 2 == 1);
        for (int e = 0; e < 2; e++) assert_int_equal(total(&s->m[2 * c + e]), voxels - ignored);
        sf_label_image_destroy(&seg);
    }
    tst_ok(sf_label_image_read(&seg, at("predictions/phantom_000.png")));
    for (int64_t v = 0; v < seg->geo.shape[1] * seg->geo.shape[2]; v++)
        assert_in_range(seg->data[v], 0, 2);
    sf_label_image_destroy(&seg);
    sf_summary_destroy(&s);
    sf_dataset_destroy(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_foreground),
        cmocka_unit_test(rare_class),
        cmocka_unit_test(tiny),
        cmocka_unit_test(one_slice),
        cmocka_unit_test(regions_and_ignore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
