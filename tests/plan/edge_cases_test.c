/* Edge cases of datasets, one test per row of the reference's table of edge cases
 * (nnunet-planning.md 13; the test's name is the row's first words), and the keys of dataset.json.
 * Rows on single files: tests/image/edge_cases_test.c. */
#include "base/mem.h"
#include "plan/fingerprint.h"
#include "tests/plan/tiny_dataset.h"
#include <stdio.h>
#include <string.h>

static void verify_case(const sf_dataset *d, int c, const char *word)
{
    char *problem = NULL;
    const sf_status st = sf_dataset_verify_case(d, &d->train[c], &problem, NULL);
    assert_int_equal(word ? SF_EDATA : SF_OK, st);
    if (word && !strstr(problem, word)) fail_msg("\"%s\" lacks \"%s\"", problem, word);
    sf_mem_free(problem);
}

static sf_dataset *load(void)
{
    sf_dataset *d = NULL;
    tst_ok(sf_dataset_load(&d, tiny_root()));
    return d;
}

static void row_num_training(void **state)
{
    (void)state;
    tiny_write_json(tiny_plain_labels, 4, "");
    tiny_refused(SF_EDATA, "numTraining");
    tiny_refused(SF_EDATA, "dataset.json");
}

static void row_missing_channel(void **state)
{
    (void)state;
    tst_ok(sf_path_remove(tiny_at("imagesTr/case_1_0001.nii.gz")));
    tiny_refused(SF_EDATA, "case_1_0000.nii.gz");
    tiny_write_image("imagesTr/case_1_0002.nii.gz", tiny_shape, tiny_spacing, 0);
    tiny_refused(SF_EDATA, "case_1_0001.nii.gz");
}

static void row_extra_file(void **state)
{
    (void)state;
    tiny_write_text("imagesTr/._case_1_0000.nii.gz", "x");
    tiny_write_text("imagesTr/.DS_Store", "x");
    tiny_write_text("imagesTr/Thumbs.db", "x");
    sf_dataset *d = load();
    assert_int_equal(3, d->n_train);
    assert_non_null(strstr(tiny_warnings(), "hidden files=1"));
    assert_non_null(strstr(tiny_warnings(), "first=Thumbs.db"));
    sf_dataset_destroy(&d);
}

static void row_mixed_orientations(void **state)
{
    sf_geometry geo;
    float voxels[512] = { 1 };
    char *text = NULL;
    (void)state;
    sf_geometry_make(&geo, SF_FORMAT_NIFTI, tiny_shape, tiny_spacing);
    geo.affine[0][0] = -geo.affine[0][0];
    geo.affine[1][1] = -geo.affine[1][1];
    tst_ok(sf_image_write(tiny_at("imagesTr/case_1_0000.nii.gz"), &geo, voxels));
    sf_dataset *d = load();
    tst_ok(sf_dataset_orientations(d, &text));
    assert_string_equal("RAS 2, LPS 1", text);
    assert_non_null(strstr(tiny_warnings(), "RAS 2, LPS 1"));
    sf_mem_free(text);
    sf_dataset_destroy(&d);
}

static void row_non_integer_labels(void **state)
{
    sf_geometry geo;
    float voxels[512] = { 0, 0.9999f, 2.0f };
    (void)state;
    sf_geometry_make(&geo, SF_FORMAT_NIFTI, tiny_shape, tiny_spacing);
    tst_ok(sf_image_write(tiny_at("labelsTr/case_1.nii.gz"), &geo, voxels));
    sf_dataset *d = load();
    verify_case(d, 1, NULL);
    voxels[7] = 1.3f;
    tst_ok(sf_image_write(tiny_at("labelsTr/case_1.nii.gz"), &geo, voxels));
    verify_case(d, 1, "1.3");
    verify_case(d, 1, "case_1.nii.gz");
    sf_dataset_destroy(&d);
}

static void row_case_without_foreground(void **state)
{
    sf_recipe *r = NULL;
    sf_fingerprint *f = NULL;
    (void)state;
    tiny_write_label("labelsTr/case_0.nii.gz", tiny_shape, tiny_spacing, 0);
    sf_dataset *d = load();
    verify_case(d, 0, NULL);
    tst_ok(sf_recipe_load(&r, "paper"));
    tst_ok(sf_fingerprint_compute(&f, d, r, 1));
    sf_fingerprint_destroy(&f);
    sf_recipe_destroy(&r);
    sf_dataset_destroy(&d);
}

/* Counters of all cases, as the command verify has them. */
static sf_status verify_labels(char **text, const sf_dataset *d)
{
    int64_t seen[8] = { 0 };
    for (int c = 0; c < d->n_train; c++) {
        char *problem = NULL;
        tst_ok(sf_dataset_verify_case(d, &d->train[c], &problem, seen));
    }
    return sf_dataset_verify_labels(text, d, seen);
}

static void row_no_foreground(void **state)
{
    char *text = NULL;
    (void)state;
    for (int c = 0; c < 3; c++) {
        char name[64];
        snprintf(name, sizeof name, "labelsTr/case_%d.nii.gz", c);
        tiny_write_label(name, tiny_shape, tiny_spacing, 0);
    }
    sf_dataset *d = load();
    assert_int_equal(SF_EDATA, verify_labels(&text, d));
    assert_non_null(strstr(sf_error_text(), "no training case has a labelled voxel"));
    assert_non_null(strstr(text, "label 1 (a)"));
    sf_mem_free(text);
    sf_recipe *r = NULL;
    sf_fingerprint *f = NULL;
    tst_ok(sf_recipe_load(&r, "paper"));
    assert_int_equal(SF_EDATA, sf_fingerprint_compute(&f, d, r, 1));
    sf_recipe_destroy(&r);
    sf_dataset_destroy(&d);
}

static void class_missing_everywhere(void **state)
{
    char *text = NULL;
    (void)state;
    sf_dataset *d = load();
    tst_ok(verify_labels(&text, d));
    assert_null(text); /* both labels occur */
    sf_dataset_destroy(&d);
    tiny_write_json("{\"background\": 0, \"a\": 1, \"b\": 2, \"lost\": 3}", 3, "");
    d = load();
    tst_ok(verify_labels(&text, d));
    assert_non_null(strstr(text, "label 3 (lost) occurs in none of the 3"));
    assert_null(strstr(text, "label 2"));
    sf_mem_free(text);
    sf_dataset_destroy(&d);
    tiny_write_label("labelsTr/case_2.nii.gz", tiny_shape, tiny_spacing, 3); /* in one case: fine */
    d = load();
    tst_ok(verify_labels(&text, d));
    assert_null(text);
    sf_dataset_destroy(&d);
}

static void row_class_order(void **state)
{
    static const char whole_first[] = "{\"whole\": [1, 2], \"core\": 2, \"background\": 0}",
                      core_first[] = "{\"core\": 2, \"background\": 0, \"whole\": [1, 2]}";
    static const float p[2] = { 0.9f, 0.8f };
    int32_t out = -1;
    (void)state;
    tiny_write_json(whole_first, 3, ", \"regions_class_order\": [1, 2]");
    sf_dataset *d = load();
    assert_string_equal("whole", d->labels.eval[0].name);
    sf_labels_decide(&d->labels, p, false, 1, &out);
    assert_int_equal(2, out); /* the later region overwrites */
    sf_dataset_destroy(&d);
    tiny_write_json(core_first, 3, ", \"regions_class_order\": [2, 1]");
    d = load();
    assert_string_equal("core", d->labels.eval[0].name);
    sf_labels_decide(&d->labels, p, false, 1, &out);
    assert_int_equal(1, out);
    sf_dataset_destroy(&d);
    tiny_write_json(whole_first, 3, ", \"regions_class_order\": [1]");
    tiny_refused(SF_EDATA, "regions_class_order");
}

/* [2] and 2 are one region: only nnU-Net's key in summary.json tells them apart. */
static void row_region_list_or_int(void **state)
{
    static const char *const labels[] = { "{\"background\": 0, \"whole\": [1, 2], \"core\": [2]}",
                                          "{\"background\": 0, \"whole\": [1, 2], \"core\": 2}" };
    static const char *const keys[] = { "(2,)", "2" };
    (void)state;
    for (int i = 0; i < 2; i++) {
        tiny_write_json(labels[i], 3, ", \"regions_class_order\": [1, 2]");
        sf_dataset *d = load();
        assert_int_equal(2, d->labels.n_heads);
        assert_true(d->labels.region_of[1] == 1 && d->labels.region_of[2] == 3);
        assert_int_equal(1, d->labels.eval[1].count);
        assert_int_equal(2, d->labels.eval[1].value[0]);
        assert_string_equal(keys[i], d->labels.eval[1].key);
        sf_dataset_destroy(&d);
    }
}

static void row_channel_order(void **state)
{
    (void)state;
    tiny_write_text(
        "dataset.json",
        "{\"channel_names\": {\"1\": \"CT\", \"0\": \"T1\"}, \"labels\": {\"background\""
        ": 0, \"a\": 1, \"b\": 2}, \"numTraining\": 3, \"file_ending\": \".nii.gz\"}");
    sf_dataset *d = load();
    assert_string_equal("T1", d->channel_names[0]);
    assert_string_equal("CT", d->channel_names[1]);
    assert_non_null(strstr(tiny_warnings(), "numeric order"));
    sf_dataset_destroy(&d);
    tiny_write_text(
        "dataset.json",
        "{\"channel_names\": {\"1\": \"CT\", \"2\": \"T1\"}, \"labels\": {\"background\""
        ": 0, \"a\": 1, \"b\": 2}, \"numTraining\": 3, \"file_ending\": \".nii.gz\"}");
    tiny_refused(SF_EDATA, "channel_names");
}

/* A colour file that holds more channels than are named, and the other way round. */
static void row_rgba(void **state)
{
    (void)state;
    tiny_write_text("dataset.json",
                    "{\"channel_names\": {\"0\": \"R\", \"1\": \"G\", \"2\": \"B\", \"3\": \"A\"}, "
                    "\"labels\": {\"background\": 0, \"a\": 1, \"b\": 2}, \"numTraining\": 1, "
                    "\"file_ending\": \".nii.gz\"}");
    tst_ok(sf_path_remove(tiny_at("imagesTr")));
    tst_ok(sf_path_make_dirs(tiny_at("imagesTr")));
    tiny_write_image("imagesTr/case_0_0000.nii.gz", tiny_shape, tiny_spacing, 0);
    tiny_refused(SF_EDATA, "holds 1 channels, but dataset.json names 4");
}

static void damaged_json(void **state)
{
    (void)state;
    tiny_write_text("dataset.json", "{\"labels\": {\"background\": 0}\n \"numTraining\": 3}");
    tiny_refused(SF_EDATA, "dataset.json");
    tiny_refused(SF_EDATA, "line 2");
    tiny_refused(SF_EDATA, "correct it");
    tiny_write_text("dataset.json", "[1, 2]");
    tiny_refused(SF_EDATA, "JSON object");
    tiny_write_text("dataset.json", "{\"labels\": {}}");
    tiny_refused(SF_EDATA, "channel_names, numTraining, file_ending");
    tiny_refused(SF_EDATA, "segfleet convert");
    tiny_write_text("dataset.json", "");
    tiny_refused(SF_EDATA, "dataset.json");
}

static void modality(void **state)
{
    char path[SF_PATH_MAX];
    sf_dataset *d = NULL;
    (void)state;
    tiny_write_text("dataset.json",
                    "{\"modality\": {\"0\": \"CT\"}, \"labels\": {\"background\": 0, \"a\": 1}, "
                    "\"numTraining\": 3, \"file_ending\": \".nii.gz\"}");
    tiny_refused(SF_EDATA, "channel_names"); /* as nnU-Net's integrity check */
    tst_ok(sf_path_format(path, "%s", tiny_at("dataset.json")));
    tst_ok(sf_dataset_from_json(&d, path)); /* as its planner */
    assert_string_equal("CT", d->channel_names[0]);
    sf_dataset_destroy(&d);
}

static void list_with(const char *images, const char *label, const char *file_ending)
{
    char text[1024];
    snprintf(
        text, sizeof text,
        "{\"channel_names\": {\"0\": \"T1\"}, \"labels\": {\"background\": 0, \"a\": 1, \"b\": "
        "2}, \"numTraining\": 1, \"file_ending\": \"%s\", \"dataset\": {\"one\": {\"images\": "
        "[%s], \"label\": \"%s\"}}}",
        file_ending, images, label);
    tiny_write_text("dataset.json", text);
}

static void explicit_list(void **state)
{
    (void)state;
    list_with("\"imagesTr/case_0_0000.nii.gz\"", "labelsTr/case_0.nii.gz", ".nii.gz");
    sf_dataset *d = load();
    assert_string_equal("one", d->train[0].id);
    sf_dataset_destroy(&d);
    list_with("\"$NO_SUCH_VARIABLE/case_0_0000.nii.gz\"", "labelsTr/case_0.nii.gz", ".nii.gz");
    tiny_refused(SF_EDATA, "$NO_SUCH_VARIABLE");
    list_with("7", "labelsTr/case_0.nii.gz", ".nii.gz");
    tiny_refused(SF_EDATA, "string");
    list_with("", "labelsTr/case_0.nii.gz", ".nii.gz");
    tiny_refused(SF_EDATA, "images");
    list_with("\"imagesTr/case_0_0000.nii.gz\"", "gone.nii.gz", ".nii.gz");
    tiny_refused(SF_EDATA, "gone.nii.gz");
    list_with("\"imagesTr/case_0_0000.nii.gz\", \"imagesTr/case_0_0001.nii.gz\"",
              "labelsTr/case_0.nii.gz", ".nii.gz");
    tiny_refused(SF_EDATA, "2 channel files");
}

static void reader_names(void **state)
{
    static const char *const fine[] = { "SimpleITKIO", "NibabelIO", "None" };
    static const char *const refused[] = { "NibabelIOWithReorient", "SimpleITKIOWithReorient",
                                           "MyReader" };
    char more[128];
    (void)state;
    for (int i = 0; i < 3; i++) {
        snprintf(more, sizeof more, ", \"overwrite_image_reader_writer\": \"%s\"", fine[i]);
        tiny_write_json(tiny_plain_labels, 3, more);
        sf_dataset *d = load();
        assert_int_equal(SF_READER_AUTO, d->reader);
        sf_dataset_destroy(&d);
        snprintf(more, sizeof more, ", \"overwrite_image_reader_writer\": \"%s\"", refused[i]);
        tiny_write_json(tiny_plain_labels, 3, more);
        tiny_refused(SF_EUNSUPPORTED, refused[i]);
    }
    tiny_write_json(tiny_plain_labels, 3, ", \"overwrite_image_reader_writer\": \"Tiff3DIO\"");
    tiny_refused(SF_EDATA, "does not read files ending in .nii.gz");
}

/* One file holds all channels: a series of volumes. */
static void row_4d_file(void **state)
{
    static const char image[] = "NDims = 4\nDimSize = 2 2 2 2\nBinaryData = False\nElementSpacing "
                                "= 1 2 3 1\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
                                "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15\n";
    static const char label[] =
        "NDims = 3\nDimSize = 2 2 2\nBinaryData = False\nElementSpacing = 1 "
        "2 3\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
        "0 1 2 0 1 2 0 1\n";
    sf_image *img = NULL;
    (void)state;
    tiny_write_text("imagesTr/t_0000.mha", image);
    tiny_write_text("labelsTr/t.mha", label);
    tiny_write_text("dataset.json",
                    "{\"channel_names\": {\"0\": \"T1\", \"1\": \"T2\"}, \"labels\": "
                    "{\"background\": 0, \"a\": 1, \"b\": 2}, \"numTraining\": 1, "
                    "\"file_ending\": \".mha\"}");
    sf_dataset *d = load();
    verify_case(d, 0, NULL);
    tst_ok(sf_case_read(&img, &d->train[0]));
    assert_int_equal(2, img->channels);
    assert_true(img->data[8] == 8.0f && img->geo.spacing[0] == 3.0);
    sf_image_destroy(&img);
    sf_dataset_destroy(&d);
}

/* Volumes of three pages: the reader that dataset.json names decides, in every place that reads. */
static void reader_of_tiffs(void **state)
{
    static const int64_t shape[3] = { 3, 7, 8 };
    static const char json[] =
        "{\"channel_names\": {%s}, \"labels\": {\"background\": 0, \"a\": 1, \"b\": 2}, "
        "\"numTraining\": 1, \"file_ending\": \".tif\"%s}";
    static const char one[] = "\"0\": \"EM\"", three[] = "\"0\": \"R\", \"1\": \"G\", \"2\": \"B\"";
    char text[512];
    sf_geometry geo;
    sf_image *img = NULL;
    (void)state;
    tst_ok(sf_path_remove(tiny_at("imagesTr")));
    tst_ok(sf_path_make_dirs(tiny_at("imagesTr")));
    tiny_write_image("imagesTr/v_0000.tif", shape, tiny_spacing, 0);
    tst_ok(sf_path_remove(tiny_at("imagesTr/v_0000.json")));
    tiny_write_label("labelsTr/v.tif", shape, tiny_spacing, 2);
    snprintf(text, sizeof text, json, one, "");
    tiny_write_text("dataset.json", text);
    tiny_refused(SF_EDATA, "Tiff3DIO");
    snprintf(text, sizeof text, json, one, ", \"overwrite_image_reader_writer\": \"Tiff3DIO\"");
    tiny_write_text("dataset.json", text);
    sf_dataset *d = load();
    verify_case(d, 0, "spacing"); /* the label has a spacing file, the image has none */
    tst_ok(sf_path_remove(tiny_at("labelsTr/v.json")));
    verify_case(d, 0, NULL);
    tst_ok(sf_case_read(&img, &d->train[0]));
    assert_true(img->channels == 1 && img->geo.shape[0] == 3);
    sf_image_destroy(&img);
    sf_dataset_destroy(&d);
    tiny_write_text("imagesTr/v.json", "{\"spacing\": [2, 1, 1]}");
    d = load(); /* spacing files are no foreign files */
    assert_null(strstr(tiny_warnings(), "ignored"));
    sf_dataset_destroy(&d);
    tst_ok(sf_path_remove(tiny_at("imagesTr/v.json")));
    sf_geometry_make(&geo, SF_FORMAT_TIFF, (int64_t[3]){ 1, 7, 8 }, tiny_spacing);
    int32_t plane[56] = { 0 };
    tst_ok(sf_label_write(tiny_at("labelsTr/v.tif"), &geo, plane, 2));
    snprintf(text, sizeof text, json, three,
             ", \"overwrite_image_reader_writer\": \"NaturalImage2DIO\"");
    tiny_write_text("dataset.json", text);
    d = load();
    verify_case(d, 0, NULL);
    sf_dataset_destroy(&d);
}

/* A model folder: plans.json names the reader that the model was trained with. */
static void reader_of_plans(void **state)
{
    char path[SF_PATH_MAX];
    sf_dataset *d = NULL;
    (void)state;
    tst_ok(sf_path_format(path, "%s", tiny_at("dataset.json")));
    tiny_write_text("plans.json", "{\"image_reader_writer\": \"SimpleITKIOWithReorient\"}");
    assert_int_equal(SF_EUNSUPPORTED, sf_dataset_from_json(&d, path));
    assert_non_null(strstr(sf_error_text(), "SimpleITKIOWithReorient"));
    assert_non_null(strstr(sf_error_text(), "plans.json"));
    tiny_write_text("plans.json", "{\"image_reader_writer\": \"SimpleITKIO\"}");
    tst_ok(sf_dataset_from_json(&d, path));
    assert_int_equal(SF_READER_AUTO, d->reader);
    sf_dataset_destroy(&d);
    tiny_write_text(
        "dataset.json",
        "{\"channel_names\": {\"0\": \"EM\"}, \"labels\": {\"background\": 0, \"a\": 1},"
        " \"numTraining\": 3, \"file_ending\": \".tif\"}");
    tiny_write_text("plans.json", "{\"image_reader_writer\": \"Tiff3DIO\"}");
    tst_ok(sf_dataset_from_json(&d, path));
    assert_int_equal(SF_READER_VOLUME, d->reader);
    sf_dataset_destroy(&d);
}

static void dicom(void **state)
{
    (void)state;
    tiny_write_text(
        "dataset.json",
        "{\"channel_names\": {\"0\": \"CT\"}, \"labels\": {\"background\": 0, \"a\": 1},"
        " \"numTraining\": 3, \"file_ending\": \".dcm\"}");
    tiny_refused(SF_EUNSUPPORTED, "dcm2niix");
    tst_ok(sf_path_remove(tiny_at("imagesTr")));
    tst_ok(sf_path_make_dirs(tiny_at("imagesTr/case_0/series")));
    tiny_write_text("imagesTr/case_0/series/1.dcm", "x");
    tiny_write_json(tiny_plain_labels, 3, "");
    tiny_refused(SF_EUNSUPPORTED, "dcm2niix");
}

#define ROW(text, test)                                                                            \
    {                                                                                              \
        text, test, tiny_listen, tiny_stop_listening, NULL                                         \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROW("numTraining wrong, no integrity check", row_num_training),
        ROW("Missing channel file", row_missing_channel),
        ROW("Extra file in imagesTr (._x, thumbnails)", row_extra_file),
        ROW("Mixed orientations (LPS/RAS/...)", row_mixed_orientations),
        ROW("Label values non-integer", row_non_integer_labels),
        ROW("Case without foreground", row_case_without_foreground),
        ROW("Dataset without any foreground", row_no_foreground),
        ROW("regions_class_order", row_class_order),
        ROW("Region of one label as list vs int", row_region_list_or_int),
        ROW("channel_names keys not in numeric order", row_channel_order),
        ROW("RGBA", row_rgba),
        ROW("4D NIfTI in imagesTr", row_4d_file),
        ROW("a class that is missing everywhere", class_missing_everywhere),
        ROW("damaged dataset.json", damaged_json),
        ROW("key modality", modality),
        ROW("key dataset", explicit_list),
        ROW("key overwrite_image_reader_writer", reader_names),
        ROW("overwrite_image_reader_writer and TIFF", reader_of_tiffs),
        ROW("image_reader_writer of a model's plans", reader_of_plans),
        ROW("DICOM", dicom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
