#include "train/bench.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "network/loss.h"
#include "network/optim.h"
#include <inttypes.h>
#include <stdio.h>
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
    /* bench layers: [repeat][parts], parts = nodes x SF_PARTS, then the loss and the optimiser */
    double *part, last;
    int64_t batch_bytes;
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
    t->batch_bytes = voxels * (channels * (int64_t)sizeof *t->data + (int64_t)sizeof *t->seg);
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
                             .dtype = t->b->precision,
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

/* The CPU time since the last call belongs to this part. */
static void part_done(void *user, int node, sf_part part)
{
    bench *t = user;
    const double now = sf_cpu_seconds();
    t->part[node * SF_PARTS + (int)part] = now - t->last;
    t->last = now;
}

/* The same for the parts after those of the nodes. */
static void lap(bench *t, int which)
{
    if (t->part) part_done(t, sf_network_nodes(t->net), (sf_part)which);
}

static sf_status step(bench *t, int64_t batch, double time[TIMES])
{
    sf_loss_report report;
    const double cpu = sf_cpu_seconds(), begin = sf_now();
    SF_TRY(sf_network_forward(t->net, t->data, batch));
    const double forward = sf_now();
    SF_TRY(sf_loss_evaluate(t->net, t->seg, &t->loss, true, &report));
    const double loss = sf_now();
    lap(t, 0);
    SF_TRY(sf_network_backward(t->net));
    const double backward = sf_now();
    sf_optim_step(&t->optim, t->optim.lr0, sf_network_params(t->net), t->b->threads, NULL);
    const double end = sf_now();
    lap(t, 1);
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

/* Median of time[which], time[which + stride], ... over the repeats. */
static double median(const bench *t, const double *time, int stride, int which, double *sorted)
{
    const int n = t->b->repeat;
    for (int i = 0; i < n; i++) sorted[i] = time[i * stride + which];
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    return n % 2 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
}

static void bench_free(bench *t)
{
    sf_mem_free(t->time);
    sf_mem_free(t->data);
    sf_mem_free(t->seg);
    sf_network_destroy(&t->net);
}

static sf_status bench_make(bench *t, int64_t *batch)
{
    SF_TRY(sf_plans_config(&t->cfg, t->b->plans, t->b->config));
    *batch = t->b->batch > 0 ? t->b->batch : t->cfg->batch_size;
    SF_TRY(make_data(t, *batch));
    return make_network(t, *batch);
}

sf_status sf_bench_step_run(const sf_bench_step *b, sf_bench_step_result *out)
{
    bench t = { .b = b };
    double warm[TIMES], *sorted = NULL;
    int64_t batch;
    sf_status st;
    sf_mem_process before, after;
    sf_mem_of_process(&before);
    SF_GOTO(done, st, bench_make(&t, &batch));
    SF_GOTO(done, st,
            sf_mem_alloc(&t.time, (size_t)b->repeat * TIMES, sizeof *t.time, SF_MEM_MISC));
    SF_GOTO(done, st, sf_mem_alloc(&sorted, (size_t)b->repeat, sizeof *sorted, SF_MEM_MISC));
    SF_GOTO(done, st, step(&t, batch, warm));
    for (int i = 0; i < b->repeat; i++) SF_GOTO(done, st, step(&t, batch, t.time + i * TIMES));
    sf_mem_of_process(&after);
    *out = (sf_bench_step_result){ .seconds_per_step = median(&t, t.time, TIMES, WALL, sorted),
                                   .cpu_seconds_per_step = median(&t, t.time, TIMES, CPU, sorted),
                                   .forward = median(&t, t.time, TIMES, FORWARD, sorted),
                                   .loss = median(&t, t.time, TIMES, LOSS, sorted),
                                   .backward = median(&t, t.time, TIMES, BACKWARD, sorted),
                                   .optimiser = median(&t, t.time, TIMES, OPTIMISER, sorted),
                                   .gflop = sf_network_step_flops(t.net) / 1e9,
                                   .peak_bytes = sf_network_bytes(t.net) + t.batch_bytes,
                                   .measured_peak_bytes = after.highest - before.resident,
                                   .batch = batch };
done:
    sf_mem_free(sorted);
    bench_free(&t);
    return st;
}

/* --- layer by layer ------------------------------------------------------------------------------
 */

static void shape_text(const sf_node_info *i, char *text, size_t size)
{
    const int *k = i->kernel, *s = i->stride;
    snprintf(text, size,
             "%" PRId64 " -> %" PRId64 ", %dx%dx%d s%dx%dx%d, %" PRId64 " x %" PRId64 "x%" PRId64
             "x%" PRId64,
             i->in.c, i->out.c, k[0], k[1], k[2], s[0], s[1], s[2], i->in.n, i->in.d, i->in.h,
             i->in.w);
}

/* False: the part does not exist. */
static bool node_row(const bench *t, int node, int part, sf_bench_layer *row)
{
    static const char *const names[SF_PARTS] = { "forward", "grad-norm", "grad-weight",
                                                 "grad-input" };
    sf_node_info info;
    sf_network_node(t->net, node, &info);
    if (part == SF_PART_GRAD_INPUT && !info.input_grad) return false;
    *row = (sf_bench_layer){ .direction = names[part], .variant = info.variant };
    snprintf(row->name, sizeof row->name, "%s", info.name);
    shape_text(&info, row->shape, sizeof row->shape);
    if (part != SF_PART_NORM_GRAD) row->gflop = 2e-9 * info.macs;
    if (part == SF_PART_NORM_GRAD) row->variant = "";
    return true;
}

/* Rows of parts that took time: those that do not exist stay at 0. */
static int layer_rows(const bench *t, int parts, double *sorted, sf_bench_layer *row)
{
    static const char *const rest[2] = { "loss", "optimiser" };
    int n = 0;
    for (int i = 0; i < parts; i++) {
        const double seconds = median(t, t->part - (t->b->repeat - 1) * parts, parts, i, sorted);
        if (!(seconds > 0.0)) continue;
        if (i < parts - 2) {
            if (!node_row(t, i / SF_PARTS, i % SF_PARTS, &row[n])) continue;
        } else {
            row[n] = (sf_bench_layer){ .direction = "", .variant = "" };
            snprintf(row[n].name, sizeof row[n].name, "%s", rest[i - (parts - 2)]);
        }
        row[n++].seconds = seconds;
    }
    return n;
}

sf_status sf_bench_layers_run(const sf_bench_step *b, sf_bench_layer **rows, int *n)
{
    bench t = { .b = b };
    double time[TIMES], *all = NULL, *sorted = NULL;
    int64_t batch;
    sf_status st;
    *rows = NULL;
    SF_GOTO(done, st, bench_make(&t, &batch));
    SF_GOTO(done, st, step(&t, batch, time)); /* warms up */
    const int parts = sf_network_nodes(t.net) * SF_PARTS + 2;
    const size_t repeat = (size_t)b->repeat, size = (size_t)parts;
    SF_GOTO(done, st, sf_mem_calloc(&all, repeat * size, sizeof *all, SF_MEM_MISC));
    SF_GOTO(done, st, sf_mem_alloc(&sorted, repeat, sizeof *sorted, SF_MEM_MISC));
    SF_GOTO(done, st, sf_mem_alloc(rows, size, sizeof **rows, SF_MEM_MISC));
    sf_network_on_part(t.net, part_done, &t);
    for (size_t i = 0; i < repeat; i++) {
        t.part = all + i * size;
        t.last = sf_cpu_seconds();
        SF_GOTO(done, st, step(&t, batch, time));
    }
    *n = layer_rows(&t, parts, sorted, *rows);
done:
    if (st != SF_OK) {
        sf_mem_free(*rows);
        *rows = NULL;
    }
    sf_mem_free(sorted);
    sf_mem_free(all);
    bench_free(&t);
    return st;
}
