#include "network/network.h"
#include "base/mem.h"
#include "kernels/cpu.h"
#include "network/exec.h"
#include "network/graph.h"
#include "network/layers.h"
#include "network/unet.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- receptive field -------------------------------------------------------------------------- */

typedef struct {
    int64_t lo, hi; /* lo > hi: nothing */
} interval;

static int64_t floor_div(int64_t a, int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }

/** What a node reads of its inputs along one axis to make `out`. */
static interval reads(const sf_node *nd, int axis, interval out)
{
    switch (nd->kind) {
    case SF_NODE_CONV:
    case SF_NODE_HEAD: {
        const int64_t s = nd->conv.stride[axis], pad = (nd->conv.kernel[axis] - 1) / 2;
        return (interval){ out.lo * s - pad, out.hi * s + pad };
    }
    case SF_NODE_CONVT: {
        const int64_t s = nd->convt.stride[axis];
        return (interval){ floor_div(out.lo, s), floor_div(out.hi, s) };
    }
    case SF_NODE_POOL: {
        const int64_t s = nd->window[axis];
        return (interval){ out.lo * s, out.hi * s + s - 1 };
    }
    default:
        return out;
    }
}

static void widen(interval *v, interval by)
{
    if (v->lo > v->hi) *v = by;
    if (by.lo < v->lo) v->lo = by.lo;
    if (by.hi > v->hi) v->hi = by.hi;
}

/** Input voxels along one axis that the output voxel at `at` sees; seen: one entry per value. */
static int64_t field_at(const sf_network *net, int axis, int64_t at, interval *seen)
{
    for (int i = 0; i < net->n_values; i++) seen[i] = (interval){ 1, 0 };
    seen[net->node[net->level[0].node].out] = (interval){ at, at };
    for (int i = net->n_nodes - 1; i >= 0; i--) {
        const sf_node *nd = &net->node[i];
        if (seen[nd->out].lo > seen[nd->out].hi) continue;
        const interval r = reads(nd, axis, seen[nd->out]);
        for (int k = 0; k < nd->n_in; k++) widen(&seen[nd->in[k]], r);
    }
    const interval in = seen[net->node[0].out];
    return in.hi - in.lo + 1;
}

static sf_status find_field(sf_network *net)
{
    interval *seen = NULL;
    SF_TRY(sf_mem_alloc(&seen, (size_t)net->n_values, sizeof *seen, SF_MEM_MISC));
    for (int axis = 0; axis < 3; axis++) {
        int64_t period = 1; /* the field depends on the position modulo the total stride */
        for (int s = 0; s < net->arch.n_stages; s++) period *= net->arch.stride[s][axis];
        for (int64_t at = 0; at < period; at++) {
            const int64_t n = field_at(net, axis, at, seen);
            if (n > net->field[axis]) net->field[axis] = n;
        }
    }
    sf_mem_free(seen);
    return SF_OK;
}

/* --- precision -------------------------------------------------------------------------------- */

const char *sf_precision_name(sf_dtype dtype) { return dtype == SF_BF16 ? "bf16" : "fp32"; }

sf_status sf_precision_of(sf_dtype *dtype, const char *name)
{
    SF_CHECK(strcmp(name, "fp32") == 0 || strcmp(name, "bf16") == 0, SF_EINVAL,
             "--precision must be fp32 or bf16, not '%s'", name);
    *dtype = strcmp(name, "bf16") == 0 ? SF_BF16 : SF_F32;
    return SF_OK;
}

/* --- creation --------------------------------------------------------------------------------- */

static sf_status check_options(const sf_network_options *o)
{
    SF_CHECK(o->dtype == SF_F32 || o->dtype == SF_F64 || o->dtype == SF_BF16, SF_EUNSUPPORTED,
             "network: only float32, float64 and bfloat16 are supported");
    SF_CHECK(o->threads > 0, SF_EINVAL, "network: %d threads", o->threads);
    SF_CHECK(o->first >= 0 && (o->whole == 0 ? o->first == 0 : o->first + o->batch <= o->whole),
             SF_EINVAL, "network: samples %" PRId64 " to %" PRId64 " of a batch of %" PRId64,
             o->first, o->first + o->batch - 1, o->whole);
    SF_CHECK(o->slabs <= 1 || (o->slab >= 0 && o->slab < o->slabs && o->batch == 1 && o->whole > 0),
             SF_EINVAL, "network: slab %d of %d of %" PRId64 " samples", o->slab, o->slabs,
             o->batch);
    return SF_OK;
}

static void take_options(sf_network *net, const sf_network_options *o)
{
    net->arch = *o->arch;
    net->in_channels = o->in_channels;
    net->heads = o->heads;
    net->batch = o->batch;
    memcpy(net->patch, o->patch, sizeof net->patch);
    net->stored = o->dtype;
    net->dtype = o->dtype == SF_BF16 ? SF_F32 : o->dtype;
    net->training = o->training;
    net->deep_supervision = o->deep_supervision;
    net->exact = o->exact;
    net->threads = o->threads;
    net->first = o->first;
    net->whole = o->whole;
    net->slab = o->slab;
}

sf_status sf_network_create(sf_network **out, const sf_network_options *opt)
{
    *out = NULL;
    SF_TRY(check_options(opt));
    sf_network *net = NULL;
    SF_TRY(sf_mem_calloc(&net, 1, sizeof *net, SF_MEM_MISC));
    take_options(net, opt);
    sf_status st;
    SF_GOTO(fail, st, sf_unet_check(net));
    SF_GOTO(fail, st,
            sf_slabs_plan(&net->slabs, &net->arch, net->patch, opt->slabs > 0 ? opt->slabs : 1));
    SF_GOTO(fail, st, sf_unet_build(net));
    sf_graph_plan_slabs(net);
    SF_GOTO(fail, st, sf_layers_finish_params(net));
    SF_GOTO(fail, st, sf_graph_plan(net));
    SF_GOTO(fail, st, find_field(net));
    SF_GOTO(fail, st, sf_mem_alloc(&net->arena, (size_t)net->arena_bytes, 1, SF_MEM_ARENA));
    sf_exec_prepare(net);
    *out = net;
    return SF_OK;
fail:
    sf_network_destroy(&net);
    return st;
}

void sf_network_destroy(sf_network **net)
{
    if (!net || !*net) return;
    sf_network *n = *net;
    sf_mem_free(n->arena);
    sf_mem_free(n->param_memory);
    sf_mem_free(n->params.item);
    sf_mem_free(n->param_group);
    sf_mem_free(n->node);
    sf_mem_free(n->value);
    sf_mem_free(n->block);
    sf_mem_free(n);
    *net = NULL;
}

void sf_network_keep_params(sf_network *net)
{
    sf_mem_free(net->arena);
    net->arena = NULL;
    net->ready = false;
}

int64_t sf_network_bytes(const sf_network *net) { return net->arena_bytes + net->param_bytes; }

const char *sf_network_isa(void) { return sf_cpu_isa_name(sf_cpu_isa()); }

double sf_network_forward_macs(const sf_network *net)
{
    double macs = 0;
    for (int i = 0; i < net->n_nodes; i++) {
        const sf_node *nd = &net->node[i];
        const double part = sf_graph_own_part(net, net->value[nd->out].shape);
        if (nd->kind == SF_NODE_CONVT)
            macs += sf_convt_macs(&nd->convt) * part;
        else if (nd->kind == SF_NODE_CONV || nd->kind == SF_NODE_HEAD)
            macs += sf_conv_macs(&nd->conv) * part;
    }
    return macs;
}

void sf_network_receptive_field(const sf_network *net, int64_t field[3])
{
    memcpy(field, net->field, sizeof net->field);
}

sf_params *sf_network_params(sf_network *net) { return &net->params; }

/* --- running ---------------------------------------------------------------------------------- */

sf_status sf_network_forward(sf_network *net, const void *input, int64_t used)
{
    SF_CHECK(net->arena, SF_EINTERNAL, "network: only its parameters were kept");
    SF_CHECK(used > 0 && used <= net->batch, SF_EINVAL,
             "network: %" PRId64 " samples, but it was built for %" PRId64, used, net->batch);
    SF_CHECK(net->whole == 0 || used == net->batch, SF_EINVAL,
             "network: %" PRId64 " samples instead of this rank's %" PRId64, used, net->batch);
    net->used = used;
    net->input = input;
    net->ready = false;
    for (int i = 0; i < net->n_levels; i++) net->level[i].skip = false;
    SF_TRY(sf_exec_forward(net));
    net->input = NULL;
    net->ready = net->training;
    return SF_OK;
}

int sf_network_levels(const sf_network *net) { return net->n_levels; }

void sf_network_level_shape(const sf_network *net, int level, sf_shape *shape)
{
    *shape = net->level[level].shape;
}

const void *sf_network_logits(const sf_network *net, int level)
{
    return sf_graph_ptr(net, net->level[level].logits);
}

void *sf_network_dlogits(sf_network *net, int level)
{
    return net->training ? sf_graph_ptr(net, net->level[level].dlogits) : NULL;
}

void sf_network_skip_level(sf_network *net, int level, bool skip) { net->level[level].skip = skip; }

sf_status sf_network_backward(sf_network *net)
{
    SF_CHECK(net->training, SF_EINVAL, "network: backward needs a network built for training");
    SF_CHECK(net->ready, SF_EINVAL, "network: backward needs a forward pass before it");
    net->ready = false;
    return sf_exec_backward(net);
}

void sf_network_on_grad(sf_network *net, sf_grad_ready_fn *fn, void *user)
{
    net->on_grad = fn;
    net->on_grad_user = user;
}

void sf_network_on_share(sf_network *net, sf_share_fn *fn, void *user)
{
    net->on_share = fn;
    net->on_share_user = user;
}

int sf_network_grad_order(sf_network *net, sf_grad_info *out)
{
    return sf_exec_grad_order(net, out);
}

/* --- what a node is -----------------------------------------------------------------------------
 */

void sf_network_on_part(sf_network *net, sf_part_done_fn *fn, void *user)
{
    net->on_part = fn;
    net->on_part_user = user;
}

int sf_network_nodes(const sf_network *net) { return net->n_nodes; }

/** "encoder.stages.0.0.convs.1.conv.weight" -> "encoder.stages.0.0.convs.1". */
static void layer_name(const sf_network *net, const sf_node *nd, char *name, size_t size)
{
    static const char *const tails[] = { ".conv.weight", ".weight" };
    if (nd->weight < 0) {
        snprintf(name, size, "%s", sf_exec_kind_name(nd->kind));
        return;
    }
    snprintf(name, size, "%s", net->params.item[nd->weight].name);
    for (int i = 0; i < 2; i++) {
        char *tail = strstr(name, tails[i]);
        if (tail) *tail = '\0';
    }
}

void sf_network_node(const sf_network *net, int node, sf_node_info *info)
{
    const sf_node *nd = &net->node[node];
    *info = (sf_node_info){ .kind = sf_exec_kind_name(nd->kind),
                            .variant = "",
                            .out = net->value[nd->out].shape,
                            .kernel = { 1, 1, 1 },
                            .stride = { 1, 1, 1 },
                            .input_grad = nd->n_in > 0 && net->value[nd->in[0]].wants_grad };
    info->in = nd->n_in ? net->value[nd->in[0]].shape : info->out;
    layer_name(net, nd, info->name, sizeof info->name);
    if (nd->conv_impl) {
        info->in = nd->conv.in;
        info->variant = nd->conv_impl->name;
        info->macs = sf_conv_macs(&nd->conv);
        memcpy(info->kernel, nd->conv.kernel, sizeof info->kernel);
        memcpy(info->stride, nd->conv.stride, sizeof info->stride);
    } else if (nd->convt_impl) {
        info->variant = nd->convt_impl->name;
        info->macs = sf_convt_macs(&nd->convt);
        memcpy(info->kernel, nd->convt.stride, sizeof info->kernel);
        memcpy(info->stride, nd->convt.stride, sizeof info->stride);
    }
}
