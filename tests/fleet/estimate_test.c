/** What a run will need: operations and memory of a network that is counted by hand, time of runs
 *  whose length is known, the text of a job script. */
#include "base/mem.h"
#include "fleet/estimate.h"
#include "fleet/job.h"
#include "tests/support/support.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CASES = 10, FOLDS = 2, EPOCHS = 3, ITERATIONS = 7 };

/* Two stages of one convolution each: 1 channel, 4 and 8 features, 3 labels, patch 8x8x8. */
static sf_config config_of(char *name, sf_norm_scheme *norm, bool *mask)
{
    sf_config c = { .name = name,
                    .data_identifier = name,
                    .dim = 3,
                    .batch_size = 2,
                    .patch = { 8, 8, 8 },
                    .median = { 8, 16, 8 },
                    .spacing = { 1, 1, 1 },
                    .norm = norm,
                    .use_mask = mask };
    c.arch = (sf_arch){ .net = SF_NET_PLAIN,
                        .dim = 3,
                        .n_stages = 2,
                        .features = { 4, 8 },
                        .blocks = { 1, 1 },
                        .decoder_convs = { 1 },
                        .conv_bias = true,
                        .eps = 1e-5,
                        .slope = 0.01 };
    for (int s = 0; s < 2; s++)
        for (int a = 0; a < 3; a++) {
            c.arch.kernel[s][a] = 3;
            c.arch.stride[s][a] = s + 1;
        }
    return c;
}

/* Multiply-adds of one sample and direction, layer by layer. */
enum {
    FIRST = 512 * 4 * 1 * 27,
    SECOND = 64 * 8 * 4 * 27,
    UP = 64 * 8 * 4 * 8,
    DECODER = 512 * 4 * 8 * 27,
    HEAD = 512 * 4 * 3,
    PARAMETERS = (4 * 27 + 3 * 4) + (8 * 4 * 27 + 3 * 8) + (8 * 4 * 8 + 4) + (4 * 8 * 27 + 3 * 4) +
                 (4 * 3 + 3)
};

typedef struct {
    sf_plans plans;
    sf_config config[2];
    sf_labels labels;
    sf_norm_scheme norm;
    bool mask;
    char low[8], high[8], *names[2];
    sf_estimate_options o;
    sf_estimate e;
} fixture;

static void make(fixture *f)
{
    *f = (fixture){ .norm = SF_NORM_ZSCORE, .low = "low", .high = "high" };
    f->config[0] = config_of(f->low, &f->norm, &f->mask);
    f->config[1] = config_of(f->high, &f->norm, &f->mask);
    f->config[1].spacing[0] = 2;
    f->plans = (sf_plans){ .config = f->config, .n_configs = 2, .n_channels = 1 };
    tst_ok(sf_recipe_load(&f->plans.recipe, "paper"));
    f->labels = (sf_labels){ .n_entries = 3, .n_heads = 3, .n_labels = 3, .ignore = -1 };
    f->names[0] = f->low;
    f->o = (sf_estimate_options){ .plans = &f->plans,
                                  .labels = &f->labels,
                                  .configs = f->names,
                                  .n_configs = 1,
                                  .folds = FOLDS,
                                  .cases = CASES,
                                  .epochs = EPOCHS,
                                  .iterations = ITERATIONS,
                                  .nodes = 1,
                                  .ranks_per_node = 1,
                                  .cores = 4,
                                  .gflops = 0.5 };
}

static void drop(fixture *f)
{
    sf_mem_free(f->e.row);
    f->e.row = NULL;
    sf_recipe_destroy(&f->plans.recipe);
}

static void again(fixture *f)
{
    sf_mem_free(f->e.row);
    tst_ok(sf_estimate_make(&f->e, &f->o));
}

static void close_to(double got, double want)
{
    if (!(fabs(got - want) <= 1e-9 * fabs(want))) fail_msg("%.12g, not %.12g", got, want);
}

static void counted_by_hand(void **state)
{
    (void)state;
    fixture f;
    make(&f);
    again(&f);
    const sf_estimate_row *r = f.e.row;
    const double flops = 2.0 * 2 * (3.0 * (FIRST + SECOND + UP + DECODER + HEAD) - FIRST);
    close_to(r->alone.flops, flops);
    assert_int_equal(r->alone.parameters, PARAMETERS);
    assert_int_equal(r->checkpoints, 3 * 8 * PARAMETERS * FOLDS);
    assert_int_equal(r->container, 8 * 16 * 8 * CASES * 6);
    close_to(r->seconds, flops / (0.5e9 * 4));
    /* 50 validation steps for 250; 3 windows x 8 mirrorings in each of 5 cases, of batch 2 */
    const double steps = EPOCHS * ITERATIONS * (1 + 0.2 / 3) + 5 * 3 * 8 / 2.0 / 3;
    close_to(r->hours, steps * r->seconds / 3600);
    close_to(f.e.hours, FOLDS * r->hours); /* one after the other */
    assert_string_equal(f.e.layout, "1x1");
    assert_true(f.e.memory > 4 * PARAMETERS * 3);
    drop(&f);
}

static void ranks_and_nodes(void **state)
{
    (void)state;
    fixture f;
    make(&f);
    again(&f);
    const double alone = f.e.hours;
    f.o.nodes = 2;
    again(&f); /* a fold on each node */
    assert_string_equal(f.e.layout, "2x1");
    close_to(f.e.hours, alone / FOLDS);
    close_to(f.e.node_hours, alone);
    assert_int_equal(f.e.row->busiest.bytes, 0);
    f.o.ranks_per_node = 2;
    again(&f); /* samples are shared */
    assert_string_equal(f.e.layout, "2x2");
    assert_int_equal(f.e.row->ranks, 2);
    close_to(f.e.row->busiest.flops, f.e.row->alone.flops / 2);
    /* half of the gradients to the other, half of the weights back, at the least */
    assert_true(f.e.row->busiest.bytes >= 4 * PARAMETERS);
    drop(&f);
}

/* The first stage is added, and the second waits for it. */
static void cascade(void **state)
{
    (void)state;
    fixture f;
    make(&f);
    f.o.batch = 1; /* nothing to share */
    f.config[1].previous_stage = f.low;
    f.labels.n_eval = 2;
    f.names[0] = f.high;
    f.o.nodes = 4;
    f.o.ranks_per_node = 1;
    again(&f);
    assert_int_equal(f.e.n, 2);
    assert_ptr_equal(f.e.row[1].config, &f.config[0]);
    close_to(f.e.hours, f.e.row[0].hours + f.e.row[1].hours);
    assert_true(f.e.row[0].alone.flops > f.e.row[1].alone.flops); /* sees two labels more */
    f.names[0] = f.names[1] = (char *)(uintptr_t) "none";
    sf_mem_free(f.e.row);
    assert_int_equal(sf_estimate_make(&f.e, &f.o), SF_EINVAL);
    assert_null(f.e.row);
    drop(&f);
}

/* Half the bytes between layers; parameters and operations are the same. */
static void in_bfloat16(void **state)
{
    (void)state;
    fixture f;
    make(&f);
    again(&f);
    const sf_group_forecast full = f.e.row->alone;
    f.o.precision = SF_BF16;
    again(&f);
    const sf_group_forecast half = f.e.row->alone;
    assert_true(half.flops == full.flops && half.parameters == full.parameters);
    assert_true(half.memory < full.memory);
    drop(&f);
}

static void measured(void **state)
{
    (void)state;
    fixture f;
    double rate = 0;
    make(&f);
    tst_ok(sf_estimate_rate(&rate, &f.plans, &f.labels, &f.config[0], SF_F32));
    assert_true(rate > 0 && rate < 1e5);
    drop(&f);
}

static void script(void **state)
{
    (void)state;
    const char *const words[] = { "/data/it's", "/work folder", "--epochs", "3" };
    sf_job j = { .nodes = 3,
                 .ranks_per_node = 2,
                 .cores = 5,
                 .memory = (int64_t)7 << 20,
                 .hours = 2,
                 .words = words,
                 .n_words = 4 };
    char *text;
    tst_ok(sf_job_script(&text, &j));
    const char *const lines[] = { "#!/bin/bash\n",
                                  "\n#SBATCH --nodes=3\n",
                                  "\n#SBATCH --ntasks-per-node=2\n",
                                  "\n#SBATCH --cpus-per-task=5\n",
                                  "\n#SBATCH --mem=7M\n",
                                  "\n#SBATCH --time=02:36:00\n",
                                  "\n#SBATCH --signal=USR1@",
                                  "\nset -euo pipefail\nset -- '/data/it'\\''s' '/work folder' "
                                  "'--epochs' '3'\n",
                                  "scontrol requeue" };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(text, lines[i])) fail_msg("no '%s' in:\n%s", lines[i], text);
    sf_mem_free(text);
    j.n_words = 0;
    j.hours = 1000; /* a day, then the job requeues itself */
    tst_ok(sf_job_script(&text, &j));
    assert_null(strstr(text, "set -- "));
    assert_non_null(strstr(text, "--time=24:00:00\n"));
    sf_mem_free(text);
    j.nodes = 0;
    assert_int_equal(sf_job_script(&text, &j), SF_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counted_by_hand), cmocka_unit_test(ranks_and_nodes),
        cmocka_unit_test(cascade),         cmocka_unit_test(in_bfloat16),
        cmocka_unit_test(measured),        cmocka_unit_test(script)
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
