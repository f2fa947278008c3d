/* Tile grid and importance map: the reference's numbers and the peer's vectors. */
#include "base/json.h"
#include "base/mem.h"
#include "predict/window.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* nnunet-training.md 8.1 */
static void test_known_tiles(void **state)
{
    (void)state;
    static const struct {
        int64_t n, patch;
        int count;
        int64_t start[10];
    } row[] = {
        { 110, 64, 3, { 0, 23, 46 } },
        { 129, 128, 2, { 0, 1 } },
        { 192, 128, 2, { 0, 64 } },
        { 193, 128, 3, { 0, 32, 65 } },
        { 155, 128, 2, { 0, 27 } },
        { 240, 128, 3, { 0, 56, 112 } },
        { 162, 30, 10, { 0, 15, 29, 44, 59, 73, 88, 103, 117, 132 } },
        { 529, 224, 4, { 0, 102, 203, 305 } },
        { 64, 64, 1, { 0 } },
    };
    for (size_t r = 0; r < sizeof row / sizeof row[0]; r++) {
        int64_t *start;
        int count;
        tst_ok(sf_window_steps(&start, &count, row[r].n, row[r].patch, 0.5));
        assert_int_equal(count, row[r].count);
        assert_memory_equal(start, row[r].start, (size_t)count * sizeof *start);
        sf_mem_free(start);
    }
    int64_t *start;
    int count;
    assert_int_equal(sf_window_steps(&start, &count, 100, 50, 0.0), SF_EINVAL);
    assert_int_equal(sf_window_steps(&start, &count, 100, 50, 1.5), SF_EINVAL);
    assert_int_equal(sf_window_steps(&start, &count, 100, 50, 1e-9), SF_EINVAL);
}

/* every voxel lies in a window, and no window leaves the image */
static void test_cover(void **state)
{
    (void)state;
    for (int64_t patch = 1; patch < 20; patch++)
        for (int64_t n = patch; n < 70; n++)
            for (int s = 1; s <= 4; s++) {
                int64_t *start, reach = 0;
                int count;
                tst_ok(sf_window_steps(&start, &count, n, patch, 0.25 * s));
                for (int i = 0; i < count; i++) {
                    assert_true(start[i] <= reach);
                    reach = start[i] + patch;
                    assert_true(reach <= n);
                }
                assert_int_equal(reach, n);
                sf_mem_free(start);
            }
}

/* nnunet-training.md 15: patch 8 and 9, scale 10 */
static void test_known_map(void **state)
{
    (void)state;
    static const double p8[8] = { .00335462628, .111089965, 1.35335283, 6.06530660,
                                  10,           6.0653066,  1.35335283, .111089965 },
                        p9[5] = { .01798167, .28565501, 2.05924246, 6.73638455, 10 };
    const int64_t a[3] = { 8, 1, 1 }, b[3] = { 1, 1, 9 };
    float map[9];
    tst_ok(sf_window_gaussian(a, 0.125, 10, map));
    for (int i = 0; i < 8; i++) assert_true(fabs((double)map[i] - p8[i]) < 1e-6);
    tst_ok(sf_window_gaussian(b, 0.125, 10, map));
    for (int i = 0; i < 5; i++) assert_true(fabs((double)map[i] - p9[i]) < 1e-6);
}

/* no voxel is without weight, however narrow the map */
static void test_no_zero(void **state)
{
    (void)state;
    const int64_t n[3] = { 12, 9, 40 };
    static float map[12 * 9 * 40];
    tst_ok(sf_window_gaussian(n, 0.02, 1, map));
    for (int i = 0; i < 12 * 9 * 40; i++) assert_true(map[i] > 0);
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

static void check_row(const json_t *row)
{
    const json_t *image = json_object_get(row, "image"), *tile = json_object_get(row, "tile"),
                 *steps = json_object_get(row, "steps");
    const double step = json_number_value(json_object_get(row, "step"));
    for (size_t a = 0; a < json_array_size(image); a++) {
        const json_t *want = json_array_get(steps, a);
        int64_t *start;
        int count;
        tst_ok(sf_window_steps(&start, &count, json_integer_value(json_array_get(image, a)),
                               json_integer_value(json_array_get(tile, a)), step));
        assert_int_equal(count, json_array_size(want));
        for (int i = 0; i < count; i++)
            assert_int_equal(start[i], json_integer_value(json_array_get(want, (size_t)i)));
        sf_mem_free(start);
    }
}

static void test_oracle_tiles(void **state)
{
    (void)state;
    const char *path = tst_shared("oracle/sliding_window_steps.json");
    if (path == NULL) tst_skip("oracle/sliding_window_steps.json is absent");
    json_t *rows;
    tst_ok(sf_json_load(&rows, path));
    assert_true(json_array_size(rows) > 0);
    for (size_t i = 0; i < json_array_size(rows); i++) check_row(json_array_get(rows, i));
    json_decref(rows);
}

/* names are SHAPE_scaleS_fp32; tolerance: 1e-6 of the peak */
static void test_oracle_maps(void **state)
{
    (void)state;
    const char *path = tst_shared("oracle/gaussian.h5");
    if (path == NULL) tst_skip("oracle/gaussian.h5 is absent");
    tst_h5 *f = tst_h5_open(path);
    int count, checked = 0;
    double worst = 0;
    char **name = tst_h5_list(f, "/", &count);
    for (int i = 0; i < count; i++) {
        const char *scale = strstr(name[i], "_scale");
        if (scale != NULL && strstr(name[i], "fp32") != NULL) {
            int nd;
            int64_t dims[8], patch[3] = { 1, 1, 1 };
            float *want = tst_h5_f32(f, name[i], &nd, dims);
            memcpy(patch + 3 - nd, dims, (size_t)nd * sizeof *dims);
            const int64_t n = patch[0] * patch[1] * patch[2];
            const double peak = atof(scale + 6);
            float *map = malloc((size_t)n * sizeof *map);
            tst_ok(sf_window_gaussian(patch, 0.125, peak, map));
            worst = fmax(worst, tst_max_abs_diff(map, want, n) / peak);
            checked++;
            free(map);
            free(want);
        }
        free(name[i]);
    }
    free(name);
    tst_h5_close(f);
    printf("%d maps, worst %.3g of the peak\n", checked, worst);
    assert_true(checked > 0 && worst <= 1e-6);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest unit[] = {
        cmocka_unit_test(test_known_tiles),
        cmocka_unit_test(test_cover),
        cmocka_unit_test(test_known_map),
        cmocka_unit_test(test_no_zero),
    };
    const struct CMUnitTest oracle[] = {
        cmocka_unit_test(test_oracle_tiles),
        cmocka_unit_test(test_oracle_maps),
    };
    if (argc > 1 && strcmp(argv[1], "oracle") == 0)
        return cmocka_run_group_tests(oracle, NULL, NULL);
    return cmocka_run_group_tests(unit, NULL, NULL);
}
