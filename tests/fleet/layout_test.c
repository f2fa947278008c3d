/** Layouts: what --layout accepts, and what the cost model chooses. */
#include "base/mem.h"
#include "fleet/cost.h"
#include "tests/support/support.h"
#include "train/group.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST = 64 };

static void parsed(const char *text, int ranks, const char *want)
{
    int sizes[MOST], n;
    char got[64];
    tst_ok(sf_layout_parse(sizes, &n, text, ranks));
    sf_layout_text(got, sizes, n);
    assert_string_equal(got, want);
}

static void refused(const char *text, int ranks, const char *word)
{
    int sizes[MOST], n;
    assert_int_equal(sf_layout_parse(sizes, &n, text, ranks), SF_EINVAL);
    if (!strstr(sf_error_text(), word)) fail_msg("no '%s' in: %s", word, sf_error_text());
}

static void words(void **state)
{
    (void)state;
    parsed("2x3", 6, "2x3");
    parsed("1x4,2x2", 8, "1x4,2x2");
    parsed("1x1,1x1,2x1", 4, "4x1");
    refused("2x3", 8, "for 6 ranks, but there are 8");
    refused("2x4", 4, "for 8 ranks, but there are 4");
    refused("900000000x900000000", 4, "ranks");
    const char *const bad[] = { "", "2", "2x", "x2", "0x4", "4x0", "2x2,", "-1x4", "2x2 ", "2*2" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) refused(bad[i], 4, "like 2x3");
}

static void chosen(const sf_sched_task *tasks, const sf_layout_task *costs, int n, int ranks,
                   const char *want)
{
    int sizes[MOST], groups, sum = 0;
    char got[64];
    tst_ok(sf_layout_auto(sizes, &groups, tasks, costs, n, ranks));
    for (int i = 0; i < groups; i++) sum += sizes[i];
    assert_int_equal(sum, ranks);
    sf_layout_text(got, sizes, groups);
    if (strcmp(got, want) != 0) fail_msg("%d tasks, %d ranks: %s, not %s", n, ranks, got, want);
}

static void by_cost(void **state)
{
    (void)state;
    sf_sched_task t[10];
    sf_layout_task c[10];
    memset(t, 0, sizeof t);
    for (int i = 0; i < 10; i++) {
        c[i] = (sf_layout_task){ .work = 10, .batch = 2, .slabs = 1 };
        t[i].cost = 10;
    }
    chosen(t, c, 10, 1, "1x1");
    chosen(t, c, 10, 5, "5x1"); /* two rounds each; sharing would only cost */
    chosen(t, c, 10, 10, "10x1");
    chosen(t, c, 5, 10, "5x2");
    chosen(t, c, 5, 4, "2x2"); /* 2.5 rounds of half the length instead of 2 whole */
    chosen(t, c, 3, 8, "4x2"); /* no more than the batch */
    chosen(t, c, 0, 4, "4x1");
    for (int i = 0; i < 5; i++) t[i].done = true;
    chosen(t, c, 10, 10, "5x2"); /* what is done does not count */
    for (int i = 0; i < 5; i++) t[i].done = false;
    /* one long task beside short ones */
    c[0] = (sf_layout_task){ .work = 40, .batch = 4, .slabs = 1 };
    t[0].cost = 40;
    chosen(t, c, 3, 6, "1x4,1x2");
    /* all wait for the first: it gets what it can use */
    const int first = 0;
    c[0].work = 100;
    for (int i = 1; i < 5; i++) t[i].needs = &first, t[i].n_needs = 1;
    chosen(t, c, 5, 4, "1x4");
    c[0] = (sf_layout_task){ .work = 10, .batch = 2, .slabs = 4 };
    chosen(t, c, 1, 8, "1x8");
    c[0].thin[3] = c[0].thin[4] = 0.5; /* redundant work: four ranks are faster than eight */
    chosen(t, c, 1, 8, "2x4");
    assert_int_equal(sf_mem_live(SF_MEM_CATEGORIES), 0);
}

static void times(void **state)
{
    (void)state;
    const sf_layout_task t = { .work = 12, .batch = 4, .slabs = 1 };
    assert_true(sf_layout_time(&t, 1) == 12);
    assert_true(fabs(sf_layout_time(&t, 2) - 6 * 1.02) < 1e-12);
    assert_true(fabs(sf_layout_time(&t, 3) - 6 * 1.04) < 1e-12); /* two samples on one rank */
    assert_true(fabs(sf_layout_time(&t, 9) - sf_layout_time(&t, 4)) < 1e-12);
    const sf_layout_task cut = {
        .work = 10, .batch = 2, .slabs = 3, .thin = { [2] = 0.2, [3] = 0.9 }
    };
    assert_true(fabs(sf_layout_time(&cut, 3) - 5 * 1.04) < 1e-12); /* one sample has one rank */
    assert_true(fabs(sf_layout_time(&cut, 4) - 5 * 0.6 * 1.06) < 1e-12);
    /* three slabs are slower than two, and the slower sample counts */
    assert_true(fabs(sf_layout_time(&cut, 5) - 5 * (0.9 + 0.1 / 3) * 1.08) < 1e-12);
    assert_true(fabs(sf_layout_time(&cut, 8) - sf_layout_time(&cut, 6)) < 1e-12);
    /* who joins a running training: nobody where a third rank would have nothing to do */
    assert_int_equal(sf_layout_grow(&t, 1, 1), 2);
    assert_int_equal(sf_layout_grow(&t, 1, 2), 2);
    assert_int_equal(sf_layout_grow(&t, 2, 1), 2);
    assert_int_equal(sf_layout_grow(&t, 2, 5), 4);
    assert_int_equal(sf_layout_grow(&t, 4, 3), 4);
    assert_int_equal(sf_layout_grow(&t, 2, 0), 2);
}

/* A patch of 64 cubed and five stages, as ResEncL plans it where residual. */
static sf_config config_of(sf_net_class net)
{
    static const int blocks[] = { 1, 3, 4, 6, 6 };
    sf_config c = { .dim = 3,
                    .patch = { 64, 64, 64 },
                    .arch = { .net = net, .dim = 3, .n_stages = 5, .eps = 1e-5, .slope = 0.01 } };
    for (int s = 0; s < 5; s++) {
        c.arch.features[s] = s < 4 ? 32 << s : 320;
        c.arch.blocks[s] = net == SF_NET_RESENC ? blocks[s] : 2;
        c.arch.decoder_convs[s] = net == SF_NET_RESENC ? 1 : 2;
        for (int a = 0; a < 3; a++) {
            c.arch.kernel[s][a] = 3;
            c.arch.stride[s][a] = s > 0 ? 2 : 1;
        }
    }
    return c;
}

static void same_share(const sf_layout_task *t, int ranks, double want)
{
    const double share = sf_layout_time(t, ranks) / t->work / (1 + 0.02 * (ranks - 1));
    if (fabs(share / want - 1) > 0.25)
        fail_msg("%d ranks: %.3f of the work, not %.3f", ranks, share, want);
}

/* Two samples: slabs of 4 and 8 share the work, 16 split fewer resolutions. docs/scaling.md, plan
 * b: GFLOP of the busiest rank, counted by the network. */
static void slabs_of_a_plan(void **state)
{
    (void)state;
    static const struct {
        int ranks;
        double share;
    } counted[] = { { 1, 708 }, { 2, 354 }, { 4, 215 }, { 8, 145 }, { 16, 110 }, { 32, 186 } };
    const sf_config c = config_of(SF_NET_PLAIN);
    sf_layout_task t;
    sf_cost_of(&t, &c, 2);
    assert_int_equal(t.slabs, 16);
    for (size_t i = 0; i < sizeof counted / sizeof *counted; i++)
        same_share(&t, counted[i].ranks, counted[i].share / counted[0].share);
    assert_true(sf_layout_time(&t, 32) > sf_layout_time(&t, 8)); /* more ranks, longer */
}

/* Operations of the busiest rank, counted by its network. */
static double busiest(const sf_config *c, int ranks)
{
    const sf_network_options whole = { .arch = &c->arch,
                                       .in_channels = 1,
                                       .heads = 3,
                                       .batch = 2,
                                       .patch = { 64, 64, 64 },
                                       .training = true,
                                       .deep_supervision = true,
                                       .threads = 1 };
    double most = 0;
    for (int r = 0; r < ranks; r++) {
        sf_group_forecast f;
        tst_ok(sf_group_foresee(&f, &whole, r, ranks));
        if (f.flops > most) most = f.flops;
    }
    return most;
}

/* Most convolutions of a residual encoder are in the coarse stages, which all ranks compute. */
static void slabs_of_a_residual_plan(void **state)
{
    (void)state;
    const sf_config c = config_of(SF_NET_RESENC);
    const double all = busiest(&c, 1);
    sf_layout_task t;
    sf_cost_of(&t, &c, 2);
    assert_int_equal(t.slabs, 16);
    for (int ranks = 2; ranks <= 16; ranks *= 2) same_share(&t, ranks, busiest(&c, ranks) / all);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(words), cmocka_unit_test(by_cost),
                                        cmocka_unit_test(times), cmocka_unit_test(slabs_of_a_plan),
                                        cmocka_unit_test(slabs_of_a_residual_plan) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
