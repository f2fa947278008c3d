/** Data set folders: discovery, checks of nnunet-planning.md 2 with the suggestions of 13, labels
 * and regions; the real data sets of shared/data. */
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "tests/plan/plan_check.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char root[SF_PATH_MAX];

static const char *at(const char *name)
{
    static char path[SF_PATH_MAX];
    tst_ok(sf_path_join(path, root, name, NULL));
    return path;
}

static void write_image(const char *name, const int64_t shape[3], const double spacing[3], float v)
{
    sf_geometry geo;
    float voxels[512];
    sf_geometry_make(&geo, SF_FORMAT_NIFTI, shape, spacing);
    for (int i = 0; i < 512; i++) voxels[i] = v + (float)(i % 7);
    tst_ok(sf_image_write(at(name), &geo, voxels));
}

static void write_label(const char *name, const int64_t shape[3], const double spacing[3], int top)
{
    sf_geometry geo;
    int32_t voxels[512];
    sf_geometry_make(&geo, SF_FORMAT_NIFTI, shape, spacing);
    for (int i = 0; i < 512; i++) voxels[i] = i % (top + 1);
    tst_ok(sf_label_write(at(name), &geo, voxels, top));
}

static const int64_t cube[3] = { 6, 7, 8 };
static const double mm[3] = { 2, 1, 1 };

static void write_json(const char *labels, int num_training)
{
    char text[1024];
    const int n = snprintf(text, sizeof text,
                           "{\"channel_names\": {\"0\": \"T1\", \"1\": \"T2\"}, \"labels\": %s, "
                           "\"numTraining\": %d, \"file_ending\": \".nii.gz\"}",
                           labels, num_training);
    tst_ok(sf_path_write(at("dataset.json"), text, (size_t)n));
}

static const char plain[] = "{\"background\": 0, \"a\": 1, \"b\": 2}";

/** Three cases of two channels in a fresh folder. */
static int fresh(void **state)
{
    static int count;
    char name[64];
    (void)state;
    snprintf(name, sizeof name, "Dataset%03d_Test", ++count);
    tst_ok(sf_path_join(root, tst_tmp_dir(), name, NULL));
    tst_ok(sf_path_make_dirs(at("imagesTr")));
    tst_ok(sf_path_make_dirs(at("labelsTr")));
    for (int c = 0; c < 3; c++) {
        for (int k = 0; k < 2; k++) {
            snprintf(name, sizeof name, "imagesTr/case_%d_%04d.nii.gz", c, k);
            write_image(name, cube, mm, (float)(10 * c + k));
        }
        snprintf(name, sizeof name, "labelsTr/case_%d.nii.gz", c);
        write_label(name, cube, mm, 2);
    }
    write_json(plain, 3);
    return 0;
}

static void refused(sf_status want, const char *word)
{
    sf_dataset *d = NULL;
    assert_int_equal(sf_dataset_load(&d, root), want);
    assert_null(d);
    if (!strstr(sf_error_text(), word)) fail_msg("\"%s\" lacks \"%s\"", sf_error_text(), word);
}

static void good(void **state)
{
    sf_dataset *d = NULL;
    char *problem = NULL;
    (void)state;
    tst_ok(sf_path_write(at("imagesTr/._case_0_0000.nii.gz"), "x", 1)); /* a hidden file */
    tst_ok(sf_dataset_load(&d, root));
    assert_int_equal(d->n_train, 3);
    assert_string_equal(d->train[2].id, "case_2");
    assert_int_equal(d->train[0].n_images, 2);
    assert_non_null(strstr(d->train[1].images[1], "case_1_0001.nii.gz"));
    assert_string_equal(d->channel_names[1], "T2");
    assert_int_equal(d->labels.n_heads, 3);
    assert_int_equal(d->labels.n_eval, 2);
    for (int c = 0; c < 3; c++) {
        tst_ok(sf_dataset_verify_case(d, &d->train[c], &problem));
        assert_null(problem);
    }
    sf_dataset_destroy(&d);
}

/** One image of three is mirrored: the mixture is counted. */
static void orientations(void **state)
{
    sf_geometry geo;
    float voxels[512] = { 1 };
    sf_dataset *d = NULL;
    char *text = NULL;
    (void)state;
    tst_ok(sf_dataset_load(&d, root));
    tst_ok(sf_dataset_orientations(d, &text));
    assert_non_null(strstr(text, " 3"));
    assert_null(strchr(text, ','));
    sf_mem_free(text);
    sf_geometry_make(&geo, SF_FORMAT_NIFTI, cube, mm);
    geo.affine[0][0] = -geo.affine[0][0];
    tst_ok(sf_image_write(at("imagesTr/case_1_0000.nii.gz"), &geo, voxels));
    tst_ok(sf_dataset_orientations(d, &text));
    assert_non_null(strstr(text, " 2, "));
    sf_mem_free(text);
    sf_dataset_destroy(&d);
}

static void wrong_number(void **state)
{
    (void)state;
    write_json(plain, 4);
    refused(SF_EDATA, "numTraining");
}

static void missing_channel(void **state)
{
    (void)state;
    tst_ok(sf_path_remove(at("imagesTr/case_1_0000.nii.gz")));
    refused(SF_EDATA, "case_1_0000");
    write_image("imagesTr/case_1_0000.nii.gz", cube, mm, 0);
    tst_ok(sf_path_remove(at("imagesTr/case_1_0001.nii.gz")));
    refused(SF_EDATA, "channel");
}

static void missing_files(void **state)
{
    (void)state;
    tst_ok(sf_path_remove(at("labelsTr/case_1.nii.gz")));
    refused(SF_EDATA, "labelsTr/case_1.nii.gz");
    tst_ok(sf_path_remove(at("imagesTr/case_1_0000.nii.gz")));
    refused(SF_EDATA, "case_1_0000.nii.gz");
    tst_ok(sf_path_remove(at("dataset.json")));
    refused(SF_EDATA, "dataset.json");
}

static void keep_line(void *user, sf_log_level level, const char *line)
{
    if (level == SF_LOG_WARN) strncat(user, line, 1000 - strlen(user));
}

/** Notes and previews beside the images do not stop anybody: one warning. */
static void foreign_files(void **state)
{
    sf_dataset *d = NULL;
    char text[1024] = "";
    const char *first;
    (void)state;
    tst_ok(sf_path_write(at("imagesTr/notes.txt"), "x", 1));
    tst_ok(sf_path_write(at("imagesTr/thumb.nii.gz"), "x", 1));
    tst_ok(sf_path_write(at("imagesTr/case_1_00.nii.gz"), "x", 1));
    sf_log_set_sink(keep_line, text);
    tst_ok(sf_dataset_load(&d, root));
    sf_log_set_sink(NULL, NULL);
    assert_int_equal(d->n_train, 3);
    first = strstr(text, "first=case_1_00.nii.gz");
    assert_non_null(first);
    assert_null(strstr(first + 1, "first="));
    assert_non_null(strstr(text, "=3 first="));
    sf_dataset_destroy(&d);
}

static void explicit_list(void **state)
{
    static const char json[] =
        "{\"channel_names\": {\"1\": \"T2\", \"0\": \"T1\"}, \"labels\": {\"background\": 0, "
        "\"a\": 1, \"b\": 2}, \"numTraining\": 2, \"file_ending\": \".nii.gz\", \"dataset\": {"
        "\"zeta\": {\"images\": [\"imagesTr/case_2_0000.nii.gz\", "
        "\"./imagesTr/case_2_0001.nii.gz\"]"
        ", \"label\": \"labelsTr/case_2.nii.gz\"}, \"alpha\": {\"images\": "
        "[\"${TST_ROOT}/imagesTr/case_0_0000.nii.gz\", \"$TST_ROOT/imagesTr/case_0_0001.nii.gz\"], "
        "\"label\": \"labelsTr/case_0.nii.gz\"}}}";
    sf_dataset *d = NULL;
    (void)state;
    setenv("TST_ROOT", root, 1);
    tst_ok(sf_path_write(at("dataset.json"), json, sizeof json - 1));
    tst_ok(sf_dataset_load(&d, root));
    assert_int_equal(d->n_train, 2);
    assert_string_equal(d->train[0].id, "zeta"); /* JSON order */
    assert_string_equal(d->channel_names[0], "T1");
    sf_dataset_destroy(&d);
    tst_ok(sf_path_remove(at("labelsTr/case_0.nii.gz")));
    refused(SF_EDATA, "case_0.nii.gz");
}

static void voxel_problems(void **state)
{
    static const int64_t other[3] = { 6, 7, 9 };
    static const double other_mm[3] = { 2.1, 1, 1 };
    sf_dataset *d = NULL;
    char *problem = NULL;
    (void)state;
    write_label("labelsTr/case_0.nii.gz", cube, mm, 5);
    write_label("labelsTr/case_1.nii.gz", other, mm, 2);
    write_label("labelsTr/case_2.nii.gz", cube, other_mm, 2);
    tst_ok(sf_dataset_load(&d, root));
    static const char *const words[] = { "label value 3", "6 x 7 x 9", "spacing" };
    for (int c = 0; c < 3; c++) {
        assert_int_equal(sf_dataset_verify_case(d, &d->train[c], &problem), SF_EDATA);
        assert_non_null(problem);
        if (!strstr(problem, words[c])) fail_msg("\"%s\" lacks \"%s\"", problem, words[c]);
        sf_mem_free(problem);
    }
    sf_dataset_destroy(&d);
}

static void no_foreground(void **state)
{
    sf_dataset *d = NULL;
    sf_recipe *r = NULL;
    sf_fingerprint *f = NULL;
    (void)state;
    tst_ok(sf_recipe_load(&r, "paper"));
    write_label("labelsTr/case_0.nii.gz", cube, mm, 0);
    tst_ok(sf_dataset_load(&d, root));
    tst_ok(sf_fingerprint_compute(&f, d, r, 2)); /* one case without: fine */
    assert_int_equal(f->n_cases, 3);
    sf_fingerprint_destroy(&f);
    write_label("labelsTr/case_1.nii.gz", cube, mm, 0);
    write_label("labelsTr/case_2.nii.gz", cube, mm, 0);
    assert_int_equal(sf_fingerprint_compute(&f, d, r, 2), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "labelled"));
    tst_ok(sf_path_write(at("imagesTr/case_1_0000.nii.gz"), "broken", 6));
    assert_int_not_equal(sf_fingerprint_compute(&f, d, r, 2), SF_OK);
    assert_non_null(strstr(sf_error_text(), "case_1_0000"));
    sf_dataset_destroy(&d);
    sf_recipe_destroy(&r);
}

static void wrong_labels(void **state)
{
    (void)state;
    write_json("{\"a\": 1}", 3);
    refused(SF_EDATA, "background");
    write_json("{\"background\": 0, \"a\": 2}", 3);
    refused(SF_EDATA, "consecutive");
    write_json("{\"background\": 0, \"a\": 1, \"ignore\": 3}", 3);
    refused(SF_EDATA, "ignore");
    write_json("{\"background\": 0, \"a\": [1, 2], \"b\": 2}", 3);
    refused(SF_EDATA, "regions_class_order");
    write_json("{\"background\": 0, \"a\": \"1\"}", 3);
    refused(SF_EDATA, "integer");
}

static void regions(void **state)
{
    static const char json[] =
        "{\"channel_names\": {\"0\": \"T1\", \"1\": \"T2\"}, \"labels\": {\"background\": 0, "
        "\"whole\": [1, 2, 3], \"core\": [2, 3], \"tip\": [3], \"single\": 2, \"ignore\": 4}, "
        "\"regions_class_order\": [1, 2, 3, 2], \"numTraining\": 3, \"file_ending\": \".nii.gz\"}";
    static const char *const keys[] = { "(1, 2, 3)", "(2, 3)", "(3,)", "2" };
    static const float p[4 * 3] = { .9f, .9f, .1f, .6f, .2f, .5f, .51f, 0, 0, 0, 0, 0 };
    int32_t out[3];
    sf_dataset *d = NULL;
    (void)state;
    tst_ok(sf_path_write(at("dataset.json"), json, sizeof json - 1));
    tst_ok(sf_dataset_load(&d, root));
    const sf_labels *l = &d->labels;
    assert_true(l->has_regions);
    assert_int_equal(l->n_entries, 6);
    assert_int_equal(l->n_heads, 4);
    assert_int_equal(l->n_labels, 4);
    assert_int_equal(l->ignore, 4);
    for (int e = 0; e < 4; e++) assert_string_equal(l->eval[e].key, keys[e]);
    assert_true(l->region_of[0] == 0 && l->region_of[1] == 1 && l->region_of[3] == 7);
    assert_true(sf_labels_contains(l, 0, 2) && !sf_labels_contains(l, 1, 1));
    sf_labels_decide(l, p, false, 3, out);
    assert_int_equal(out[0], 3);
    assert_int_equal(out[1], 1);
    assert_int_equal(out[2], 0); /* 0.5 is not above 0.5 */
    sf_dataset_destroy(&d);
}

static void softmax_decides_lowest(void **state)
{
    enum { VOXELS = 5000 };
    sf_labels l = { .n_heads = 3, .n_labels = 3 };
    float *x = test_malloc(3 * VOXELS * sizeof *x);
    int32_t *out = test_malloc(VOXELS * sizeof *out);
    (void)state;
    for (int i = 0; i < VOXELS; i++) {
        x[i] = 1;
        x[VOXELS + i] = i % 2 ? 1.0f : 2.0f;
        x[2 * VOXELS + i] = i % 3 ? 0.0f : 2.0f;
    }
    sf_labels_decide(&l, x, true, VOXELS, out);
    for (int i = 0; i < VOXELS; i++) assert_int_equal(out[i], i % 2 == 0 ? 1 : i % 3 == 0 ? 2 : 0);
    test_free(x);
    test_free(out);
}

/** Discovery in a folder of images, names that continue each other. */
static void folders_of_images(void **state)
{
    sf_case *cases = NULL;
    int n = 0;
    char images[SF_PATH_MAX];
    (void)state;
    tst_ok(sf_path_join(images, root, "imagesTr", NULL));
    write_image("imagesTr/case_0_0000_0000.nii.gz", cube, mm, 0);
    write_image("imagesTr/case_0_0000_0001.nii.gz", cube, mm, 0);
    tst_ok(sf_cases_find(&cases, &n, images, ".nii.gz", 2));
    assert_int_equal(n, 4);
    assert_string_equal(cases[1].id, "case_0_0000");
    for (int i = 0; i < n; i++) assert_int_equal(cases[i].n_images, 2);
    sf_cases_free(&cases, n);
    assert_int_equal(sf_cases_find(&cases, &n, images, ".png", 2), SF_EDATA);
    assert_int_equal(sf_cases_find(&cases, &n, "/nonexistent", ".png", 2), SF_EDATA);
}

static void real_data(void **state)
{
    const char *folder = tst_shared("data");
    char **names = NULL, path[SF_PATH_MAX];
    size_t n = 0;
    int seen = 0;
    (void)state;
    if (!folder) skip();
    tst_ok(sf_path_list(&names, &n, folder));
    for (size_t i = 0; i < n; i++) {
        sf_dataset *d = NULL;
        if (strncmp(names[i], "Dataset", 7) != 0) continue;
        tst_ok(sf_path_join(path, folder, names[i], NULL));
        tst_ok(sf_dataset_load(&d, path));
        assert_string_equal(d->name, names[i]);
        print_message("%s: %d cases, %d test cases\n", d->name, d->n_train, d->n_test);
        sf_dataset_destroy(&d);
        seen++;
    }
    assert_true(seen > 0);
    sf_path_free_list(&names, n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(good, fresh),
        cmocka_unit_test_setup(orientations, fresh),
        cmocka_unit_test_setup(wrong_number, fresh),
        cmocka_unit_test_setup(missing_channel, fresh),
        cmocka_unit_test_setup(missing_files, fresh),
        cmocka_unit_test_setup(foreign_files, fresh),
        cmocka_unit_test_setup(explicit_list, fresh),
        cmocka_unit_test_setup(voxel_problems, fresh),
        cmocka_unit_test_setup(no_foreground, fresh),
        cmocka_unit_test_setup(wrong_labels, fresh),
        cmocka_unit_test_setup(regions, fresh),
        cmocka_unit_test_setup(folders_of_images, fresh),
        cmocka_unit_test(softmax_decides_lowest),
        cmocka_unit_test(real_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
