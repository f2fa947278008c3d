/* Files of named arrays: round trip, order, damage. */
#include "base/mem.h"
#include "base/path.h"
#include "base/rng.h"
#include "store/arrays.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static char path[SF_PATH_MAX];
static float values[6000];

static sf_array make(const char *name, int ndim, int64_t a, int64_t b, const float *data)
{
    sf_array x = { .ndim = ndim, .dim = { a, b }, .data = data };
    snprintf(x.name, sizeof x.name, "%s", name);
    x.count = (ndim > 0 ? a : 1) * (ndim > 1 ? b : 1);
    return x;
}

static int setup(void **state)
{
    (void)state;
    sf_rng r;
    sf_rng_init(&r, &(sf_rng_key){ .seed = 4, .purpose = SF_RNG_TEST });
    sf_rng_fill_normal(&r, 6000, values);
    values[0] = NAN;
    values[1] = -0.0f;
    values[2] = INFINITY;
    values[3] = 1e-42f; /* subnormal */
    tst_ok(sf_path_join(path, tst_tmp_dir(), "arrays.h5", NULL));
    return 0;
}

static sf_status save(const char *to, json_t *attributes)
{
    /* names not in order of the alphabet */
    const sf_array net[] = { make("z.weight", 2, 20, 30, values),
                             make("a.bias", 1, 7, 0, values + 600),
                             make("scalar", 0, 0, 0, values + 5), make("empty", 2, 0, 4, values) };
    const sf_array mom[] = { make("z.weight", 2, 100, 50, values + 1000) };
    const sf_array_group groups[] = { { "network", net, 4 },
                                      { "optimiser/momentum", mom, 1 },
                                      { "none", NULL, 0 } };
    return sf_arrays_save(to, groups, 3, attributes);
}

static void test_round_trip(void **state)
{
    (void)state;
    sf_array *a;
    int n;
    json_t *attributes = json_object(), *back;
    char *large;
    tst_ok(sf_mem_alloc(&large, 200001, 1, SF_MEM_MISC)); /* more than an HDF5 attribute can hold */
    memset(large, 'x', 200000);
    large[200000] = 0;
    json_object_set_new(attributes, "epoch", json_integer(17));
    json_object_set_new(attributes, "nan", sf_json_real(NAN));
    json_object_set_new(attributes, "large", json_string(large));
    sf_mem_free(large);
    tst_ok(save(path, attributes));
    tst_ok(sf_arrays_load(&a, &n, &back, path, "network"));
    const char *const names[] = { "z.weight", "a.bias", "scalar", "empty" };
    const int64_t counts[] = { 600, 7, 1, 0 };
    const float *const want[] = { values, values + 600, values + 5, values };
    assert_int_equal(n, 4);
    for (int i = 0; i < n; i++) {
        assert_string_equal(a[i].name, names[i]);
        assert_int_equal(a[i].count, counts[i]);
        assert_memory_equal(a[i].data, want[i], (size_t)counts[i] * sizeof(float));
        assert_int_equal((uintptr_t)a[i].data % 64, 0);
    }
    assert_int_equal(a[0].ndim, 2);
    assert_int_equal(a[0].dim[1], 30);
    assert_int_equal(a[2].ndim, 0);
    sf_arrays_free(&a, n);
    assert_null(a);
    assert_int_equal(json_integer_value(json_object_get(back, "epoch")), 17);
    assert_true(isnan(sf_json_num(json_object_get(back, "nan"))));
    assert_int_equal(json_string_length(json_object_get(back, "large")), 200000);
    json_decref(back);
    json_decref(attributes);
    tst_ok(sf_arrays_load(&a, &n, NULL, path, "optimiser/momentum"));
    assert_int_equal(n, 1);
    assert_memory_equal(a[0].data, values + 1000, 5000 * sizeof(float));
    sf_arrays_free(&a, n);
    tst_ok(sf_arrays_load(&a, &n, NULL, path, "none"));
    assert_int_equal(n, 0);
    sf_arrays_free(&a, n);
    assert_int_equal(sf_arrays_load(&a, &n, NULL, path, "absent"), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "absent"));
    assert_null(a);
}

static void test_same_bytes(void **state)
{
    (void)state;
    char other[SF_PATH_MAX], *x, *y;
    size_t nx, ny;
    tst_ok(sf_path_join(other, tst_tmp_dir(), "other.h5", NULL));
    tst_ok(save(path, NULL));
    tst_ok(save(other, NULL));
    tst_ok(sf_path_read(&x, &nx, path, 0));
    tst_ok(sf_path_read(&y, &ny, other, 0));
    assert_int_equal(nx, ny);
    assert_memory_equal(x, y, nx);
    sf_mem_free(x);
    sf_mem_free(y);
    sf_array *a;
    int n;
    json_t *none;
    tst_ok(sf_arrays_load(&a, &n, &none, path, "network"));
    assert_int_equal(json_object_size(none), 0);
    json_decref(none);
    sf_arrays_free(&a, n);
}

static void test_damage(void **state)
{
    (void)state;
    char *data, bad[SF_PATH_MAX];
    size_t size;
    sf_rng r;
    sf_array *a;
    int n;
    tst_ok(save(path, NULL));
    tst_ok(sf_path_join(bad, tst_tmp_dir(), "bad.h5", NULL));
    tst_ok(sf_path_read(&data, &size, path, 0));
    sf_rng_init(&r, &(sf_rng_key){ .seed = 6, .purpose = SF_RNG_TEST });
    for (int i = 0; i < 200; i++) {
        const size_t at = (size_t)sf_rng_below(&r, (int64_t)size);
        const char old = data[at];
        data[at] = (char)(old + 1 + sf_rng_below(&r, 255));
        tst_ok(sf_path_write(bad, data, i % 2 ? size : at));
        assert_int_equal(sf_arrays_load(&a, &n, NULL, bad, "network"), SF_EDATA);
        assert_non_null(strstr(sf_error_text(), bad));
        data[at] = old;
    }
    sf_mem_free(data);
    assert_int_equal(sf_arrays_load(&a, &n, NULL, "/nonexistent.h5", "network"), SF_EIO);
    assert_int_equal(sf_arrays_load(&a, &n, NULL, tst_tmp_dir(), "network"), SF_EDATA);
}

static void test_refused(void **state)
{
    (void)state;
    char *before, *after, **names;
    size_t nb, na, count;
    tst_ok(save(path, NULL));
    tst_ok(sf_path_read(&before, &nb, path, 0));
    sf_array wrong[] = { make("a", 1, 5, 0, values), make("a", 1, 5, 0, values) };
    sf_array_group g = { "g", wrong, 1 };
    wrong[0].count = 6;
    assert_int_equal(sf_arrays_save(path, &g, 1, NULL), SF_EINTERNAL);
    wrong[0] = make("a/b", 1, 5, 0, values);
    assert_int_equal(sf_arrays_save(path, &g, 1, NULL), SF_EINTERNAL);
    wrong[0] = make("a", 1, 5, 0, values);
    g.count = 2; /* the same name twice */
    assert_int_equal(sf_arrays_save(path, &g, 1, NULL), SF_EIO);
    assert_non_null(strstr(sf_error_text(), path));
    assert_int_equal(sf_arrays_save("/nonexistent/x.h5", &g, 0, NULL), SF_EIO);
    tst_ok(sf_path_read(&after, &na, path, 0)); /* the older file is still there, nothing else */
    assert_int_equal(na, nb);
    assert_memory_equal(after, before, na);
    tst_ok(sf_path_list(&names, &count, tst_tmp_dir()));
    for (size_t i = 0; i < count; i++) assert_null(strstr(names[i], ".tmp"));
    sf_path_free_list(&names, count);
    sf_mem_free(before);
    sf_mem_free(after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
