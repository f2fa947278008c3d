/* A program that forgets memory must fail, else the rule of base/mem.h is a wish (CTest:
 * WILL_FAIL). */
#include "base/mem.h"
#include "tests/support/support.h"
#include <string.h>

static void forgets(void **state)
{
    (void)state;
    char *p = NULL;
    tst_ok(sf_mem_alloc(&p, 100, 1, SF_MEM_MISC));
    memset(p, 0, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(forgets) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
