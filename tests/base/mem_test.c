/* Alignment, counters, overflow, growth. */
#include "base/mem.h"
#include "tests/support/support.h"
#include <pthread.h>
#include <string.h>

static void aligned_and_counted(void **state)
{
    (void)state;
    float *a = NULL;
    char *b = NULL;
    const int64_t before = sf_mem_live(SF_MEM_CATEGORIES);
    tst_ok(sf_mem_alloc(&a, 1000, sizeof *a, SF_MEM_IMAGE));
    tst_ok(sf_mem_alloc(&b, 0, 1, SF_MEM_BATCH));
    assert_non_null(b);
    assert_int_equal((uintptr_t)a % 64, 0);
    assert_int_equal((uintptr_t)b % 64, 0);
    memset(a, 255, 4000);
    assert_int_equal(sf_mem_live(SF_MEM_IMAGE), 4000);
    assert_int_equal(sf_mem_live(SF_MEM_BATCH), 0);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), before + 4000);
    assert_true(sf_mem_peak() >= before + 4000);
    sf_mem_free(a);
    sf_mem_free(b);
    sf_mem_free(NULL);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), before);
}

static void cleared(void **state)
{
    (void)state;
    for (int round = 0; round < 4; round++) {
        unsigned char *p = NULL;
        tst_ok(sf_mem_calloc(&p, 333, 3, SF_MEM_MISC));
        for (int i = 0; i < 999; i++) assert_int_equal(p[i], 0);
        memset(p, 77, 999); /* so that a recycled block would show */
        sf_mem_free(p);
    }
}

static void too_large_is_refused(void **state)
{
    (void)state;
    char *p = (char *)"not null";
    assert_int_equal(sf_mem_alloc(&p, SIZE_MAX, 2, SF_MEM_MISC), SF_ENOMEM);
    assert_null(p);
    assert_int_equal(sf_mem_alloc(&p, SIZE_MAX, 1, SF_MEM_MISC), SF_ENOMEM);
    assert_int_equal(sf_mem_calloc(&p, SIZE_MAX / 2 + 1, 2, SF_MEM_MISC), SF_ENOMEM);
    assert_non_null(strstr(sf_error_text(), "no memory"));
}

static void resize_keeps_content(void **state)
{
    (void)state;
    int32_t *v = NULL;
    tst_ok(sf_mem_resize(&v, 10, sizeof *v, SF_MEM_MISC));
    for (int i = 0; i < 10; i++) v[i] = i;
    tst_ok(sf_mem_resize(&v, 10000, sizeof *v, SF_MEM_SCRATCH));
    for (int i = 0; i < 10; i++) assert_int_equal(v[i], i);
    assert_int_equal(sf_mem_live(SF_MEM_SCRATCH), 40000);
    int32_t *const kept = v;
    assert_int_equal(sf_mem_resize(&v, SIZE_MAX, sizeof *v, SF_MEM_MISC), SF_ENOMEM);
    assert_ptr_equal(v, kept);
    tst_ok(sf_mem_resize(&v, 5, sizeof *v, SF_MEM_MISC));
    for (int i = 0; i < 5; i++) assert_int_equal(v[i], i);
    assert_int_equal(sf_mem_live(SF_MEM_MISC), 20);
    sf_mem_free(v);
}

static void texts(void **state)
{
    (void)state;
    char *s = NULL, *t = NULL;
    tst_ok(sf_mem_strdup(&s, "abc"));
    tst_ok(sf_mem_printf(&t, "%s-%05d", s, 42));
    assert_string_equal(t, "abc-00042");
    sf_mem_free(s);
    sf_mem_free(t);
}

static void *churn(void *unused)
{
    (void)unused;
    for (size_t i = 1; i < 3000; i++) {
        char *p = NULL;
        if (sf_mem_alloc(&p, i, 1, SF_MEM_ARENA) == SF_OK) p[i - 1] = 1;
        sf_mem_free(p);
    }
    return NULL;
}

static void counters_survive_threads(void **state)
{
    (void)state;
    pthread_t t[4];
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&t[i], NULL, churn, NULL), 0);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    assert_int_equal(sf_mem_live(SF_MEM_ARENA), 0);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

static void as_the_system_sees_it(void **state)
{
    (void)state;
    const int64_t size = 64 << 20, slack = 2 << 20; /* the kernel counts in batches */
    char *p = NULL;
    sf_mem_process before, with, after;
    sf_mem_of_process(&before);
    if (before.resident == 0) skip(); /* no /proc */
    tst_ok(sf_mem_alloc(&p, (size_t)size, 1, SF_MEM_MISC));
    memset(p, 1, (size_t)size);
    sf_mem_of_process(&with);
    sf_mem_free(p);
    sf_mem_of_process(&after);
    assert_in_range(with.resident - before.resident, size - slack, size + slack);
    assert_true(with.highest >= with.resident - slack && after.highest >= with.highest - slack);
    assert_true(with.mapped > 0 && with.mapped < with.resident);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(aligned_and_counted),
        cmocka_unit_test(cleared),
        cmocka_unit_test(too_large_is_refused),
        cmocka_unit_test(resize_keeps_content),
        cmocka_unit_test(texts),
        cmocka_unit_test(counters_survive_threads),
        cmocka_unit_test(as_the_system_sees_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
