/* The loader over a tiny container: same bits for any number of threads and after a seek, what a
 * validation patch holds, failures and shutdown. */
#include "base/hash.h"
#include "base/mem.h"
#include "base/path.h"
#include "batch/loader.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CASES = 4, CHANNELS = 2, ITERATIONS = 5, BATCHES = 7 };
static const char *const IDS[CASES] = { "case_a", "case_b", "case_c", "case_d" };

/* Voxel values that tell where they come from; two classes in blocks, -1 at one border. */
static sf_prepared *make_case(int k, int64_t depth)
{
    sf_prepared *p;
    tst_ok(sf_mem_calloc(&p, 1, sizeof *p, SF_MEM_MISC));
    tst_ok(sf_mem_strdup(&p->id, IDS[k]));
    const int64_t shape[3] = { depth, 30 + k, 26 };
    const int64_t count = shape[0] * shape[1] * shape[2];
    p->channels = CHANNELS;
    memcpy(p->props.shape, shape, sizeof shape);
    tst_ok(sf_mem_alloc(&p->data, (size_t)(CHANNELS * count), sizeof *p->data, SF_MEM_MISC));
    tst_ok(sf_mem_calloc(&p->seg, (size_t)count, sizeof *p->seg, SF_MEM_MISC));
    p->loc.n_entries = 2;
    tst_ok(sf_mem_calloc(&p->loc.count, 2, sizeof *p->loc.count, SF_MEM_MISC));
    tst_ok(sf_mem_calloc(&p->loc.row, 2, sizeof *p->loc.row, SF_MEM_MISC));
    for (int e = 0; e < 2; e++) {
        tst_ok(sf_mem_alloc(&p->loc.row[e], 8, sizeof *p->loc.row[e], SF_MEM_MISC));
    }
    for (int64_t i = 0; i < count; i++) {
        const int64_t z = i / (shape[1] * shape[2]), y = i / shape[2] % shape[1], x = i % shape[2];
        p->data[i] = 1000.0f * (float)(k + 1) + (float)(100 * z) + (float)y;
        p->data[count + i] = (float)x + 1.0f;
        p->seg[i] = (int16_t)(x < 2 ? -1 : (y / 6 + x / 7) % 3);
        const int e = p->seg[i] - 1;
        if (e >= 0 && p->loc.count[e] < 8) {
            const int32_t row[3] = { (int32_t)z, (int32_t)y, (int32_t)x };
            memcpy(p->loc.row[e][p->loc.count[e]++], row, sizeof row);
        }
    }
    return p;
}

static sf_cases *make_container(int64_t depth)
{
    char path[SF_PATH_MAX];
    static int number;
    sf_cases_writer *w;
    sf_cases *cases;
    tst_ok(sf_path_format(path, "%s/cases%d.h5", tst_tmp_dir(), number++));
    json_t *meta = json_object();
    tst_ok(sf_cases_create(&w, sf_comm_self(), path, meta));
    for (int k = 0; k < CASES; k++) {
        sf_prepared *p = make_case(k, depth);
        tst_ok(sf_cases_add_round(w, p));
        sf_prepared_destroy(&p);
    }
    tst_ok(sf_cases_finish(&w, true));
    tst_ok(sf_cases_open(&cases, path, true));
    json_decref(meta);
    return cases;
}

typedef struct {
    sf_cases *cases;
    sf_recipe *recipe;
    sf_labels labels;
    sf_config cfg;
    bool use_mask[CHANNELS];
} world;

static world *make_world(const char *recipe, int dim)
{
    world *w = calloc(1, sizeof *w);
    w->cases = make_container(dim == 2 ? 3 : 20);
    tst_ok(sf_recipe_load(&w->recipe, recipe));
    w->labels.n_eval = 2;
    w->labels.ignore = -1;
    w->use_mask[0] = true;
    w->cfg =
        (sf_config){ .dim = dim, .patch = { dim == 2 ? 1 : 12, 16, 14 }, .use_mask = w->use_mask };
    return w;
}

static void free_world(world *w)
{
    sf_cases_close(&w->cases);
    sf_recipe_destroy(&w->recipe);
    free(w);
}

static sf_loader_options options_of(const world *w)
{
    const sf_loader_options o = { .cases = w->cases,
                                  .ids = IDS,
                                  .n_ids = CASES,
                                  .cfg = &w->cfg,
                                  .recipe = w->recipe,
                                  .labels = &w->labels,
                                  .key = { .seed = 3, .config = "3d_fullres", .fold = 0 },
                                  .batch = 3,
                                  .count = 3,
                                  .training = true,
                                  .mirror = true,
                                  .depth = 2 };
    return o;
}

static int64_t patch_voxels(const world *w)
{
    return w->cfg.patch[0] * w->cfg.patch[1] * w->cfg.patch[2];
}

static void hash_batch(char hex[65], const sf_batch *b, int64_t voxels)
{
    sf_sha256 h;
    sf_sha256_begin(&h);
    sf_sha256_add(&h, b->data, (size_t)(b->count * CHANNELS * voxels) * sizeof *b->data);
    sf_sha256_add(&h, b->seg, (size_t)(b->count * voxels) * sizeof *b->seg);
    sf_sha256_add(&h, b->case_index, (size_t)b->count * sizeof *b->case_index);
    sf_sha256_end(&h, hex);
}

/* BATCHES batches from (epoch, iteration); order and counters checked. */
static void run(char hex[BATCHES][65], const world *w, const sf_loader_options *o, int64_t epoch,
                int64_t iteration)
{
    sf_loader *l;
    sf_prof prof;
    memset(&prof, 0, sizeof prof);
    tst_ok(sf_loader_create(&l, o));
    tst_ok(sf_loader_seek(l, epoch, iteration, ITERATIONS));
    for (int i = 0; i < BATCHES; i++) {
        const sf_batch *b;
        tst_ok(sf_loader_next(l, &b, &prof));
        assert_int_equal(b->epoch, epoch + (iteration + i) / ITERATIONS);
        assert_int_equal(b->iteration, (iteration + i) % ITERATIONS);
        assert_int_equal(b->count, o->count);
        hash_batch(hex[i], b, patch_voxels(w));
    }
    assert_int_equal(prof.ev[o->threads ? SF_EV_WAIT : SF_EV_AUGMENT].calls, BATCHES);
    sf_loader_destroy(&l);
}

static void check_threads(const char *recipe, int dim)
{
    world *w = make_world(recipe, dim);
    sf_loader_options o = options_of(w);
    char want[BATCHES][65], got[BATCHES][65];
    run(want, w, &o, 1, 3);
    assert_string_not_equal(want[0], want[1]);
    for (o.threads = 1; o.threads <= 3; o.threads += 2) {
        for (o.depth = 1; o.depth <= 3; o.depth += 2) {
            run(got, w, &o, 1, 3);
            assert_memory_equal(got, want, sizeof want);
        }
    }
    o.key.seed = 4;
    run(got, w, &o, 1, 3);
    assert_memory_not_equal(got, want, sizeof want);
    free_world(w);
}

static void test_same_bits_for_any_threads(void **state)
{
    (void)state;
    check_threads("paper", 3);
    check_threads("nnunetv2", 3);
    check_threads("paper", 2);
    check_threads("nnunetv2", 2);
}

/* A resumed run sees what the uninterrupted one saw, also when the ring was full of other batches.
 */
static void test_seek(void **state)
{
    (void)state;
    world *w = make_world("paper", 3);
    sf_loader_options o = options_of(w);
    o.threads = 2;
    char all[BATCHES][65], hex[65];
    run(all, w, &o, 0, 0);
    sf_loader *l;
    const sf_batch *b;
    tst_ok(sf_loader_create(&l, &o));
    tst_ok(sf_loader_seek(l, 7, 0, ITERATIONS));
    tst_ok(sf_loader_next(l, &b, NULL));
    static const int places[] = { 4, 0, 6, 2 };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        tst_ok(sf_loader_seek(l, places[i] / ITERATIONS, places[i] % ITERATIONS, ITERATIONS));
        for (int k = places[i]; k < BATCHES; k++) {
            tst_ok(sf_loader_next(l, &b, NULL));
            hash_batch(hex, b, patch_voxels(w));
            assert_string_equal(hex, all[k]);
        }
    }
    sf_loader_destroy(&l);
    free_world(w);
}

/* A seek to the batch that comes next keeps what the workers have made: the ring goes on with its
 * second place. Any other seek begins with the first place again. */
static void test_seek_to_the_next(void **state)
{
    (void)state;
    world *w = make_world("paper", 3);
    sf_loader_options o = options_of(w);
    sf_loader *l;
    const sf_batch *first, *b;
    o.threads = 2;
    tst_ok(sf_loader_create(&l, &o));
    tst_ok(sf_loader_seek(l, 0, ITERATIONS - 1, ITERATIONS));
    tst_ok(sf_loader_next(l, &first, NULL));
    tst_ok(sf_loader_seek(l, 1, 0, ITERATIONS));
    tst_ok(sf_loader_next(l, &b, NULL));
    assert_ptr_not_equal(b, first);
    assert_int_equal(b->epoch, 1);
    assert_int_equal(b->iteration, 0);
    tst_ok(sf_loader_seek(l, 1, 0, ITERATIONS)); /* the same again */
    tst_ok(sf_loader_next(l, &b, NULL));
    assert_ptr_equal(b, first);
    assert_int_equal(b->epoch, 1);
    sf_loader_destroy(&l);
    free_world(w);
}

/* Two ranks with a part of the batch each see together what one rank sees; sf_loader_sample too. */
static void test_ranks_share_a_batch(void **state)
{
    (void)state;
    world *w = make_world("nnunetv2", 3);
    sf_loader_options o = options_of(w);
    sf_loader *whole, *part;
    const sf_batch *a, *b;
    const size_t voxels = (size_t)patch_voxels(w);
    tst_ok(sf_loader_create(&whole, &o));
    o.first = 1;
    o.count = 2;
    tst_ok(sf_loader_create(&part, &o));
    tst_ok(sf_loader_seek(whole, 2, 0, ITERATIONS));
    tst_ok(sf_loader_seek(part, 2, 0, ITERATIONS));
    float *data = malloc(CHANNELS * voxels * sizeof *data);
    int16_t *seg = malloc(voxels * sizeof *seg);
    for (int i = 0; i < ITERATIONS; i++) {
        tst_ok(sf_loader_next(whole, &a, NULL));
        tst_ok(sf_loader_next(part, &b, NULL));
        assert_memory_equal(a->data + CHANNELS * voxels, b->data,
                            2 * CHANNELS * voxels * sizeof *data);
        assert_memory_equal(a->seg + voxels, b->seg, 2 * voxels * sizeof *seg);
        int drawn;
        tst_ok(sf_loader_sample(part, 2, i, 0, data, seg, &drawn));
        assert_int_equal(drawn, a->case_index[0]);
        assert_memory_equal(a->data, data, CHANNELS * voxels * sizeof *data);
        assert_memory_equal(a->seg, seg, voxels * sizeof *seg);
    }
    free(data);
    free(seg);
    sf_loader_destroy(&whole);
    sf_loader_destroy(&part);
    free_world(w);
}

/* A validation patch is a box of the case, padded with 0; channel values tell the position. */
static int check_validation_sample(const world *w, const float *data, const int16_t *seg, int c)
{
    const int64_t n = patch_voxels(w), *p = w->cfg.patch;
    int inside = 0, foreground = 0;
    for (int64_t i = 0; i < n; i++) {
        foreground += seg[i] > 0;
        assert_true(seg[i] >= 0);
        if (data[n + i] == 0.0f) {
            assert_true(data[i] == 0.0f && seg[i] == 0);
            continue;
        }
        inside++;
        const int64_t x = (int64_t)data[n + i] - 1, zy = (int64_t)data[i] - 1000 * (c + 1);
        const int64_t y = zy % 100;
        assert_true(zy >= 0 && zy / 100 < 20 && y < 30 + c && x < 26);
        assert_int_equal(seg[i], x < 2 ? 0 : (y / 6 + x / 7) % 3);
        if (i % p[2] > 0 && data[n + i - 1] > 0.0f)
            assert_true(data[n + i] == data[n + i - 1] + 1.0f);
    }
    assert_true(inside > 0);
    return foreground;
}

static void test_validation(void **state)
{
    (void)state;
    world *w = make_world("paper", 3);
    sf_loader_options o = options_of(w);
    o.training = false;
    o.batch = o.count = 2;
    o.threads = 1;
    sf_loader *l;
    const sf_batch *b;
    bool seen[CASES] = { false };
    tst_ok(sf_loader_create(&l, &o));
    tst_ok(sf_loader_seek(l, 0, 0, 40));
    for (int i = 0; i < 40; i++) {
        tst_ok(sf_loader_next(l, &b, NULL));
        for (int s = 0; s < 2; s++) {
            const int64_t n = patch_voxels(w);
            seen[b->case_index[s]] = true;
            const int foreground = check_validation_sample(w, b->data + s * CHANNELS * n,
                                                           b->seg + s * n, b->case_index[s]);
            if (s == 1) assert_true(foreground > 0); /* the forced sample */
        }
    }
    for (int k = 0; k < CASES; k++) assert_true(seen[k]);
    sf_loader_destroy(&l);
    free_world(w);
}

/* Without augmentation (an ablation) a training patch is a plain box too, of its own draws. */
static void test_no_augmentation(void **state)
{
    (void)state;
    world *w = make_world("nnunetv2", 3);
    json_object_set_new(w->recipe->augment, "enabled", json_false());
    sf_loader_options o = options_of(w);
    sf_loader *l;
    const sf_batch *b;
    tst_ok(sf_loader_create(&l, &o));
    tst_ok(sf_loader_seek(l, 0, 0, 10));
    for (int i = 0; i < 10; i++) {
        tst_ok(sf_loader_next(l, &b, NULL));
        for (int s = 0; s < 3; s++) {
            const int64_t n = patch_voxels(w);
            check_validation_sample(w, b->data + s * CHANNELS * n, b->seg + s * n,
                                    b->case_index[s]);
        }
    }
    sf_loader_destroy(&l);
    free_world(w);
}

/* Augmented patches: finite, labels known, 0 where masked, and really changed now and then. */
static void test_augmented_content(void **state)
{
    (void)state;
    world *w = make_world("paper", 3);
    sf_loader_options o = options_of(w);
    o.threads = 2;
    sf_loader *l;
    const sf_batch *b;
    int changed = 0;
    tst_ok(sf_loader_create(&l, &o));
    tst_ok(sf_loader_seek(l, 0, 0, 30));
    for (int i = 0; i < 30; i++) {
        tst_ok(sf_loader_next(l, &b, NULL));
        const int64_t n = patch_voxels(w);
        for (int64_t k = 0; k < 3 * CHANNELS * n; k++) assert_true(isfinite(b->data[k]));
        for (int64_t k = 0; k < 3 * n; k++) assert_in_range(b->seg[k], 0, 2);
        for (int s = 0; s < 3; s++) {
            const float *x = b->data + (s * CHANNELS + 1) * n;
            bool whole = true;
            for (int64_t k = 0; k < n; k++) whole = whole && x[k] == floorf(x[k]);
            changed += !whole;
        }
    }
    assert_in_range(changed, 30, 89);
    sf_loader_destroy(&l);
    free_world(w);
}

static void test_errors(void **state)
{
    (void)state;
    world *w = make_world("paper", 3);
    sf_loader *l;
    sf_loader_options o = options_of(w);
    const sf_batch *b;
    static const char *const strangers[] = { "case_a", "case_x" };
    o.ids = strangers;
    o.n_ids = 2;
    assert_int_equal(sf_loader_create(&l, &o), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "case_x"));
    o = options_of(w);
    o.first = 2;
    assert_int_equal(sf_loader_create(&l, &o), SF_EINVAL);
    o = options_of(w);
    json_object_del(json_object_get(w->recipe->augment, "blur"), "p_channel");
    assert_int_equal(sf_loader_create(&l, &o), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "p_channel"));
    o.training = false;
    tst_ok(sf_loader_create(&l, &o));
    assert_int_equal(sf_loader_next(l, &b, NULL), SF_EINVAL); /* before a seek */
    assert_int_equal(sf_loader_seek(l, 0, 0, 0), SF_EINVAL);
    sf_loader_destroy(&l);
    sf_loader_destroy(&l);
    free_world(w);
}

/* A worker's failure (here: a patch that shows a larger volume than any) comes out of next, with
 * its text, every time; the loader can still seek and end. */
static void test_worker_failure(void **state)
{
    (void)state;
    world *w = make_world("paper", 3);
    json_t *setup = json_object_get(w->recipe->augment, "setup");
    json_object_set_new(setup, "initial_patch_divisor", json_real(1e-4));
    json_t *spatial = json_object_get(w->recipe->augment, "spatial");
    json_object_set_new(spatial, "p_scaling", json_real(1.0));
    json_object_set_new(spatial, "law", json_string("uniform"));
    json_object_set_new(spatial, "range", json_pack("[f,f]", 9999.0, 10000.0));
    for (int threads = 0; threads <= 2; threads++) {
        sf_loader_options o = options_of(w);
        sf_loader *l;
        const sf_batch *b;
        o.threads = threads;
        tst_ok(sf_loader_create(&l, &o));
        for (int round = 0; round < 2; round++) {
            tst_ok(sf_loader_seek(l, 0, 0, 10));
            for (int i = 0; i < 4; i++) {
                sf_error_clear();
                assert_int_equal(sf_loader_next(l, &b, NULL), SF_EUNSUPPORTED);
                assert_null(b);
                assert_true(sf_error_text()[0] != 0);
            }
        }
        sf_loader_destroy(&l);
    }
    free_world(w);
}

/* A rank without samples gets empty batches; a loader that is never read ends cleanly. */
static void test_empty_share_and_early_end(void **state)
{
    (void)state;
    world *w = make_world("paper", 3);
    sf_loader_options o = options_of(w);
    sf_loader *l;
    const sf_batch *b;
    o.threads = 2;
    o.first = 3;
    o.count = 0;
    tst_ok(sf_loader_create(&l, &o));
    tst_ok(sf_loader_seek(l, 0, 0, 2));
    for (int i = 0; i < 5; i++) {
        tst_ok(sf_loader_next(l, &b, NULL));
        assert_int_equal(b->count, 0);
        assert_int_equal(b->epoch, i / 2);
    }
    sf_loader_destroy(&l);
    o = options_of(w);
    o.threads = 3;
    tst_ok(sf_loader_create(&l, &o));
    tst_ok(sf_loader_seek(l, 0, 0, 100));
    sf_loader_destroy(&l);
    free_world(w);
}

/* ---- cascade ---- */

enum { CLASSES = 2, ALL_CHANNELS = CHANNELS + CLASSES };

/* The labels themselves as those of the previous stage: what moves a patch must move both alike. */
static void own_labels(const int16_t *previous[CASES], const world *w)
{
    for (int k = 0; k < CASES; k++) {
        sf_case_view v;
        tst_ok(sf_cases_get(w->cases, sf_cases_index(w->cases, IDS[k]), &v));
        previous[k] = v.seg;
    }
}

/* Previous labels as channels: 0 or 1, never two labels in one voxel.
 * @return voxels where they differ from the labels of the patch */
static int64_t check_one_hot(const float *one_hot, const int16_t *seg, int64_t n)
{
    int64_t different = 0;
    for (int64_t i = 0; i < n; i++) {
        const float a = one_hot[i], b = one_hot[n + i];
        assert_true((a == 0 || a == 1) && (b == 0 || b == 1) && a + b < 2);
        different += (a == 1 ? 1 : b == 1 ? 2 : 0) != seg[i];
    }
    return different;
}

/* Ten batches with and without previous labels: image, labels and cases have the same bits.
 * @return voxels of the one-hot channels that differ from the labels */
static int64_t compare_with_plain(const world *w, bool training)
{
    const int16_t *previous[CASES];
    own_labels(previous, w);
    sf_loader_options o = options_of(w);
    sf_loader *plain, *cascade;
    const sf_batch *a, *b;
    const int64_t n = patch_voxels(w);
    int64_t different = 0;
    o.training = training;
    tst_ok(sf_loader_create(&plain, &o));
    o.previous = previous;
    o.threads = 2;
    tst_ok(sf_loader_create(&cascade, &o));
    memset(previous, 0, sizeof previous); /* only the labels are borrowed, not the list */
    tst_ok(sf_loader_seek(plain, 1, 0, 20));
    tst_ok(sf_loader_seek(cascade, 1, 0, 20));
    for (int i = 0; i < 20; i++) {
        tst_ok(sf_loader_next(plain, &a, NULL));
        tst_ok(sf_loader_next(cascade, &b, NULL));
        assert_memory_equal(a->seg, b->seg, (size_t)(a->count * n) * sizeof *a->seg);
        for (int64_t s = 0; s < a->count; s++) {
            const float *x = b->data + s * ALL_CHANNELS * n;
            assert_int_equal(a->case_index[s], b->case_index[s]);
            assert_memory_equal(a->data + s * CHANNELS * n, x, (size_t)(CHANNELS * n) * sizeof *x);
            different += check_one_hot(x + CHANNELS * n, b->seg + s * n, n);
        }
    }
    sf_loader_destroy(&plain);
    sf_loader_destroy(&cascade);
    return different;
}

static void set_probability(world *w, const char *row, double p)
{
    json_object_set_new(json_object_get(w->recipe->augment, row), "p", json_real(p));
}

static void check_cascade(const char *recipe)
{
    world *w = make_world(recipe, 3);
    w->labels.n_labels = 1 + CLASSES;
    assert_int_equal(compare_with_plain(w, false), 0);
    assert_true(compare_with_plain(w, true) > 0);
    set_probability(w, "binary_operator", 0);
    set_probability(w, "remove_component", 0);
    assert_int_equal(compare_with_plain(w, true), 0);
    set_probability(w, "binary_operator", 1);
    assert_true(compare_with_plain(w, true) > 0);
    json_object_set_new(w->recipe->augment, "enabled", json_false());
    assert_int_equal(compare_with_plain(w, true), 0);
    free_world(w);
}

static void test_cascade(void **state)
{
    (void)state;
    check_cascade("paper");
    check_cascade("nnunetv2");
}

static void test_cascade_errors(void **state)
{
    (void)state;
    world *w = make_world("paper", 3);
    const int16_t *previous[CASES];
    sf_loader_options o = options_of(w);
    sf_loader *l;
    own_labels(previous, w);
    o.previous = previous;
    w->labels.n_labels = 1;
    assert_int_equal(sf_loader_create(&l, &o), SF_EINVAL);
    w->labels.n_labels = 1 + CLASSES;
    previous[2] = NULL;
    assert_int_equal(sf_loader_create(&l, &o), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "case_c"));
    own_labels(previous, w);
    json_object_del(w->recipe->augment, "remove_component");
    assert_int_equal(sf_loader_create(&l, &o), SF_EDATA);
    assert_non_null(strstr(sf_error_text(), "remove_component"));
    free_world(w);
}

int main(int argc, char **argv)
{
    if (sf_mpi_start(&argc, &argv) != SF_OK) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits_for_any_threads),
        cmocka_unit_test(test_seek),
        cmocka_unit_test(test_seek_to_the_next),
        cmocka_unit_test(test_ranks_share_a_batch),
        cmocka_unit_test(test_validation),
        cmocka_unit_test(test_no_augmentation),
        cmocka_unit_test(test_augmented_content),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_worker_failure),
        cmocka_unit_test(test_empty_share_and_early_end),
        cmocka_unit_test(test_cascade),
        cmocka_unit_test(test_cascade_errors),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (sf_mem_live(SF_MEM_CATEGORIES) != 0) {
        fprintf(stderr, "%lld bytes still allocated\n", (long long)sf_mem_live(SF_MEM_CATEGORIES));
        failed++;
    }
    sf_mpi_stop();
    return failed;
}
