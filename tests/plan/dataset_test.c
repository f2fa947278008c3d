/** Data set folders: discovery, checks of nnunet-planning.md 2 with the suggestions of 13, labels
 * and regions; the real data sets of shared/data. */
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "tests/plan/plan_check.h"
#include "tests/plan/tiny_dataset.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void good(void **state)
{
    sf_dataset *d = NULL;
    char *problem = NULL;
    (void)state;
    tst_ok(sf_path_write(tiny_at("imagesTr/._case_0_0000.nii.gz"), "x", 1)); /* a hidden file */
    tst_ok(sf_dataset_load(&d, tiny_root()));
    assert_int_equal(d->n_train, 3);
    assert_string_equal(d->train[2].id, "case_2");
    assert_int_equal(d->train[0].n_images, 2);
    assert_non_null(strstr(d->train[1].images[1], "case_1_0001.nii.gz"));
    assert_string_equal(d->channel_names[1], "T2");
    assert_int_equal(d->labels.n_heads, 3);
    assert_int_equal(d->labels.n_eval, 2);
    for (int c = 0; c < 3; c++) {
        tst_ok(sf_dataset_verify_case(d, &d->train[c], &problem, NULL));
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
    tst_ok(sf_dataset_load(&d, tiny_root()));
    tst_ok(sf_dataset_orientations(d, &text));
    assert_non_null(strstr(text, " 3"));
    assert_null(strchr(text, ','));
    sf_mem_free(text);
    sf_geometry_make(&geo, SF_FORMAT_NIFTI, tiny_shape, tiny_spacing);
    geo.affine[0][0] = -geo.affine[0][0];
    tst_ok(sf_image_write(tiny_at("imagesTr/case_1_0000.nii.gz"), &geo, voxels));
    tst_ok(sf_dataset_orientations(d, &text));
    assert_non_null(strstr(text, " 2, "));
    sf_mem_free(text);
    sf_dataset_destroy(&d);
}

static void wrong_number(void **state)
{
    (void)state;
    tiny_write_json(tiny_plain_labels, 4, "");
    tiny_refused(SF_EDATA, "numTraining");
}

static void missing_channel(void **state)
{
    (void)state;
    tst_ok(sf_path_remove(tiny_at("imagesTr/case_1_0000.nii.gz")));
    tiny_refused(SF_EDATA, "case_1_0000");
    tiny_write_image("imagesTr/case_1_0000.nii.gz", tiny_shape, tiny_spacing, 0);
    tst_ok(sf_path_remove(tiny_at("imagesTr/case_1_0001.nii.gz")));
    tiny_refused(SF_EDATA, "channel");
}

static void missing_files(void **state)
{
    (void)state;
    tst_ok(sf_path_remove(tiny_at("labelsTr/case_1.nii.gz")));
    tiny_refused(SF_EDATA, "labelsTr/case_1.nii.gz");
    tst_ok(sf_path_remove(tiny_at("imagesTr/case_1_0000.nii.gz")));
    tiny_refused(SF_EDATA, "case_1_0000.nii.gz");
    tst_ok(sf_path_remove(tiny_at("dataset.json")));
    tiny_refused(SF_EDATA, "dataset.json");
}

/** Notes and previews beside the images do not stop anybody: one warning. */
static void foreign_files(void **state)
{
    sf_dataset *d = NULL;
    const char *first;
    (void)state;
    tst_ok(sf_path_write(tiny_at("imagesTr/notes.txt"), "x", 1));
    tst_ok(sf_path_write(tiny_at("imagesTr/thumb.nii.gz"), "x", 1));
    tst_ok(sf_path_write(tiny_at("imagesTr/case_1_00.nii.gz"), "x", 1));
    tst_ok(sf_dataset_load(&d, tiny_root()));
    assert_int_equal(d->n_train, 3);
    first = strstr(tiny_warnings(), "first=case_1_00.nii.gz");
    assert_non_null(first);
    assert_null(strstr(first + 1, "first="));
    assert_non_null(strstr(tiny_warnings(), "=3 first="));
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
    setenv("TST_ROOT", tiny_root(), 1);
    tst_ok(sf_path_write(tiny_at("dataset.json"), json, sizeof json - 1));
    tst_ok(sf_dataset_load(&d, tiny_root()));
    assert_int_equal(d->n_train, 2);
    assert_string_equal(d->train[0].id, "zeta"); /* JSON order */
    assert_string_equal(d->channel_names[0], "T1");
    sf_dataset_destroy(&d);
    tst_ok(sf_path_remove(tiny_at("labelsTr/case_0.nii.gz")));
    tiny_refused(SF_EDATA, "case_0.nii.gz");
}

static void voxel_problems(void **state)
{
    static const int64_t other[3] = { 6, 7, 9 };
    static const double other_mm[3] = { 2.1, 1, 1 };
    sf_dataset *d = NULL;
    char *problem = NULL;
    (void)state;
    tiny_write_label("labelsTr/case_0.nii.gz", tiny_shape, tiny_spacing, 5);
    tiny_write_label("labelsTr/case_1.nii.gz", other, tiny_spacing, 2);
    tiny_write_label("labelsTr/case_2.nii.gz", tiny_shape, other_mm, 2);
    tst_ok(sf_dataset_load(&d, tiny_root()));
    static const char *const words[] = { "label value 3", "6 x 7 x 9", "spacing" };
    for (int c = 0; c < 3; c++) {
        assert_int_equal(sf_dataset_verify_case(d, &d->train[c], &problem, NULL), SF_EDATA);
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
    tiny_write_label("labelsTr/case_0.nii.gz", tiny_shape, tiny_spacing, 0);
    tst_ok(sf_dataset_load(&d, tiny_root()));
    tst_ok(sf_fingerprint_compute(&f, d, r, 2)); /* one case without: fine */
    assert_int_equal(f->n_cases, 3);
    sf_fingerprint_destroy(&f);
    tiny_write_label("labelsTr/case_1.nii.gz", tiny_shape, tiny_spacing, 0);
    tiny_write_label("labelsTr/case_2.nii.gz", tiny_shape, tiny_spacing, 0);
    assert_int_equal(sf_fingerprint_compute(&f, d, r, 2), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "labelled"));
    tst_ok(sf_path_write(tiny_at("imagesTr/case_1_0000.nii.gz"), "broken", 6));
    assert_int_not_equal(sf_fingerprint_compute(&f, d, r, 2), SF_OK);
    assert_non_null(strstr(sf_error_text(), "case_1_0000"));
    sf_dataset_destroy(&d);
    sf_recipe_destroy(&r);
}

static void wrong_labels(void **state)
{
    (void)state;
    tiny_write_json("{\"a\": 1}", 3, "");
    tiny_refused(SF_EDATA, "background");
    tiny_write_json("{\"background\": 0, \"a\": 2}", 3, "");
    tiny_refused(SF_EDATA, "consecutive");
    tiny_write_json("{\"background\": 0, \"a\": 1, \"ignore\": 3}", 3, "");
    tiny_refused(SF_EDATA, "ignore");
    tiny_write_json("{\"background\": 0, \"a\": [1, 2], \"b\": 2}", 3, "");
    tiny_refused(SF_EDATA, "regions_class_order");
    tiny_write_json("{\"background\": 0, \"a\": \"1\"}", 3, "");
    tiny_refused(SF_EDATA, "integer");
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
    tst_ok(sf_path_write(tiny_at("dataset.json"), json, sizeof json - 1));
    tst_ok(sf_dataset_load(&d, tiny_root()));
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
    char images[SF_PATH_MAX], nifti[] = ".nii.gz", png[] = ".png";
    sf_dataset d = { .file_ending = nifti, .n_channels = 2 };
    sf_case *cases = NULL;
    int n = 0;
    (void)state;
    tst_ok(sf_path_join(images, tiny_root(), "imagesTr", NULL));
    tiny_write_image("imagesTr/case_0_0000_0000.nii.gz", tiny_shape, tiny_spacing, 0);
    tiny_write_image("imagesTr/case_0_0000_0001.nii.gz", tiny_shape, tiny_spacing, 0);
    tst_ok(sf_dataset_find_cases(&cases, &n, &d, images));
    assert_int_equal(n, 4);
    assert_string_equal(cases[1].id, "case_0_0000");
    for (int i = 0; i < n; i++) assert_int_equal(cases[i].n_images, 2);
    sf_cases_free(&cases, n);
    assert_int_equal(sf_dataset_find_cases(&cases, &n, &d, "/nonexistent"), SF_EDATA);
    d.file_ending = png;
    assert_int_equal(sf_dataset_find_cases(&cases, &n, &d, images), SF_EDATA);
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
        cmocka_unit_test_setup(good, tiny_dataset_make),
        cmocka_unit_test_setup(orientations, tiny_dataset_make),
        cmocka_unit_test_setup(wrong_number, tiny_dataset_make),
        cmocka_unit_test_setup(missing_channel, tiny_dataset_make),
        cmocka_unit_test_setup(missing_files, tiny_dataset_make),
        cmocka_unit_test_setup_teardown(foreign_files, tiny_listen, tiny_stop_listening),
        cmocka_unit_test_setup(explicit_list, tiny_dataset_make),
        cmocka_unit_test_setup(voxel_problems, tiny_dataset_make),
        cmocka_unit_test_setup(no_foreground, tiny_dataset_make),
        cmocka_unit_test_setup(wrong_labels, tiny_dataset_make),
        cmocka_unit_test_setup(regions, tiny_dataset_make),
        cmocka_unit_test_setup(folders_of_images, tiny_dataset_make),
        cmocka_unit_test(softmax_decides_lowest),
        cmocka_unit_test(real_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
