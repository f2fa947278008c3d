/** Instances as core and border and back: the element of the paper's D21, the definition of a
 * border voxel, round trips, and the rules for objects that lost their core. */
#include "base/mem.h"
#include "base/rng.h"
#include "evaluate/instances.h"
#include "tests/support/support.h"
#include <string.h>

static const double ISO[3] = { 1, 1, 1 };

static void element_of_d21(void **state)
{
    static const int64_t shape[3] = { 59, 639, 349 };
    static const double spacing[3] = { 0.2, 0.125, 0.125 };
    static const int slab[5] = { 21, 49, 61, 49, 21 };
    int found[5] = { 0 };
    sf_border_element e;
    (void)state;
    tst_ok(sf_border_element_make(&e, shape, spacing, 0.5));
    assert_true(e.edge[0] == 5 && e.edge[1] == 9 && e.edge[2] == 9);
    assert_int_equal(e.count, 201);
    for (int k = 0; k < e.count; k++) found[e.offset[k][0] + 2]++;
    assert_memory_equal(found, slab, sizeof slab);
    sf_border_element_free(&e);
    /* one slice: a disk; 0.7 / 0.125 = 5.6 */
    static const int64_t flat[3] = { 1, 690, 628 };
    static const double coarse[3] = { 999, 0.125, 0.125 };
    tst_ok(sf_border_element_make(&e, flat, coarse, 0.7));
    assert_true(e.edge[0] == 1 && e.edge[1] == 13 && e.edge[2] == 13);
    for (int k = 0; k < e.count; k++) assert_int_equal(e.offset[k][0], 0);
    assert_in_range(e.count, 113, 149); /* pi 6^2 .. pi 6.9^2 */
    sf_border_element_free(&e);
    assert_int_equal(sf_border_element_make(&e, shape, spacing, 0.05), SF_EINVAL);
    assert_non_null(strstr(sf_error_text(), "half a voxel"));
    assert_int_equal(sf_border_element_make(&e, shape, spacing, 100), SF_EINVAL);
}

typedef struct {
    int64_t n[3], voxels;
    int32_t *object, *classes, *back;
} scene;

static scene new_scene(int64_t z, int64_t y, int64_t x)
{
    scene s = { .n = { z, y, x }, .voxels = z * y * x };
    s.object = test_calloc((size_t)s.voxels, sizeof *s.object);
    s.classes = test_calloc((size_t)s.voxels, sizeof *s.classes);
    s.back = test_calloc((size_t)s.voxels, sizeof *s.back);
    return s;
}

static void free_scene(scene *s)
{
    test_free(s->object);
    test_free(s->classes);
    test_free(s->back);
}

/** A ball of voxels; later ones do not overwrite. */
static void add_ball(scene *s, int id, double z, double y, double x, double r)
{
    for (int64_t i = 0; i < s->voxels; i++) {
        const double dz = (double)(i / (s->n[1] * s->n[2])) - z,
                     dy = (double)(i / s->n[2] % s->n[1]) - y, dx = (double)(i % s->n[2]) - x;
        if (s->object[i] == 0 && dz * dz + dy * dy + dx * dx <= r * r) s->object[i] = id;
    }
}

/** Dice of object `id` with the instance that covers most of it. */
static double agreement(const scene *s, int id, int count)
{
    double best = 0;
    for (int k = 1; k <= count; k++) {
        int64_t both = 0, a = 0, b = 0;
        for (int64_t i = 0; i < s->voxels; i++) {
            both += s->object[i] == id && s->back[i] == k;
            a += s->object[i] == id;
            b += s->back[i] == k;
        }
        const double dice = 2 * (double)both / (double)(a + b);
        if (dice > best) best = dice;
    }
    return best;
}

static int round_trip(scene *s, const double spacing[3], double border)
{
    const sf_instances_rule rule = { 30, 15 };
    sf_border_element e;
    int count = -1;
    tst_ok(sf_border_element_make(&e, s->n, spacing, border));
    tst_ok(sf_instances_to_classes(s->classes, s->object, s->n, &e, 2));
    sf_border_element_free(&e);
    tst_ok(sf_classes_to_instances(s->back, &count, s->classes, s->n, spacing, &rule));
    return count;
}

/** Objects apart come back voxel for voxel; objects that touch come apart again. */
static void comes_back(void **state)
{
    scene s = new_scene(24, 40, 44);
    (void)state;
    add_ball(&s, 70, 10, 10, 10, 8);
    add_ball(&s, 5, 12, 30, 34, 7);
    assert_int_equal(round_trip(&s, ISO, 2), 2);
    for (int64_t i = 0; i < s.voxels; i++) {
        const int32_t want = s.object[i] == 70 ? 1 : s.object[i] == 5 ? 2 : 0;
        assert_int_equal(s.back[i], want);
    }
    add_ball(&s, 9, 10, 10, 25, 8); /* overlaps both */
    assert_int_equal(round_trip(&s, ISO, 2), 3);
    const int id[3] = { 70, 5, 9 };
    for (int k = 0; k < 3; k++) assert_true(agreement(&s, id[k], 3) > 0.97);
    for (int64_t i = 0; i < s.voxels; i++) assert_int_equal(s.back[i] > 0, s.object[i] > 0);
    free_scene(&s);
}

/** A voxel is core when all of the element around it that lies in the image is the same object. */
static void border_by_definition(void **state)
{
    static const double spacing[3] = { 2, 1, 1 };
    scene s = new_scene(5, 9, 11);
    const sf_rng_key key = { .seed = 3, .scope = "instances" };
    sf_border_element e;
    sf_rng rng;
    (void)state;
    sf_rng_init(&rng, &key);
    for (int64_t i = 0; i < s.voxels; i++) s.object[i] = i % 11 < 5 ? 4 : 0;
    for (int k = 0; k < 6; k++) s.object[sf_rng_below(&rng, s.voxels)] = 2;
    tst_ok(sf_border_element_make(&e, s.n, spacing, 1.6));
    assert_true(e.edge[0] == 3 && e.edge[1] == 5);
    tst_ok(sf_instances_to_classes(s.classes, s.object, s.n, &e, 1));
    int cores = 0;
    for (int64_t i = 0; i < s.voxels; i++) {
        bool inner = true;
        for (int k = 0; k < e.count; k++) {
            const int64_t z = i / 99 + e.offset[k][0], y = i / 11 % 9 + e.offset[k][1],
                          x = i % 11 + e.offset[k][2];
            if (z < 0 || z >= 5 || y < 0 || y >= 9 || x < 0 || x >= 11) continue;
            inner = inner && s.object[(z * 9 + y) * 11 + x] == s.object[i];
        }
        assert_int_equal(s.classes[i], s.object[i] == 0 ? 0 : inner ? 1 : 2);
        cores += s.classes[i] == 1;
    }
    assert_true(cores > 0 && s.classes[0] <= 2);
    sf_border_element_free(&e);
    free_scene(&s);
}

static int split(scene *s, const double spacing[3], int64_t min_core, int64_t min_border)
{
    const sf_instances_rule rule = { min_core, min_border };
    int count = -1;
    tst_ok(sf_classes_to_instances(s->back, &count, s->classes, s->n, spacing, &rule));
    return count;
}

static void fill(scene *s, int64_t from, int64_t to, int32_t label)
{
    for (int64_t x = from; x < to; x++) s->classes[x] = label;
}

/** One line of voxels tells every rule. */
static void rules(void **state)
{
    scene s = new_scene(1, 1, 100);
    (void)state;
    fill(&s, 0, 5, 2); /* without core, 5 long */
    fill(&s, 10, 12, 2);
    fill(&s, 12, 17, 1); /* core of 5 */
    fill(&s, 17, 20, 2);
    fill(&s, 20, 26, 1); /* core of 6, touching */
    fill(&s, 40, 43, 1); /* core of 3 */
    assert_int_equal(split(&s, ISO, 3, 5), 3);
    assert_true(s.back[10] == 1 && s.back[16] == 1 && s.back[17] == 1);
    assert_true(s.back[18] == 2 && s.back[19] == 2 && s.back[25] == 2); /* the larger number wins */
    assert_true(s.back[0] == 3 && s.back[4] == 3 && s.back[5] == 0);
    assert_int_equal(s.back[41], 2); /* too small a core: border, reached by the nearest */
    assert_int_equal(split(&s, ISO, 2, 6), 3);
    assert_int_equal(s.back[0], 1); /* too short to stand alone */
    assert_int_equal(s.back[41], 3);
    assert_int_equal(split(&s, ISO, 0, 0), 3);
    /* no core at all: what is large enough stands alone, the rest is background */
    assert_int_equal(split(&s, ISO, 50, 4), 2);
    assert_true(s.back[0] == 1 && s.back[25] == 2 && s.back[41] == 0);
    assert_int_equal(split(&s, ISO, 50, 0), 0);
    s.classes[7] = 3;
    const sf_instances_rule rule = { 0, 0 };
    int count;
    assert_int_equal(sf_classes_to_instances(s.back, &count, s.classes, s.n, ISO, &rule), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "label 3"));
    free_scene(&s);
}

/** Growth is equal in mm: along an axis five times coarser one step in five. */
static void anisotropic(void **state)
{
    static const double spacing[3] = { 5, 1, 1 };
    scene s = new_scene(9, 41, 1);
    (void)state;
    for (int64_t i = 0; i < s.voxels; i++) s.classes[i] = 2;
    s.classes[4 * 41] = 1;      /* label 1, in the same column ... */
    s.classes[4 * 41 + 20] = 1; /* label 2, in the same slice as the voxel that is asked */
    assert_int_equal(split(&s, spacing, 0, 0), 2);
    assert_int_equal(s.back[4 * 41 + 9], 1);
    assert_int_equal(s.back[4 * 41 + 11], 2);
    assert_int_equal(s.back[8 * 41], 1); /* 20 mm along the column, against 20 + 20 */
    assert_int_equal(s.back[8 * 41 + 20], 2);
    free_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(element_of_d21),       cmocka_unit_test(comes_back),
        cmocka_unit_test(border_by_definition), cmocka_unit_test(rules),
        cmocka_unit_test(anisotropic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
