/* Cropping to the non-zero region against the vectors of normalise.h5 (crop_N groups): exact. */
#include "image/nonzero.h"
#include "tests/support/support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check_group(tst_h5 *f, const char *group)
{
    char name[128];
    int nd = 0;
    int64_t dims[8], out_dims[8], unused[8];
    sf_box box;
    snprintf(name, sizeof name, "%s/data", group);
    float *data = tst_h5_f32(f, name, &nd, dims);
    snprintf(name, sizeof name, "%s/seg", group);
    int32_t *seg = tst_h5_i32(f, name, &nd, unused);
    snprintf(name, sizeof name, "%s/seg_out", group);
    int32_t *want = tst_h5_i32(f, name, &nd, out_dims);
    snprintf(name, sizeof name, "%s/bbox", group);
    double *bbox = tst_h5_f64(f, name, &nd, unused);
    uint8_t *mask = malloc((size_t)(dims[1] * dims[2] * dims[3]));
    tst_ok(sf_nonzero_mask(data, (int)dims[0], dims + 1, mask));
    sf_nonzero_box(mask, dims + 1, &box);
    for (int a = 0; a < 3; a++) {
        assert_true((double)box.lo[a] == bbox[2 * a] && (double)box.hi[a] == bbox[2 * a + 1]);
        assert_int_equal(out_dims[1 + a], box.hi[a] - box.lo[a]);
    }
    int64_t k = 0;
    for (int64_t z = box.lo[0]; z < box.hi[0]; z++)
        for (int64_t y = box.lo[1]; y < box.hi[1]; y++)
            for (int64_t x = box.lo[2]; x < box.hi[2]; x++, k++) {
                const int64_t i = (z * dims[2] + y) * dims[3] + x;
                assert_int_equal(want[k], seg[i] == 0 && !mask[i] ? -1 : seg[i]);
            }
    free(data);
    free(seg);
    free(want);
    free(bbox);
    free(mask);
}

static void test_crops(void **state)
{
    int count = 0, checked = 0;
    (void)state;
    tst_h5 *f = tst_h5_open(tst_shared("oracle/normalise.h5"));
    char **names = tst_h5_list(f, "/", &count);
    for (int i = 0; i < count; i++) {
        if (strncmp(names[i], "crop_", 5) == 0) {
            check_group(f, names[i]);
            checked++;
        }
        free(names[i]);
    }
    free(names);
    tst_h5_close(f);
    assert_true(checked > 0);
    printf("%d crops exact\n", checked);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_crops) };
    if (!tst_shared("oracle/normalise.h5")) tst_skip("no oracle/normalise.h5");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
