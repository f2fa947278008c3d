/* Round trips in Python's form, special numbers, hostile input, typed access. */
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/rng.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void same_after(const char *in, int indent, bool sort, const char *want)
{
    json_t *v = NULL;
    char *out = NULL;
    tst_ok(sf_json_parse(&v, in, "test"));
    tst_ok(sf_json_dump(&out, v, indent, sort));
    assert_string_equal(out, want);
    sf_mem_free(out);
    json_decref(v);
}

static void layout(void **state)
{
    (void)state;
    same_after("{\"b\":[1,2],\"a\":{},\"c\":[]}", 0, false,
               "{\"b\": [1, 2], \"a\": {}, \"c\": []}");
    same_after("{\"b\":[1,{\"x\":null}],\"a\":true}", 4, true,
               "{\n    \"a\": true,\n    \"b\": [\n        1,\n        {\n            \"x\": "
               "null\n        }\n    ]\n}");
    same_after("\"a\\\"\\\\\\n\\t\\u0007/\\u00e9\"", 0, false,
               "\"a\\\"\\\\\\n\\t\\u0007/\xC3\xA9\"");
    same_after("false", 4, false, "false");
}

/* What Python's repr says of each. */
static void reals(void **state)
{
    (void)state;
    static const struct {
        double x;
        const char *want;
    } v[] = { { 1, "1.0" },
              { 0, "0.0" },
              { -0.0, "-0.0" },
              { 1e-5, "1e-05" },
              { 0.0001, "0.0001" },
              { 0.00012345, "0.00012345" },
              { 1e15, "1000000000000000.0" },
              { 1e16, "1e+16" },
              { 1.5e300, "1.5e+300" },
              { 123456.789, "123456.789" },
              { -2.5, "-2.5" },
              { 1.0 / 3, "0.3333333333333333" },
              { 5e-324, "5e-324" },
              { 1.7976931348623157e308, "1.7976931348623157e+308" },
              { 9007199254740993.0, "9007199254740992.0" },
              { 0x1p-44, "5.684341886080802e-14" },
              { 0.1 + 0.2, "0.30000000000000004" } };
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
        json_t *j = sf_json_real(v[i].x);
        char *out = NULL;
        tst_ok(sf_json_dump(&out, j, 0, false));
        assert_string_equal(out, v[i].want);
        sf_mem_free(out);
        json_decref(j);
    }
}

static void random_reals_come_back(void **state)
{
    (void)state;
    uint64_t bits = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        double x, back;
        bits ^= bits << 13, bits ^= bits >> 7, bits ^= bits << 17;
        memcpy(&x, &bits, sizeof x);
        if (!isfinite(x)) continue;
        json_t *j = sf_json_real(x);
        char *out = NULL;
        tst_ok(sf_json_dump(&out, j, 0, false));
        back = strtod(out, NULL);
        assert_memory_equal(&back, &x, sizeof x);
        sf_mem_free(out);
        json_decref(j);
    }
}

static void specials(void **state)
{
    (void)state;
    json_t *v = NULL;
    const char *text =
        "{\"a\": [NaN, Infinity, -Infinity, -1], \"NaN\": \"NaN Infinity \\\" NaN\"}";
    double x[4];
    same_after(text, 0, false, text);
    tst_ok(sf_json_parse(&v, text, "test"));
    tst_ok(sf_json_get_nums(x, 4, v, "a", "test"));
    assert_true(isnan(x[0]) && isinf(x[1]) && x[1] > 0 && isinf(x[2]) && x[2] < 0 && x[3] == -1);
    assert_false(sf_json_is_num(json_object_get(v, "NaN")));
    json_decref(v);
    json_t *nan = sf_json_real(NAN);
    assert_true(sf_json_is_num(nan) && isnan(sf_json_num(nan)));
    json_decref(nan);
}

static void hostile(void **state)
{
    (void)state;
    static const char *const bad[] = { "",
                                       "\"a\\u0000b\"",
                                       "{",
                                       "[1,]",
                                       "{\"a\":1,\"a\":2}",
                                       "{\"a\" 1}",
                                       "nan",
                                       "NaNNaN",
                                       "[1 2]",
                                       "\"abc",
                                       "\"\xff\"",
                                       "[1e999]",
                                       "\"\\u0001NaN\"",
                                       "[NaN",
                                       "-",
                                       "+1",
                                       "01",
                                       "\"\\ud800\"",
                                       "{\"a\":1}x",
                                       "-Infinityy",
                                       "\"a\nb\"",
                                       "\"\\" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *v = NULL;
        assert_int_equal(sf_json_parse(&v, bad[i], "FILE"), SF_EDATA);
        assert_null(v);
        assert_memory_equal(sf_error_text(), "FILE: ", 6);
    }
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    enum { DEEP = 200000 };
    char *text = malloc(DEEP + 1);
    json_t *v = NULL;
    assert_non_null(text);
    memset(text, '[', DEEP);
    text[DEEP] = 0;
    assert_int_equal(sf_json_parse(&v, text, "deep"), SF_EDATA);
    free(text);
}

/* Damaged copies of a good text: each is refused with a reason, or is JSON that survives a round
 * trip. */
static void damaged(void **state)
{
    (void)state;
    static const char good[] = "{\"labels\": {\"a\": [1, 2.5e-3], \"\\u00e9\": NaN}, \"b\": "
                               "[-Infinity, true, null, \"x\\n\"]}";
    sf_rng r;
    int accepted = 0;
    sf_rng_init(&r, &(sf_rng_key){ .seed = 1, .purpose = SF_RNG_TEST });
    for (int round = 0; round < 20000; round++) {
        char text[sizeof good], *once = NULL, *twice = NULL;
        json_t *v = NULL;
        memcpy(text, good, sizeof good);
        for (int64_t n = 1 + sf_rng_below(&r, 3); n > 0; n--)
            text[sf_rng_below(&r, (int64_t)sizeof good - 1)] =
                good[sf_rng_below(&r, (int64_t)sizeof good)];
        if (sf_json_parse(&v, text, "damaged") != SF_OK) {
            assert_memory_equal(sf_error_text(), "damaged: ", 9);
            continue;
        }
        accepted++;
        tst_ok(sf_json_dump(&once, v, 4, false));
        json_decref(v);
        tst_ok(sf_json_parse(&v, once, "again"));
        tst_ok(sf_json_dump(&twice, v, 4, false));
        assert_string_equal(once, twice);
        json_decref(v);
        sf_mem_free(once);
        sf_mem_free(twice);
    }
    assert_true(accepted > 100 && accepted < 15000);
}

static void files(void **state)
{
    (void)state;
    char path[SF_PATH_MAX];
    json_t *v = NULL;
    tst_ok(sf_path_join(path, tst_tmp_dir(), "a.json", NULL));
    assert_int_equal(sf_json_load(&v, path), SF_EIO);
    assert_non_null(strstr(sf_error_text(), "a.json"));
    tst_ok(sf_path_write(path, "{\n\n\"x\": oops}", 13));
    assert_int_equal(sf_json_load(&v, path), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "a.json"));
    assert_non_null(strstr(sf_error_text(), "line 3"));
    tst_ok(sf_path_write(path, "[1, \0 2]", 8));
    assert_int_equal(sf_json_load(&v, path), SF_EDATA);
    tst_ok(sf_path_write(path, "\xEF\xBB\xBF[1, NaN]", 11));
    tst_ok(sf_json_load(&v, path));
    tst_ok(sf_json_save(v, path, 4, false));
    json_decref(v);
    char *text = NULL;
    tst_ok(sf_path_read(&text, NULL, path, 0));
    assert_string_equal(text, "[\n    1,\n    NaN\n]\n");
    sf_mem_free(text);
}

static void typed_access(void **state)
{
    (void)state;
    json_t *v = NULL, *child = NULL;
    const char *s = NULL;
    int64_t i = 0, n[3];
    double d[3];
    bool b = false;
    tst_ok(sf_json_parse(&v, "{\"s\":\"t\",\"i\":3,\"f\":3.0,\"h\":3.5,\"b\":true,\"l\":[1,2.0,3]}",
                         "W"));
    tst_ok(sf_json_get_str(&s, v, "s", "W"));
    assert_string_equal(s, "t");
    tst_ok(sf_json_get_int(&i, v, "i", "W"));
    assert_int_equal(i, 3);
    tst_ok(sf_json_get_int(&i, v, "f", "W"));
    tst_ok(sf_json_get_num(d, v, "h", "W"));
    assert_true(d[0] == 3.5);
    tst_ok(sf_json_get_bool(&b, v, "b", "W"));
    assert_true(b);
    tst_ok(sf_json_get_ints(n, 3, v, "l", "W"));
    assert_int_equal(n[1], 2);
    assert_int_equal(sf_json_get(&child, v, "none", "W"), SF_EDATA);
    assert_string_equal(sf_error_text(), "W: key \"none\" is missing");
    assert_int_equal(sf_json_get_int(&i, v, "h", "W"), SF_EDATA);
    assert_int_equal(sf_json_get_str(&s, v, "i", "W"), SF_EDATA);
    assert_int_equal(sf_json_get_bool(&b, v, "i", "W"), SF_EDATA);
    assert_int_equal(sf_json_get_num(d, v, "s", "W"), SF_EDATA);
    assert_int_equal(sf_json_get_nums(d, 2, v, "l", "W"), SF_EDATA);
    assert_int_equal(sf_json_get_ints(n, 3, v, "s", "W"), SF_EDATA);
    assert_int_equal(sf_json_get(&child, json_object_get(v, "l"), "x", "W"), SF_EDATA);
    json_decref(v);
}

static void arrays(void **state)
{
    (void)state;
    json_t *a = sf_json_ints((const int64_t[]){ 1, -2 }, 2),
           *b = sf_json_nums((const double[]){ 1, NAN }, 2);
    char *s = NULL, *t = NULL;
    tst_ok(sf_json_dump(&s, a, 0, false));
    tst_ok(sf_json_dump(&t, b, 0, false));
    assert_string_equal(s, "[1, -2]");
    assert_string_equal(t, "[1.0, NaN]");
    sf_mem_free(s);
    sf_mem_free(t);
    json_decref(a);
    json_decref(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layout),
        cmocka_unit_test(reals),
        cmocka_unit_test(random_reals_come_back),
        cmocka_unit_test(specials),
        cmocka_unit_test(hostile),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(damaged),
        cmocka_unit_test(files),
        cmocka_unit_test(typed_access),
        cmocka_unit_test(arrays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
