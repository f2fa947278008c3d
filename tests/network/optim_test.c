/* Optimiser by hand: Nesterov, decay, clipping, absent gradients, schedule. */
#include "tests/network/common.h"
#include <math.h>
#include <string.h>

static sf_param vector(const char *name, int64_t n, void *value, void *grad, void *velocity)
{
    sf_param p = { .kind = SF_PARAM_BIAS,
                   .ndim = 1,
                   .dim = { n },
                   .count = n,
                   .value = value,
                   .grad = grad,
                   .velocity = velocity,
                   .has_grad = true };
    strcpy(p.name, name);
    return p;
}

static void clipping(void **state)
{
    (void)state;
    float value[2] = { 0 }, grad[2] = { 30, 40 }, velocity[2] = { 0 };
    sf_param item[1] = { vector("a", 2, value, grad, velocity) };
    sf_params p = { .item = item, .count = 1, .dtype = SF_F32, .total = 2 };
    const sf_optim o = { .lr0 = 1, .momentum = 0, .decay = 0, .clip_norm = 12 };
    double norm;
    sf_optim_step(&o, 1.0, &p, 1, &norm);
    assert_true(norm == 50.0);
    assert_true(fabs((double)value[0] + 7.19999986) < 1e-6);
    assert_true(fabs((double)value[1] + 9.59999981) < 1e-6);
}

static void nesterov(void **state)
{
    (void)state;
    double value[1] = { 2 }, grad[1] = { 3 }, velocity[1] = { 99 }, p = 2, v = 0;
    sf_param item[2] = { vector("a", 1, value, grad, velocity) };
    double other[1] = { 5 }, unused[1] = { 1e9 }, still[1] = { 7 };
    item[1] = vector("b", 1, other, unused, still);
    item[1].has_grad = false;
    sf_params all = { .item = item, .count = 2, .dtype = SF_F64, .total = 2 };
    const sf_optim o = { .lr0 = 0.1, .momentum = 0.9, .decay = 0.01, .clip_norm = 0 };
    for (int step = 0; step < 3; step++) {
        const double g = 3 + 0.01 * p;
        v = step == 0 ? g : 0.9 * v + g;
        p -= 0.1 * (g + 0.9 * v);
        sf_optim_step(&o, 0.1, &all, 1, NULL);
        assert_true(fabs(value[0] - p) < 1e-14);
    }
    assert_true(other[0] == 5 && still[0] == 7); /* no gradient: untouched, not even decay */
    assert_true(!item[1].has_velocity && item[0].has_velocity);
    assert_true(sf_optim_grad_norm(&all, 1) == 3.0);
}

static void schedule(void **state)
{
    (void)state;
    const sf_optim o = tst_optim();
    assert_true(sf_optim_lr(&o, 0, 1000) == 0.01);
    assert_true(fabs(sf_optim_lr(&o, 999, 1000) - 1.995e-5) < 1e-8);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(clipping), cmocka_unit_test(nesterov),
                                        cmocka_unit_test(schedule) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
