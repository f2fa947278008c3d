#include "train/group.h"
#include "base/mem.h"
#include "mpi/grad.h"
#include "mpi/halo.h"
#include "network/loss.h"
#include "network/slabs.h"
#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { BUCKET_BYTES = 4 << 20 };

struct sf_group {
    sf_comm *comm;
    int rank, size;
    int64_t batch;
    sf_network *net;
    sf_prof *prof;
    sf_arch arch;
    int64_t patch[3];
    sf_grad *grad;  /* NULL: one rank */
    sf_comm *mates; /* ranks of the same sample; NULL: alone with it */
    sf_halo *halo;
    int64_t exchanged;    /* bytes by the formula since the last sf_group_step */
    int64_t step_halo;    /* the same of the last whole step */
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

/* --- who computes what --------------------------------------------------------------------------
 */

int64_t sf_group_most(const int64_t patch[3], int64_t batch)
{
    return batch * sf_slabs_most(patch);
}

/* First sample of a rank, its slab and the number of slabs of that sample. */
typedef struct {
    int64_t first, count;
    int slab, slabs;
} share;

static share share_of(const sf_group *g, int rank)
{
    const int64_t size = g->size, batch = g->batch;
    share s = { batch * rank / size, batch * (rank + 1) / size - batch * rank / size, 0, 1 };
    if (size <= batch) return s;
    /* the sample whose ranks [size*s/batch, size*(s+1)/batch) hold this one */
    s.first = (batch * (rank + 1) - 1) / size;
    s.count = 1;
    s.slab = (int)(rank - size * s.first / batch);
    s.slabs = (int)(size * (s.first + 1) / batch - size * s.first / batch);
    return s;
}

void sf_group_share(const sf_group *g, sf_network_options *o)
{
    const share s = share_of(g, g->rank);
    o->batch = s.count;
    o->first = s.first;
    o->whole = g->size > 1 ? g->batch : 0;
    o->slab = s.slab;
    o->slabs = s.slabs;
}

/* Cuts of what has `width` entries per sample, which the first rank of each sample gives. */
static void cut_rows(sf_group *g, int64_t width)
{
    for (int r = 0; r < g->size; r++) {
        const share s = share_of(g, r);
        g->row[r] = (s.first + (s.slab > 0)) * width;
    }
    g->row[g->size] = g->batch * width;
}

static int64_t rows_own(const sf_group *g, int64_t width)
{
    const share s = share_of(g, g->rank);
    return s.slab == 0 ? s.count * width : 0;
}

sf_status sf_group_create(sf_group **out, sf_comm *c, const sf_arch *arch, const int64_t patch[3],
                          int64_t batch)
{
    const int64_t most = sf_group_most(patch, batch);
    *out = NULL;
    sf_group *g = NULL;
    SF_CHECK(sf_comm_size(c) <= most, SF_EINVAL,
             "%d ranks for one training, but its batch of %" PRId64
             " samples can be shared by at most %" PRId64,
             sf_comm_size(c), batch, most);
    sf_status st = sf_mem_calloc(&g, 1, sizeof *g, SF_MEM_MISC);
    SF_GOTO(fail, st, sf_comm_agree(c, st));
    g->comm = c;
    g->rank = sf_comm_rank(c);
    g->size = sf_comm_size(c);
    g->batch = batch;
    g->arch = *arch;
    memcpy(g->patch, patch, sizeof g->patch);
    const share s = share_of(g, g->rank);
    st = sf_mem_alloc(&g->row, (size_t)g->size + 1, sizeof *g->row, SF_MEM_MISC);
    SF_GOTO(fail, st, sf_comm_agree(c, st));
    if (g->size > batch) SF_GOTO(fail, st, sf_comm_split(&g->mates, c, (int)s.first, g->rank));
    if (g->mates) st = sf_halo_create(&g->halo, g->mates);
    SF_GOTO(fail, st, sf_comm_agree(c, st));
    *out = g;
    return SF_OK;
fail:
    sf_group_destroy(&g);
    return st;
}

static void free_parts(sf_group *g)
{
    void *all[] = { g->row, g->order, g->first, g->square, g->square_at, g->param_square };
    sf_grad_destroy(&g->grad);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) sf_mem_free(all[i]);
}

void sf_group_destroy(sf_group **group)
{
    sf_group *g = *group;
    *group = NULL;
    if (!g) return;
    if (g->net) {
        sf_network_on_grad(g->net, NULL, NULL);
        sf_network_on_share(g->net, NULL, NULL);
    }
    sf_halo_destroy(&g->halo);
    if (g->mates) sf_comm_destroy(&g->mates);
    free_parts(g);
    sf_mem_free(g);
}

/* --- making -------------------------------------------------------------------------------------
 */

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

/* Where the leaves of each rank begin. */
static sf_status find_positions(const sf_group *g, const sf_grad_info *o, int64_t *first)
{
    sf_slabs slabs = { .n = 0 };
    for (int r = 0; r < g->size; r++) {
        const share s = share_of(g, r);
        if (s.slabs != slabs.n) SF_TRY(sf_slabs_plan(&slabs, &g->arch, g->patch, s.slabs));
        first[r] = s.first * o->leaves + sf_slabs_leaf(&slabs, o->shape, o->leaves, s.slab);
    }
    first[g->size] = g->batch * o->leaves;
    return SF_OK;
}

static sf_status describe(sf_group *g, sf_grad_tensor *t)
{
    const sf_params *p = sf_network_params(g->net);
    SF_TRY(sf_mem_alloc(&g->first, (size_t)(g->n * (g->size + 1)), sizeof *g->first, SF_MEM_MISC));
    for (int i = 0; i < g->n; i++) {
        const sf_grad_info *o = &g->order[i];
        const sf_param *q = &p->item[o->param];
        int64_t *first = g->first + (int64_t)i * (g->size + 1);
        SF_TRY(find_positions(g, o, first));
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

/* sf_share_fn: halos, or slices for all ranks of the sample. */
static sf_status exchange(void *user, void *data, int64_t outer, int64_t bytes,
                          const int64_t *border, int64_t halo)
{
    sf_group *g = user;
    const share s = share_of(g, g->rank);
    const int64_t sent = sf_halo_bytes(s.slab, s.slabs, outer, bytes, border, halo);
    g->exchanged += sent;
    sf_prof_begin(g->prof, SF_EV_HALO);
    SF_TRY(sf_halo_share(g->halo, data, outer, bytes, border, halo));
    sf_prof_end(g->prof, SF_EV_HALO, 0, (double)sent);
    return g->grad ? sf_grad_poll(g->grad) : SF_OK;
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

sf_status sf_group_attach(sf_group *g, sf_network *net, int64_t bucket_bytes, sf_prof *prof)
{
    sf_grad_tensor *t = NULL;
    const sf_params *p = sf_network_params(net);
    g->net = net;
    g->prof = prof;
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
    sf_network_on_share(net, g->halo ? exchange : NULL, g);
done:
    sf_mem_free(t);
    return st;
}

/* --- a step -------------------------------------------------------------------------------------
 */

sf_status sf_group_gather(void *group, double *rows, int64_t width)
{
    sf_group *g = group;
    cut_rows(g, width);
    g->gathered += rows_own(g, width) * 8 * (g->size - 1);
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
    if (st != SF_OK && g->halo) return st; /* mates wait for a halo: the caller must end the job */
    sf_prof_begin(g->prof, SF_EV_REDUCE);
    SF_TRY(sf_comm_agree(g->comm, st)); /* else the others would wait for what is missing */
    SF_TRY(sf_grad_finish(g->grad));
    sf_prof_end(g->prof, SF_EV_REDUCE, 0, 0);
    return SF_OK;
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
    g->step_halo = g->exchanged;
    g->exchanged = 0;
    sf_prof_begin(g->prof, SF_EV_REDUCE);
    SF_TRY(sf_grad_share(g->grad));
    sf_prof_end(g->prof, SF_EV_REDUCE, 0, (double)sf_grad_bytes(g->grad));
    return SF_OK;
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
    const int64_t rows = rows_own(g, sf_loss_gathered(g->net));
    const int64_t blocks = g->square_at[g->rank + 1] - g->square_at[g->rank];
    return sf_grad_bytes(g->grad) + g->step_halo + (g->size - 1) * 8 * (rows + blocks);
}

/* --- on paper -----------------------------------------------------------------------------------
 */

typedef struct {
    const sf_group *g;
    int64_t bytes, exchanges, messages;
} paper;

/* sf_share_fn: nothing moves. */
static sf_status note(void *user, void *data, int64_t outer, int64_t bytes, const int64_t *border,
                      int64_t halo)
{
    paper *p = user;
    (void)data;
    const share s = share_of(p->g, p->g->rank);
    p->bytes += sf_halo_bytes(s.slab, s.slabs, outer, bytes, border, halo);
    p->messages += halo > 0 ? (s.slab > 0) + (s.slab + 1 < s.slabs) : s.slabs - 1;
    p->exchanges++;
    return SF_OK;
}

/* What sf_group_attach makes, without other ranks. */
static sf_status attach_on_paper(sf_group *g)
{
    const size_t n = (size_t)sf_network_params(g->net)->count;
    sf_grad_tensor *t = NULL;
    SF_TRY(sf_mem_alloc(&g->order, n, sizeof *g->order, SF_MEM_MISC));
    g->n = grad_order(g->net, g->order);
    SF_TRY(sf_mem_alloc(&t, n, sizeof *t, SF_MEM_MISC));
    sf_status st = describe(g, t);
    if (st == SF_OK) st = sf_grad_plan(&g->grad, g->rank, g->size, t, g->n, BUCKET_BYTES);
    if (st == SF_OK) st = plan_squares(g);
    sf_mem_free(t);
    return st;
}

static sf_status fill_in(sf_group *g, sf_group_forecast *out)
{
    paper p = { .g = g };
    *out = (sf_group_forecast){ .memory = sf_network_bytes(g->net),
                                .flops = sf_network_step_flops(g->net),
                                .parameters = sf_network_params(g->net)->total };
    if (g->size == 1) return SF_OK;
    SF_TRY(attach_on_paper(g));
    sf_network_on_share(g->net, note, &p);
    SF_TRY(sf_network_rehearse(g->net));
    g->step_halo = p.bytes;
    out->memory += sf_grad_room(g->grad);
    out->grad_bytes = sf_grad_bytes(g->grad);
    out->halo_bytes = p.bytes;
    out->bytes = sf_group_step_bytes(g);
    out->exchanges = p.exchanges;
    /* of the gathered rows one per level, and one of squares */
    out->messages = p.messages + sf_grad_messages(g->grad) +
                    (int64_t)(g->size - 1) * (sf_network_levels(g->net) + 1);
    return SF_OK;
}

sf_status sf_group_foresee(sf_group_forecast *out, const sf_network_options *whole, int rank,
                           int ranks)
{
    sf_group g = { .rank = rank, .size = ranks, .batch = whole->batch, .arch = *whole->arch };
    sf_network_options own = *whole;
    memcpy(g.patch, whole->patch, sizeof g.patch);
    SF_CHECK(ranks <= sf_group_most(whole->patch, whole->batch), SF_EINVAL,
             "%d ranks are more than can share one training", ranks);
    sf_group_share(&g, &own);
    sf_status st = sf_mem_alloc(&g.row, (size_t)ranks + 1, sizeof *g.row, SF_MEM_MISC);
    if (st == SF_OK) st = sf_network_create(&g.net, &own);
    if (st == SF_OK) st = fill_in(&g, out);
    sf_network_destroy(&g.net);
    free_parts(&g);
    return st;
}

int64_t sf_group_sent(const sf_group *g)
{
    if (!g->grad) return 0;
    return sf_grad_sent(g->grad) + g->gathered + (g->halo ? sf_halo_sent(g->halo) : 0);
}
