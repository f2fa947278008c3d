/** Text of tables and of the report of a work folder. */
#include "base/mem.h"
#include "base/path.h"
#include "report/table.h"
#include "tests/support/support.h"
#include <stdio.h>
#include <string.h>

static void table_text(void **state)
{
    sf_table *t = NULL;
    char *text = NULL;
    (void)state;
    tst_ok(sf_table_create(&t, 3));
    tst_ok(sf_table_cell(t, "model"));
    tst_ok(sf_table_cell(t, "Dice"));
    tst_ok(sf_table_cell(t, "n"));
    tst_ok(sf_table_cell(t, "2d"));
    tst_ok(sf_table_cell(t, "%.4f", 0.5));
    tst_ok(sf_table_cell(t, "%d", 12345));
    tst_ok(sf_table_cell(t, "an unfinished row"));
    tst_ok(sf_table_text(&text, t));
    assert_string_equal(text, "| model             |   Dice |     n |\n"
                              "|-------------------|-------:|------:|\n"
                              "| 2d                | 0.5000 | 12345 |\n"
                              "| an unfinished row |        |       |\n");
    sf_mem_free(text);
    sf_table_destroy(&t);
    assert_null(t);
    sf_table_destroy(&t);
}

static void work_folder(void **state)
{
    static const char selection[] =
        "{\"number_of_cases\": 4, \"all_results\": {\"2d\": {\"foreground_mean_dice\": 0.75, "
        "\"mean_dice\": {\"1\": 0.5, \"2\": 1.0}}, \"3d_fullres\": {\"foreground_mean_dice\": NaN, "
        "\"mean_dice\": {\"1\": NaN, \"2\": 0.25}}}, \"best_model_or_ensemble\": {\"name\": "
        "\"2d\", "
        "\"result_on_crossval_pre_pp\": 0.75, \"result_on_crossval_post_pp\": 0.8}}";
    static const char test[] = "{\"foreground_mean\": {\"Dice\": 0.625}, \"mean\": {\"1\": "
                               "{\"Dice\": 0.25}, \"2\": {\"Dice\": 1.0}}}";
    char path[SF_PATH_MAX], *text = NULL;
    (void)state;
    assert_int_equal(sf_report_work(&text, tst_tmp_dir()), SF_EIO);
    assert_non_null(strstr(sf_error_text(), "selection.json"));
    tst_ok(sf_path_join(path, tst_tmp_dir(), "selection.json", NULL));
    tst_ok(sf_path_write(path, selection, sizeof selection - 1));
    tst_ok(sf_path_join(path, tst_tmp_dir(), "predictions", NULL));
    tst_ok(sf_path_make_dirs(path));
    tst_ok(sf_path_join(path, tst_tmp_dir(), "predictions/summary.json", NULL));
    tst_ok(sf_path_write(path, test, sizeof test - 1));
    tst_ok(sf_report_work(&text, tst_tmp_dir()));
    assert_string_equal(text,
                        "| model                     | mean Dice | class 1 | class 2 |\n"
                        "|---------------------------|----------:|--------:|--------:|\n"
                        "| 2d                        |    0.7500 |  0.5000 |  1.0000 |\n"
                        "| 3d_fullres                |       nan |     nan |  0.2500 |\n"
                        "| test images, chosen model |    0.6250 |  0.2500 |  1.0000 |\n"
                        "\nchosen: 2d, Dice 0.7500 before and 0.8000 after post-processing (4 "
                        "cross-validation cases)\n");
    sf_mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(table_text),
                                        cmocka_unit_test(work_folder) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
