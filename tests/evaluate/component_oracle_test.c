/* Largest-component removal against largest_component.h5: exact. */
#include "base/json.h"
#include "evaluate/components.h"
#include "tests/support/support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int flatten(int *value, const json_t *v)
{
    if (!json_is_array(v)) {
        value[0] = (int)json_integer_value(v);
        return 1;
    }
    int n = 0;
    for (size_t i = 0; i < json_array_size(v); i++) n += flatten(value + n, json_array_get(v, i));
    return n;
}

static void check_group(tst_h5 *f, const char *group)
{
    char name[64];
    int nd = 0, value[64];
    int64_t dims[8], shape[3], removed = 0;
    json_t *v = NULL;
    snprintf(name, sizeof name, "%s/in", group);
    int32_t *seg = tst_h5_i32(f, name, &nd, dims);
    snprintf(name, sizeof name, "%s/out", group);
    int32_t *want = tst_h5_i32(f, name, &nd, dims);
    char *text = tst_h5_attr_str(f, group, "labels_or_regions");
    tst_ok(sf_json_parse(&v, text, group));
    const int n = flatten(value, v);
    for (int a = 0; a < 3; a++) shape[a] = a < 3 - nd ? 1 : dims[a - (3 - nd)];
    tst_ok(sf_components_keep_largest(seg, shape, value, n, &removed));
    assert_memory_equal(want, seg, (size_t)(shape[0] * shape[1] * shape[2]) * sizeof *seg);
    json_decref(v);
    free(text);
    free(seg);
    free(want);
}

static void test_groups(void **state)
{
    int count = 0;
    (void)state;
    tst_h5 *f = tst_h5_open(tst_shared("oracle/largest_component.h5"));
    char **names = tst_h5_list(f, "/", &count);
    assert_true(count > 0);
    for (int i = 0; i < count; i++) {
        check_group(f, names[i]);
        free(names[i]);
    }
    free(names);
    tst_h5_close(f);
    printf("%d vectors exact\n", count);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_groups) };
    if (!tst_shared("oracle/largest_component.h5")) tst_skip("no oracle/largest_component.h5");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
