/* sf_preprocess_config: the container is the same for any number of ranks; one bad case stops all
 * ranks and leaves nothing. */
#include "base/mem.h"
#include "base/path.h"
#include "preprocess/pipeline.h"
#include "tests/support/support.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CASES = 7 };

typedef struct {
    char dir[SF_PATH_MAX];
    sf_recipe recipe;
    sf_plans plans;
    sf_config cfg;
    sf_norm_scheme norm[1];
    bool use_mask[1];
    sf_intensity stats[1];
    sf_dataset d;
    sf_case train[CASES];
    char id[CASES][16], image[CASES][SF_PATH_MAX], label[CASES][SF_PATH_MAX];
    char *images[CASES];
    int value[2];
} setup;

static void write_case(const setup *s, int i)
{
    const int64_t shape[3] = { 5 + i % 3, 9 + i, 8 + (3 * i) % 5 };
    const double spacing[3] = { 2.0, 1.0, 1.0 };
    const int64_t n = shape[0] * shape[1] * shape[2];
    sf_geometry geo;
    float *x = malloc((size_t)n * sizeof *x);
    int32_t *l = malloc((size_t)n * sizeof *l);
    for (int64_t v = 0; v < n; v++) {
        x[v] = (float)((v * (i + 3)) % 17);
        l[v] = (int32_t)(v / 20 % 3);
    }
    sf_geometry_make(&geo, SF_FORMAT_NIFTI, shape, spacing);
    tst_ok(sf_image_write(s->image[i], &geo, x));
    tst_ok(sf_label_write(s->label[i], &geo, l, 2));
    free(x);
    free(l);
}

static void make_plan(setup *s)
{
    s->recipe.prep.normalize_before_resample = true;
    s->recipe.prep.separate_z_threshold = 3;
    s->recipe.prep.min_locations = 50;
    s->recipe.prep.location_fraction = 0.01;
    s->cfg = (sf_config){ .name = "3d_fullres",
                          .dim = 3,
                          .norm = s->norm,
                          .use_mask = s->use_mask,
                          .spacing = { 1.5, 1.2, 1.0 },
                          .patch = { 8, 8, 8 },
                          .data = { .order = 3, .force_separate_z = -1 },
                          .seg = { .is_seg = true, .order = 1, .force_separate_z = -1 } };
    s->plans = (sf_plans){ .json = json_object(),
                           .transpose_forward = { 0, 1, 2 },
                           .transpose_backward = { 0, 1, 2 },
                           .intensity = s->stats,
                           .n_channels = 1,
                           .recipe = &s->recipe };
}

/* rank 0 writes the images; every rank describes them */
static void make(setup *s)
{
    memset(s, 0, sizeof *s);
    sf_comm *world = sf_comm_world();
    if (sf_comm_rank(world) == 0) snprintf(s->dir, sizeof s->dir, "%s", tst_tmp_dir());
    tst_ok(sf_comm_bcast(world, s->dir, sizeof s->dir, 0));
    make_plan(s);
    for (int i = 0; i < CASES; i++) {
        snprintf(s->id[i], sizeof s->id[i], "case%d", i);
        tst_ok(sf_path_format(s->image[i], "%s/case%d_0000.nii.gz", s->dir, i));
        tst_ok(sf_path_format(s->label[i], "%s/case%d.nii.gz", s->dir, i));
        s->images[i] = s->image[i];
        s->train[i] = (sf_case){
            .id = s->id[i], .images = &s->images[i], .n_images = 1, .label = s->label[i]
        };
        if (sf_comm_rank(world) == 0) write_case(s, i);
    }
    s->d = (sf_dataset){ .dir = s->dir, .name = "test", .train = s->train, .n_train = CASES };
    s->d.labels =
        (sf_labels){ .n_entries = 3, .n_heads = 3, .n_labels = 3, .ignore = -1, .n_eval = 2 };
    tst_ok(sf_mem_calloc(&s->d.labels.eval, 2, sizeof *s->d.labels.eval, SF_MEM_MISC));
    for (int e = 0; e < 2; e++) {
        s->value[e] = e + 1;
        s->d.labels.eval[e].count = 1;
        s->d.labels.eval[e].value = &s->value[e];
    }
    tst_ok(sf_comm_barrier(world));
}

static void destroy(setup *s)
{
    tst_ok(sf_comm_barrier(sf_comm_world()));
    sf_mem_free(s->d.labels.eval);
    json_decref(s->plans.json);
}

static void compare(const char *a, const char *b)
{
    sf_cases *x, *y;
    tst_ok(sf_cases_open(&x, a, true));
    tst_ok(sf_cases_open(&y, b, true));
    assert_int_equal(sf_cases_count(x), CASES);
    for (int i = 0; i < CASES; i++) {
        sf_case_view u, v;
        tst_ok(sf_cases_get(x, i, &u));
        tst_ok(sf_cases_get(y, i, &v));
        const size_t n = (size_t)(u.props.shape[0] * u.props.shape[1] * u.props.shape[2]);
        assert_string_equal(u.id, v.id);
        assert_memory_equal(&u.props, &v.props, sizeof u.props);
        assert_memory_equal(u.data, v.data, n * sizeof *u.data);
        assert_memory_equal(u.seg, v.seg, n * sizeof *u.seg);
        for (int e = 0; e < 2; e++) {
            assert_int_equal(u.loc->count[e], v.loc->count[e]);
            assert_memory_equal(u.loc->row[e], v.loc->row[e], (size_t)u.loc->count[e] * 12);
        }
    }
    sf_cases_close(&x);
    sf_cases_close(&y);
}

static void test_ranks(void **state)
{
    (void)state;
    static setup s;
    char all[SF_PATH_MAX], alone[SF_PATH_MAX];
    make(&s);
    tst_ok(sf_path_join(all, s.dir, "all.h5", NULL));
    tst_ok(sf_path_join(alone, s.dir, "alone.h5", NULL));
    tst_ok(sf_preprocess_config(sf_comm_world(), &s.d, &s.plans, &s.cfg, all, 1));
    if (sf_comm_rank(sf_comm_world()) == 0) {
        tst_ok(sf_preprocess_config(sf_comm_self(), &s.d, &s.plans, &s.cfg, alone, 2));
        compare(all, alone);
    }
    destroy(&s);
}

static void test_bad_case(void **state)
{
    (void)state;
    static setup s;
    char path[SF_PATH_MAX];
    make(&s);
    tst_ok(sf_path_join(path, s.dir, "bad.h5", NULL));
    const int64_t shape[3] = { 2, 2, 2 };
    const double spacing[3] = { 1, 1, 1 };
    const int32_t l[8] = { 0 };
    sf_geometry geo;
    sf_geometry_make(&geo, SF_FORMAT_NIFTI, shape, spacing);
    if (sf_comm_rank(sf_comm_world()) == 0) tst_ok(sf_label_write(s.label[2], &geo, l, 2));
    tst_ok(sf_comm_barrier(sf_comm_world()));
    const sf_status st = sf_preprocess_config(sf_comm_world(), &s.d, &s.plans, &s.cfg, path, 1);
    assert_true(st == SF_EDATA || st == SF_ECOMM);
    assert_non_null(strstr(sf_error_text(), "case2"));
    assert_false(sf_path_is_file(path));
    destroy(&s);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_bad_case),
    };
    if (sf_mpi_start(&argc, &argv) != SF_OK) return 1;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    sf_mpi_stop();
    return failed;
}
