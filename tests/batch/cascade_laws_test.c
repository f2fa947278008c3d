/* The laws of the cascade's augmentations over many draws of our own generator, read off their
 * effects: which operation acted, with which radius, on which class; which component went. */
#include "base/mem.h"
#include "batch/cascade.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DRAWS = 6000, NX = 280, LINES = 9, COUNT = LINES * NX, CLASSES = 2 };
static const int64_t N[3] = { 3, 3, NX };

/* A class is a block of full lines with a hole in its middle, and a dot far away. What an operation
 * does shows in the length of the block, in the hole (closing fills it) and in the dot (opening
 * removes it). Elements of even size may shift a shape by a voxel. */
typedef struct {
    int from, to, dot;
} shape;
static const shape shapes[CLASSES] = { { 20, 80, 110 }, { 160, 220, 250 } };

static void draw_shapes(float *x)
{
    memset(x, 0, CLASSES * COUNT * sizeof *x);
    for (int k = 0; k < CLASSES; k++) {
        float *c = x + k * COUNT;
        for (int l = 0; l < LINES; l++)
            for (int i = shapes[k].from; i < shapes[k].to; i++) c[l * NX + i] = 1;
        c[4 * NX + (shapes[k].from + shapes[k].to) / 2] = 0;
        c[4 * NX + shapes[k].dot] = 1;
    }
}

typedef struct {
    bool changed;
    int op;     /* sf_binary_operation */
    int growth; /* of the block; less than 0 for erosion */
} effect;

static effect see(const float *after, const float *before, int k)
{
    const shape *s = &shapes[k];
    const float *c = after + k * COUNT;
    effect e = { .changed = memcmp(c, before + k * COUNT, COUNT * sizeof *c) != 0 };
    int first = s->from - 10, last = s->to + 10, dot = 0;
    while (first < s->to && !(c[first] > 0)) first++;
    while (last > first && !(c[last] > 0)) last--;
    for (int l = 0; l < LINES; l++)
        for (int i = -10; i <= 10; i++) dot += c[l * NX + s->dot + i] > 0;
    e.growth = last - first + 1 - (s->to - s->from);
    e.op = e.growth > 0 ? SF_DILATION : e.growth < 0 ? SF_EROSION : dot ? SF_CLOSING : SF_OPENING;
    if (e.changed && e.op == SF_CLOSING) assert_true(c[4 * NX + (s->from + s->to) / 2] > 0);
    return e;
}

static void near_probability(const char *what, int64_t hits, int64_t draws, double p)
{
    const double sigma = sqrt(p * (1 - p) * (double)draws);
    if (fabs((double)hits - p * (double)draws) > 5 * sigma)
        fail_msg("%s: %lld of %lld, expected p=%g", what, (long long)hits, (long long)draws, p);
}

static sf_sample_key key_of(int i)
{
    return (sf_sample_key){
        .seed = 3, .scope = "none/3d/0", .iteration = (uint32_t)(i / 2), .sample = (uint32_t)(i % 2)
    };
}

static void load(sf_cascade *c, const char *recipe)
{
    sf_recipe *r = NULL;
    tst_ok(sf_recipe_load(&r, recipe));
    tst_ok(sf_cascade_parse(c, r->augment));
    sf_recipe_destroy(&r);
}

static void check_operator(const char *recipe, double p_label)
{
    static float before[CLASSES * COUNT], x[CLASSES * COUNT];
    sf_workspace ws = { 0 };
    sf_cascade c;
    int any = 0, each[CLASSES] = { 0 }, both = 0, op[4] = { 0 }, growth[32] = { 0 }, acted = 0;
    load(&c, recipe);
    c.p_component = 0;
    draw_shapes(before);
    for (int i = 0; i < DRAWS; i++) {
        const sf_sample_key key = key_of(i);
        effect e[CLASSES];
        memcpy(x, before, sizeof x);
        tst_ok(sf_cascade_disturb(&c, &key, x, CLASSES, N, &ws));
        for (int k = 0; k < CLASSES; k++) {
            e[k] = see(x, before, k);
            each[k] += e[k].changed;
            if (!e[k].changed) continue;
            acted++;
            op[e[k].op]++;
            assert_in_range(abs(e[k].growth), 0, 16);
            if (e[k].growth) growth[abs(e[k].growth)]++;
        }
        any += e[0].changed || e[1].changed;
        both += e[0].changed && e[1].changed;
    }
    near_probability("a class", each[0], DRAWS, 0.4 * p_label);
    near_probability("a class", each[1], DRAWS, 0.4 * p_label);
    near_probability("both classes", both, DRAWS, 0.4 * p_label * p_label);
    near_probability("any class", any, DRAWS, 0.4 * (1 - (1 - p_label) * (1 - p_label)));
    for (int o = 0; o < 4; o++) near_probability("an operation", op[o], acted, 0.25);
    /* radius U(1, 8), m = floor(2 radius + 1) points: an odd m reaches m - 1 voxels, an even one,
       which has no point on the axis, m - 3: 1 to 14, all alike (rounding shifts a few by one) */
    for (int g = 1; g <= 14; g++)
        near_probability("a radius", growth[g], op[SF_DILATION] + op[SF_EROSION], 1.0 / 14);
    assert_int_equal(growth[15] + growth[16], 0);
    print_message("%s: %d of %d samples, operations %d %d %d %d\n", recipe, any, DRAWS, op[0],
                  op[1], op[2], op[3]);
    sf_workspace_clear(&ws);
}

/* Both recipes; the probability per class is that of v1 and of v2. */
static void test_operator(void **state)
{
    (void)state;
    check_operator("paper", 1.0);
    check_operator("nnunetv2", 0.5);
}

static void fill(float *x, int from, int length)
{
    for (int i = 0; i < length; i++) x[from + i] = 1;
}

static void check_component(const char *recipe, double p_label)
{
    static float before[COUNT], x[COUNT];
    static const int start[3] = { 2, 10, 20 };
    sf_workspace ws = { 0 };
    sf_cascade c;
    int gone[3] = { 0 }, changed = 0;
    load(&c, recipe);
    c.p_operator = 0;
    memset(before, 0, sizeof before);
    for (int i = 0; i < 3; i++) fill(before, start[i], 2 + i);
    /* exactly 15 % of the patch, so not below: it stays */
    for (int l = 0; l < LINES; l++) fill(before, l * NX + 60, NX * 15 / 100);
    for (int i = 0; i < DRAWS; i++) {
        const sf_sample_key key = key_of(i);
        memcpy(x, before, sizeof x);
        tst_ok(sf_cascade_disturb(&c, &key, x, 1, N, &ws));
        for (int k = 0; k < 3; k++) gone[k] += !(x[start[k]] > 0);
        changed += memcmp(x, before, sizeof x) != 0;
        assert_memory_equal(x + 50, before + 50, (NX - 50) * sizeof *x);
    }
    near_probability("component removal", changed, DRAWS, 0.2 * p_label);
    assert_int_equal(gone[0] + gone[1] + gone[2], changed); /* one at a time, and all of it */
    for (int k = 0; k < 3; k++) near_probability("a component", gone[k], changed, 1.0 / 3);
    sf_workspace_clear(&ws);
}

static void test_component(void **state)
{
    (void)state;
    check_component("paper", 1.0);
    check_component("nnunetv2", 0.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operator),
        cmocka_unit_test(test_component),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed + (sf_mem_live(SF_MEM_CATEGORIES) != 0);
}
