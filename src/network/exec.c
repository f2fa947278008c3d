#include "network/exec.h"
#include "kernels/norm.h"
#include "network/leaves.h"
#include "network/pointwise.h"
#include <string.h>

/* --- views ---------------------------------------------------------------------------------- */

sf_view sf_exec_view(const sf_network *net, const sf_value *v, int block)
{
    sf_shape shape = v->shape;
    shape.n = net->used;
    return sf_view_dense(sf_graph_ptr(net, block), v->dtype, shape);
}

/** What this network makes of a value: its slab, or all. */
static sf_view part_of(const sf_network *net, const sf_value *v, int block)
{
    const sf_view whole = sf_exec_view(net, v, block);
    int64_t lo, hi;
    if (!v->split) return whole;
    sf_graph_own_slices(net, v->shape, &lo, &hi);
    return sf_view_slab(&whole, lo, hi);
}

sf_status sf_exec_share_value(sf_network *net, const sf_value *v, int block, int64_t halo)
{
    if (!v->split || halo < 0) return SF_OK;
    const sf_view x = sf_exec_view(net, v, block);
    const int64_t step = x.extent[0] > 1 ? x.stride_d : x.stride_h;
    return sf_graph_share(net, v->shape, x.data, x.stride_n / x.stride_c,
                          step * (int64_t)sf_dtype_size(v->dtype), halo);
}

sf_status sf_exec_share_sums(sf_network *net, const sf_value *v, int block)
{
    return sf_graph_share(net, v->shape, sf_graph_ptr(net, block), sf_cpad(v->shape.c),
                          2 * (int64_t)sizeof(double), 0);
}

/** Parts of the affine block of a value, each [n][sf_cpad(c)]. */
enum { MEAN, RSTD, SCALE, SHIFT };
static void *affine(const sf_network *net, const sf_value *v, int part)
{
    const int64_t lanes = v->shape.n * sf_cpad(v->shape.c);
    char *base = sf_graph_ptr(net, v->affine);
    return base ? base + part * lanes * (int64_t)sf_dtype_size(net->dtype) : NULL;
}

sf_input sf_exec_input(const sf_network *net, int value, bool backward)
{
    const sf_value *v = &net->value[value];
    sf_input in = { .x = sf_exec_view(net, v, backward ? v->raw_bwd : v->raw), .slope = 1.0 };
    if (v->load != SF_LOAD_RAW) {
        in.scale = affine(net, v, SCALE);
        in.shift = affine(net, v, SHIFT);
        in.slope = v->slope;
    }
    return in;
}

static void *param(const sf_network *net, int index)
{
    return index < 0 ? NULL : net->params.item[index].value;
}

sf_conv sf_exec_conv(const sf_network *net, const sf_node *nd)
{
    sf_conv c = nd->conv;
    c.in.n = c.out.n = net->used;
    return c;
}

sf_convt sf_exec_convt(const sf_network *net, const sf_node *nd)
{
    sf_convt c = nd->convt;
    c.in.n = c.out.n = net->used;
    return c;
}

void sf_exec_part_done(const sf_network *net, const sf_node *nd, sf_part part)
{
    if (net->on_part) net->on_part(net->on_part_user, (int)(nd - net->node), part);
}

/* --- forward -------------------------------------------------------------------------------- */

static sf_status forward_input(sf_network *net, sf_node *nd)
{
    const sf_value *v = &net->value[nd->out];
    const sf_view x = sf_exec_view(net, v, v->raw);
    sf_block(net->input, &x, net->threads);
    void *plain = sf_graph_ptr(net, net->plain_input);
    const int64_t count = net->used * v->shape.c * sf_voxels(v->shape);
    if (plain) memcpy(plain, net->input, (size_t)count * sf_dtype_size(net->dtype));
    return SF_OK;
}

static void finish_norm(sf_network *net, const sf_node *nd)
{
    const sf_value *v = &net->value[nd->out];
    sf_norm_finish(net->dtype, net->used, v->shape.c, sf_slices(v->shape), sf_voxels(v->shape),
                   net->arch.eps, sf_graph_ptr(net, nd->stats), param(net, nd->gamma),
                   param(net, nd->beta), affine(net, v, MEAN), affine(net, v, RSTD),
                   affine(net, v, SCALE), affine(net, v, SHIFT));
}

static sf_status forward_conv(sf_network *net, sf_node *nd)
{
    sf_input in[2];
    for (int i = 0; i < nd->n_in; i++) in[i] = sf_exec_input(net, nd->in[i], false);
    const sf_value *v = &net->value[nd->out];
    const sf_conv conv = sf_exec_conv(net, nd);
    const sf_conv_fwd run = { .in = in,
                              .n_in = nd->n_in,
                              .weight = param(net, nd->weight),
                              .bias = param(net, nd->bias),
                              .out = part_of(net, v, v->raw),
                              .stats = sf_graph_ptr(net, nd->stats),
                              .threads = net->threads };
    SF_TRY(nd->conv_impl->forward(&conv, &run, sf_graph_ptr(net, nd->scratch_fwd)));
    if (v->load == SF_LOAD_NORM) {
        SF_TRY(sf_exec_share_sums(net, v, nd->stats));
        finish_norm(net, nd);
    }
    return sf_exec_share_value(net, v, v->raw, v->share);
}

static sf_status forward_convt(sf_network *net, sf_node *nd)
{
    const sf_value *v = &net->value[nd->out];
    const sf_convt convt = sf_exec_convt(net, nd);
    const sf_convt_fwd run = { .in = sf_exec_input(net, nd->in[0], false),
                               .weight = param(net, nd->weight),
                               .bias = param(net, nd->bias),
                               .out = part_of(net, v, v->raw),
                               .threads = net->threads };
    SF_TRY(nd->convt_impl->forward(&convt, &run, sf_graph_ptr(net, nd->scratch_fwd)));
    return sf_exec_share_value(net, v, v->raw, v->share);
}

/** What of leaf `l` this network makes of a head's logits: slices [*lo, *hi); false: nothing. */
static bool head_slices(const sf_network *net, const sf_node *nd, int64_t l, int64_t *lo,
                        int64_t *hi)
{
    const sf_value *v = &net->value[nd->out];
    const int64_t slices = sf_slices(v->shape);
    const int64_t from = sf_graph_leaf_start(slices, nd->leaves, l);
    const int64_t to = sf_graph_leaf_start(slices, nd->leaves, l + 1);
    sf_graph_own_slices(net, v->shape, lo, hi);
    if (from > *lo) *lo = from;
    if (to < *hi) *hi = to;
    return *hi > *lo;
}

/** These slices of all samples, blocked in the workspace. */
static sf_view head_chunk(const sf_network *net, const sf_node *nd, void *space, int64_t lo,
                          int64_t hi)
{
    const sf_value *v = &net->value[nd->out];
    sf_shape shape = v->shape;
    shape.n = net->used;
    return sf_view_chunk(space, v->dtype, shape, lo, hi);
}

static sf_status forward_head(sf_network *net, sf_node *nd)
{
    char *space = sf_graph_ptr(net, nd->scratch_fwd);
    const sf_input in = sf_exec_input(net, nd->in[0], false);
    const sf_conv conv = sf_exec_conv(net, nd);
    int64_t lo, hi;
    for (int64_t l = 0; l < nd->leaves; l++) {
        if (!head_slices(net, nd, l, &lo, &hi)) continue;
        const sf_conv_fwd run = { .in = &in,
                                  .n_in = 1,
                                  .weight = param(net, nd->weight),
                                  .bias = param(net, nd->bias),
                                  .out = head_chunk(net, nd, space, lo, hi),
                                  .threads = net->threads };
        SF_TRY(
            nd->conv_impl->forward(&conv, &run, space + sf_graph_chunk_bytes(net, nd, net->batch)));
        sf_unblock(&run.out, sf_graph_ptr(net, net->level[nd->level].logits), net->threads);
    }
    return SF_OK;
}

/** The slices of an input that those which this network makes of `out` are made of, where windows
 *  and sums do not reach over a cut. */
static sf_input own_input(const sf_network *net, int value, const sf_value *out)
{
    sf_input in = sf_exec_input(net, value, false);
    if (out->split) in.x = part_of(net, &net->value[value], net->value[value].raw);
    return in;
}

static sf_status forward_pool(sf_network *net, sf_node *nd)
{
    const sf_value *v = &net->value[nd->out];
    const sf_input in = own_input(net, nd->in[0], v);
    const sf_view out = part_of(net, v, v->raw);
    sf_pool_forward(&in, nd->window, &out, net->threads);
    return sf_exec_share_value(net, v, v->raw, v->share);
}

static sf_status forward_add(sf_network *net, sf_node *nd)
{
    const sf_value *v = &net->value[nd->out];
    const sf_input a = own_input(net, nd->in[0], v), b = own_input(net, nd->in[1], v);
    const sf_view out = part_of(net, v, v->raw);
    sf_residual_add(&a, &b, &out, net->threads);
    return sf_exec_share_value(net, v, v->raw, v->share);
}

/* --- backward ------------------------------------------------------------------------------- */

void sf_exec_announce(sf_network *net, int index, const void *const *part, int parts)
{
    if (index < 0) return;
    net->params.item[index].has_grad = true;
    if (net->on_grad) net->on_grad(net->on_grad_user, index, part, parts);
}

/** dgamma and dbeta of a group: the totals summed over each node of this rank's samples, in double.
 *  They lie where the sums over slices were. */
static void norm_parts(sf_network *net, const sf_node *nd, const double *total)
{
    const int64_t c = net->value[nd->out].shape.c, stride = 2 * sf_cpad(c);
    const int index[2] = { nd->beta, nd->gamma };
    const sf_tree shape = { net->whole, 1 };
    sf_tree_stack s;
    /* of several ranks with one sample the first speaks */
    (void)sf_tree_cover(&shape, net->first, net->first + (net->slab == 0 ? net->used : 0), &s);
    for (int which = 0; which < 2; which++) {
        const void *part[SF_TREE_MAX];
        for (int k = 0; k < s.n; k++) {
            double *sum = (double *)sf_graph_ptr(net, nd->sums) + (which * s.n + k) * c;
            const double *from = total + (s.bound[k] - net->first) * stride + which;
            for (int64_t i = 0; i < c; i++)
                sum[i] = sf_tree_sum(from + 2 * i, s.bound[k + 1] - s.bound[k], stride);
            part[k] = sum;
        }
        sf_exec_announce(net, index[which], part, s.n);
    }
}

/** dgamma and dbeta: totals of the samples, folded by sf_tree_sum. */
static void norm_gradients(sf_network *net, const sf_node *nd, const double *total)
{
    if (net->whole > 0) {
        norm_parts(net, nd, total);
        return;
    }
    const int64_t c = net->value[nd->out].shape.c, stride = 2 * sf_cpad(c);
    const int index[2] = { nd->beta, nd->gamma };
    for (int which = 0; which < 2; which++) {
        void *grad = net->params.item[index[which]].grad;
        for (int64_t i = 0; i < c; i++) {
            const double g = sf_tree_sum(total + 2 * i + which, net->used, stride);
            if (net->dtype == SF_F64)
                ((double *)grad)[i] = g;
            else
                ((float *)grad)[i] = (float)g;
        }
        sf_exec_announce(net, index[which], (const void *[]){ grad }, 1);
    }
}

/** Gradient of act(norm(x)) -> gradient of x, in place. */
static sf_status backward_norm(sf_network *net, const sf_node *nd)
{
    const sf_value *v = &net->value[nd->out];
    const sf_norm_bwd b = { .x = part_of(net, v, v->raw),
                            .g = part_of(net, v, v->grad),
                            .mean = affine(net, v, MEAN),
                            .rstd = affine(net, v, RSTD),
                            .gamma = param(net, nd->gamma),
                            .beta = param(net, nd->beta),
                            .slope = v->slope,
                            .voxels = sf_voxels(v->shape),
                            .sums = sf_graph_ptr(net, nd->sums),
                            .threads = net->threads };
    double *total = sf_graph_ptr(net, nd->total);
    sf_norm_backward_reduce(&b);
    SF_TRY(sf_exec_share_sums(net, v, nd->sums));
    sf_norm_backward_total(net->used, v->shape.c, sf_slices(v->shape), b.sums, total);
    sf_norm_backward_apply(&b, total);
    norm_gradients(net, nd, total);
    sf_exec_part_done(net, nd, SF_PART_NORM_GRAD);
    return SF_OK;
}

/** View of an input's gradient; *accumulate tells whether somebody wrote it before. */
static sf_view input_gradient(sf_network *net, int value, bool *accumulate)
{
    sf_value *v = &net->value[value];
    *accumulate = v->grad_ready;
    v->grad_ready = true;
    return part_of(net, v, v->grad);
}

int64_t sf_exec_grad_halo(const sf_node *nd)
{
    return nd->conv.kernel[nd->conv.out.d > 1 ? 0 : 1] > 1 ? 1 : -1;
}

/** Bring the network's input back for the weight gradient of a layer that reads it. */
static void restore_input(sf_network *net, const sf_node *nd)
{
    for (int i = 0; i < nd->n_in; i++) {
        const sf_value *v = &net->value[nd->in[i]];
        if (v->raw_bwd == v->raw) continue;
        const sf_view x = sf_exec_view(net, v, v->raw_bwd);
        sf_block(sf_graph_ptr(net, net->plain_input), &x, net->threads);
    }
}

static sf_status backward_conv(sf_network *net, sf_node *nd)
{
    const sf_value *v = &net->value[nd->out];
    if (v->load == SF_LOAD_NORM) SF_TRY(backward_norm(net, nd));
    restore_input(net, nd);
    SF_TRY(sf_leaves_conv(net, nd));
    if (!net->value[nd->in[0]].wants_grad) return SF_OK; /* the network's input */
    SF_TRY(sf_exec_share_value(net, v, v->grad, sf_exec_grad_halo(nd)));
    sf_view din[2];
    bool accumulate[2];
    for (int i = 0; i < nd->n_in; i++) din[i] = input_gradient(net, nd->in[i], &accumulate[i]);
    const sf_conv conv = sf_exec_conv(net, nd);
    const sf_conv_bwd_data run = { .weight = param(net, nd->weight),
                                   .dout = sf_exec_view(net, v, v->grad),
                                   .din = din,
                                   .accumulate = accumulate,
                                   .n_in = nd->n_in,
                                   .threads = net->threads };
    return nd->conv_impl->backward_data(&conv, &run, sf_graph_ptr(net, nd->scratch_bwd));
}

static sf_status backward_convt(sf_network *net, sf_node *nd)
{
    const sf_value *v = &net->value[nd->out];
    /* up from a thin resolution: what that one makes is made by all */
    if (!net->value[nd->in[0]].split) SF_TRY(sf_exec_share_value(net, v, v->grad, 0));
    SF_TRY(sf_leaves_convt(net, nd));
    bool accumulate;
    const sf_view din = input_gradient(net, nd->in[0], &accumulate);
    const sf_convt convt = sf_exec_convt(net, nd);
    const sf_convt_bwd_data run = { .weight = param(net, nd->weight),
                                    .dout = sf_exec_view(net, v, v->grad),
                                    .din = din,
                                    .accumulate = accumulate,
                                    .threads = net->threads };
    return nd->convt_impl->backward_data(&convt, &run, sf_graph_ptr(net, nd->scratch_bwd));
}

static sf_status backward_head(sf_network *net, sf_node *nd)
{
    SF_TRY(sf_leaves_conv(net, nd));
    char *space = sf_graph_ptr(net, nd->scratch_bwd);
    bool accumulate;
    input_gradient(net, nd->in[0], &accumulate);
    const sf_value *in = &net->value[nd->in[0]];
    const sf_view whole = sf_exec_view(net, in, in->grad);
    const sf_conv conv = sf_exec_conv(net, nd);
    int64_t lo, hi;
    for (int64_t l = 0; l < nd->leaves; l++) {
        if (!head_slices(net, nd, l, &lo, &hi)) continue;
        const sf_view dout = head_chunk(net, nd, space, lo, hi);
        const sf_view din = sf_view_slab(&whole, lo, hi);
        sf_block(sf_graph_ptr(net, net->level[nd->level].dlogits), &dout, net->threads);
        const sf_conv_bwd_data run = { .weight = param(net, nd->weight),
                                       .dout = dout,
                                       .din = &din,
                                       .accumulate = &accumulate,
                                       .n_in = 1,
                                       .threads = net->threads };
        SF_TRY(nd->conv_impl->backward_data(&conv, &run,
                                            space + sf_graph_chunk_bytes(net, nd, net->batch)));
    }
    return SF_OK;
}

/** The slices of a pool's gradient that its input's slab is made of: the own ones, also of a thin
 *  resolution, whose gradient all ranks have. Cuts lie between two windows. */
static sf_view pooled_gradient(const sf_network *net, const sf_node *nd)
{
    const sf_value *v = &net->value[nd->out], *in = &net->value[nd->in[0]];
    const sf_view whole = sf_exec_view(net, v, v->grad);
    const int window = nd->window[in->shape.d > 1 ? 0 : 1];
    int64_t lo, hi;
    if (!in->split) return whole;
    sf_graph_own_slices(net, in->shape, &lo, &hi);
    return sf_view_slab(&whole, lo / window, hi / window);
}

static sf_status backward_pool(sf_network *net, sf_node *nd)
{
    const sf_view g = pooled_gradient(net, nd);
    bool accumulate;
    const sf_view din = input_gradient(net, nd->in[0], &accumulate);
    sf_pool_backward(&g, nd->window, &din, accumulate, net->threads);
    return SF_OK;
}

static sf_status backward_add(sf_network *net, sf_node *nd)
{
    const sf_value *v = &net->value[nd->out];
    sf_residual_bwd r = { .sum = part_of(net, v, v->raw),
                          .g = part_of(net, v, v->grad),
                          .slope = v->slope,
                          .threads = net->threads };
    r.ga = input_gradient(net, nd->in[0], &r.accumulate_a);
    r.gb = input_gradient(net, nd->in[1], &r.accumulate_b);
    sf_residual_backward(&r);
    return SF_OK;
}

/* --- the table ------------------------------------------------------------------------------ */

typedef sf_status node_fn(sf_network *net, sf_node *nd);
static const struct {
    const char *name;
    node_fn *forward, *backward; /* backward NULL: nothing flows through */
} kinds[SF_NODE_KINDS] = {
    [SF_NODE_INPUT] = { "input", forward_input, NULL },
    [SF_NODE_CONV] = { "conv", forward_conv, backward_conv },
    [SF_NODE_CONVT] = { "convt", forward_convt, backward_convt },
    [SF_NODE_HEAD] = { "head", forward_head, backward_head },
    [SF_NODE_POOL] = { "pool", forward_pool, backward_pool },
    [SF_NODE_ADD] = { "add", forward_add, backward_add },
};

const char *sf_exec_kind_name(int kind) { return kinds[kind].name; }

sf_status sf_exec_forward(sf_network *net)
{
    for (int i = 0; i < net->n_nodes; i++) {
        sf_node *nd = &net->node[i];
        SF_TRY(kinds[nd->kind].forward(net, nd));
        sf_exec_part_done(net, nd, SF_PART_FORWARD);
    }
    return SF_OK;
}

/** Gradients that exist at the start: those of the heads at work. */
static void start_backward(sf_network *net)
{
    for (int i = 0; i < net->n_values; i++) net->value[i].grad_ready = false;
    for (int i = 0; i < net->n_levels; i++)
        net->value[net->node[net->level[i].node].out].grad_ready = !net->level[i].skip;
}

sf_status sf_exec_backward(sf_network *net)
{
    start_backward(net);
    for (int i = 0; i < net->params.count; i++) net->params.item[i].has_grad = false;
    for (int i = net->n_nodes - 1; i >= 0; i--) {
        sf_node *nd = &net->node[i];
        if (!kinds[nd->kind].backward || !net->value[nd->out].grad_ready) continue;
        SF_TRY(kinds[nd->kind].backward(net, nd));
        sf_exec_part_done(net, nd, SF_PART_GRAD_INPUT);
    }
    return SF_OK;
}

/** Announcements of one node, in the order of backward_norm and weight_gradient. */
static int node_order(const sf_node *nd, sf_grad_info *out)
{
    const sf_shape shape = nd->kind == SF_NODE_CONVT ? nd->convt.in : nd->conv.out, none = { 0 };
    const sf_grad_info all[4] = { { nd->beta, 1, true, none },
                                  { nd->gamma, 1, true, none },
                                  { nd->weight, nd->leaves, false, shape },
                                  { nd->bias, nd->leaves, false, shape } };
    int n = 0;
    for (int i = 0; i < 4; i++)
        if (all[i].param >= 0) out[n++] = all[i];
    return n;
}

int sf_exec_grad_order(sf_network *net, sf_grad_info *out)
{
    int n = 0;
    start_backward(net);
    for (int i = net->n_nodes - 1; i >= 0; i--) {
        const sf_node *nd = &net->node[i];
        if (!kinds[nd->kind].backward || !net->value[nd->out].grad_ready) continue;
        n += node_order(nd, out + n);
        for (int k = 0; k < nd->n_in; k++)
            net->value[nd->in[k]].grad_ready = net->value[nd->in[k]].wants_grad;
    }
    return n;
}

void sf_exec_prepare(sf_network *net)
{
    for (int i = 0; i < net->n_values; i++) {
        const sf_value *v = &net->value[i];
        if (v->load != SF_LOAD_ACT) continue;
        const int64_t c = v->shape.c, cpad = sf_cpad(c);
        char *scale = affine(net, v, SCALE), *shift = affine(net, v, SHIFT);
        const int64_t bytes = v->shape.n * cpad * (int64_t)sf_dtype_size(net->dtype);
        memset(shift, 0, (size_t)bytes);
        for (int64_t k = 0; k < v->shape.n * cpad; k++) {
            const double one = k % cpad < c ? 1.0 : 0.0;
            if (net->dtype == SF_F64)
                ((double *)scale)[k] = one;
            else
                ((float *)scale)[k] = (float)one;
        }
    }
}
