/* oracle/optimiser.h5, target_downscale.h5 and the schedule of facts.json. */
#include "base/json.h"
#include "tests/network/common.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PARAMS = 16 };

static void free_list(char **list, int count)
{
    for (int i = 0; i < count; i++) free(list[i]);
    free(list);
}

static float *read(tst_h5 *f, const char *group, const char *param, const char *what,
                   int64_t *count)
{
    char name[200];
    int ndim;
    int64_t dims[8];
    snprintf(name, sizeof name, "%s/%s/%s", group, param, what);
    float *v = tst_h5_f32(f, name, &ndim, dims);
    *count = 1;
    for (int d = 0; d < ndim; d++) *count *= dims[d];
    return v;
}

static void load_gradients(tst_h5 *f, const char *group, sf_params *p, int step)
{
    for (int i = 0; i < p->count; i++) {
        char what[32];
        int64_t n;
        snprintf(what, sizeof what, "grad%d", step);
        float *g = read(f, group, p->item[i].name, what, &n);
        memcpy(p->item[i].grad, g, (size_t)n * sizeof *g);
        free(g);
    }
}

static double compare_step(tst_h5 *f, const char *group, const sf_params *p, int step)
{
    double most = 0;
    for (int i = 0; i < p->count; i++) {
        char what[32];
        int64_t n;
        snprintf(what, sizeof what, "after%d", step);
        float *want = read(f, group, p->item[i].name, what, &n);
        most = fmax(most, tst_max_abs_diff(p->item[i].value, want, n));
        free(want);
    }
    return most;
}

static void load_start(tst_h5 *f, const char *group, sf_params *p, char **names)
{
    for (int i = 0; i < p->count; i++) {
        sf_param *q = &p->item[i];
        memset(q, 0, sizeof *q);
        snprintf(q->name, sizeof q->name, "%s", names[i]);
        q->value = read(f, group, names[i], "init", &q->count);
        q->grad = calloc((size_t)q->count, sizeof(float));
        q->velocity = calloc((size_t)q->count, sizeof(float));
        q->has_grad = true;
    }
}

static void check_sequence(tst_h5 *f, const char *group)
{
    sf_param item[MAX_PARAMS];
    sf_params p = { .item = item, .dtype = SF_F32 };
    char **names = tst_h5_list(f, group, &p.count);
    assert_in_range(p.count, 1, MAX_PARAMS);
    load_start(f, group, &p, names);
    sf_optim o = tst_optim();
    if (strcmp(group, "noclip") == 0) o.clip_norm = 0;
    double most = 0;
    for (int step = 0;; step++) {
        char attr[32];
        snprintf(attr, sizeof attr, "lr%d", step);
        if (!tst_h5_has_attr(f, group, attr)) break;
        const double lr = tst_h5_attr_num(f, group, attr);
        assert_true(fabs(sf_optim_lr(&o, step, 6) - lr) < 1e-15);
        load_gradients(f, group, &p, step);
        double norm;
        sf_optim_step(&o, lr, &p, 2, &norm);
        snprintf(attr, sizeof attr, "norm%d", step);
        const double want = tst_h5_attr_num(f, group, attr);
        if (want > 0) assert_true(fabs(norm - want) <= 1e-5 * want); /* 0: not recorded */
        most = fmax(most, compare_step(f, group, &p, step));
    }
    printf("    %-10s largest difference %.3e (limit 1e-06)\n", group, most);
    assert_true(most <= 1e-6);
    for (int i = 0; i < p.count; i++) {
        free(item[i].value);
        free(item[i].grad);
        free(item[i].velocity);
    }
    free_list(names, p.count);
}

static void sequences(void **state)
{
    (void)state;
    const char *path = tst_shared("oracle/optimiser.h5");
    if (!path) skip();
    tst_h5 *f = tst_h5_open(path);
    int count;
    char **groups = tst_h5_list(f, "/", &count);
    assert_true(count > 0);
    for (int i = 0; i < count; i++) check_sequence(f, groups[i]);
    free_list(groups, count);
    tst_h5_close(f);
}

static sf_shape shape_of(int ndim, const int64_t *dims)
{
    return (sf_shape){ 1, 1, ndim == 4 ? dims[1] : 1, dims[ndim - 2], dims[ndim - 1] };
}

static void check_targets(tst_h5 *f, const char *group)
{
    char name[64];
    int ndim;
    int64_t dims[8];
    snprintf(name, sizeof name, "%s/seg", group);
    int16_t *seg = tst_h5_i16(f, name, &ndim, dims);
    const sf_shape in = shape_of(ndim, dims);
    for (int level = 0;; level++) {
        snprintf(name, sizeof name, "%s/scaled%d", group, level);
        if (!tst_h5_has(f, name)) break;
        int16_t *want = tst_h5_i16(f, name, &ndim, dims);
        const sf_shape out = shape_of(ndim, dims);
        int16_t *got = malloc((size_t)sf_voxels(out) * sizeof *got);
        sf_target_downscale(seg, in, got, out);
        assert_memory_equal(got, want, (size_t)sf_voxels(out) * sizeof *got);
        free(got);
        free(want);
    }
    free(seg);
}

static void targets(void **state)
{
    (void)state;
    const char *path = tst_shared("oracle/target_downscale.h5");
    if (!path) skip();
    tst_h5 *f = tst_h5_open(path);
    int count;
    char **groups = tst_h5_list(f, "/", &count);
    assert_true(count > 0);
    for (int i = 0; i < count; i++) check_targets(f, groups[i]);
    free_list(groups, count);
    tst_h5_close(f);
}

static void schedule(void **state)
{
    (void)state;
    const char *path = tst_shared("oracle/facts.json"), *epochs;
    if (!path) skip();
    json_t *facts, *table, *list, *value;
    size_t i;
    tst_ok(sf_json_load(&facts, path));
    tst_ok(sf_json_get(&table, facts, "poly_lr", path));
    const sf_optim o = tst_optim();
    json_object_foreach(table, epochs, list)
    {
        const int64_t n = atoll(epochs);
        const bool all = (int64_t)json_array_size(list) == n;
        json_array_foreach(list, i, value)
        {
            /* long schedules hold every 50th epoch and the last */
            const int64_t epoch = all ? (int64_t)i : (int64_t)i * 50 < n ? (int64_t)i * 50 : n - 1;
            assert_true(fabs(sf_optim_lr(&o, epoch, n) - sf_json_num(value)) < 1e-15);
        }
    }
    json_decref(facts);
}

int main(void)
{
    if (!tst_shared("oracle")) tst_skip("no oracle");
    const struct CMUnitTest tests[] = { cmocka_unit_test(sequences), cmocka_unit_test(targets),
                                        cmocka_unit_test(schedule) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
