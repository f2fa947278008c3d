/* Files that readers get wrong: each opens with the manifest's values or is refused with one text
 * that names it; those that must be refused are. Tolerances: 1e-6 relative on values and affine,
 * because our voxels are float32. */
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "image/io.h"
#include "image/raster.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static int opened, refused, failed;

#define EXPECT(cond, ...)                                                                          \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            printf(__VA_ARGS__);                                                                   \
            printf("\n");                                                                          \
            failed++;                                                                              \
        }                                                                                          \
    } while (0)

static double number(const json_t *e, const char *key)
{
    return sf_json_num(json_object_get(e, key));
}
static bool is_true(const json_t *e, const char *key)
{
    return json_is_true(json_object_get(e, key));
}
static bool near(double a, double b, double scale) { return fabs(a - b) <= 1e-6 * scale; }

static int64_t entry(const json_t *list, size_t i, int64_t missing)
{
    return i < json_array_size(list) ? (int64_t)sf_json_num(json_array_get(list, i)) : missing;
}

static void check_geometry(const char *name, const sf_image *img, const json_t *e)
{
    const json_t *shape = json_object_get(e, "shape"), *zooms = json_object_get(e, "zooms");
    const json_t *rows = json_object_get(e, "affine");
    int64_t rest = strcmp(json_string_value(json_object_get(e, "dtype_on_disk")), "RGB24") ? 1 : 3;
    for (size_t a = 0; a < 3; a++)
        EXPECT(img->geo.shape[2 - a] == entry(shape, a, 1), "%s: shape, axis %zu", name, a);
    for (size_t a = 3; a < json_array_size(shape); a++) rest *= entry(shape, a, 1);
    EXPECT(img->channels == rest, "%s: %d channels, not %lld", name, img->channels,
           (long long)rest);
    for (size_t a = 0; a < json_array_size(zooms) && a < 3; a++)
        EXPECT(near(img->geo.spacing[2 - a], sf_json_num(json_array_get(zooms, a)), 1.0),
               "%s: spacing, axis %zu", name, a);
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 4; j++) {
            const double want = sf_json_num(json_array_get(json_array_get(rows, i), j));
            EXPECT(near(img->geo.affine[i][j], want, 1.0 + fabs(want)),
                   "%s: affine %zu,%zu: %g, not %g", name, i, j, img->geo.affine[i][j], want);
        }
    EXPECT(img->geo.is_2d == (json_array_size(shape) == 2), "%s: 2-D or not", name);
}

static void check_values(const char *name, const sf_image *img, const json_t *e)
{
    const int64_t n = sf_geometry_voxels(&img->geo) * img->channels;
    const double lo = number(e, "min"), hi = number(e, "max"), scale = fmax(fabs(lo), fabs(hi));
    double min = INFINITY, max = -INFINITY, sum = 0.0;
    int64_t nan = 0, nonzero = 0;
    for (int64_t i = 0; i < n; i++) {
        const double v = (double)img->data[i];
        nonzero += v != 0.0; /* as numpy counts: NaN is not zero */
        if (isnan(v)) {
            nan++;
            continue;
        }
        min = fmin(min, v);
        max = fmax(max, v);
        sum += v;
    }
    EXPECT(near(min, lo, scale) && near(max, hi, scale), "%s: range %g to %g, not %g to %g", name,
           min, max, lo, hi);
    EXPECT(near(sum / (double)(n - nan), number(e, "mean"), scale), "%s: mean", name);
    EXPECT(nan == (int64_t)number(e, "nan_voxels"), "%s: NaN count", name);
    EXPECT(nonzero == (int64_t)number(e, "nonzero"), "%s: %lld non-zero", name, (long long)nonzero);
}

static void check_probes(const char *name, const sf_image *img, const json_t *e)
{
    const json_t *probes = json_object_get(e, "probes"), *p = NULL;
    const json_t *shape = json_object_get(e, "shape");
    size_t k;
    json_array_foreach(probes, k, p)
    {
        const json_t *index = json_object_get(p, "index");
        const double want = number(p, "value");
        int64_t at = 0;
        for (size_t a = json_array_size(index); a-- > 0;)
            at = at * entry(shape, a, 1) + entry(index, a, 0);
        EXPECT(near((double)img->data[at], want, 1.0 + fabs(want)), "%s: probe %zu: %g, not %g",
               name, k, (double)img->data[at], want);
    }
}

/* A segmentation written with this header has the same grid, whatever the source's byte order,
 * version, scaling or number of dimensions. */
static void check_written(const char *name, const sf_image *img)
{
    char path[SF_PATH_MAX];
    const int64_t n = sf_geometry_voxels(&img->geo);
    int32_t *labels = test_malloc((size_t)n * sizeof *labels);
    sf_label_image *back = NULL;
    for (int64_t i = 0; i < n; i++) labels[i] = (int32_t)(i * 31 % 7);
    tst_ok(sf_path_join(path, tst_tmp_dir(), "labels.nii.gz", NULL));
    tst_ok(sf_label_write(path, &img->geo, labels, 6));
    tst_ok(sf_label_image_read(&back, path));
    const sf_geometry *a = &img->geo, *b = &back->geo;
    EXPECT(!memcmp(a->shape, b->shape, sizeof a->shape), "%s: shape of the labels", name);
    for (int i = 0; i < 3; i++) /* NIfTI keeps float32 */
        EXPECT(near(a->spacing[i], b->spacing[i], 1.0), "%s: spacing of the labels", name);
    for (int i = 0; i < 12; i++) {
        const double want = a->affine[i / 4][i % 4], limit = a->nifti_header_size ? 0.0 : 1.0;
        EXPECT(near(b->affine[i / 4][i % 4], want, limit * (1.0 + fabs(want))),
               "%s: affine of the labels", name);
    }
    EXPECT(a->is_2d == b->is_2d, "%s: dimensions of the labels", name);
    if (a->nifti_header_size)
        EXPECT(a->nifti_header_size == b->nifti_header_size, "%s: version of the labels", name);
    EXPECT(!memcmp(labels, back->data, (size_t)n * sizeof *labels), "%s: labels", name);
    sf_label_image_destroy(&back);
    test_free(labels);
}

static void check_opened(const char *name, const char *path, const json_t *e)
{
    const char *files[1] = { path };
    sf_image *img = NULL, *loose = NULL;
    const bool finite = number(e, "nan_voxels") == 0.0;
    const sf_status st = sf_image_read(&img, files, 1);
    EXPECT((st == SF_OK) == finite, "%s: NaN voxels must be refused, finite ones not: %s", name,
           sf_error_text());
    if (!finite) EXPECT(strstr(sf_error_text(), "NaN"), "%s: text %s", name, sf_error_text());
    sf_image_destroy(&img);
    if (sf_image_read_file(&loose, path, SF_READ_ANY_VALUE) != SF_OK) return;
    check_geometry(name, loose, e);
    check_values(name, loose, e);
    check_probes(name, loose, e);
    check_written(name, loose);
    sf_image_destroy(&loose);
    opened++;
}

/* MetaImage and NRRD: the manifest has header and statistics. Their axes are those of the world,
 * forwards or backwards, so the position and the voxel sizes tell all. */
static void check_text_header(const char *name, const char *path, const json_t *e)
{
    const json_t *header = json_object_get(e, "header"), *shape = json_object_get(e, "shape");
    const char *origin = json_string_value(json_object_get(header, "Offset"));
    const char *steps = json_string_value(json_object_get(header, "TransformMatrix"));
    const char *sizes = json_string_value(json_object_get(header, "ElementSpacing"));
    const bool nrrd = !origin;
    double at[3], step[9], size[3];
    sf_image *img = NULL;
    if (nrrd) origin = json_string_value(json_object_get(header, "space origin"));
    if (nrrd) steps = json_string_value(json_object_get(header, "space directions"));
    tst_ok(sf_header_numbers(at, 3, origin, name, "origin"));
    tst_ok(sf_header_numbers(step, 9, steps, name, "directions"));
    if (sizes) tst_ok(sf_header_numbers(size, 3, sizes, name, "spacing"));
    tst_ok(sf_image_read_file(&img, path, 0));
    for (int a = 0; a < 3; a++) {
        const double turn = a < 2 ? -1.0 : 1.0, s = step[4 * a] * (nrrd ? 1.0 : size[a]);
        EXPECT(img->geo.shape[2 - a] == entry(shape, (size_t)a, 1), "%s: shape", name);
        EXPECT(near(img->geo.spacing[2 - a], fabs(s), 1.0), "%s: spacing, axis %d", name, a);
        EXPECT(near(img->geo.affine[a][a], turn * s, 1.0), "%s: direction, axis %d", name, a);
        EXPECT(near(img->geo.affine[a][3], turn * at[a], 100.0), "%s: origin, axis %d", name, a);
    }
    check_values(name, img, e);
    check_written(name, img);
    sf_image_destroy(&img);
    opened++;
}

static void check_file(const char *dir, const json_t *e)
{
    char path[SF_PATH_MAX];
    const char *name = json_string_value(json_object_get(e, "file"));
    const char *type = json_string_value(json_object_get(e, "dtype_on_disk"));
    const bool foreign = !is_true(e, "readable_by_nibabel"),
               colour = type && !strncmp(type, "complex", 7);
    sf_image *img = NULL;
    tst_ok(sf_path_join(path, dir, name, NULL));
    if (json_object_get(e, "see")) { /* the voxel half of a pair leads to the same image */
        tst_ok(sf_image_read_file(&img, path, 0));
        sf_image_destroy(&img);
        opened++;
        return;
    }
    if (json_object_get(e, "header")) {
        check_text_header(name, path, e);
        return;
    }
    if (!foreign && !colour) {
        check_opened(name, path, e);
        return;
    }
    const sf_status st = sf_image_read_file(&img, path, 0);
    EXPECT(st == SF_EDATA || st == SF_EUNSUPPORTED, "%s: must be refused (%d)", name, (int)st);
    EXPECT(strstr(sf_error_text(), name), "%s: the text does not name the file", name);
    printf("refused: %s\n", sf_error_text());
    sf_image_destroy(&img);
    refused++;
}

static void test_all(void **state)
{
    const char *dir = tst_shared("data/awkward-nifti");
    char path[SF_PATH_MAX];
    json_t *list = NULL, *e = NULL;
    size_t i;
    (void)state;
    tst_ok(sf_path_join(path, dir, "manifest.json", NULL));
    tst_ok(sf_json_load(&list, path));
    json_array_foreach(list, i, e) check_file(dir, e);
    json_decref(list);
    printf("%d opened, %d refused, %d wrong\n", opened, refused, failed);
    assert_true(opened > 0 && refused > 0);
    assert_int_equal(0, failed);
    assert_int_equal(0, sf_mem_live(SF_MEM_CATEGORIES));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_all) };
    if (!tst_shared("data/awkward-nifti")) tst_skip("no data/awkward-nifti");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
