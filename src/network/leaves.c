#include "network/leaves.h"
#include "network/exec.h"
#include "network/pointwise.h"
#include <string.h>

/** Partial sums of one node's weight gradient, oldest first: the stack of base/tree.h with its
 *  values. Entry 0 is the gradient itself. */
typedef struct {
    sf_network *net;
    const sf_node *nd;
    sf_tree shape;
    sf_tree_stack s;
} tree;

static void *tree_weight(const tree *t, int entry)
{
    const sf_param *w = &t->net->params.item[t->nd->weight];
    if (entry == 0) return w->grad;
    const sf_arena_block *b = &t->net->block[t->nd->partial];
    return t->net->arena + b->offset + b->bytes / t->nd->parts * (entry - 1);
}

static void *tree_bias(const tree *t, int entry)
{
    if (t->nd->bias < 0) return NULL;
    if (entry == 0) return t->net->params.item[t->nd->bias].grad;
    const sf_param *w = &t->net->params.item[t->nd->weight];
    const int64_t bytes = w->count * (int64_t)sf_dtype_size(t->net->dtype);
    return (char *)tree_weight(t, entry) + (bytes + 63) / 64 * 64;
}

/** Leaf `at` is on top of the stack: add what belongs together now. */
static void tree_push(tree *t, int64_t at)
{
    const sf_params *p = &t->net->params;
    const int threads = t->net->threads;
    sf_tree_push(&t->s, at + 1);
    while (sf_tree_fold(&t->s, &t->shape)) {
        const int last = t->s.n;
        sf_add_into(p->dtype, p->item[t->nd->weight].count, tree_weight(t, last - 1),
                    tree_weight(t, last), threads);
        if (t->nd->bias >= 0)
            sf_add_into(p->dtype, p->item[t->nd->bias].count, tree_bias(t, last - 1),
                        tree_bias(t, last), threads);
    }
}

/** One leaf: slices [slice0, slice1) of sample n, to dweight and dbias. */
typedef struct {
    int64_t n, slice0, slice1;
    void *dweight, *dbias, *scratch;
    int threads;
} leaf;

typedef sf_status leaf_fn(const sf_network *net, const sf_node *nd, const leaf *l);

/** The gradient of a head's logits in one leaf, blocked at the start of the workspace. */
static sf_view leaf_logits(const sf_network *net, const sf_node *nd, const leaf *l)
{
    sf_shape one = net->value[nd->out].shape;
    one.n = 1;
    sf_view d = sf_view_chunk(l->scratch, net->value[nd->out].dtype, one, l->slice0, l->slice1);
    const char *from = sf_graph_ptr(net, net->level[nd->level].dlogits);
    const int64_t sample = one.c * sf_voxels(one) * (int64_t)sf_dtype_size(net->dtype);
    sf_block(from + l->n * sample, &d, l->threads);
    d.stride_n = 0; /* whichever sample it is called */
    return d;
}

static sf_status leaf_conv(const sf_network *net, const sf_node *nd, const leaf *l)
{
    sf_input in[2];
    for (int i = 0; i < nd->n_in; i++) in[i] = sf_exec_input(net, nd->in[i], true);
    const sf_value *v = &net->value[nd->out];
    const sf_conv conv = sf_exec_conv(net, nd);
    const bool head = nd->kind == SF_NODE_HEAD;
    char *scratch = l->scratch;
    if (head) scratch += sf_graph_chunk_bytes(net, nd, 1);
    const sf_conv_bwd_weight run = { .in = in,
                                     .n_in = nd->n_in,
                                     .dout = head ? leaf_logits(net, nd, l)
                                                  : sf_exec_view(net, v, v->grad),
                                     .n = l->n,
                                     .slice0 = l->slice0,
                                     .slice1 = l->slice1,
                                     .dweight = l->dweight,
                                     .dbias = l->dbias,
                                     .threads = l->threads };
    return nd->conv_impl->backward_weight(&conv, &run, scratch);
}

static sf_status leaf_convt(const sf_network *net, const sf_node *nd, const leaf *l)
{
    const sf_value *v = &net->value[nd->out];
    const sf_convt convt = sf_exec_convt(net, nd);
    const sf_convt_bwd_weight run = { .in = sf_exec_input(net, nd->in[0], true),
                                      .dout = sf_exec_view(net, v, v->grad),
                                      .n = l->n,
                                      .slice0 = l->slice0,
                                      .slice1 = l->slice1,
                                      .dweight = l->dweight,
                                      .dbias = l->dbias,
                                      .threads = l->threads };
    return nd->convt_impl->backward_weight(&convt, &run, l->scratch);
}

static void announce_tree(const tree *t)
{
    const void *weight[SF_TREE_MAX], *bias[SF_TREE_MAX];
    for (int i = 0; i < t->s.n; i++) {
        weight[i] = tree_weight(t, i);
        bias[i] = tree_bias(t, i);
    }
    sf_exec_announce(t->net, t->nd->weight, weight, t->s.n);
    sf_exec_announce(t->net, t->nd->bias, bias, t->s.n);
}

/** Leaf `at` of all samples' leaves that this network has, [first, first + per) of each sample. */
static leaf leaf_of(const sf_network *net, const sf_node *nd, sf_shape shape, int64_t first,
                    int64_t per, int64_t at)
{
    const int64_t slices = sf_slices(shape), l = first + at % per;
    return (leaf){ .n = at / per,
                   .slice0 = sf_graph_leaf_start(slices, nd->leaves, l),
                   .slice1 = sf_graph_leaf_start(slices, nd->leaves, l + 1),
                   .scratch = sf_graph_ptr(net, nd->scratch_bwd),
                   .threads = net->threads };
}

/** The leaf's values to the top of the stack, which then folds. */
static void push_leaf(tree *t, const leaf *l, int64_t at)
{
    const sf_params *p = &t->net->params;
    const size_t size = sf_dtype_size(p->dtype);
    memcpy(tree_weight(t, t->s.n), l->dweight, (size_t)p->item[t->nd->weight].count * size);
    if (l->dbias) memcpy(tree_bias(t, t->s.n), l->dbias, (size_t)p->item[t->nd->bias].count * size);
    tree_push(t, at);
}

/** Each thread sums leaves of its own: no line of what it works in is another's. */
static sf_status team_gradient(tree *t, leaf_fn *run, sf_shape shape, int64_t first, int64_t per)
{
    sf_network *net = t->net;
    const sf_node *nd = t->nd;
    const int64_t all = net->used * per, size = (int64_t)sf_dtype_size(net->dtype);
    const int64_t weights = (net->params.item[nd->weight].count * size + 63) / 64 * 64;
    leaf of[SF_MAX_TEAM];
    sf_error_state first_error = { .status = SF_OK };
    for (int64_t at = 0; at < all && first_error.status == SF_OK; at += nd->team) {
        const int n = (int)(all - at < nd->team ? all - at : nd->team);
#pragma omp parallel for num_threads(n) schedule(static, 1)
        for (int i = 0; i < n; i++) {
            char *own = (char *)sf_graph_ptr(net, nd->scratch_bwd) + i * nd->team_bytes;
            of[i] = leaf_of(net, nd, shape, first, per, at + i);
            of[i].dweight = own;
            of[i].dbias = nd->bias < 0 ? NULL : own + weights;
            of[i].scratch = own + nd->team_bytes - nd->team_scratch;
            of[i].threads = 1;
            const sf_status mine = run(net, nd, &of[i]);
#pragma omp critical(sf_network_team)
            if (mine != SF_OK && first_error.status == SF_OK) sf_error_save(&first_error, mine);
        }
        for (int i = 0; i < n && first_error.status == SF_OK; i++)
            push_leaf(t, &of[i], (net->first + of[i].n) * nd->leaves + first + (at + i) % per);
    }
    return first_error.status == SF_OK ? SF_OK : sf_error_restore(&first_error);
}

static sf_status weight_gradient(sf_network *net, const sf_node *nd, leaf_fn *run, sf_shape shape)
{
    tree t = { .net = net, .nd = nd, .shape = { sf_graph_whole_batch(net), nd->leaves } };
    const int64_t first = sf_slabs_leaf(&net->slabs, shape, nd->leaves, net->slab);
    const int64_t per = sf_slabs_leaf(&net->slabs, shape, nd->leaves, net->slab + 1) - first;
    t.s.bound[0] = net->first * nd->leaves + first;
    if (nd->team > 1) {
        SF_TRY(team_gradient(&t, run, shape, first, per));
    } else
        for (int64_t at = 0; at < net->used * per; at++) {
            leaf l = leaf_of(net, nd, shape, first, per, at);
            l.dweight = tree_weight(&t, t.s.n);
            l.dbias = tree_bias(&t, t.s.n);
            SF_TRY(run(net, nd, &l));
            tree_push(&t, (net->first + l.n) * nd->leaves + first + at % per);
        }
    sf_exec_part_done(net, nd, SF_PART_GRAD_WEIGHT);
    announce_tree(&t);
    return SF_OK;
}

sf_status sf_leaves_conv(sf_network *net, const sf_node *nd)
{
    return weight_gradient(net, nd, leaf_conv, nd->conv.out);
}

sf_status sf_leaves_convt(sf_network *net, const sf_node *nd)
{
    return weight_gradient(net, nd, leaf_convt, nd->convt.in);
}
