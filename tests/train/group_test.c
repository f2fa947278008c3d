/* A training shared by a group of ranks: the weights after some steps have one hash for any number
 * of ranks and threads, and each step sends the bytes of the formula.
 * usage, under mpirun:
 *   test_train_group STEPS [PLAN...]      groups of 1, 2, 3, 4, 6 and 8 of its ranks
 *   test_train_group STEPS matrix         every batch of `batches` with groups of 1, 2, 3, 4 and 8,
 *                                         of small plans: all that can be cut into 1, 2 and 3 slabs
 *                                         and more; prints a table
 */
#include "base/rng.h"
#include "network/loss.h"
#include "tests/mpi/check.h"
#include "train/group.h"
#include <stdlib.h>

enum { CHANNELS = 2, HEADS = 3, STAGES = 3, BASE = 8 };

typedef struct {
    const char *name;
    sf_net_class net;
    int dim, kernel0, stride1; /* first axis: kernel of the first stage, stride of the second */
    int64_t batch, patch[3];
    bool batch_dice;
    sf_dtype dtype;
    int64_t cap; /* most features, 0: as many as the stages double to */
} plan;

static const plan plans[] = {
    { "3d", SF_NET_PLAIN, 3, 3, 2, 2, { 32, 32, 16 }, true, SF_F32, 0 },     /* 4 leaves; 1 below */
    { "aniso", SF_NET_PLAIN, 3, 1, 1, 3, { 16, 32, 24 }, false, SF_F32, 0 }, /* 3 leaves */
    { "2d", SF_NET_PLAIN, 2, 1, 1, 5, { 1, 104, 96 }, true, SF_F32, 0 },     /* 2 leaves */
    { "resenc", SF_NET_RESENC, 3, 3, 2, 1, { 12, 32, 32 }, false, SF_F32, 0 }, /* 3 leaves */
    { "deep", SF_NET_PLAIN, 3, 3, 2, 1, { 32, 32, 48 }, false, SF_F32, 0 }, /* 8 leaves, then 1 */
    { "two", SF_NET_PLAIN, 3, 3, 2, 1, { 64, 32, 32 }, true, SF_F32, 0 },   /* 16 leaves, then 2 */
    { "flat", SF_NET_PLAIN, 3, 1, 1, 1, { 12, 64, 48 }, true, SF_F32, 0 },  /* 3 leaves, then 2 */
    { "bf16", SF_NET_PLAIN, 3, 3, 2, 2, { 32, 32, 16 }, true, SF_BF16, 0 },
    { "bf16-2d", SF_NET_PLAIN, 2, 1, 1, 1, { 1, 104, 96 }, true, SF_BF16, 0 },
    { "bf16-deep", SF_NET_PLAIN, 3, 3, 2, 1, { 32, 32, 48 }, false, SF_BF16, 0 },
    { "bf16-resenc", SF_NET_RESENC, 3, 3, 2, 1, { 12, 32, 32 }, false, SF_BF16, 0 },
    { "resenc-two", SF_NET_RESENC, 3, 3, 2, 1, { 32, 32, 64 }, true, SF_F32, 0 }, /* 8, then 2 */
    { "resenc-flat", SF_NET_RESENC, 3, 1, 1, 1, { 12, 64, 48 }, false, SF_F32, BASE }, /* 3, 2 */
    { "resenc-2d", SF_NET_RESENC, 2, 1, 1, 2, { 1, 128, 128 }, true, SF_F32, 0 }, /* 4; 1 below */
};

/* 4, 3, 3 and 3 leaves; the batch is one of those below. */
static const plan small[] = {
    { "3d", SF_NET_PLAIN, 3, 3, 2, 0, { 16, 32, 32 }, true, SF_F32, 0 },
    { "aniso", SF_NET_PLAIN, 3, 1, 1, 0, { 12, 32, 32 }, false, SF_F32, 0 },
    { "2d", SF_NET_PLAIN, 2, 1, 1, 0, { 1, 128, 96 }, true, SF_F32, 0 },
    { "resenc", SF_NET_RESENC, 3, 3, 2, 0, { 12, 32, 32 }, true, SF_F32, 0 },
};
static const int64_t batches[] = { 1, 2, 3, 4, 8 };

static sf_arch arch_of(const plan *p)
{
    sf_arch a = { .net = p->net,
                  .dim = p->dim,
                  .n_stages = STAGES,
                  .conv_bias = true,
                  .eps = 1e-5,
                  .slope = 0.01 };
    for (int s = 0; s < STAGES; s++) {
        a.features[s] = p->cap > 0 && BASE << s > p->cap ? p->cap : BASE << s;
        a.blocks[s] = p->net == SF_NET_RESENC && s == 0 ? 1 : 2;
        a.decoder_convs[s] = p->net == SF_NET_RESENC ? 1 : 2;
        for (int d = 0; d < 3; d++) {
            a.kernel[s][d] = d > 0 || (p->dim == 3 && s > 0) ? 3 : p->kernel0;
            a.stride[s][d] = s == 0 ? 1 : d > 0 ? 2 : s == 1 ? p->stride1 : p->dim == 3 ? 2 : 1;
        }
    }
    return a;
}

/* Sample `n` of the batch of a step: the same whoever computes it. */
static void sample(const plan *p, int step, int64_t n, float *x, int16_t *label)
{
    const int64_t voxels = p->patch[0] * p->patch[1] * p->patch[2];
    const sf_rng_key key = { .seed = 3,
                             .epoch = (uint32_t)step,
                             .sample = (uint32_t)n,
                             .scope = p->name,
                             .purpose = SF_RNG_TEST };
    sf_rng rng;
    sf_rng_init(&rng, &key);
    sf_rng_fill_normal(&rng, CHANNELS * voxels, x);
    for (int64_t i = 0; i < voxels; i++)
        label[i] = (int16_t)((x[i] > 0.2f) + (x[i] > 0.9f && x[i + voxels] > 0.0f));
}

typedef struct {
    sf_network *net;
    sf_group *group;
    sf_labels labels;
    sf_loss_options loss;
    float *x;
    int16_t *y;
    int64_t first, count, slabs;
} job;

static sf_network_options whole_network(const plan *p, const sf_arch *arch)
{
    return (sf_network_options){ .arch = arch,
                                 .in_channels = CHANNELS,
                                 .heads = HEADS,
                                 .batch = p->batch,
                                 .patch = { p->patch[0], p->patch[1], p->patch[2] },
                                 .dtype = p->dtype,
                                 .training = true,
                                 .deep_supervision = true,
                                 .threads = 1 };
}

static void make_job(job *j, const plan *p, sf_comm *c, int threads, int64_t bucket)
{
    const sf_arch arch = arch_of(p);
    memset(j, 0, sizeof *j);
    CHECK_OK(sf_group_create(&j->group, c, &arch, p->patch, p->batch));
    sf_network_options o = whole_network(p, &arch);
    o.threads = threads;
    sf_group_share(j->group, &o);
    j->first = o.first;
    j->count = o.batch;
    j->slabs = o.slabs;
    CHECK_OK(sf_network_create(&j->net, &o));
    sf_params_init(sf_network_params(j->net), 5, p->name, 0.01);
    CHECK_OK(sf_group_attach(j->group, j->net, bucket, NULL));
    j->labels.n_heads = j->labels.n_labels = j->labels.n_entries = HEADS;
    j->labels.ignore = -1;
    j->loss = (sf_loss_options){ .labels = &j->labels,
                                 .batch_dice = p->batch_dice,
                                 .smooth = 1e-5,
                                 .weight_ce = 1.0,
                                 .weight_dice = 1.0,
                                 .global_batch = p->batch,
                                 .gather = o.whole > 0 ? sf_group_gather : NULL,
                                 .gather_user = j->group };
    const size_t voxels = (size_t)(j->count * p->patch[0] * p->patch[1] * p->patch[2]);
    CHECK_OK(sf_mem_alloc(&j->x, voxels * CHANNELS, sizeof *j->x, SF_MEM_MISC));
    CHECK_OK(sf_mem_alloc(&j->y, voxels, sizeof *j->y, SF_MEM_MISC));
}

static void drop_job(job *j)
{
    sf_group_destroy(&j->group);
    sf_network_destroy(&j->net);
    sf_mem_free(j->x);
    sf_mem_free(j->y);
}

/* What was foretold without a step is what the step has sent. */
static void check_forecast(const job *j, const plan *p, sf_comm *c)
{
    const sf_arch arch = arch_of(p);
    const sf_network_options o = whole_network(p, &arch);
    sf_group_forecast f;
    CHECK_OK(sf_group_foresee(&f, &o, sf_comm_rank(c), sf_comm_size(c)));
    CHECK(f.bytes == sf_group_step_bytes(j->group));
    CHECK(sf_comm_size(c) == 1 || (f.grad_bytes > 0 && f.memory > sf_network_bytes(j->net)));
    CHECK(sf_comm_size(c) > p->batch || f.halo_bytes == 0);
    CHECK(f.flops == sf_network_step_flops(j->net));
}

static void one_step(job *j, const plan *p, int step, double *loss, double *norm)
{
    const sf_optim optim = {
        .lr0 = 0.02, .momentum = 0.99, .decay = 3e-5, .clip_norm = 0.05, .poly_power = 0.9
    };
    const int64_t voxels = p->patch[0] * p->patch[1] * p->patch[2];
    const int64_t before = sf_group_sent(j->group);
    sf_loss_report report;
    for (int64_t n = 0; n < j->count; n++)
        sample(p, step, j->first + n, j->x + n * CHANNELS * voxels, j->y + n * voxels);
    CHECK_OK(sf_network_forward(j->net, j->x, j->count));
    CHECK_OK(sf_loss_evaluate(j->net, j->y, &j->loss, true, &report));
    CHECK_OK(sf_group_backward(j->group));
    CHECK_OK(sf_group_step(j->group, &optim, sf_optim_lr(&optim, step, 50), 1, norm));
    CHECK(sf_group_sent(j->group) - before == sf_group_step_bytes(j->group));
    *loss = report.total;
}

typedef struct {
    char weights[65], momentum[65];
    double loss, norm;
    int64_t slabs[2]; /* of a sample: fewest, most */
} outcome;

static void hash_momentum(sf_params *p, char hex[65])
{
    for (int i = 0; i < p->count; i++)
        if (p->item[i].has_velocity)
            memcpy(p->item[i].value, p->item[i].velocity, (size_t)p->item[i].count * sizeof(float));
    CHECK_OK(sf_params_hash(p, hex));
}

static void train(const plan *p, sf_comm *c, int threads, int64_t bucket, int steps, outcome *out)
{
    job j;
    make_job(&j, p, c, threads, bucket);
    for (int s = 0; s < steps; s++) one_step(&j, p, s, &out->loss, &out->norm);
    if (bucket == 0) check_forecast(&j, p, c);
    CHECK_OK(sf_params_hash(sf_network_params(j.net), out->weights));
    CHECK_OK(sf_group_collect(j.group));
    hash_momentum(sf_network_params(j.net), out->momentum);
    out->slabs[0] = out->slabs[1] = j.slabs;
    CHECK_OK(sf_comm_min_i64(c, &out->slabs[0], 1));
    CHECK_OK(sf_comm_max_i64(c, &out->slabs[1], 1));
    drop_job(&j);
}

/* The first `size` ranks train; rank 0 alone knows what one rank's weights are, and gets the number
 * of slabs. */
static void compare(const plan *p, int size, int threads, int64_t bucket, int steps, outcome *want)
{
    sf_comm *c = NULL;
    const int rank = sf_comm_rank(sf_comm_world());
    CHECK_OK(sf_comm_split(&c, sf_comm_world(), rank < size ? 0 : -1, rank));
    if (c) {
        outcome got;
        train(p, c, threads, bucket, steps, &got);
        CHECK(rank > 0 || strcmp(got.momentum, want->momentum) == 0);
        CHECK(rank > 0 || (got.loss == want->loss && got.norm == want->norm));
        char hash[65];
        memcpy(hash, want->weights, sizeof hash);
        CHECK_OK(sf_comm_bcast(c, hash, sizeof hash, 0));
        CHECK(strcmp(got.weights, hash) == 0);
        memcpy(want->slabs, got.slabs, sizeof want->slabs);
        sf_comm_destroy(&c);
    }
    CHECK_OK(sf_comm_barrier(sf_comm_world()));
}

/* What one rank of one thread makes of the plan: what all others must make. */
static void alone(const plan *p, int steps, outcome *want)
{
    outcome one = { .loss = 0 };
    memset(want, 0, sizeof *want);
    if (sf_comm_rank(sf_comm_world()) > 0) return;
    train(p, sf_comm_self(), 1, 0, 1, &one);
    train(p, sf_comm_self(), 1, 0, steps, want);
    CHECK(strcmp(one.weights, want->weights) != 0); /* steps change something */
    CHECK(want->norm > 0.05);                       /* clipping is at work */
}

static bool possible(const plan *p, int size)
{
    return size <= sf_comm_size(sf_comm_world()) && size <= sf_group_most(p->patch, p->batch);
}

static void check_plan(const plan *p, int steps)
{
    static const int sizes[] = { 1, 2, 3, 4, 6, 8 };
    outcome want;
    alone(p, steps, &want);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int threads = 1; threads <= 2; threads++) {
            if (!possible(p, sizes[i]) || sizes[i] * threads == 1) continue;
            compare(p, sizes[i], threads, threads == 1 ? 0 : 20000, steps, &want);
            if (sf_comm_rank(sf_comm_world()) == 0)
                printf("%-7s ranks=%d threads=%d %.16s\n", p->name, sizes[i], threads,
                       want.weights);
        }
}

/* --- the matrix ---------------------------------------------------------------------------------
 */

static const int matrix_ranks[] = { 1, 2, 3, 4, 8 };
enum { N_RANKS = sizeof matrix_ranks / sizeof *matrix_ranks };

/* What has run so far. */
typedef struct {
    int steps, ran, with_slabs[3]; /* combinations; those with samples in 1, 2 and 3 slabs */
} matrix;

/* Slabs of a sample: fewest, most. */
static void slabs_of(int64_t batch, int ranks, int64_t slabs[2])
{
    slabs[0] = ranks > batch ? ranks / batch : 1;
    slabs[1] = ranks > batch ? (ranks + batch - 1) / batch : 1;
}

/* Has a smaller batch put the samples into as many slabs on as many ranks? */
static bool seen_before(int64_t batch, int ranks)
{
    int64_t own[2], other[2];
    slabs_of(batch, ranks, own);
    for (int b = 0; batches[b] < batch; b++) {
        slabs_of(batches[b], ranks, other);
        if (memcmp(own, other, sizeof own) == 0) return true;
    }
    return false;
}

/* One cell: 1 and 2 threads give the hash. */
static void check_cell(const plan *p, int ranks, matrix *m, outcome *want, char text[16])
{
    int64_t slabs[2];
    slabs_of(p->batch, ranks, slabs);
    for (int threads = 1; threads <= 2; threads++) {
        compare(p, ranks, threads, threads == 1 ? 0 : 20000, m->steps, want);
        if (sf_comm_rank(sf_comm_world()) == 0)
            CHECK(memcmp(slabs, want->slabs, sizeof slabs) == 0);
        m->ran++;
        for (int64_t n = slabs[0]; n <= slabs[1] && n <= 3; n++) m->with_slabs[n - 1]++;
    }
    snprintf(text, 16, slabs[0] == slabs[1] ? "%d" : "%d-%d", (int)slabs[0], (int)slabs[1]);
}

static void check_row(const plan *p, matrix *m)
{
    const bool first = sf_comm_rank(sf_comm_world()) == 0;
    outcome want;
    alone(p, m->steps, &want);
    if (first) printf("%-6s %5d ", p->name, (int)p->batch);
    for (int i = 0; i < N_RANKS; i++) {
        const int ranks = matrix_ranks[i];
        char text[16] = "-";
        if (possible(p, ranks) && seen_before(p->batch, ranks))
            snprintf(text, sizeof text, ".");
        else if (possible(p, ranks))
            check_cell(p, ranks, m, &want, text);
        if (first) printf(" %6s", text);
    }
    if (first) printf("  %.16s\n", want.weights);
    fflush(stdout);
}

static void check_matrix(int steps)
{
    matrix m = { .steps = steps };
    const bool first = sf_comm_rank(sf_comm_world()) == 0;
    CHECK(sf_comm_size(sf_comm_world()) == 8);
    if (first)
        printf("%d steps with 1 and with 2 threads: slabs of a sample on so many ranks\n"
               "(-: more ranks than the plan has work for; .: as with a smaller batch, not run)\n"
               "plan   batch       1      2      3      4      8  hash of the weights\n",
               steps);
    for (size_t i = 0; i < sizeof small / sizeof *small; i++)
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
            plan p = small[i];
            p.batch = batches[b];
            check_row(&p, &m);
        }
    CHECK(m.with_slabs[0] > 0 && m.with_slabs[1] > 0 && m.with_slabs[2] > 0);
    if (first)
        printf("%d combinations, all equal to one rank of one thread; with samples in 1, 2 and 3 "
               "slabs: %d, %d, %d\n",
               m.ran, m.with_slabs[0], m.with_slabs[1], m.with_slabs[2]);
}

static void too_many_ranks(void)
{
    const int size = sf_comm_size(sf_comm_world());
    const sf_arch arch = arch_of(&plans[0]);
    const int64_t patch[3] = { 8, 16, 16 }; /* one leaf */
    sf_group *g = NULL;
    if (size == 1) return;
    CHECK(sf_group_create(&g, sf_comm_world(), &arch, patch, size - 1) == SF_EINVAL);
    CHECK(g == NULL && strstr(sf_error_text(), "at most") != NULL);
    sf_error_clear(); /* else a later check would print it */
}

int main(int argc, char **argv)
{
    CHECK_OK(sf_mpi_start(&argc, &argv));
    const int steps = argc > 1 ? atoi(argv[1]) : 3;
    too_many_ranks();
    const bool all = argc > 2 && strcmp(argv[2], "matrix") == 0;
    if (all) check_matrix(steps);
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
        bool asked = argc <= 2;
        for (int k = 2; k < argc; k++) asked = asked || strcmp(argv[k], plans[i].name) == 0;
        if (asked) check_plan(&plans[i], steps);
    }
    CHECK(sf_mem_live(SF_MEM_CATEGORIES) == 0);
    sf_mpi_stop();
    return 0;
}
