#include "network/layers.h"
#include "base/mem.h"
#include "kernels/pick.h"
#include <stdio.h>
#include <string.h>

/* --- parameters --------------------------------------------------------------------------- */

static sf_status add_param(sf_network *net, sf_param_group group, sf_param_kind kind, int ndim,
                           const int64_t *dim, const char *prefix, const char *suffix, int *index)
{
    sf_params *p = &net->params;
    const size_t n = (size_t)p->count + 1;
    SF_TRY(sf_mem_resize(&p->item, n, sizeof *p->item, SF_MEM_MISC));
    SF_TRY(sf_mem_resize(&net->param_group, n, sizeof *net->param_group, SF_MEM_MISC));
    sf_param *q = &p->item[p->count];
    memset(q, 0, sizeof *q);
    snprintf(q->name, sizeof q->name, "%s%s", prefix, suffix);
    q->kind = kind;
    q->ndim = ndim;
    q->count = 1;
    for (int d = 0; d < ndim; d++) q->count *= q->dim[d] = dim[d];
    net->param_group[p->count] = group;
    p->total += q->count;
    *index = p->count++;
    return SF_OK;
}

/** Weight (a, b, kernel...) as PyTorch prints it: without the first kernel axis in 2-D. */
static sf_status add_weight(sf_network *net, sf_param_group group, sf_param_kind kind, int64_t a,
                            int64_t b, const int kernel[3], const char *prefix, const char *suffix,
                            int *index)
{
    const int skip = 3 - net->arch.dim;
    int64_t dim[5] = { a, b };
    for (int d = skip; d < 3; d++) dim[2 + d - skip] = kernel[d];
    return add_param(net, group, kind, 2 + net->arch.dim, dim, prefix, suffix, index);
}

static sf_status add_vector(sf_network *net, sf_param_group group, sf_param_kind kind, int64_t n,
                            const char *prefix, const char *suffix, int *index)
{
    return add_param(net, group, kind, 1, &n, prefix, suffix, index);
}

/* --- nodes -------------------------------------------------------------------------------- */

static const sf_conv_impl *conv_impl(const sf_network *net, const sf_conv *c)
{
    return net->dtype == SF_F64 ? &sf_conv_ref : sf_conv_pick(c);
}

static const sf_convt_impl *convt_impl(const sf_network *net, const sf_convt *c)
{
    return net->dtype == SF_F64 ? &sf_convt_ref : sf_convt_pick(c);
}

static sf_status add_result(sf_network *net, int node, sf_shape shape, int *value)
{
    SF_TRY(sf_graph_add_value(net, shape, node, value));
    net->node[node].out = *value;
    return SF_OK;
}

sf_status sf_layer_input(sf_network *net, int *value)
{
    int node;
    SF_TRY(sf_graph_add_node(net, SF_NODE_INPUT, &node));
    const sf_shape shape = { net->batch, net->in_channels, net->patch[0], net->patch[1],
                             net->patch[2] };
    SF_TRY(add_result(net, node, shape, value));
    net->value[*value].wants_grad = false;
    net->value[*value].dtype = net->dtype;
    return SF_OK;
}

static sf_status unit_params(sf_network *net, const sf_unit *u, int64_t in_channels, int node)
{
    const int64_t out = u->out_channels;
    const sf_param_group g = u->group;
    int weight = -1, bias = -1, gamma = -1, beta = -1;
    SF_TRY(add_weight(net, g, SF_PARAM_CONV, out, in_channels, u->kernel, u->prefix, ".conv.weight",
                      &weight));
    if (u->bias) SF_TRY(add_vector(net, g, SF_PARAM_BIAS, out, u->prefix, ".conv.bias", &bias));
    SF_TRY(add_vector(net, g, SF_PARAM_GAMMA, out, u->prefix, ".norm.weight", &gamma));
    SF_TRY(add_vector(net, g, SF_PARAM_BETA, out, u->prefix, ".norm.bias", &beta));
    sf_node *nd = &net->node[node];
    nd->weight = weight;
    nd->bias = bias;
    nd->gamma = gamma;
    nd->beta = beta;
    return SF_OK;
}

sf_status sf_layer_unit(sf_network *net, const sf_unit *unit, const int *in, int n_in, int *value)
{
    sf_shape shape = net->value[in[0]].shape;
    for (int i = 1; i < n_in; i++) shape.c += net->value[in[i]].shape.c;
    sf_conv conv;
    SF_TRY(sf_conv_make(&conv, shape, unit->out_channels, unit->kernel, unit->stride, net->stored));
    conv.exact = net->exact;
    conv.in_blocks = 0;
    for (int i = 0; i < n_in; i++) conv.in_blocks += sf_cpad(net->value[in[i]].shape.c) / SF_CBLOCK;
    int node;
    SF_TRY(sf_graph_add_node(net, SF_NODE_CONV, &node));
    for (int i = 0; i < n_in; i++) sf_graph_connect(net, node, in[i]);
    net->node[node].conv = conv;
    net->node[node].conv_impl = conv_impl(net, &conv);
    SF_TRY(unit_params(net, unit, shape.c, node));
    SF_TRY(add_result(net, node, conv.out, value));
    net->value[*value].load = SF_LOAD_NORM;
    net->value[*value].slope = unit->slope;
    return SF_OK;
}

sf_status sf_layer_up(sf_network *net, const char *prefix, int in, int64_t out_channels,
                      const int stride[3], bool bias, int *value)
{
    const sf_shape shape = net->value[in].shape;
    sf_convt convt;
    SF_TRY(sf_convt_make(&convt, shape, out_channels, stride, net->stored));
    int node;
    SF_TRY(sf_graph_add_node(net, SF_NODE_CONVT, &node));
    sf_graph_connect(net, node, in);
    int weight = -1, b = -1;
    SF_TRY(add_weight(net, SF_GROUP_UP, SF_PARAM_CONVT, shape.c, out_channels, stride, prefix,
                      ".weight", &weight));
    if (bias)
        SF_TRY(add_vector(net, SF_GROUP_UP, SF_PARAM_BIAS, out_channels, prefix, ".bias", &b));
    sf_node *nd = &net->node[node];
    nd->convt = convt;
    nd->convt_impl = convt_impl(net, &convt);
    nd->weight = weight;
    nd->bias = b;
    return add_result(net, node, convt.out, value);
}

sf_status sf_layer_head(sf_network *net, const char *prefix, int in, int level)
{
    static const int one[3] = { 1, 1, 1 };
    const sf_shape shape = net->value[in].shape;
    int weight, bias, node, value;
    SF_TRY(add_weight(net, SF_GROUP_HEADS, SF_PARAM_CONV, net->heads, shape.c, one, prefix,
                      ".weight", &weight));
    SF_TRY(add_vector(net, SF_GROUP_HEADS, SF_PARAM_BIAS, net->heads, prefix, ".bias", &bias));
    if (level < 0) return SF_OK;
    SF_TRY(sf_graph_add_node(net, SF_NODE_HEAD, &node));
    sf_graph_connect(net, node, in);
    sf_node *nd = &net->node[node];
    SF_TRY(sf_conv_make(&nd->conv, shape, net->heads, one, one, net->stored));
    nd->conv_impl = conv_impl(net, &nd->conv);
    nd->weight = weight;
    nd->bias = bias;
    nd->level = level;
    net->level[level] = (sf_level){ .node = node, .shape = nd->conv.out };
    SF_TRY(add_result(net, node, net->level[level].shape, &value));
    net->value[value].dtype = net->dtype;
    return SF_OK;
}

sf_status sf_layer_pool(sf_network *net, int in, const int window[3], int *value)
{
    int node;
    SF_TRY(sf_graph_add_node(net, SF_NODE_POOL, &node));
    sf_graph_connect(net, node, in);
    memcpy(net->node[node].window, window, 3 * sizeof *window);
    sf_shape shape = net->value[in].shape;
    shape.d /= window[0];
    shape.h /= window[1];
    shape.w /= window[2];
    return add_result(net, node, shape, value);
}

sf_status sf_layer_add(sf_network *net, int a, int b, double slope, int *value)
{
    int node;
    SF_TRY(sf_graph_add_node(net, SF_NODE_ADD, &node));
    sf_graph_connect(net, node, a);
    sf_graph_connect(net, node, b);
    SF_TRY(add_result(net, node, net->value[a].shape, value));
    net->value[*value].load = SF_LOAD_ACT;
    net->value[*value].slope = slope;
    return SF_OK;
}

/* --- order and memory of the parameters ----------------------------------------------------- */

/** to[i] = place of parameter i when sorted by group, keeping the order within a group. */
static void sorted_places(const sf_network *net, int *to)
{
    int place = 0;
    for (int g = SF_GROUP_ENCODER; g <= SF_GROUP_HEADS; g++)
        for (int i = 0; i < net->params.count; i++)
            if (net->param_group[i] == g) to[i] = place++;
}

static void move_node_params(sf_node *nd, const int *to)
{
    int *field[4] = { &nd->weight, &nd->bias, &nd->gamma, &nd->beta };
    for (int i = 0; i < 4; i++)
        if (*field[i] >= 0) *field[i] = to[*field[i]];
}

static sf_status sort_params(sf_network *net)
{
    sf_params *p = &net->params;
    sf_param *sorted = NULL;
    int *to = NULL;
    sf_status st;
    const size_t n = (size_t)p->count;
    SF_GOTO(done, st, sf_mem_alloc(&to, n, sizeof *to, SF_MEM_MISC));
    SF_GOTO(done, st, sf_mem_alloc(&sorted, n, sizeof *sorted, SF_MEM_MISC));
    sorted_places(net, to);
    for (int i = 0; i < p->count; i++) sorted[to[i]] = p->item[i];
    for (int i = 0; i < net->n_nodes; i++) move_node_params(&net->node[i], to);
    sf_mem_free(p->item);
    p->item = sorted;
    sorted = NULL;
done:
    sf_mem_free(sorted);
    sf_mem_free(to);
    return st;
}

/** One allocation: values, then (training) gradients, then momentum; each array 64-byte aligned.
 *  The latter two are written before they are read: in a group the momentum that other ranks own
 *  never takes memory. */
sf_status sf_layers_finish_params(sf_network *net)
{
    SF_TRY(sort_params(net));
    sf_params *p = &net->params;
    p->dtype = net->dtype;
    const int64_t size = (int64_t)sf_dtype_size(net->dtype);
    int64_t bytes = 0;
    for (int i = 0; i < p->count; i++) bytes += (p->item[i].count * size + 63) / 64 * 64;
    net->param_bytes = net->training ? 3 * bytes : bytes;
    SF_TRY(sf_mem_alloc(&net->param_memory, (size_t)net->param_bytes, 1, SF_MEM_PARAMS));
    memset(net->param_memory, 0, (size_t)bytes);
    char *at = net->param_memory;
    for (int i = 0; i < p->count; i++) {
        sf_param *q = &p->item[i];
        q->value = at;
        q->grad = net->training ? at + bytes : NULL;
        q->velocity = net->training ? at + 2 * bytes : NULL;
        at += (q->count * size + 63) / 64 * 64;
    }
    return SF_OK;
}
