/** history.jsonl: lines, NaN, cutting, torn and foreign lines. */
#include "base/mem.h"
#include "base/path.h"
#include "tests/support/support.h"
#include "train/history.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static char path[SF_PATH_MAX];

static int fresh(void **state)
{
    (void)state;
    tst_ok(sf_path_join(path, tst_tmp_dir(), "history.jsonl", NULL));
    tst_ok(sf_path_remove(path));
    return 0;
}

static void append(int64_t epoch)
{
    const double dice[2] = { 0.5, NAN };
    const sf_epoch_record r = { .epoch = epoch,
                                .lr = 0.01,
                                .train_loss = -0.25,
                                .val_loss = 1.0 / 3.0,
                                .dice = 0.5,
                                .ema = NAN,
                                .seconds = 2,
                                .wait = 0.5,
                                .class_dice = dice,
                                .n_classes = 2 };
    tst_ok(sf_history_append(path, &r));
}

static char *content(void)
{
    char *text;
    size_t size;
    tst_ok(sf_path_read(&text, &size, path, 0));
    return text;
}

static int lines(void)
{
    char *text = content();
    int n = 0;
    for (const char *c = text; *c; c++) n += *c == '\n';
    sf_mem_free(text);
    return n;
}

static void line_is_json(void **state)
{
    json_t *j;
    (void)state;
    append(0);
    char *text = content();
    j = json_loads(text, 0, NULL); /* strict: NaN is null */
    assert_non_null(j);
    assert_int_equal(json_integer_value(json_object_get(j, "epoch")), 0);
    assert_true(json_real_value(json_object_get(j, "val_loss")) == 1.0 / 3.0);
    assert_true(json_is_null(json_object_get(j, "ema")));
    assert_true(json_real_value(json_object_get(j, "wait")) == 0.5);
    assert_int_equal(json_array_size(json_object_get(j, "class_dice")), 2);
    assert_true(json_is_null(json_array_get(json_object_get(j, "class_dice"), 1)));
    json_decref(j);
    sf_mem_free(text);
}

static void cut_keeps_the_beginning(void **state)
{
    (void)state;
    tst_ok(sf_history_cut(path, 3)); /* no file: fine, and none is made */
    assert_false(sf_path_is_file(path));
    for (int e = 0; e < 5; e++) append(e);
    tst_ok(sf_history_cut(path, 7));
    assert_int_equal(lines(), 5);
    tst_ok(sf_history_cut(path, 3));
    assert_int_equal(lines(), 3);
    append(3);
    assert_int_equal(lines(), 4);
    tst_ok(sf_history_cut(path, 0));
    assert_int_equal(lines(), 0);
}

/** A kill in the middle of a line, or a line that is no record, ends what is kept. */
static void torn_lines(void **state)
{
    static const char *const bad[] = { "{\"epoch\": 2, \"lr\": 0.0", "\n", "{\"epoch\": \"2\"}\n",
                                       "not json\n", "{\"epoch\": 2}" };
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fresh(NULL);
        append(0);
        append(1);
        char *before = content();
        FILE *f = fopen(path, "a");
        assert_non_null(f);
        fputs(bad[i], f);
        fclose(f);
        tst_ok(sf_history_cut(path, 3));
        char *after = content();
        assert_string_equal(before, after);
        sf_mem_free(before);
        sf_mem_free(after);
        append(2);
        assert_int_equal(lines(), 3);
    }
}

static void errors_name_the_file(void **state)
{
    const sf_epoch_record r = { .epoch = 0 };
    (void)state;
    assert_int_equal(sf_history_append("/nonexistent/history.jsonl", &r), SF_EIO);
    assert_non_null(strstr(sf_error_text(), "/nonexistent/history.jsonl"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(line_is_json, fresh),
        cmocka_unit_test_setup(cut_keeps_the_beginning, fresh),
        cmocka_unit_test_setup(torn_lines, fresh),
        cmocka_unit_test_setup(errors_name_the_file, fresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
