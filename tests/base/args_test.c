/* Option tables: every form of an option, every refusal, the help text, lists. */
#include "base/args.h"
#include "base/mem.h"
#include "tests/support/support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *data, *out, *recipe;
    int64_t epochs;
    double gb;
    bool force, epochs_given, help;
} values;

static sf_status parse(values *v, const char *line)
{
    static char copy[8][256]; /* SF_ARG_STR borrows from argv */
    static int next;
    char *argv[32] = { 0 }, *text = copy[next++ % 8], *rest = NULL;
    int argc = 0;
    sf_arg args[] = {
        { .name = "DATASET",
          .kind = SF_ARG_STR,
          .value = &v->data,
          .positional = true,
          .required = true,
          .help = "folder" },
        { .name = "OUT",
          .kind = SF_ARG_STR,
          .value = &v->out,
          .positional = true,
          .help = "where" },
        { .name = "epochs",
          .letter = 'e',
          .kind = SF_ARG_INT,
          .value = &v->epochs,
          .given = &v->epochs_given,
          .meta = "N",
          .help = "epochs" },
        { .name = "memory-gb",
          .kind = SF_ARG_REAL,
          .value = &v->gb,
          .meta = "GB",
          .help = "memory" },
        { .name = "recipe",
          .letter = 'r',
          .kind = SF_ARG_STR,
          .value = &v->recipe,
          .meta = "NAME",
          .help = "recipe" },
        { .name = "force",
          .letter = 'f',
          .kind = SF_ARG_FLAG,
          .value = &v->force,
          .help = "do it" },
        { 0 },
    };
    const sf_arg_table table = { "plan", "derive configurations", "More.", args };
    *v = (values){ .epochs = 1000, .gb = 8, .recipe = "paper" };
    snprintf(text, 256, "%s", line);
    for (char *w = strtok_r(text, " ", &rest); w != NULL; w = strtok_r(NULL, " ", &rest))
        argv[argc++] = w;
    return sf_args_parse(&table, argc, argv, &v->help);
}

static void accepts(void **state)
{
    (void)state;
    values v;
    tst_ok(parse(&v, "plan data"));
    assert_string_equal(v.data, "data");
    assert_null(v.out);
    assert_int_equal(v.epochs, 1000);
    assert_false(v.epochs_given);
    tst_ok(parse(&v, "plan data --epochs 5 out --memory-gb=2.5 -f -r nnunetv2"));
    assert_string_equal(v.out, "out");
    assert_int_equal(v.epochs, 5);
    assert_true(v.epochs_given && v.force);
    assert_true(v.gb == 2.5);
    assert_string_equal(v.recipe, "nnunetv2");
    tst_ok(parse(&v, "plan -e7 data"));
    assert_int_equal(v.epochs, 7);
    tst_ok(parse(&v, "plan --epochs -1 data"));
    assert_int_equal(v.epochs, -1);
    tst_ok(parse(&v, "plan -- --data"));
    assert_string_equal(v.data, "--data");
    tst_ok(parse(&v, "plan --unknown --help"));
    assert_true(v.help);
    tst_ok(parse(&v, "plan -h"));
    assert_true(v.help);
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *line, *named;
    } bad[] = { { "plan", "DATASET" },
                { "plan a b c", "c" },
                { "plan a --epoch 5", "--epoch" },
                { "plan a --epoch=5", "--epoch=5" },
                { "plan a --epochs", "--epochs" },
                { "plan a --epochs five", "five" },
                { "plan a --epochs 5x", "5x" },
                { "plan a --epochs 99999999999999999999", "99999999999999999999" },
                { "plan a --epochs 5 --epochs 6", "epochs" },
                { "plan a --memory-gb nan", "nan" },
                { "plan a --memory-gb 1e999", "1e999" },
                { "plan a --force=yes", "--force" },
                { "plan a -x", "-x" },
                { "plan a --nothing", "--nothing" },
                { "plan a -fx", "-x" } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        values v;
        assert_int_equal(parse(&v, bad[i].line), SF_EINVAL);
        if (strstr(sf_error_text(), bad[i].named) == NULL)
            fail_msg("%s: %s", bad[i].line, sf_error_text());
        assert_non_null(strstr(sf_error_text(), "segfleet plan --help"));
    }
}

static void help_names_everything(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    int64_t n = 0;
    const char *word = NULL;
    sf_arg args[] = {
        { .name = "DATASET",
          .kind = SF_ARG_STR,
          .value = &word,
          .positional = true,
          .required = true,
          .help = "folder of the dataset" },
        { .name = "fold",
          .letter = 'f',
          .kind = SF_ARG_INT,
          .value = &n,
          .meta = "N",
          .help = "fold number (default 0)" },
        { 0 },
    };
    FILE *to = open_memstream(&text, &size);
    assert_non_null(to);
    sf_args_help(&(sf_arg_table){ "train", "train one fold", "Reads plans.json.", args }, to);
    fclose(to);
    static const char *const parts[] = { "segfleet train",          "DATASET",
                                         "train one fold",          "-f, --fold N",
                                         "fold number (default 0)", "--help",
                                         "Reads plans.json." };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        assert_non_null(strstr(text, parts[i]));
    free(text);
}

static sf_status parse_list(sf_arg_list *list, const char **word, const char **out, char **argv)
{
    bool help;
    int argc = 0;
    sf_arg args[] = { { .name = "WORD", .kind = SF_ARG_STR, .value = word, .positional = true },
                      { .name = "input",
                        .letter = 'i',
                        .kind = SF_ARG_LIST,
                        .value = list,
                        .meta = "DIR",
                        .required = true,
                        .help = "folders" },
                      { .name = "output", .letter = 'o', .kind = SF_ARG_STR, .value = out },
                      { 0 } };
    *list = (sf_arg_list){ 0 };
    *word = *out = NULL;
    while (argv[argc] != NULL) argc++;
    return sf_args_parse(&(sf_arg_table){ "ensemble", "mean", NULL, args }, argc, argv, &help);
}
#define LIST(...) parse_list(&list, &word, &out, (char *[]){ "ensemble", __VA_ARGS__, NULL })

static void lists(void **state)
{
    (void)state;
    sf_arg_list list;
    const char *word, *out;
    tst_ok(LIST("-i", "a", "b", "c", "-o", "x"));
    assert_int_equal(list.count, 3);
    assert_string_equal(list.item[0], "a");
    assert_string_equal(list.item[2], "c");
    assert_string_equal(out, "x");
    assert_null(word);
    tst_ok(LIST("--input=a", "-o", "x", "-i", "b"));
    assert_int_equal(list.count, 2);
    assert_string_equal(list.item[1], "b");
    /* words before the list and after "--" are no values of it */
    tst_ok(LIST("w", "-i", "a", "b", "-o", "x"));
    assert_string_equal(word, "w");
    assert_int_equal(list.count, 2);
    tst_ok(LIST("-o", "x", "-i", "a", "--", "w"));
    assert_string_equal(word, "w");
    assert_int_equal(list.count, 1);
    assert_int_equal(LIST("-o", "x"), SF_EINVAL);
    assert_non_null(strstr(sf_error_text(), "input"));
    assert_int_equal(LIST("-i", "a", "-o", "x", "-o", "y"), SF_EINVAL);
    char *argv[SF_ARG_LIST_MAX + 4] = { "ensemble", "-i" };
    for (int i = 0; i <= SF_ARG_LIST_MAX; i++) argv[2 + i] = "d";
    assert_int_equal(parse_list(&list, &word, &out, argv), SF_EINVAL);
    assert_non_null(strstr(sf_error_text(), "too many"));
}

static void splits(void **state)
{
    (void)state;
    char **v = NULL;
    int n = 0;
    tst_ok(sf_args_split(&v, &n, "2d,3d_fullres"));
    assert_int_equal(n, 2);
    assert_string_equal(v[0], "2d");
    assert_string_equal(v[1], "3d_fullres");
    assert_null(v[2]);
    sf_mem_free(v);
    tst_ok(sf_args_split(&v, &n, "one"));
    assert_int_equal(n, 1);
    sf_mem_free(v);
    static const char *const bad[] = { "", ",", "a,", ",a", "a,,b" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(sf_args_split(&v, &n, bad[i]), SF_EINVAL);
        assert_null(v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(accepts), cmocka_unit_test(refuses),
                                        cmocka_unit_test(help_names_everything),
                                        cmocka_unit_test(lists), cmocka_unit_test(splits) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
