#include "train/bench.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "network/loss.h"
#include "network/optim.h"
#include <stdlib.h>
#include <string.h>

enum { WALL, CPU, FORWARD, LOSS, BACKWARD, OPTIMISER, TIMES };

typedef struct {
    const sf_bench_step *b;
    const sf_config *cfg;
    sf_network *net;
    sf_loss_options loss;
    sf_optim optim;
    float *data;
    int16_t *seg;
    double *time; /* [repeat][TIMES] */
} bench;

static sf_status make_data(bench *t, int64_t batch)
{
    const int64_t voxels = batch * t->cfg->patch[0] * t->cfg->patch[1] * t->cfg->patch[2];
    sf_rng rng;
    const sf_rng_key key = { .seed = 1, .scope = "bench", .purpose = SF_RNG_TEST };
    sf_rng_init(&rng, &key);
    const int channels = sf_plans_input_channels(t->b->plans, t->cfg, t->b->labels);
    SF_TRY(sf_mem_alloc(&t->data, (size_t)(voxels * channels), sizeof *t->data, SF_MEM_BATCH));
    SF_TRY(sf_mem_alloc(&t->seg, (size_t)voxels, sizeof *t->seg, SF_MEM_BATCH));
    sf_rng_fill_normal(&rng, voxels * channels, t->data);
    for (int64_t i = 0; i < voxels; i++)
        t->seg[i] = (int16_t)sf_rng_below(&rng, t->b->labels->n_labels);
    return SF_OK;
}

static sf_status make_network(bench *t, int64_t batch)
{
    const sf_recipe *r = t->b->plans->recipe;
    sf_network_options o = { .arch = &t->cfg->arch,
                             .in_channels =
                                 sf_plans_input_channels(t->b->plans, t->cfg, t->b->labels),
                             .heads = t->b->labels->n_heads,
                             .batch = batch,
                             .dtype = SF_F32,
                             .training = true,
                             .deep_supervision = true,
                             .exact = t->b->exact,
                             .threads = t->b->threads };
    memcpy(o.patch, t->cfg->patch, sizeof o.patch);
    SF_TRY(sf_network_create(&t->net, &o));
    sf_params_init(sf_network_params(t->net), 1, "bench", r->train.leaky_slope);
    t->loss = (sf_loss_options){ .labels = t->b->labels,
                                 .batch_dice = t->cfg->batch_dice,
                                 .smooth = r->train.dice_smooth,
                                 .weight_ce = r->train.weight_ce,
                                 .weight_dice = r->train.weight_dice,
                                 .global_batch = batch };
    t->optim = (sf_optim){ .lr0 = r->train.lr,
                           .momentum = r->train.momentum,
                           .decay = r->train.decay,
                           .clip_norm = r->train.clip,
                           .poly_power = r->train.poly_power };
    return SF_OK;
}

static sf_status step(bench *t, int64_t batch, double time[TIMES])
{
    sf_loss_report report;
    const double cpu = sf_cpu_seconds(), begin = sf_now();
    SF_TRY(sf_network_forward(t->net, t->data, batch));
    const double forward = sf_now();
    SF_TRY(sf_loss_evaluate(t->net, t->seg, &t->loss, true, &report));
    const double loss = sf_now();
    SF_TRY(sf_network_backward(t->net));
    const double backward = sf_now();
    sf_optim_step(&t->optim, t->optim.lr0, sf_network_params(t->net), t->b->threads, NULL);
    const double end = sf_now();
    time[WALL] = end - begin;
    time[CPU] = sf_cpu_seconds() - cpu;
    time[FORWARD] = forward - begin;
    time[LOSS] = loss - forward;
    time[BACKWARD] = backward - loss;
    time[OPTIMISER] = end - backward;
    return SF_OK;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const bench *t, int which, double *sorted)
{
    const int n = t->b->repeat;
    for (int i = 0; i < n; i++) sorted[i] = t->time[i * TIMES + which];
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    return n % 2 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
}

/* The first convolution needs no gradient of its input. */
static double step_flop(const bench *t, int64_t batch)
{
    const sf_arch *a = &t->cfg->arch;
    const double first = (double)(batch * t->cfg->patch[0] * t->cfg->patch[1] * t->cfg->patch[2]) *
                         (double)a->features[0] * t->b->plans->n_channels * a->kernel[0][0] *
                         a->kernel[0][1] * a->kernel[0][2];
    return 6 * sf_network_forward_macs(t->net) - 2 * first;
}

sf_status sf_bench_step_run(const sf_bench_step *b, sf_bench_step_result *out)
{
    bench t = { .b = b };
    double warm[TIMES], *sorted = NULL;
    sf_status st;
    SF_GOTO(done, st, sf_plans_config(&t.cfg, b->plans, b->config));
    const int64_t batch = b->batch > 0 ? b->batch : t.cfg->batch_size;
    SF_GOTO(done, st, make_data(&t, batch));
    SF_GOTO(done, st, make_network(&t, batch));
    SF_GOTO(done, st,
            sf_mem_alloc(&t.time, (size_t)b->repeat * TIMES, sizeof *t.time, SF_MEM_MISC));
    SF_GOTO(done, st, sf_mem_alloc(&sorted, (size_t)b->repeat, sizeof *sorted, SF_MEM_MISC));
    SF_GOTO(done, st, step(&t, batch, warm));
    for (int i = 0; i < b->repeat; i++) SF_GOTO(done, st, step(&t, batch, t.time + i * TIMES));
    *out = (sf_bench_step_result){ .seconds_per_step = median(&t, WALL, sorted),
                                   .cpu_seconds_per_step = median(&t, CPU, sorted),
                                   .forward = median(&t, FORWARD, sorted),
                                   .loss = median(&t, LOSS, sorted),
                                   .backward = median(&t, BACKWARD, sorted),
                                   .optimiser = median(&t, OPTIMISER, sorted),
                                   .gflop = step_flop(&t, batch) / 1e9,
                                   .peak_bytes = sf_network_bytes(t.net),
                                   .batch = batch };
done:
    sf_mem_free(sorted);
    sf_mem_free(t.time);
    sf_mem_free(t.data);
    sf_mem_free(t.seg);
    sf_network_destroy(&t.net);
    return st;
}
