#include "network/graph.h"
#include "base/mem.h"
#include "network/loss_work.h"
#include <stdlib.h>
#include <string.h>

static int64_t align64(int64_t bytes) { return (bytes + 63) / 64 * 64; }

sf_status sf_graph_add_node(sf_network *net, sf_node_kind kind, int *index)
{
    const size_t n = (size_t)net->n_nodes + 1;
    SF_TRY(sf_mem_resize(&net->node, n, sizeof *net->node, SF_MEM_MISC));
    sf_node *nd = &net->node[net->n_nodes];
    memset(nd, 0, sizeof *nd);
    nd->kind = kind;
    nd->out = nd->in[0] = nd->in[1] = -1;
    nd->weight = nd->bias = nd->gamma = nd->beta = -1;
    nd->stats = nd->sums = nd->total = nd->partial = nd->scratch_fwd = nd->scratch_bwd = -1;
    *index = net->n_nodes++;
    return SF_OK;
}

sf_status sf_graph_add_value(sf_network *net, sf_shape shape, int producer, int *index)
{
    const size_t n = (size_t)net->n_values + 1;
    SF_TRY(sf_mem_resize(&net->value, n, sizeof *net->value, SF_MEM_MISC));
    sf_value *v = &net->value[net->n_values];
    memset(v, 0, sizeof *v);
    v->shape = shape;
    v->dtype = net->stored;
    v->load = SF_LOAD_RAW;
    v->slope = 1.0;
    v->producer = producer;
    v->first_use = v->last_use = -1;
    v->wants_grad = true;
    v->raw = v->raw_bwd = v->grad = v->affine = -1;
    *index = net->n_values++;
    return SF_OK;
}

void sf_graph_connect(sf_network *net, int node, int value)
{
    sf_node *nd = &net->node[node];
    sf_value *v = &net->value[value];
    nd->in[nd->n_in++] = value;
    if (v->first_use < 0) v->first_use = node;
    v->last_use = node;
}

static int64_t slice_groups(int64_t slices)
{
    return (slices + SF_LEAF_SLICES - 1) / SF_LEAF_SLICES;
}

int64_t sf_graph_leaves(sf_shape shape)
{
    int64_t n = sf_voxels(shape) / SF_LEAF_VOXELS;
    if (n > SF_MAX_LEAVES) n = SF_MAX_LEAVES;
    if (n > slice_groups(sf_slices(shape))) n = slice_groups(sf_slices(shape));
    return n < 1 ? 1 : n;
}

int64_t sf_graph_leaf_start(int64_t slices, int64_t leaves, int64_t l)
{
    const int64_t at = l * slice_groups(slices) / leaves * SF_LEAF_SLICES;
    return at < slices ? at : slices;
}

int64_t sf_graph_chunk_bytes(const sf_network *net, const sf_node *head, int64_t samples)
{
    const sf_value *v = &net->value[head->out];
    const int64_t slices = sf_slices(v->shape);
    int64_t most = 0;
    for (int64_t l = 0; l < head->leaves; l++) {
        const int64_t n = sf_graph_leaf_start(slices, head->leaves, l + 1) -
                          sf_graph_leaf_start(slices, head->leaves, l);
        if (n > most) most = n;
    }
    const int64_t bytes = (int64_t)sf_view_bytes(v->dtype, v->shape);
    return align64(bytes / v->shape.n / slices * most * samples);
}

int sf_graph_tree_depth(const sf_network *net, int64_t leaves)
{
    const sf_tree t = { net->whole > 0 ? net->whole : net->batch, leaves };
    sf_tree_stack s;
    return sf_tree_cover(&t, net->first * leaves, (net->first + net->batch) * leaves, &s);
}

/* --- slabs ------------------------------------------------------------------------------------ */

/** What node `nd` needs of its input beyond the own slices: none, one slice on each side, or all.
 */
static int64_t needed(const sf_network *net, const sf_node *nd, const sf_value *in)
{
    if (!net->value[nd->out].split) return 0;
    const int axis = in->shape.d > 1 ? 0 : 1;
    const bool conv = nd->kind == SF_NODE_CONV || nd->kind == SF_NODE_HEAD;
    return conv && nd->conv.kernel[axis] > 1 ? 1 : -1;
}

void sf_graph_plan_slabs(sf_network *net)
{
    for (int i = 0; i < net->n_values; i++) {
        net->value[i].split = sf_slabs_split(&net->slabs, net->value[i].shape);
        net->value[i].share = -1;
    }
    for (int i = 0; i < net->n_nodes; i++)
        for (int k = 0; k < net->node[i].n_in; k++) {
            sf_value *v = &net->value[net->node[i].in[k]];
            const int64_t n = needed(net, &net->node[i], v);
            if (n >= 0 && v->share != 0) v->share = n;
        }
}

void sf_graph_own_slices(const sf_network *net, sf_shape shape, int64_t *lo, int64_t *hi)
{
    *lo = 0;
    *hi = sf_slices(shape);
    if (!sf_slabs_split(&net->slabs, shape)) return;
    *lo = sf_slabs_slice(&net->slabs, shape, net->slab);
    *hi = sf_slabs_slice(&net->slabs, shape, net->slab + 1);
}

double sf_graph_own_part(const sf_network *net, sf_shape shape)
{
    int64_t lo, hi;
    sf_graph_own_slices(net, shape, &lo, &hi);
    return (double)(hi - lo) / (double)sf_slices(shape);
}

sf_status sf_graph_share(sf_network *net, sf_shape shape, void *data, int64_t outer, int64_t bytes,
                         int64_t halo)
{
    int64_t border[SF_MAX_SLABS + 1];
    if (!sf_slabs_split(&net->slabs, shape)) return SF_OK;
    SF_CHECK(net->on_share, SF_EINVAL, "network: a slab without the ranks of the other slabs");
    for (int h = 0; h <= net->slabs.n; h++) border[h] = sf_slabs_slice(&net->slabs, shape, h);
    return net->on_share(net->on_share_user, data, outer, bytes, border, halo);
}

/* --- blocks and their steps --------------------------------------------------------------- */

static sf_status add_block(sf_network *net, int64_t bytes, int birth, int death, int *index)
{
    *index = -1;
    if (bytes <= 0) return SF_OK;
    const size_t n = (size_t)net->n_blocks + 1;
    SF_TRY(sf_mem_resize(&net->block, n, sizeof *net->block, SF_MEM_MISC));
    net->block[net->n_blocks] = (sf_arena_block){ align64(bytes), 0, birth, death };
    *index = net->n_blocks++;
    return SF_OK;
}

/** Backward of a node: its norm first, then its gradients. */
static int step_norm(const sf_network *net, int node) { return 3 * net->n_nodes - 2 * node; }
static int step_back(const sf_network *net, int node) { return step_norm(net, node) + 1; }
static int last_step(const sf_network *net) { return step_back(net, 0); }

/** Last step that reads a stored value. */
static int raw_death(const sf_network *net, const sf_value *v)
{
    const int forward = v->last_use < 0 ? v->producer : v->last_use;
    if (!net->training) return forward;
    if (v->load == SF_LOAD_RAW) return step_back(net, v->first_use);
    if (v->load == SF_LOAD_NORM) return step_norm(net, v->producer); /* the last that reads it */
    return step_back(net, v->producer);
}

static sf_status plan_input(sf_network *net, sf_value *v)
{
    const int64_t bytes = (int64_t)sf_view_bytes(v->dtype, v->shape);
    SF_TRY(add_block(net, bytes, v->producer, v->last_use, &v->raw));
    v->raw_bwd = v->raw;
    if (!net->training) return SF_OK;
    /* blocked single channels are 16 times as large: keep the plain copy, block it again */
    const int64_t plain = v->shape.n * v->shape.c * sf_voxels(v->shape);
    SF_TRY(add_block(net, plain * (int64_t)sf_dtype_size(net->dtype), 0, last_step(net),
                     &net->plain_input));
    const int first = step_back(net, v->last_use), last = step_back(net, v->first_use);
    return add_block(net, bytes, first, last, &v->raw_bwd);
}

static sf_status plan_value(sf_network *net, int index)
{
    sf_value *v = &net->value[index];
    const int64_t bytes = (int64_t)sf_view_bytes(v->dtype, v->shape);
    if (net->node[v->producer].kind == SF_NODE_INPUT) return plan_input(net, v);
    if (net->node[v->producer].kind == SF_NODE_HEAD) {
        v->raw = v->raw_bwd = v->grad = -1;
        return SF_OK;
    }
    SF_TRY(add_block(net, bytes, v->producer, raw_death(net, v), &v->raw));
    v->raw_bwd = v->raw;
    if (v->load != SF_LOAD_RAW) {
        const int64_t lanes = 4 * v->shape.n * sf_cpad(v->shape.c);
        SF_TRY(add_block(net, lanes * (int64_t)sf_dtype_size(net->dtype), 0, last_step(net),
                         &v->affine));
    }
    if (!net->training || !v->wants_grad) return SF_OK;
    const int first = step_back(net, v->last_use < 0 ? v->producer : v->last_use);
    return add_block(net, bytes, first, step_back(net, v->producer), &v->grad);
}

static sf_status plan_norm(sf_network *net, sf_node *nd, int index)
{
    const sf_value *v = &net->value[nd->out];
    if (v->load != SF_LOAD_NORM) return SF_OK;
    const int64_t lanes = v->shape.n * sf_cpad(v->shape.c);
    const int64_t sums = lanes * sf_slices(v->shape) * 2 * (int64_t)sizeof(double);
    const int back = step_norm(net, index);
    SF_TRY(add_block(net, sums, index, index, &nd->stats));
    if (!net->training) return SF_OK;
    SF_TRY(add_block(net, sums, back, back, &nd->sums));
    return add_block(net, lanes * 2 * (int64_t)sizeof(double), back, back, &nd->total);
}

/** Workspace of a node's kernel; that of a head begins with a chunk of so many samples. */
static int64_t node_scratch(const sf_network *net, const sf_node *nd, int64_t samples, int threads)
{
    size_t bytes = 0;
    if (nd->conv_impl && nd->conv_impl->scratch) bytes = nd->conv_impl->scratch(&nd->conv, threads);
    if (nd->convt_impl && nd->convt_impl->scratch)
        bytes = nd->convt_impl->scratch(&nd->convt, threads);
    if (nd->kind == SF_NODE_HEAD) bytes += (size_t)sf_graph_chunk_bytes(net, nd, samples);
    return (int64_t)bytes;
}

/** Bytes of one partial sum of a node's weight and bias gradient. */
static int64_t partial_bytes(const sf_network *net, const sf_node *nd)
{
    const int64_t size = (int64_t)sf_dtype_size(net->dtype);
    int64_t bytes = align64(net->params.item[nd->weight].count * size);
    if (nd->bias >= 0) bytes += align64(net->params.item[nd->bias].count * size);
    return bytes;
}

/** Bytes for a backward pass: that of its kernel, or of a team (graph.h) where the leaves are many
 * and what they need is little. Threads that share a leaf write and read the same lines, which
 * costs more than the sums where these are short. */
static int64_t plan_team(const sf_network *net, sf_node *nd, int64_t scratch)
{
    enum { MOST_BYTES = 96 << 20 };
    const int64_t own = align64(node_scratch(net, nd, 1, 1));
    nd->team = 1;
    nd->team_scratch = own;
    nd->team_bytes = partial_bytes(net, nd) + own;
    if (net->threads < 2 || net->threads > SF_MAX_TEAM || nd->leaves * net->batch < net->threads ||
        nd->team_bytes > MOST_BYTES / net->threads)
        return scratch;
    nd->team = net->threads;
    const int64_t all = nd->team_bytes * nd->team;
    return all > scratch ? all : scratch;
}

static sf_status plan_node(sf_network *net, int index)
{
    sf_node *nd = &net->node[index];
    const int back = step_back(net, index);
    if (nd->weight >= 0)
        nd->leaves = sf_graph_leaves(nd->kind == SF_NODE_CONVT ? nd->convt.in : nd->conv.out);
    int64_t scratch = node_scratch(net, nd, net->batch, net->threads);
    SF_TRY(add_block(net, scratch, index, index, &nd->scratch_fwd));
    SF_TRY(plan_norm(net, nd, index));
    if (!net->training) return SF_OK;
    if (nd->weight >= 0) scratch = plan_team(net, nd, scratch);
    SF_TRY(add_block(net, scratch, back, back, &nd->scratch_bwd));
    if (nd->weight < 0) return SF_OK;
    /* the lowest partial sum is the gradient itself */
    nd->parts = sf_graph_tree_depth(net, nd->leaves) - 1;
    return add_block(net, nd->parts * partial_bytes(net, nd), back, back, &nd->partial);
}

static sf_status plan_level(sf_network *net, sf_level *lv)
{
    const int64_t count = lv->shape.n * lv->shape.c * sf_voxels(lv->shape);
    const int64_t bytes = count * (int64_t)sf_dtype_size(net->dtype);
    SF_TRY(add_block(net, bytes, 0, last_step(net), &lv->logits));
    if (!net->training) return SF_OK;
    return add_block(net, bytes, net->n_nodes, step_back(net, lv->node), &lv->dlogits);
}

/* --- placing -------------------------------------------------------------------------------- */

static bool overlap(const sf_arena_block *a, const sf_arena_block *b)
{
    return a->birth <= b->death && b->birth <= a->death;
}

/** Lowest offset at which `b` is free of the blocks placed so far (sorted by offset). */
static int64_t first_fit(const sf_network *net, const sf_arena_block *b, const int *placed, int n)
{
    int64_t at = 0;
    for (int i = 0; i < n; i++) {
        const sf_arena_block *p = &net->block[placed[i]];
        if (!overlap(b, p) || p->offset + p->bytes <= at) continue;
        if (at + b->bytes <= p->offset) return at;
        at = p->offset + p->bytes;
    }
    return at;
}

static void insert_by_offset(const sf_network *net, int *placed, int n, int block)
{
    int i = n;
    for (; i > 0 && net->block[placed[i - 1]].offset > net->block[block].offset; i--)
        placed[i] = placed[i - 1];
    placed[i] = block;
}

/** Larger ones first; of one size those that begin earlier: in this order equal blocks need no more
 *  places than live at once. */
static bool goes_before(const sf_arena_block *a, const sf_arena_block *b)
{
    return a->bytes > b->bytes || (a->bytes == b->bytes && a->birth < b->birth);
}

static void order_blocks(const sf_network *net, int *order)
{
    for (int i = 0; i < net->n_blocks; i++) {
        int j = i;
        for (; j > 0 && goes_before(&net->block[i], &net->block[order[j - 1]]); j--)
            order[j] = order[j - 1];
        order[j] = i;
    }
}

/** Largest blocks first, each at the lowest free place. */
static sf_status place_blocks(sf_network *net)
{
    int *order = NULL;
    const size_t n = (size_t)net->n_blocks;
    SF_TRY(sf_mem_alloc(&order, 2 * n, sizeof *order, SF_MEM_MISC));
    int *placed = order + n;
    order_blocks(net, order);
    net->arena_bytes = 0;
    for (int i = 0; i < net->n_blocks; i++) {
        sf_arena_block *b = &net->block[order[i]];
        b->offset = first_fit(net, b, placed, i);
        insert_by_offset(net, placed, i, order[i]);
        if (b->offset + b->bytes > net->arena_bytes) net->arena_bytes = b->offset + b->bytes;
    }
    sf_mem_free(order);
    return SF_OK;
}

sf_status sf_graph_plan(sf_network *net)
{
    net->plain_input = net->loss_work = -1;
    for (int i = 0; i < net->n_values; i++) SF_TRY(plan_value(net, i));
    for (int i = 0; i < net->n_nodes; i++) SF_TRY(plan_node(net, i));
    for (int i = 0; i < net->n_levels; i++) SF_TRY(plan_level(net, &net->level[i]));
    const int loss = net->n_nodes;
    if (net->training) SF_TRY(add_block(net, sf_loss_work_bytes(net), loss, loss, &net->loss_work));
    return place_blocks(net);
}
