/* Training steps of a group of ranks on random data: seconds, bytes sent and foretold.
 *
 *   mpirun -np N bench_group PLANS DATASET_JSON STEPS [0 BUCKET]   a group of N ranks
 *   bench_group PLANS DATASET_JSON STEPS RANKS                     alone: the share of the middle
 * one of RANKS, whose exchanges do nothing. The second form measures what a rank computes on a
 * machine with fewer cores. BUCKET: bytes of gradients that are sent together; more than the
 * network has: nothing is sent before the backward pass has ended. One thread per rank. Prints one
 * JSON object a line, for benchmarks/scaling_model.py.
 *
 * reduce_least: seconds of a step in which even the last rank waits for gradients and new weights;
 * what other ranks wait for it is not in there. parts_alone, values_alone: the same exchange
 * without any computing, gradients to their owners and new weights to all. */
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "mpi/grad.h"
#include "mpi/halo.h"
#include "network/loss.h"
#include "train/group.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    sf_plans *plans;
    sf_dataset *dataset;
    const sf_config *cfg;
    sf_network_options whole, own;
    sf_network *net;
    sf_group *group; /* NULL: a share alone */
    sf_loss_options loss;
    sf_prof prof;
    float *x;
    int16_t *y;
} job;

static sf_status no_exchange(void *user, void *data, int64_t outer, int64_t bytes,
                             const int64_t *border, int64_t halo)
{
    (void)user, (void)data, (void)outer, (void)bytes, (void)border, (void)halo;
    return SF_OK;
}

static sf_status no_gather(void *user, double *rows, int64_t width)
{
    (void)user, (void)rows, (void)width;
    return SF_OK;
}

static void no_sum(void *user, int param, const void *const *part, int parts)
{
    (void)user, (void)param, (void)part, (void)parts;
}

static sf_status load(job *j, char **argv)
{
    SF_TRY(sf_plans_load(&j->plans, argv[1]));
    SF_TRY(sf_dataset_from_json(&j->dataset, argv[2]));
    const sf_config *c = j->cfg = &j->plans->config[j->plans->n_configs - 1];
    const sf_labels *l = &j->dataset->labels;
    j->whole = (sf_network_options){ .arch = &c->arch,
                                     .in_channels = sf_plans_input_channels(j->plans, c, l),
                                     .heads = l->n_heads,
                                     .batch = c->batch_size,
                                     .patch = { c->patch[0], c->patch[1], c->patch[2] },
                                     .dtype = SF_F32,
                                     .training = true,
                                     .deep_supervision = true,
                                     .threads = 1 };
    j->own = j->whole;
    return SF_OK;
}

/* The middle rank of so many. */
static void take_share(job *j, int ranks)
{
    const int64_t batch = j->whole.batch, rank = ranks / 2;
    if (ranks == 1) return;
    j->own.whole = batch;
    j->own.first = batch * rank / ranks;
    j->own.batch = batch * (rank + 1) / ranks - j->own.first;
    if (ranks <= batch) return;
    j->own.first = (batch * (rank + 1) - 1) / ranks;
    j->own.batch = 1;
    j->own.slab = (int)(rank - ranks * j->own.first / batch);
    j->own.slabs = (int)(ranks * (j->own.first + 1) / batch - ranks * j->own.first / batch);
}

static sf_status make_data(job *j)
{
    const int64_t voxels = j->own.batch * j->own.patch[0] * j->own.patch[1] * j->own.patch[2];
    const sf_rng_key key = { .seed = 1, .scope = "bench", .purpose = SF_RNG_TEST };
    const int64_t count = voxels * j->own.in_channels;
    sf_rng rng;
    sf_rng_init(&rng, &key);
    SF_TRY(sf_mem_alloc(&j->x, (size_t)count, sizeof *j->x, SF_MEM_BATCH));
    SF_TRY(sf_mem_alloc(&j->y, (size_t)voxels, sizeof *j->y, SF_MEM_BATCH));
    sf_rng_fill_normal(&rng, count, j->x);
    for (int64_t i = 0; i < voxels; i++)
        j->y[i] = (int16_t)sf_rng_below(&rng, j->dataset->labels.n_labels);
    return SF_OK;
}

static sf_status make(job *j, sf_comm *c, int alone, int64_t bucket)
{
    const sf_recipe_train *t = &j->plans->recipe->train;
    if (alone > 0)
        take_share(j, alone);
    else
        SF_TRY(sf_group_create(&j->group, c, &j->cfg->arch, j->cfg->patch, j->whole.batch));
    if (j->group) sf_group_share(j->group, &j->own);
    SF_TRY(sf_network_create(&j->net, &j->own));
    sf_params_init(sf_network_params(j->net), 1, "bench", t->leaky_slope);
    if (j->group) SF_TRY(sf_group_attach(j->group, j->net, bucket, &j->prof));
    if (!j->group) sf_network_on_share(j->net, no_exchange, NULL);
    if (!j->group) sf_network_on_grad(j->net, no_sum, NULL);
    j->loss = (sf_loss_options){ .labels = &j->dataset->labels,
                                 .batch_dice = j->cfg->batch_dice,
                                 .smooth = t->dice_smooth,
                                 .weight_ce = t->weight_ce,
                                 .weight_dice = t->weight_dice,
                                 .global_batch = j->whole.batch };
    if (j->own.whole > 0) j->loss.gather = j->group ? sf_group_gather : no_gather;
    j->loss.gather_user = j->group;
    return make_data(j);
}

static sf_status step(job *j)
{
    const sf_optim optim = {
        .lr0 = 1e-4, .momentum = 0.99, .decay = 3e-5, .clip_norm = 12, .poly_power = 0.9
    };
    sf_loss_report report;
    SF_TRY(sf_network_forward(j->net, j->x, j->own.batch));
    SF_TRY(sf_loss_evaluate(j->net, j->y, &j->loss, true, &report));
    if (!j->group) return sf_network_backward(j->net);
    SF_TRY(sf_group_backward(j->group));
    return sf_group_step(j->group, &optim, optim.lr0, 1, NULL);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return 0.5 * (v[(n - 1) / 2] + v[n / 2]);
}

static sf_status measure(job *j, sf_comm *c, int steps, int alone)
{
    double *wall, *cpu, *reduce, sum[3] = { 0 };
    int64_t *least;
    sf_group_forecast f;
    const int ranks = alone > 0 ? alone : sf_comm_size(c);
    const int rank = alone > 0 ? alone / 2 : sf_comm_rank(c);
    SF_TRY(sf_group_foresee(&f, &j->whole, rank, ranks));
    SF_TRY(sf_mem_alloc(&wall, 4 * (size_t)steps, sizeof *wall, SF_MEM_MISC));
    cpu = wall + steps;
    reduce = cpu + steps;
    least = (int64_t *)(void *)(reduce + steps);
    sf_status st = step(j); /* warms up */
    j->prof = (sf_prof){ 0 };
    const int64_t before = j->group ? sf_group_sent(j->group) : 0;
    for (int i = 0; i < steps && st == SF_OK; i++) {
        const double w = sf_now(), t = sf_cpu_seconds(), r = j->prof.ev[SF_EV_REDUCE].seconds;
        st = step(j);
        least[i] = (int64_t)(1e9 * (j->prof.ev[SF_EV_REDUCE].seconds - r));
        wall[i] = sf_now() - w;
        cpu[i] = sf_cpu_seconds() - t;
    }
    sum[0] = median(cpu, steps);
    sum[1] = j->prof.ev[SF_EV_HALO].seconds / steps;
    sum[2] = j->prof.ev[SF_EV_REDUCE].seconds / steps;
    int64_t sent = j->group ? (sf_group_sent(j->group) - before) / steps : 0;
    if (st == SF_OK) st = sf_comm_sum_f64(c, sum, 3);
    if (st == SF_OK) st = sf_comm_min_i64(c, least, steps);
    for (int i = 0; i < steps; i++) reduce[i] = 1e-9 * (double)least[i];
    if (st == SF_OK && sf_comm_rank(c) == 0)
        printf("{\"plan\": \"%s\", \"ranks\": %d, \"alone\": %s, \"gflop\": %.3f, \"wall\": %.4f, "
               "\"cpu_sum\": %.4f, \"halo_wait_sum\": %.4f, \"reduce_wait_sum\": %.4f, "
               "\"reduce_least\": %.4f, \"sent\": %" PRId64 ", \"foretold\": %" PRId64 "}\n",
               j->plans->dataset_name, ranks, alone > 0 ? "true" : "false", f.flops / 1e9,
               median(wall, steps), sum[0], sum[1], sum[2], median(reduce, steps), sent, f.bytes);
    sf_mem_free(wall);
    return st;
}

/* The tensors of a group whose ranks have whole samples; first: [n][ranks + 1]. */
static int list_tensors(const job *j, int ranks, sf_grad_tensor *t, int64_t *first)
{
    const sf_params *p = sf_network_params(j->net);
    sf_grad_info order[512];
    const int n = p->count <= 512 ? sf_network_grad_order(j->net, order) : 0;
    for (int i = 0; i < n; i++, first += ranks + 1) {
        const sf_param *q = &p->item[order[i].param];
        for (int r = 0; r <= ranks; r++) first[r] = j->whole.batch * r / ranks * order[i].leaves;
        t[i] = (sf_grad_tensor){ .count = q->count,
                                 .wide = order[i].wide,
                                 .tree = { j->whole.batch, order[i].leaves },
                                 .first = first,
                                 .value = q->value,
                                 .grad = q->grad };
    }
    return n;
}

/* One exchange; `any` is as large as the largest tensor of doubles. */
static sf_status exchange(sf_grad *g, const sf_grad_tensor *t, int n, int rank, const void *any,
                          double seconds[2])
{
    const void *part[SF_TREE_MAX];
    for (int k = 0; k < SF_TREE_MAX; k++) part[k] = any;
    const double begin = sf_now();
    SF_TRY(sf_grad_begin(g));
    for (int i = 0; i < n; i++) {
        sf_tree_stack nodes;
        (void)sf_tree_cover(&t[i].tree, t[i].first[rank], t[i].first[rank + 1], &nodes);
        SF_TRY(sf_grad_ready(g, i, part, nodes.n));
    }
    SF_TRY(sf_grad_finish(g));
    const double middle = sf_now();
    SF_TRY(sf_grad_share(g));
    seconds[0] = middle - begin;
    seconds[1] = sf_now() - middle;
    return SF_OK;
}

static sf_status exchange_alone(job *j, sf_comm *c, int64_t bucket)
{
    enum { TIMES = 21 };
    const int ranks = sf_comm_size(c);
    const sf_params *p = sf_network_params(j->net);
    const size_t count = (size_t)p->count;
    double all[2][TIMES], *any = NULL;
    sf_grad_tensor *t = NULL;
    int64_t *first = NULL, largest = 0;
    sf_grad *g = NULL;
    for (int i = 0; i < p->count; i++)
        if (p->item[i].count > largest) largest = p->item[i].count;
    sf_status st;
    SF_GOTO(done, st, sf_mem_alloc(&t, count, sizeof *t, SF_MEM_MISC));
    SF_GOTO(done, st,
            sf_mem_alloc(&first, count * ((size_t)ranks + 1), sizeof *first, SF_MEM_MISC));
    SF_GOTO(done, st, sf_mem_calloc(&any, (size_t)largest, sizeof *any, SF_MEM_MISC));
    const int n = list_tensors(j, ranks, t, first);
    SF_GOTO(done, st, sf_grad_create(&g, c, t, n, bucket > 0 ? bucket : 4 << 20));
    for (int i = 0; i < TIMES; i++) {
        double one[2] = { 0 };
        SF_GOTO(done, st, sf_comm_barrier(c));
        SF_GOTO(done, st, exchange(g, t, n, sf_comm_rank(c), any, one));
        for (int k = 0; k < 2; k++) all[k][i] = one[k];
    }
    if (sf_comm_rank(c) == 0)
        printf("{\"parts_alone\": %.4f, \"values_alone\": %.4f}\n", median(all[0], TIMES),
               median(all[1], TIMES));
done:
    sf_grad_destroy(&g);
    sf_mem_free(t);
    sf_mem_free(first);
    sf_mem_free(any);
    return st;
}

/* Seconds of an exchange between two neighbours, of one byte and of many. */
static sf_status ping(sf_comm *c)
{
    enum { MANY = 8 << 20, TIMES = 50 };
    const int64_t border[3] = { 0, 1, 2 };
    const int64_t sizes[2] = { 8, MANY };
    sf_halo *h = NULL;
    char *data = NULL;
    double seconds[2] = { 0 };
    SF_TRY(sf_halo_create(&h, c));
    sf_status st = sf_mem_calloc(&data, 2 * MANY, 1, SF_MEM_MISC);
    for (int k = 0; k < 2; k++) {
        double all[TIMES];
        for (int i = 0; i < TIMES && st == SF_OK; i++) {
            const double begin = sf_now();
            st = sf_halo_share(h, data, 1, sizes[k], border, 1);
            all[i] = sf_now() - begin;
        }
        seconds[k] = median(all, TIMES);
    }
    if (st == SF_OK && sf_comm_rank(c) == 0)
        printf("{\"latency\": %.3g, \"bytes_per_second\": %.3g}\n", seconds[0],
               (double)MANY / (seconds[1] - seconds[0]));
    sf_halo_destroy(&h);
    sf_mem_free(data);
    return st;
}

int main(int argc, char **argv)
{
    job j = { 0 };
    if (sf_mpi_start(&argc, &argv) != SF_OK) return 1;
    sf_comm *c = sf_comm_world();
    const int steps = argc > 3 ? atoi(argv[3]) : 0, alone = argc > 4 ? atoi(argv[4]) : 0;
    const int64_t bucket = argc > 5 ? atoll(argv[5]) : 0;
    sf_status st = steps > 0 ? load(&j, argv) : SF_FAIL(SF_EINVAL, "usage: see bench_group.c");
    if (st == SF_OK) st = make(&j, c, alone, bucket);
    if (st == SF_OK) st = measure(&j, c, steps, alone);
    if (st == SF_OK && sf_comm_size(c) > 1 && sf_comm_size(c) <= j.whole.batch)
        st = exchange_alone(&j, c, bucket);
    if (st == SF_OK && sf_comm_size(c) == 2) st = ping(c);
    if (st != SF_OK) sf_mpi_abort(st);
    sf_group_destroy(&j.group);
    sf_network_destroy(&j.net);
    sf_mem_free(j.x);
    sf_mem_free(j.y);
    sf_dataset_destroy(&j.dataset);
    sf_plans_destroy(&j.plans);
    sf_mpi_stop();
    return 0;
}
