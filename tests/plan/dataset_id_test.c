/* Numbers and names of datasets in nnU-Net's folders; a path always wins, nothing is needed. */
#include "base/mem.h"
#include "plan/dataset_id.h"
#include "tests/support/support.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *at(const char *name)
{
    static char path[4][SF_PATH_MAX];
    static int turn;
    turn = (turn + 1) % 4;
    tst_ok(sf_path_join(path[turn], tst_tmp_dir(), name, NULL));
    return path[turn];
}

static int unset(void **state)
{
    (void)state;
    unsetenv("nnUNet_raw");
    unsetenv("nnUNet_preprocessed");
    unsetenv("nnUNet_results");
    return 0;
}

static int folders(void **state)
{
    unset(state);
    tst_ok(sf_path_remove(at("raw")));
    tst_ok(sf_path_remove(at("pre")));
    tst_ok(sf_path_make_dirs(at("raw/Dataset004_Hippocampus")));
    tst_ok(sf_path_make_dirs(at("raw/Dataset040_Other")));
    tst_ok(sf_path_make_dirs(at("raw/Dataset004_Hippocampus.tmp.77"))); /* left by a killed run */
    tst_ok(sf_path_make_dirs(at("pre")));
    setenv("nnUNet_raw", at("raw"), 1);
    return 0;
}

static void found(const char *word, const char *name)
{
    char out[SF_PATH_MAX];
    tst_ok(sf_dataset_resolve(out, word));
    assert_string_equal(at(name), out);
}

static void refused(const char *word, sf_status want, const char *text)
{
    char out[SF_PATH_MAX];
    assert_int_equal(want, sf_dataset_resolve(out, word));
    if (!strstr(sf_error_text(), text)) fail_msg("\"%s\" lacks \"%s\"", sf_error_text(), text);
}

static void names(void **state)
{
    (void)state;
    assert_int_equal(4, sf_dataset_number("Dataset004_Hippocampus"));
    assert_int_equal(999, sf_dataset_number("Dataset999_X"));
    assert_int_equal(-1, sf_dataset_number("Dataset04_X"));
    assert_int_equal(-1, sf_dataset_number("Dataset0041_X"));
    assert_int_equal(-1, sf_dataset_number("Task004_X"));
}

static void without_variables(void **state)
{
    (void)state;
    tst_ok(sf_path_make_dirs(at("raw/Dataset004_Hippocampus")));
    found(at("raw/Dataset004_Hippocampus"), "raw/Dataset004_Hippocampus");
    refused("4", SF_EINVAL, "nnUNet_raw");
    refused("Dataset004_Hippocampus", SF_EINVAL, "nnUNet_raw");
    refused("/nonexistent/Dataset004_Hippocampus", SF_EINVAL, "no such dataset folder");
    refused("hippocampus", SF_EINVAL, "no such dataset folder");
}

static void by_number_and_name(void **state)
{
    (void)state;
    found("4", "raw/Dataset004_Hippocampus");
    found("004", "raw/Dataset004_Hippocampus");
    found("40", "raw/Dataset040_Other");
    found("Dataset004_Hippocampus", "raw/Dataset004_Hippocampus");
    refused("5", SF_EINVAL, "Dataset005_");
    refused("0004", SF_EINVAL, "no such dataset folder");
    refused("Dataset005_X", SF_EINVAL, "Dataset005_X");
    setenv("nnUNet_raw", at("gone"), 1);
    refused("4", SF_EINVAL, "gone");
}

/* Row "Two datasets with one id": error listing folders. */
static void two_with_one_id(void **state)
{
    (void)state;
    setenv("nnUNet_preprocessed", at("pre"), 1);
    tst_ok(sf_path_make_dirs(at("pre/Dataset004_Hippocampus")));
    found("4", "raw/Dataset004_Hippocampus"); /* the same name twice is one dataset */
    tst_ok(sf_path_make_dirs(at("pre/Dataset004_Hippo")));
    refused("4", SF_EDATA, "Dataset004_Hippocampus, Dataset004_Hippo");
    found("Dataset004_Hippocampus", "raw/Dataset004_Hippocampus");
    unsetenv("nnUNet_preprocessed");
    tst_ok(sf_path_make_dirs(at("raw/Dataset004_B")));
    refused("4", SF_EDATA, "Dataset004_B, Dataset004_Hippocampus");
}

static void known_elsewhere(void **state)
{
    (void)state;
    setenv("nnUNet_results", at("pre"), 1);
    tst_ok(sf_path_make_dirs(at("pre/Dataset007_Gone")));
    refused("7", SF_EINVAL, "raw/Dataset007_Gone");
}

static void default_work(void **state)
{
    char out[SF_PATH_MAX];
    (void)state;
    assert_int_equal(SF_EINVAL, sf_dataset_default_work(out, at("raw/Dataset040_Other")));
    assert_non_null(strstr(sf_error_text(), "--work"));
    setenv("nnUNet_results", "/some/where", 1);
    tst_ok(sf_dataset_default_work(out, at("raw/Dataset040_Other")));
    assert_string_equal("/some/where/Dataset040_Other/segfleet", out);
    assert_int_equal(SF_EINVAL, sf_dataset_default_work(out, at("pre")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test_setup(without_variables, unset),
        cmocka_unit_test_setup(by_number_and_name, folders),
        { "Two datasets with one id", two_with_one_id, folders, NULL, NULL },
        cmocka_unit_test_setup(known_elsewhere, folders),
        cmocka_unit_test_setup(default_work, folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
