/* Folders: missing, extra and misshapen predictions. */
#include "base/mem.h"
#include "base/path.h"
#include "evaluate/metrics.h"
#include "plan/labels.h"
#include "tests/support/support.h"
#include <math.h>
#include <string.h>

static char ref_dir[SF_PATH_MAX], pred_dir[SF_PATH_MAX];
static sf_labels labels;

static void write_case(const char *dir, const char *name, int64_t depth, int filled)
{
    char path[SF_PATH_MAX];
    const int64_t shape[3] = { depth, 4, 5 };
    const double spacing[3] = { 1.0, 1.0, 1.0 };
    int32_t v[200] = { 0 };
    sf_geometry geo;
    for (int i = 0; i < filled; i++) v[i] = 1;
    sf_geometry_make(&geo, SF_FORMAT_NIFTI, shape, spacing);
    tst_ok(sf_path_join(path, dir, name, NULL));
    tst_ok(sf_label_write(path, &geo, v, 1));
}

static int setup(void **state)
{
    json_t *root = NULL;
    (void)state;
    tst_ok(sf_json_parse(&root, "{\"labels\": {\"background\": 0, \"a\": 1}}", "test"));
    tst_ok(sf_labels_parse(&labels, root, "test"));
    json_decref(root);
    tst_ok(sf_path_join(ref_dir, tst_tmp_dir(), "ref", NULL));
    tst_ok(sf_path_join(pred_dir, tst_tmp_dir(), "pred", NULL));
    tst_ok(sf_path_make_dirs(ref_dir));
    tst_ok(sf_path_make_dirs(pred_dir));
    for (int i = 0; i < 3; i++) {
        const char *const names[3] = { "a.nii.gz", "b.nii.gz", "c.nii.gz" };
        write_case(ref_dir, names[i], 6, 20);
        write_case(pred_dir, names[i], 6, 10 + 5 * i);
    }
    write_case(pred_dir, "extra.nii.gz", 6, 3);
    write_case(ref_dir, "note.nii", 6, 3); /* another ending */
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sf_labels_free(&labels);
    assert_int_equal(0, sf_mem_live(SF_MEM_CATEGORIES));
    return 0;
}

static sf_status evaluate(sf_summary **s, bool chill, int threads)
{
    return sf_evaluate_folders(s, ref_dir, pred_dir, ".nii.gz", &labels, chill, threads);
}

static void test_all_there(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        sf_summary *s = NULL;
        tst_ok(evaluate(&s, false, threads));
        assert_int_equal(3, s->n_cases);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(10 + 5 * i, s->m[i].tp);
            assert_int_equal(10 - 5 * i, s->m[i].fn);
            assert_int_equal('a' + i, s->id[i][0]);
            assert_int_equal(1, strlen(s->id[i]));
        }
        const double want = (20.0 / 30.0 + 30.0 / 35.0 + 1.0) / 3.0;
        assert_true(fabs(s->foreground_dice - want) < 1e-15);
        sf_summary_destroy(&s);
    }
}

static void test_missing(void **state)
{
    char path[SF_PATH_MAX];
    sf_summary *s = NULL;
    (void)state;
    tst_ok(sf_path_join(path, pred_dir, "b.nii.gz", NULL));
    tst_ok(sf_path_remove(path));
    assert_int_equal(SF_EDATA, evaluate(&s, false, 2));
    assert_null(s);
    assert_non_null(strstr(sf_error_text(), "b.nii.gz"));
    tst_ok(evaluate(&s, true, 2));
    assert_int_equal(2, s->n_cases);
    assert_string_equal("c", s->id[1]);
    sf_summary_destroy(&s);
    write_case(pred_dir, "b.nii.gz", 5, 10);
    assert_int_equal(SF_EDATA, evaluate(&s, false, 2));
    assert_non_null(strstr(sf_error_text(), "b.nii.gz"));
    write_case(pred_dir, "b.nii.gz", 6, 15);
}

static void test_empty(void **state)
{
    sf_summary *s = NULL;
    (void)state;
    assert_int_equal(SF_EDATA,
                     sf_evaluate_folders(&s, ref_dir, pred_dir, ".tif", &labels, false, 1));
    assert_int_equal(
        SF_EIO, sf_evaluate_folders(&s, "/nonexistent", pred_dir, ".nii.gz", &labels, false, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_there),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_empty),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
