/* Golden vectors of nnunet-training.md section 15, to all printed digits, in double. */
#include "tests/network/common.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { BATCH = 2, D = 16, H = 8, W = 8, VOXELS = BATCH * D * H * W };

typedef struct {
    double sum[3], squares[3], first[2][3];
    double ce[2], dice_batch[2], dice_sample[3], total_batch, total_sample;
    double norm[4], loss[4];
    int64_t parameters;
} golden;

static const golden plain = {
    .sum = { -642.4662747821, 118.5396296959, 17.3930036469 },
    .squares = { 475.8641068486, 103.8237817466, 56.3462176059 },
    .first = { { -0.5809473797, -0.6204803437, -0.6116763713 },
               { 0.2345258005, 0.1789962151, 0.1649332014 } },
    .ce = { 1.1288768158, 1.1304833471 },
    .dice_batch = { -0.3504911656, -0.3313131194 },
    .dice_sample = { -0.3504910316, -0.3312960313, -0.2867148454 },
    .total_batch = 0.7853138427,
    .total_sample = 0.7853196281,
    .norm = { 0.1266432068, 0.1255568367, 0.1239595677, 0.1218626687 },
    .loss = { 0.7853138427, 0.7849959873, 0.7845293404, 0.7839237673 },
    .parameters = 55661,
};
static const golden resenc = {
    .sum = { 339.6849482023, -99.9777043242, -17.5099077677 },
    .squares = { 742.4127186633, 121.3702516831, 10.0599739583 },
    .first = { { 0.2735881486, 0.3488622093, 0.2801823916 },
               { -0.6332602209, -0.7510823995, -0.4264100778 } },
    .ce = { 1.1470714624, 1.1229742363 },
    .dice_batch = { -0.3074109996, -0.3354230423 },
    .dice_sample = { -0.3074091929, -0.3354194824, -0.3428626509 },
    .total_batch = 0.8222907065,
    .total_sample = 0.8222930977,
    .norm = { 0.2304603460, 0.2281233523, 0.2246665315, 0.2200836055 },
    .loss = { 0.8222907065, 0.8212390470, 0.8196998132, 0.8177110954 },
    .parameters = 78501,
};

static void close_to(double got, double want)
{
    if (!(fabs(got - want) <= 0.6e-10)) fail_msg("got %.12f, want %.10f", got, want);
}

static sf_network *make(sf_net_class net)
{
    const sf_arch arch = tst_small_arch(net);
    const sf_network_options o = { .arch = &arch,
                                   .in_channels = 1,
                                   .heads = 3,
                                   .batch = BATCH,
                                   .patch = { D, H, W },
                                   .dtype = SF_F64,
                                   .training = true,
                                   .deep_supervision = true,
                                   .threads = 2 };
    sf_network *n = NULL;
    tst_ok(sf_network_create(&n, &o));
    tst_fill_params(sf_network_params(n));
    return n;
}

static void fill_data(double *x, int16_t *labels)
{
    for (int i = 0; i < VOXELS; i++) {
        x[i] = sin(0.13 * i);
        labels[i] = (int16_t)((7 * i + i / 64 + i / 5 % 4) % 3);
    }
}

static void check_outputs(sf_network *n, const golden *g)
{
    assert_int_equal(sf_network_levels(n), 3);
    for (int level = 0; level < 3; level++) {
        sf_shape s;
        sf_network_level_shape(n, level, &s);
        const double *z = sf_network_logits(n, level);
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < s.n * s.c * sf_voxels(s); i++) {
            sum += z[i];
            squares += z[i] * z[i];
        }
        /* sums of thousands of terms: printed digits of a sum, not of one number */
        assert_true(fabs(sum - g->sum[level]) <= 1e-9);
        assert_true(fabs(squares - g->squares[level]) <= 1e-9);
        for (int i = 0; level < 2 && i < 3; i++) close_to(z[i], g->first[level][i]);
    }
}

static void check_losses(sf_network *n, const golden *g, const int16_t *labels, const sf_labels *l)
{
    sf_loss_report r;
    sf_loss_options o = tst_loss_options(l, true, BATCH);
    tst_ok(sf_loss_evaluate(n, labels, &o, false, &r));
    for (int i = 0; i < 2; i++) {
        close_to(r.ce[i], g->ce[i]);
        close_to(r.dice[i], g->dice_batch[i]);
    }
    close_to(r.total, g->total_batch);
    o.batch_dice = false;
    tst_ok(sf_loss_evaluate(n, labels, &o, false, &r));
    for (int i = 0; i < 3; i++) close_to(r.dice[i], g->dice_sample[i]);
    close_to(r.total, g->total_sample);
}

static void check_steps(sf_network *n, const golden *g, const double *x, const int16_t *labels,
                        const sf_labels *l)
{
    const sf_optim optim = tst_optim();
    const sf_loss_options o = tst_loss_options(l, true, BATCH);
    for (int step = 0; step < 4; step++) {
        sf_loss_report r;
        double norm;
        tst_ok(sf_network_forward(n, x, BATCH));
        tst_ok(sf_loss_evaluate(n, labels, &o, true, &r));
        tst_ok(sf_network_backward(n));
        close_to(r.total, g->loss[step]);
        sf_optim_step(&optim, 0.01, sf_network_params(n), 2, &norm);
        close_to(norm, g->norm[step]);
    }
}

static void check_network(sf_net_class net, const golden *g)
{
    double x[VOXELS];
    int16_t labels[VOXELS];
    tst_labels l;
    fill_data(x, labels);
    tst_labels_make(&l, 3);
    sf_network *n = make(net);
    assert_int_equal(sf_network_params(n)->total, g->parameters);
    tst_ok(sf_network_forward(n, x, BATCH));
    check_outputs(n, g);
    check_losses(n, g, labels, &l.labels);
    check_steps(n, g, x, labels, &l.labels);
    int without = 0;
    for (int i = 0; i < sf_network_params(n)->count; i++)
        without += !sf_network_params(n)->item[i].has_grad;
    assert_int_equal(without, 2);
    sf_network_destroy(&n);
    tst_labels_free(&l);
}

static void plain_network(void **state)
{
    (void)state;
    check_network(SF_NET_PLAIN, &plain);
}

static void residual_network(void **state)
{
    (void)state;
    check_network(SF_NET_RESENC, &resenc);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(plain_network),
                                        cmocka_unit_test(residual_network) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
