/* Text and trace of failures, and that they belong to one thread. */
#include "base/error.h"
#include "tests/support/support.h"
#include <pthread.h>
#include <string.h>

static sf_status inner(int n)
{
    SF_CHECK(n >= 0, SF_EDATA, "case_%d: %s", n, "negative");
    return SF_OK;
}

static sf_status middle(int n)
{
    SF_TRY(inner(n));
    return SF_OK;
}

static sf_status outer(int n, int *cleaned)
{
    sf_status st = SF_OK;
    SF_GOTO(done, st, middle(n));
    SF_CHECK_GOTO(done, st, n < 10, SF_EINVAL, "%d is too large", n);
done:
    ++*cleaned;
    return st;
}

static void passes_on(void **state)
{
    (void)state;
    int cleaned = 0;
    assert_int_equal(outer(1, &cleaned), SF_OK);
    assert_int_equal(outer(-3, &cleaned), SF_EDATA);
    assert_string_equal(sf_error_text(), "case_-3: negative");
    const char *trace = sf_error_trace();
    const char *a = strstr(trace, "bad data"), *b = strstr(trace, "inner(n)"),
               *c = strstr(trace, "middle(n)");
    assert_non_null(a);
    assert_true(a < b && b < c);
    assert_non_null(strstr(trace, "base/error_test.c:"));
    assert_int_equal(outer(10, &cleaned), SF_EINVAL);
    assert_string_equal(sf_error_text(), "10 is too large");
    assert_null(strstr(sf_error_trace(), "inner"));
    assert_int_equal(cleaned, 3);
    sf_error_clear();
    assert_string_equal(sf_error_text(), "");
    assert_string_equal(sf_error_trace(), "");
}

static void may_quote_itself(void **state)
{
    (void)state;
    (void)SF_FAIL(SF_EIO, "disk full");
    (void)SF_FAIL(SF_EDATA, "fold 2: %s", sf_error_text());
    assert_string_equal(sf_error_text(), "fold 2: disk full");
}

static void endless_trace_stays_inside(void **state)
{
    (void)state;
    (void)SF_FAIL(SF_EIO, "first");
    for (int i = 0; i < 1000; i++)
        (void)sf_trace_(SF_EIO, "src/base/x.c", i, "call(with, arguments)");
    assert_true(strlen(sf_error_trace()) < sizeof((sf_error_state *)0)->trace);
    assert_non_null(strstr(sf_error_trace(), "base/x.c:0: call"));
    char longer[3000];
    memset(longer, 'x', sizeof longer);
    longer[sizeof longer - 1] = 0;
    (void)SF_FAIL(SF_EIO, "%s", longer);
    assert_int_equal(strlen(sf_error_text()), sizeof((sf_error_state *)0)->text - 1);
}

static void *other_thread(void *out)
{
    assert_string_equal(sf_error_text(), "");
    sf_error_save(out, SF_FAIL(SF_ENOMEM, "worker ran out"));
    return NULL;
}

static void moves_between_threads(void **state)
{
    (void)state;
    pthread_t t;
    sf_error_state moved;
    (void)SF_FAIL(SF_EIO, "mine");
    assert_int_equal(pthread_create(&t, NULL, other_thread, &moved), 0);
    pthread_join(t, NULL);
    assert_string_equal(sf_error_text(), "mine");
    assert_int_equal(sf_error_restore(&moved), SF_ENOMEM);
    assert_string_equal(sf_error_text(), "worker ran out");
    assert_non_null(strstr(sf_error_trace(), "error_test.c"));
}

static void names(void **state)
{
    (void)state;
    assert_string_equal(sf_status_name(SF_OK), "ok");
    assert_string_equal(sf_status_name(SF_EDATA), "bad data");
    for (int i = SF_OK; i <= SF_ESTOP; i++)
        assert_string_not_equal(sf_status_name((sf_status)i), "unknown status");
    assert_string_equal(sf_status_name((sf_status)99), "unknown status");
    assert_string_equal(sf_status_name((sf_status)-1), "unknown status");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_on),
        cmocka_unit_test(may_quote_itself),
        cmocka_unit_test(endless_trace_stays_inside),
        cmocka_unit_test(moves_between_threads),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
