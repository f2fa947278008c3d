/* Decathlon and nnU-Net v1 folders become datasets that load; nothing is overwritten or left half
 * made. */
#include "base/json.h"
#include "base/mem.h"
#include "image/gz.h"
#include "plan/convert.h"
#include "plan/dataset.h"
#include "tests/support/support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { W = 4, H = 3, D = 2, N = W * H * D };

static const char *at(const char *name)
{
    static char path[4][SF_PATH_MAX];
    static int turn;
    turn = (turn + 1) % 4;
    tst_ok(sf_path_join(path[turn], tst_tmp_dir(), name, NULL));
    return path[turn];
}

/* A NIfTI of `series` volumes (0 = three dimensions): voxel = its place in the file. */
static void write_nifti(const char *name, int series)
{
    unsigned char h[352 + 2 * N] = { 0 };
    const int16_t dim[8] = { series ? 4 : 3, W, H, D, (int16_t)(series ? series : 1), 1, 1, 1 };
    const int16_t type = 2, bits = 8;
    const float pixdim[5] = { 1, 1, 2, 3, 7 }, offset = 352;
    const int32_t size = 348;
    memcpy(h, &size, 4);
    memcpy(h + 40, dim, sizeof dim);
    memcpy(h + 70, &type, 2);
    memcpy(h + 72, &bits, 2);
    memcpy(h + 76, pixdim, sizeof pixdim);
    memcpy(h + 108, &offset, 4);
    memcpy(h + 344, "n+1", 4);
    const size_t n = (size_t)N * (size_t)(series ? series : 1);
    for (size_t i = 0; i < n; i++) h[352 + i] = (unsigned char)i;
    tst_ok(sf_stream_save(at(name), &(sf_piece){ h, 352 + n }, 1, 6));
}

static void write_label(const char *name)
{
    const int64_t shape[3] = { D, H, W };
    const double spacing[3] = { 3, 2, 1 };
    int32_t v[N];
    sf_geometry geo;
    for (int i = 0; i < N; i++) v[i] = i % 3;
    sf_geometry_make(&geo, SF_FORMAT_NIFTI, shape, spacing);
    tst_ok(sf_label_write(at(name), &geo, v, 2));
}

static void write_text(const char *name, const char *text)
{
    tst_ok(sf_path_write(at(name), text, strlen(text)));
}

static const char json[] =
    "{\"name\": \"Brain\", \"licence\": \"CC\", \"tensorImageSize\": \"4D\", \"modality\": {\"0\": "
    "\"FLAIR\", \"1\": \"T1w\"}, \"labels\": {\"0\": \"background\", \"2\": \"core\", \"1\": "
    "\"edema\"}, \"numTraining\": 2, \"numTest\": 1, \"training\": [{\"image\": "
    "\"./imagesTr/b_1.nii.gz\", \"label\": \"./labelsTr/b_1.nii.gz\"}, {\"image\": "
    "\"./imagesTr/b_2.nii.gz\", \"label\": \"./labelsTr/b_2.nii.gz\"}], \"test\": "
    "[\"./imagesTs/b_3.nii.gz\"]}";

static int fresh(void **state)
{
    (void)state;
    unsetenv("nnUNet_raw");
    tst_ok(sf_path_remove(at("out")));
    tst_ok(sf_path_remove(at("in")));
    tst_ok(sf_path_make_dirs(at("in/Task01_Brain/imagesTr")));
    tst_ok(sf_path_make_dirs(at("in/Task01_Brain/labelsTr")));
    tst_ok(sf_path_make_dirs(at("in/Task01_Brain/imagesTs")));
    write_nifti("in/Task01_Brain/imagesTr/b_1.nii.gz", 2);
    write_nifti("in/Task01_Brain/imagesTr/b_2.nii.gz", 2);
    write_nifti("in/Task01_Brain/imagesTs/b_3.nii.gz", 2);
    write_label("in/Task01_Brain/labelsTr/b_1.nii.gz");
    write_label("in/Task01_Brain/labelsTr/b_2.nii.gz");
    write_text("in/Task01_Brain/imagesTr/._b_1.nii.gz", "x");
    write_text("in/Task01_Brain/dataset.json", json);
    return 0;
}

static sf_status convert(sf_convert_result *r, const char *out, int number)
{
    const sf_convert_options o = { .number = number, .threads = 2 };
    return sf_convert_task(r, at("in/Task01_Brain"), at(out), &o);
}

/* Refused with a word; no folder of that name, not even a temporary one. */
static void refused(const char *out, int number, sf_status want, const char *word)
{
    sf_convert_result r;
    char **names = NULL;
    size_t n = 0;
    assert_int_equal(want, convert(&r, out, number));
    if (!strstr(sf_error_text(), word)) fail_msg("\"%s\" lacks \"%s\"", sf_error_text(), word);
    if (!sf_path_is_dir(at("out"))) return;
    tst_ok(sf_path_list(&names, &n, at("out")));
    for (size_t i = 0; i < n; i++)
        if (strstr(names[i], ".tmp.")) fail_msg("%s is left", names[i]);
    sf_path_free_list(&names, n);
}

static void decathlon(void **state)
{
    sf_convert_result r;
    sf_dataset *d = NULL;
    sf_image *img = NULL;
    (void)state;
    assert_true(sf_convert_is_task(at("in/Task01_Brain")));
    tst_ok(convert(&r, "out", -1));
    assert_string_equal(at("out/Dataset001_Brain"), r.dir);
    assert_int_equal(3 * 2 + 2, r.files);
    assert_false(r.from_v1 || sf_convert_is_task(r.dir));
    tst_ok(sf_dataset_load(&d, r.dir));
    assert_int_equal(2, d->n_train);
    assert_int_equal(1, d->n_test);
    assert_string_equal("T1w", d->channel_names[1]);
    assert_string_equal("core", d->labels.eval[1].name);
    for (int c = 0; c < 2; c++) {
        char *problem = NULL;
        tst_ok(sf_dataset_verify_case(d, &d->train[c], &problem, NULL));
    }
    tst_ok(sf_case_read(&img, &d->test[0]));
    assert_int_equal(2, img->channels);
    for (int i = 0; i < 2 * N; i++) assert_true(img->data[i] == (float)i);
    sf_image_destroy(&img);
    static const char *const gone[] = { "modality", "training", "test" };
    for (int i = 0; i < 3; i++) assert_null(json_object_get(d->json, gone[i]));
    static const char *const kept[] = { "licence", "tensorImageSize", "numTest", "name" };
    for (int i = 0; i < 4; i++) assert_non_null(json_object_get(d->json, kept[i]));
    sf_dataset_destroy(&d);
    refused("out", -1, SF_EINVAL, "Dataset001_Brain"); /* its number is taken now */
    refused("out", 1, SF_EINVAL, "in use");
    tst_ok(convert(&r, "out", 77));
    assert_string_equal(at("out/Dataset077_Brain"), r.dir);
    tst_ok(convert(&r, "out/Dataset005_Other", -1)); /* the whole name may be given */
    assert_string_equal(at("out/Dataset005_Other"), r.dir);
    refused("out/Dataset006_Other", 7, SF_EINVAL, "--id 7");
    tst_ok(sf_path_make_dirs(at("raw/Dataset088_Taken")));
    setenv("nnUNet_raw", at("raw"), 1);
    refused("out", 88, SF_EINVAL, "Dataset088_Taken");
}

static void version_1(void **state)
{
    static const char *const cases[] = { "imagesTr/b_1", "imagesTr/b_2", "imagesTs/b_3" };
    char from[64], to[64];
    sf_convert_result r;
    sf_dataset *d = NULL;
    (void)state;
    for (int i = 0; i < 3; i++) {
        snprintf(from, sizeof from, "in/Task01_Brain/%s.nii.gz", cases[i]);
        tst_ok(sf_path_remove(at(from)));
        for (int c = 0; c < 2; c++) {
            snprintf(to, sizeof to, "in/Task01_Brain/%s_%04d.nii.gz", cases[i], c);
            write_nifti(to, 0);
        }
    }
    tst_ok(sf_path_make_dirs(at("in/Task01_Brain/labelsTs")));
    write_label("in/Task01_Brain/labelsTs/b_3.nii.gz");
    tst_ok(convert(&r, "out/Dataset011_Old", -1));
    assert_true(r.from_v1);
    tst_ok(sf_dataset_load(&d, r.dir));
    assert_int_equal(2, d->n_train);
    assert_int_equal(2, d->train[0].n_images);
    assert_non_null(d->test[0].label);
    static const char *const gone[] = { "modality", "training", "test", "tensorImageSize",
                                        "numTest" };
    for (int i = 0; i < 5; i++) assert_null(json_object_get(d->json, gone[i]));
    assert_non_null(json_object_get(d->json, "licence"));
    sf_dataset_destroy(&d);
}

static void damaged(void **state)
{
    (void)state;
    write_text("in/Task01_Brain/imagesTr/b_2.nii.gz", "broken");
    refused("out", -1, SF_EDATA, "b_2.nii.gz");
    assert_false(sf_path_is_dir(at("out/Dataset001_Brain")));
    write_nifti("in/Task01_Brain/imagesTr/b_2.nii.gz", 2);
    write_text("in/Task01_Brain/dataset.json", "{\"training\": [}");
    assert_true(sf_convert_is_task(at("in/Task01_Brain")));
    refused("out", -1, SF_EDATA, "line 1");
    write_text("in/Task01_Brain/dataset.json", "{\"training\": []}");
    refused("out", -1, SF_EDATA, "training");
    write_text("in/Task01_Brain/dataset.json",
               "{\"training\": [{\"image\": \"imagesTr/none.nii.gz\"}]}");
    refused("out", -1, SF_EDATA, "none.nii.gz");
    write_text(
        "in/Task01_Brain/dataset.json",
        "{\"training\": [{\"image\": \"imagesTr/b_1.nii.gz\"}], \"modality\": {\"0\": \"A\"}, "
        "\"labels\": {\"0\": \"background\", \"one\": \"a\"}}");
    refused("out", -1, SF_EDATA, "\"one\"");
    write_text("in/Task01_Brain/dataset.json",
               "{\"training\": [{\"image\": \"imagesTr/b_1.nii.gz\"}], \"labels\": {}}");
    refused("out", -1, SF_EDATA, "modality");
    write_text("in/Task01_Brain/dataset.json", json);
    tst_ok(sf_path_remove(at("in/Task01_Brain/labelsTr")));
    refused("out", -1, SF_EDATA, "labelsTr");
}

static void odd_names(void **state)
{
    sf_convert_result r;
    const sf_convert_options o = { .number = -1, .threads = 1 }, five = { .number = 5 };
    (void)state;
    tst_ok(sf_path_make_dirs(at("in")));
    assert_int_equal(0, rename(at("in/Task01_Brain"), at("in/MyBrain")));
    assert_int_equal(SF_EINVAL, sf_convert_task(&r, at("in/MyBrain"), at("out"), &o));
    assert_non_null(strstr(sf_error_text(), "--id"));
    tst_ok(sf_convert_task(&r, at("in/MyBrain"), at("out"), &five));
    assert_string_equal(at("out/Dataset005_MyBrain"), r.dir);
}

static int no_leak(void **state)
{
    (void)state;
    assert_int_equal(0, sf_mem_live(SF_MEM_CATEGORIES));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(decathlon, fresh),
        cmocka_unit_test_setup(version_1, fresh),
        cmocka_unit_test_setup(damaged, fresh),
        cmocka_unit_test_setup(odd_names, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, no_leak);
}
