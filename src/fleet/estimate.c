#include "fleet/estimate.h"
#include "base/mem.h"
#include "fleet/cost.h"
#include "predict/window.h"
#include "train/bench.h"
#include <math.h>
#include <string.h>

static int64_t or_default(int64_t given, int64_t fallback) { return given > 0 ? given : fallback; }

static int64_t batch_of(const sf_estimate_options *o, const sf_config *c)
{
    return or_default(o->batch, c->batch_size);
}

static sf_status foresee(sf_group_forecast *out, const sf_estimate_options *o, const sf_config *c,
                         int rank, int ranks)
{
    const sf_network_options whole = { .arch = &c->arch,
                                       .in_channels =
                                           sf_plans_input_channels(o->plans, c, o->labels),
                                       .heads = o->labels->n_heads,
                                       .batch = batch_of(o, c),
                                       .patch = { c->patch[0], c->patch[1], c->patch[2] },
                                       .dtype = o->precision,
                                       .training = true,
                                       .deep_supervision = o->plans->recipe->train.deep_supervision,
                                       .threads = 1 };
    return sf_group_foresee(out, &whole, rank, ranks);
}

static int64_t most64(int64_t a, int64_t b) { return a > b ? a : b; }

sf_status sf_estimate_group(sf_group_forecast *out, const sf_estimate_options *o,
                            const sf_config *config, int ranks)
{
    sf_group_forecast middle; /* a slab with two neighbours */
    SF_TRY(foresee(out, o, config, 0, ranks));
    SF_TRY(foresee(&middle, o, config, ranks / 2, ranks));
    if (middle.flops > out->flops) out->flops = middle.flops;
    out->memory = most64(out->memory, middle.memory);
    out->bytes = most64(out->bytes, middle.bytes);
    out->grad_bytes = most64(out->grad_bytes, middle.grad_bytes);
    out->halo_bytes = most64(out->halo_bytes, middle.halo_bytes);
    out->messages = most64(out->messages, middle.messages);
    return SF_OK;
}

sf_status sf_estimate_rate(double *gflops, const sf_plans *p, const sf_labels *l,
                           const sf_config *config, sf_dtype precision)
{
    sf_config small = *config;
    sf_plans plans = *p;
    sf_bench_step_result r;
    for (int a = 0; a < 3; a++) {
        int64_t smallest = 1;
        for (int s = 0; s < config->arch.n_stages; s++) smallest *= config->arch.stride[s][a];
        if (small.patch[a] > 2 * smallest && smallest > 1) small.patch[a] = 2 * smallest;
    }
    plans.config = &small;
    plans.n_configs = 1;
    const sf_bench_step b = { .plans = &plans,
                              .labels = l,
                              .config = small.name,
                              .batch = 1,
                              .threads = 1,
                              .repeat = 1,
                              .precision = precision };
    SF_TRY(sf_bench_step_run(&b, &r));
    *gflops = r.gflop / r.cpu_seconds_per_step;
    return SF_OK;
}

/* --- one configuration ---------------------------------------------------------------------------
 */

/* Forward passes of one patch in the final validation of one case: windows x mirrorings. */
static sf_status passes_per_case(double *passes, const sf_estimate_options *o, const sf_config *c)
{
    *passes = o->plans->recipe->infer.mirror ? ldexp(1, c->dim) : 1;
    for (int a = 0; a < 3; a++) {
        const int64_t extent = most64((int64_t)ceil(c->median[a]), c->patch[a]);
        int64_t *start = NULL;
        int count = 0;
        if (c->dim == 2 && a == 0) { /* every slice */
            *passes *= ceil(c->median[0]);
            continue;
        }
        SF_TRY(sf_window_steps(&start, &count, extent, c->patch[a], o->plans->recipe->infer.step));
        sf_mem_free(start);
        *passes *= count;
    }
    return SF_OK;
}

/* Seconds of one fold on one rank. A forward pass is a third of a step. */
static sf_status fold_seconds(double *seconds, const sf_estimate_options *o,
                              const sf_estimate_row *r, double step)
{
    const sf_recipe_train *t = &o->plans->recipe->train;
    const double epochs = (double)or_default(o->epochs, t->epochs);
    const double iterations = (double)or_default(o->iterations, t->iterations);
    const double share = (double)t->val_iterations / (double)t->iterations / 3;
    double passes;
    SF_TRY(passes_per_case(&passes, o, r->config));
    const double cases = (double)o->cases / (double)o->folds;
    *seconds =
        epochs * iterations * (1 + share) * step + cases * passes * step / 3 / (double)r->batch;
    return SF_OK;
}

/* float32 channels and an int16 label per voxel of the median case (store/cases.h). */
static int64_t container_bytes(const sf_estimate_options *o, const sf_config *c)
{
    if (sf_plans_data_owner(o->plans, c) != c) return 0;
    const double depth = c->median[0] > 0 ? c->median[0] : 1;
    const double voxels = depth * c->median[1] * c->median[2];
    return (int64_t)(voxels * (double)o->cases * (4.0 * o->plans->n_channels + 2));
}

static sf_status make_row(sf_estimate_row *r, const sf_estimate_options *o, double *work)
{
    const sf_config *c = r->config;
    r->batch = batch_of(o, c);
    r->gflops = o->gflops;
    if (!(r->gflops > 0))
        SF_TRY(sf_estimate_rate(&r->gflops, o->plans, o->labels, c, o->precision));
    SF_TRY(foresee(&r->alone, o, c, 0, 1));
    r->container = container_bytes(o, c);
    r->checkpoints = 3 * r->alone.parameters * 8 * o->folds; /* weights and momentum, float32 */
    r->seconds = r->alone.flops / 1e9 / (r->gflops * o->cores);
    return fold_seconds(work, o, r, r->seconds);
}

/* --- all of them ---------------------------------------------------------------------------------
 */

static sf_status find_row(int *at, sf_estimate *e, const sf_estimate_options *o, const char *name)
{
    const sf_config *c;
    SF_TRY(sf_plans_config(&c, o->plans, name));
    for (*at = 0; *at < e->n; (*at)++)
        if (e->row[*at].config == c) return SF_OK;
    e->row[e->n++].config = c;
    return SF_OK;
}

typedef struct {
    sf_sched_task *task;
    sf_layout_task *cost;
    int *needs, *sizes;
    double *work; /* per row: seconds of one fold on one rank */
} tables;

/* Folds of a row are neighbours. The second stage waits for all folds of the first, which
 * therefore goes before it. */
static sf_status make_tasks(const tables *t, sf_estimate *e, const sf_estimate_options *o)
{
    for (int i = 0; i < e->n; i++) {
        const sf_config *c = e->row[i].config;
        int before = -1;
        SF_TRY(make_row(&e->row[i], o, &t->work[i]));
        if (c->previous_stage) SF_TRY(find_row(&before, e, o, c->previous_stage));
        for (int f = 0; f < o->folds; f++) {
            const int k = i * o->folds + f;
            t->needs[k] = before * o->folds + f;
            sf_cost_of(&t->cost[k], c, e->row[i].batch);
            t->cost[k].work = t->work[i];
            t->task[k].cost = t->work[i];
            t->task[k].n_needs = before >= 0 ? o->folds : 0;
            t->task[k].needs = t->needs + i * o->folds;
        }
    }
    for (int i = 0; i < e->n; i++) /* what others wait for goes first */
        for (int k = 0; k < t->task[i * o->folds].n_needs; k++)
            t->task[t->needs[i * o->folds + k]].cost += t->work[i];
    return SF_OK;
}

static sf_status lay_out(const tables *t, sf_estimate *e, const sf_estimate_options *o)
{
    const int n = e->n * o->folds, ranks = o->nodes * o->ranks_per_node;
    int groups, least;
    SF_TRY(sf_layout_auto(t->sizes, &groups, t->task, t->cost, n, ranks));
    sf_layout_text(e->layout, t->sizes, groups);
    SF_TRY(sf_layout_span(&e->hours, t->sizes, groups, t->task, t->cost, n));
    e->hours /= 3600;
    least = t->sizes[0];
    for (int g = 1; g < groups && g < n; g++)
        if (t->sizes[g] < least) least = t->sizes[g];
    for (int i = 0; i < e->n; i++) {
        sf_estimate_row *r = &e->row[i];
        sf_layout_task step = t->cost[i * o->folds];
        const int64_t most = step.batch * step.slabs;
        r->ranks = least < most ? least : most;
        step.work = r->seconds;
        r->seconds = sf_layout_time(&step, (int)r->ranks);
        r->hours = sf_layout_time(&t->cost[i * o->folds], (int)r->ranks) / 3600;
        SF_TRY(sf_estimate_group(&r->busiest, o, r->config, (int)r->ranks));
        e->memory = most64(e->memory, r->busiest.memory);
        e->disk += r->container + r->checkpoints;
    }
    e->node_hours = e->hours * o->nodes;
    return SF_OK;
}

static sf_status check(const sf_estimate_options *o)
{
    SF_CHECK(o->folds > 0 && o->cases > 0 && o->nodes > 0 && o->ranks_per_node > 0 &&
                 o->cores > 0 && o->n_configs > 0,
             SF_EINVAL, "estimate: folds, cases, nodes, ranks and cores must be positive");
    return SF_OK;
}

sf_status sf_estimate_make(sf_estimate *out, const sf_estimate_options *o)
{
    tables t = { 0 };
    sf_status st;
    *out = (sf_estimate){ 0 };
    SF_TRY(check(o));
    const size_t rows = 2 * (size_t)o->n_configs, tasks = rows * (size_t)o->folds;
    const size_t ranks = (size_t)(o->nodes * o->ranks_per_node);
    SF_GOTO(done, st, sf_mem_calloc(&out->row, rows, sizeof *out->row, SF_MEM_MISC));
    SF_GOTO(done, st, sf_mem_calloc(&t.task, tasks, sizeof *t.task, SF_MEM_MISC));
    SF_GOTO(done, st, sf_mem_calloc(&t.cost, tasks, sizeof *t.cost, SF_MEM_MISC));
    SF_GOTO(done, st, sf_mem_calloc(&t.needs, tasks, sizeof *t.needs, SF_MEM_MISC));
    SF_GOTO(done, st, sf_mem_calloc(&t.sizes, ranks, sizeof *t.sizes, SF_MEM_MISC));
    SF_GOTO(done, st, sf_mem_calloc(&t.work, rows, sizeof *t.work, SF_MEM_MISC));
    for (int i = 0; i < o->n_configs; i++) {
        int at;
        SF_GOTO(done, st, find_row(&at, out, o, o->configs[i]));
    }
    SF_GOTO(done, st, make_tasks(&t, out, o));
    st = lay_out(&t, out, o);
done:
    sf_mem_free(t.task);
    sf_mem_free(t.cost);
    sf_mem_free(t.needs);
    sf_mem_free(t.sizes);
    sf_mem_free(t.work);
    if (st != SF_OK) {
        sf_mem_free(out->row);
        out->row = NULL;
    }
    return st;
}
