#include "kernels/loss.h"
#include "network/exec.h"
#include "network/loss_work.h"

static bool is_conv(const sf_node *nd)
{
    return nd->kind == SF_NODE_CONV || nd->kind == SF_NODE_HEAD;
}

static bool has_weights(const sf_node *nd) { return is_conv(nd) || nd->kind == SF_NODE_CONVT; }

/* As forward_conv, forward_convt, forward_pool, forward_add in exec.c. */
static sf_status forward(sf_network *net, const sf_node *nd)
{
    const sf_value *v = &net->value[nd->out];
    if (nd->kind == SF_NODE_INPUT) return SF_OK;
    if (is_conv(nd) && v->load == SF_LOAD_NORM) SF_TRY(sf_exec_share_sums(net, v, nd->stats));
    return sf_exec_share_value(net, v, v->raw, v->share);
}

/* As sf_loss_evaluate. */
static sf_status loss(sf_network *net)
{
    const int64_t bytes = sf_loss_terms(net->heads) * (int64_t)sizeof(double);
    for (int i = 0; i < net->n_levels; i++)
        SF_TRY(sf_graph_share(net, net->level[i].shape, NULL, net->used, bytes, 0));
    return SF_OK;
}

/* As backward_conv, backward_convt in exec.c; sums and pools send nothing. */
static sf_status backward(sf_network *net, const sf_node *nd)
{
    const sf_value *v = &net->value[nd->out];
    if (!has_weights(nd)) return SF_OK;
    const sf_value *in = &net->value[nd->in[0]];
    if (!is_conv(nd)) return in->split ? SF_OK : sf_exec_share_value(net, v, v->grad, 0);
    if (v->load == SF_LOAD_NORM) SF_TRY(sf_exec_share_sums(net, v, nd->sums));
    return in->wants_grad ? sf_exec_share_value(net, v, v->grad, sf_exec_grad_halo(nd)) : SF_OK;
}

/* Heads without gradient are passed over, and what only they would reach (there is no such thing:
 * every value is also on the way to the full resolution). */
static bool skipped(const sf_network *net, const sf_node *nd)
{
    return nd->kind == SF_NODE_HEAD && net->level[nd->level].skip;
}

sf_status sf_network_rehearse(sf_network *net)
{
    net->used = net->batch;
    for (int i = 0; i < net->n_nodes; i++) SF_TRY(forward(net, &net->node[i]));
    SF_TRY(loss(net));
    for (int i = net->n_nodes - 1; i >= 0; i--)
        if (!skipped(net, &net->node[i])) SF_TRY(backward(net, &net->node[i]));
    return SF_OK;
}

/* Share of the leaves of a weight gradient that this rank sums. */
static double own_leaves(const sf_network *net, const sf_node *nd, sf_shape shape)
{
    const int64_t first = sf_slabs_leaf(&net->slabs, shape, nd->leaves, net->slab);
    const int64_t end = sf_slabs_leaf(&net->slabs, shape, nd->leaves, net->slab + 1);
    return (double)(end - first) / (double)nd->leaves;
}

double sf_network_step_flops(const sf_network *net)
{
    double sum = 0;
    for (int i = 0; i < net->n_nodes; i++) {
        const sf_node *nd = &net->node[i];
        if (!has_weights(nd)) continue;
        const bool up = nd->kind == SF_NODE_CONVT;
        const sf_value *in = &net->value[nd->in[0]];
        const double macs = up ? sf_convt_macs(&nd->convt) : sf_conv_macs(&nd->conv);
        const double leaves = own_leaves(net, nd, up ? nd->convt.in : nd->conv.out);
        sum += macs * (sf_graph_own_part(net, net->value[nd->out].shape) + leaves);
        if (in->wants_grad) sum += macs * sf_graph_own_part(net, in->shape);
    }
    return 2 * sum;
}
