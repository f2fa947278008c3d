/* Laws of the sampler that the stored vectors cannot show. */
#include "batch/sampler.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DRAWS = 6000 };

/* Three classes with 1, 900 and 0 locations, then five annotated voxels. */
typedef struct {
    sf_locations loc;
    int64_t count[4];
    int32_t (*row[4])[3];
    int32_t one[1][3], many[900][3], annotated[5][3];
} places;

static void make_places(places *p)
{
    memset(p, 0, sizeof *p);
    memcpy(p->one[0], (const int32_t[3]){ 5, 20, 30 }, sizeof p->one[0]);
    for (int i = 0; i < 900; i++) {
        memcpy(p->many[i], (const int32_t[3]){ 8, 10 + i / 30, 10 + i % 30 }, sizeof p->many[i]);
    }
    for (int i = 0; i < 5; i++) {
        memcpy(p->annotated[i], (const int32_t[3]){ 2, 25, 20 + i }, sizeof p->annotated[i]);
    }
    const int64_t count[4] = { 1, 900, 0, 5 };
    memcpy(p->count, count, sizeof count);
    p->row[0] = p->one;
    p->row[1] = p->many;
    p->row[3] = p->annotated;
    p->loc = (sf_locations){ .n_entries = 4, .count = p->count, .row = p->row };
}

static const int64_t IMAGE[3] = { 12, 50, 60 }, PATCH[3] = { 4, 16, 16 };

static void draw(int64_t start[3], uint32_t i, bool forced, const sf_locations *loc,
                 bool has_ignore)
{
    sf_rng rng;
    const sf_rng_key key = { .seed = 7, .scope = "test", .iteration = i, .purpose = SF_RNG_TEST };
    sf_rng_init(&rng, &key);
    sf_box_draw(start, &rng, forced, loc, 3, has_ignore, IMAGE, PATCH, PATCH);
}

static void within_5_sigma(int hits, int draws, double p)
{
    const double sigma = sqrt(p * (1 - p) * draws);
    if (fabs(hits - p * draws) > 5 * sigma) fail_msg("%d of %d, expected p=%g", hits, draws, p);
}

/* The class is drawn uniformly, however many locations it has; then a location of it. */
static void test_forced(void **state)
{
    (void)state;
    places p;
    make_places(&p);
    int first = 0, upper = 0;
    for (uint32_t i = 0; i < DRAWS; i++) {
        int64_t s[3];
        draw(s, i, true, &p.loc, true);
        const bool is_one = s[0] == 3 && s[1] == 12 && s[2] == 22;
        const bool is_many = s[0] == 6 && s[1] >= 2 && s[1] < 32 && s[2] >= 2 && s[2] < 32;
        assert_true(is_one || is_many);
        first += is_one;
        upper += is_many && s[1] < 17;
    }
    within_5_sigma(first, DRAWS, 0.5);
    within_5_sigma(upper, DRAWS, 0.25);
}

/* Corners are uniform over the whole inclusive range; no voxel class is preferred. */
static void test_random(void **state)
{
    (void)state;
    places p;
    make_places(&p);
    int hits[9] = { 0 };
    int64_t lo = 100, hi = -100;
    for (uint32_t i = 0; i < DRAWS; i++) {
        int64_t s[3];
        draw(s, i, false, &p.loc, false);
        assert_in_range(s[0], 0, 8);
        hits[s[0]]++;
        lo = s[2] < lo ? s[2] : lo;
        hi = s[2] > hi ? s[2] : hi;
    }
    for (int k = 0; k < 9; k++) within_5_sigma(hits[k], DRAWS, 1.0 / 9);
    assert_int_equal(lo, 0);
    assert_int_equal(hi, 44);
}

/* With an ignore label: unforced boxes are centred on annotated voxels, forced ones fall back. */
static void test_ignore(void **state)
{
    (void)state;
    places p;
    make_places(&p);
    for (uint32_t i = 0; i < 200; i++) {
        int64_t s[3];
        draw(s, i, false, &p.loc, true);
        assert_true(s[0] == 0 && s[1] == 17 && s[2] >= 12 && s[2] <= 16);
        p.count[0] = p.count[1] = 0;
        draw(s, i, true, &p.loc, true);
        assert_true(s[0] == 0 && s[1] == 17 && s[2] >= 12 && s[2] <= 16);
        p.count[3] = 0;
        draw(s, i, true, &p.loc, true);
        assert_in_range(s[1], 0, 34);
        make_places(&p);
    }
}

/* A 2-D patch takes the slice of the drawn voxel; small images have one start per axis. */
static void test_slices_and_small_images(void **state)
{
    (void)state;
    places p;
    make_places(&p);
    const int64_t image[3] = { 12, 50, 60 }, loaded[3] = { 1, 80, 80 }, patch[3] = { 1, 64, 64 };
    sf_rng rng;
    const sf_rng_key key = { .seed = 1, .purpose = SF_RNG_TEST };
    sf_rng_init(&rng, &key);
    for (int i = 0; i < 100; i++) {
        int64_t s[3];
        sf_box_draw(s, &rng, true, &p.loc, 3, false, image, loaded, patch);
        assert_true(s[0] == 5 || s[0] == 8);
        assert_true(s[1] >= -15 && s[1] <= 39 - 40); /* no clamp at the far end */
        if (s[0] == 5) assert_int_equal(s[1], -15);
        sf_box_draw(s, &rng, false, NULL, 0, false, image, loaded, patch);
        assert_in_range(s[0], 0, 11);
        assert_int_equal(s[1], -15);
        assert_int_equal(s[2], -10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forced),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_ignore),
        cmocka_unit_test(test_slices_and_small_images),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
