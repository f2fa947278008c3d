#include "train/group.h"
#include "base/mem.h"
#include "mpi/grad.h"
#include "network/loss.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { BUCKET_BYTES = 4 << 20 };

struct sf_group {
    sf_comm *comm;
    int rank, size;
    int64_t batch;
    sf_network *net;
    sf_grad *grad;        /* NULL: one rank */
    int64_t *sample;      /* [size + 1]: first sample of each rank */
    int64_t *row;         /* [size + 1]: cuts of the last gathered array */
    sf_grad_info *order;  /* [n]: parameters in the order of the backward pass */
    int64_t *first;       /* [n][size + 1]: their positions (mpi/grad.h) */
    int n, next;          /* next: the one that comes next in this step */
    double *square;       /* sums of squares of all blocks, rank after rank */
    int64_t *square_at;   /* [size + 1] */
    double *param_square; /* [parameters], then one parameter's blocks in order */
    int64_t gathered;     /* bytes */
    sf_status failed;     /* of a call from within the backward pass */
};

/* --- making -------------------------------------------------------------------------------------
 */

sf_status sf_group_create(sf_group **out, sf_comm *c, int64_t batch)
{
    *out = NULL;
    sf_group *g = NULL;
    SF_CHECK(sf_comm_size(c) <= batch, SF_EINVAL,
             "%d ranks for one training, but its batch has %" PRId64
             " samples: run it on at most as many ranks",
             sf_comm_size(c), batch);
    SF_TRY(sf_mem_calloc(&g, 1, sizeof *g, SF_MEM_MISC));
    g->comm = c;
    g->rank = sf_comm_rank(c);
    g->size = sf_comm_size(c);
    g->batch = batch;
    sf_status st;
    const size_t cuts = (size_t)g->size + 1;
    SF_GOTO(fail, st, sf_mem_alloc(&g->sample, cuts, sizeof *g->sample, SF_MEM_MISC));
    SF_GOTO(fail, st, sf_mem_alloc(&g->row, cuts, sizeof *g->row, SF_MEM_MISC));
    for (int r = 0; r <= g->size; r++) g->sample[r] = batch * r / g->size;
    *out = g;
    return SF_OK;
fail:
    sf_group_destroy(&g);
    return st;
}

void sf_group_destroy(sf_group **group)
{
    sf_group *g = *group;
    *group = NULL;
    if (!g) return;
    if (g->net) sf_network_on_grad(g->net, NULL, NULL);
    sf_grad_destroy(&g->grad);
    void *all[] = {
        g->sample, g->row, g->order, g->first, g->square, g->square_at, g->param_square
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) sf_mem_free(all[i]);
    sf_mem_free(g);
}

void sf_group_share(const sf_group *g, int64_t *first, int64_t *count, int64_t *whole)
{
    *first = g->sample[g->rank];
    *count = g->sample[g->rank + 1] - *first;
    *whole = g->size > 1 ? g->batch : 0;
}

static int64_t blocks_of(int64_t count) { return (count + SF_GRAD_UNIT - 1) / SF_GRAD_UNIT; }

static int64_t blocks_owned(const sf_group *g, int i, int rank)
{
    int64_t begin, end;
    sf_grad_piece(g->grad, i, rank, &begin, &end);
    return blocks_of(end - begin);
}

/* Room for the sums of squares of all blocks, and for those of one parameter. */
static sf_status plan_squares(sf_group *g)
{
    const sf_params *p = sf_network_params(g->net);
    int64_t most = 0;
    SF_TRY(sf_mem_calloc(&g->square_at, (size_t)g->size + 1, sizeof *g->square_at, SF_MEM_MISC));
    for (int r = 0; r < g->size; r++) {
        g->square_at[r + 1] = g->square_at[r];
        for (int i = 0; i < g->n; i++) g->square_at[r + 1] += blocks_owned(g, i, r);
    }
    for (int i = 0; i < p->count; i++)
        if (blocks_of(p->item[i].count) > most) most = blocks_of(p->item[i].count);
    const size_t all = (size_t)g->square_at[g->size], one = (size_t)(p->count + most);
    SF_TRY(sf_mem_alloc(&g->square, all + 1, sizeof *g->square, SF_MEM_MISC));
    return sf_mem_alloc(&g->param_square, one, sizeof *g->param_square, SF_MEM_MISC);
}

static sf_status describe(sf_group *g, sf_grad_tensor *t)
{
    const sf_params *p = sf_network_params(g->net);
    SF_TRY(sf_mem_alloc(&g->first, (size_t)(g->n * (g->size + 1)), sizeof *g->first, SF_MEM_MISC));
    for (int i = 0; i < g->n; i++) {
        const sf_grad_info *o = &g->order[i];
        const sf_param *q = &p->item[o->param];
        int64_t *first = g->first + (int64_t)i * (g->size + 1);
        for (int r = 0; r <= g->size; r++) first[r] = g->sample[r] * o->leaves;
        t[i] = (sf_grad_tensor){ .count = q->count,
                                 .wide = o->wide,
                                 .tree = { g->batch, o->leaves },
                                 .first = first,
                                 .value = q->value,
                                 .grad = q->grad };
    }
    return SF_OK;
}

static void ready(void *user, int param, const void *const *part, int parts)
{
    sf_group *g = user;
    if (g->failed != SF_OK) return;
    if (g->next >= g->n || g->order[g->next].param != param)
        g->failed = SF_FAIL(SF_EINTERNAL, "the gradient of parameter %d was not expected", param);
    else
        g->failed = sf_grad_ready(g->grad, g->next, part, parts);
    g->next++;
}

/* The lowest resolution has weight 0 (nnunet-training.md 3) and no gradient. */
static int grad_order(sf_network *net, sf_grad_info *order)
{
    double weight[SF_MAX_STAGES];
    const int levels = sf_network_levels(net);
    sf_deep_supervision_weights(levels, weight);
    for (int i = 0; i < levels; i++) sf_network_skip_level(net, i, !(weight[i] > 0.0));
    return sf_network_grad_order(net, order);
}

sf_status sf_group_attach(sf_group *g, sf_network *net, int64_t bucket_bytes)
{
    sf_grad_tensor *t = NULL;
    const sf_params *p = sf_network_params(net);
    g->net = net;
    if (g->size == 1) return SF_OK;
    const size_t n = (size_t)p->count;
    sf_status st = sf_mem_alloc(&g->order, n, sizeof *g->order, SF_MEM_MISC);
    if (st == SF_OK) g->n = grad_order(net, g->order);
    if (st == SF_OK) st = sf_mem_alloc(&t, n, sizeof *t, SF_MEM_MISC);
    if (st == SF_OK) st = describe(g, t);
    SF_GOTO(done, st, sf_comm_agree(g->comm, st));
    SF_GOTO(
        done, st,
        sf_grad_create(&g->grad, g->comm, t, g->n, bucket_bytes > 0 ? bucket_bytes : BUCKET_BYTES));
    SF_GOTO(done, st, sf_comm_agree(g->comm, plan_squares(g)));
    sf_network_on_grad(net, ready, g);
done:
    sf_mem_free(t);
    return st;
}

/* --- a step -------------------------------------------------------------------------------------
 */

sf_status sf_group_gather(void *group, double *rows, int64_t width)
{
    sf_group *g = group;
    for (int r = 0; r <= g->size; r++) g->row[r] = g->sample[r] * width;
    g->gathered += (g->row[g->rank + 1] - g->row[g->rank]) * 8 * (g->size - 1);
    return sf_comm_allgather_f64(g->comm, rows, g->row);
}

sf_status sf_group_backward(sf_group *g)
{
    if (!g->grad) return sf_network_backward(g->net);
    g->next = 0;
    g->failed = SF_OK;
    SF_TRY(sf_grad_begin(g->grad));
    sf_status st = sf_network_backward(g->net);
    if (st == SF_OK) st = g->failed;
    SF_TRY(sf_comm_agree(g->comm, st)); /* else the others would wait for what is missing */
    return sf_grad_finish(g->grad);
}

/* Sums of squares of the own blocks, then of everybody's. */
static sf_status gather_squares(sf_group *g)
{
    const sf_params *p = sf_network_params(g->net);
    double *to = g->square + g->square_at[g->rank];
    for (int i = 0; i < g->n; i++) {
        int64_t begin, end;
        sf_grad_piece(g->grad, i, g->rank, &begin, &end);
        to += sf_optim_squares(p->dtype, &p->item[g->order[i].param], begin, end, to);
    }
    g->gathered += (g->square_at[g->rank + 1] - g->square_at[g->rank]) * 8 * (g->size - 1);
    return sf_comm_allgather_f64(g->comm, g->square, g->square_at);
}

/* The tree of sf_optim_grad_norm: blocks of a parameter, then parameters. */
static double group_norm(sf_group *g, int64_t *at)
{
    const sf_params *p = sf_network_params(g->net);
    double *param = g->param_square, *block = param + p->count;
    memset(param, 0, (size_t)p->count * sizeof *param);
    for (int r = 0; r < g->size; r++) at[r] = g->square_at[r];
    for (int i = 0; i < g->n; i++) {
        int64_t n = 0;
        for (int r = 0; r < g->size; r++)
            for (int64_t k = blocks_owned(g, i, r); k > 0; k--) block[n++] = g->square[at[r]++];
        param[g->order[i].param] = sf_tree_sum(block, n, 1);
    }
    return sqrt(sf_tree_sum(param, p->count, 1));
}

sf_status sf_group_step(sf_group *g, const sf_optim *o, double lr, int threads, double *norm)
{
    sf_params *p = sf_network_params(g->net);
    if (!g->grad) {
        sf_optim_step(o, lr, p, threads, norm);
        return SF_OK;
    }
    SF_TRY(gather_squares(g));
    const double all = group_norm(g, g->row), clip = sf_optim_clip(o, all);
    for (int i = 0; i < g->n; i++) {
        sf_param *q = &p->item[g->order[i].param];
        int64_t begin, end;
        sf_grad_piece(g->grad, i, g->rank, &begin, &end);
        sf_optim_step_part(o, lr, clip, p->dtype, q, begin, end, threads);
        q->has_velocity = true;
    }
    if (norm) *norm = all;
    return sf_grad_share(g->grad);
}

sf_status sf_group_collect(sf_group *g)
{
    if (!g->grad) return SF_OK;
    const sf_params *p = sf_network_params(g->net);
    float **velocity = NULL;
    sf_status st = sf_mem_alloc(&velocity, (size_t)g->n + 1, sizeof *velocity, SF_MEM_MISC);
    SF_GOTO(done, st, sf_comm_agree(g->comm, st));
    for (int i = 0; i < g->n; i++) velocity[i] = p->item[g->order[i].param].velocity;
    if (g->n > 0 && p->item[g->order[0].param].has_velocity)
        st = sf_grad_collect(g->grad, velocity, 0);
done:
    sf_mem_free(velocity);
    return st;
}

/* --- counting -----------------------------------------------------------------------------------
 */

int64_t sf_group_step_bytes(const sf_group *g)
{
    if (!g->grad) return 0;
    const int64_t samples = g->sample[g->rank + 1] - g->sample[g->rank];
    const int64_t rows = samples * sf_loss_gathered(g->net);
    const int64_t blocks = g->square_at[g->rank + 1] - g->square_at[g->rank];
    return sf_grad_bytes(g->grad) + (g->size - 1) * 8 * (rows + blocks);
}

int64_t sf_group_sent(const sf_group *g)
{
    return g->grad ? sf_grad_sent(g->grad) + g->gathered : 0;
}
