/** One U-Net of one configuration, built from the plan as a static graph with a planned arena.
 *
 *  The graph stores raw convolution outputs only; normalisation and activation are applied by
 *  whoever loads them (kernels/op.h), concatenation is a list of blocks. Weight gradients are
 *  summed over leaves fixed by the plan (samples x at most 16 blocks of slices), in one fixed tree,
 *  so the bits do not depend on threads. All functions: not collective; one network is driven by
 *  one thread (it uses `threads` OpenMP threads inside); different networks are independent.
 *  Source: paper, Methods: Network architecture; nnunet-training.md 1, 2, 3, 11.2. */
#ifndef SF_NETWORK_NETWORK_H
#define SF_NETWORK_NETWORK_H
#include "kernels/op.h"
#include "network/params.h"
#include "plan/plans.h"

typedef struct sf_network sf_network;

/** What users call the types of a network: "fp32" and "bf16" (SF_F32, SF_BF16); static. SF_EINVAL
 *  names --precision and the words it takes. */
const char *sf_precision_name(sf_dtype dtype);
sf_status sf_precision_of(sf_dtype *dtype, const char *name);

typedef struct {
    const sf_arch *arch; /* from the configuration; copied */
    int64_t in_channels, heads;
    int64_t batch, patch[3]; /* samples held at once; z,y,x with z = 1 in 2-D */
    /* SF_F32, or SF_BF16: the values between layers and their gradients are stored in bfloat16
       (input, logits, parameters, statistics and all sums are as for SF_F32); SF_F64 uses the
       reference kernels and is ground truth for tests. */
    sf_dtype dtype;
    bool training; /* false: no gradient memory, only the full-resolution head */
    bool deep_supervision;
    bool exact; /* --conv exact */
    int threads;
    /* Of a group that shares a batch of `whole` samples this network holds [first, first + batch):
       its gradients come as partial sums (sf_network_on_grad). whole 0: alone. */
    int64_t first, whole;
    /* With slabs > 1 the group has several ranks per sample: batch is 1, and this network makes
       slab `slab` of the sample (network/slabs.h); see sf_network_on_share. 0: whole samples. */
    int slab, slabs;
} sf_network_options;

/** Build graph, arena and (zeroed) parameters. SF_EINVAL names what the architecture cannot do
 *  (patch not divisible by the strides, unknown class, one stage). */
sf_status sf_network_create(sf_network **out, const sf_network_options *opt);
void sf_network_destroy(sf_network **net);

/** Training is over: free all but the parameters, which stay where they are. No forward after it.
 */
void sf_network_keep_params(sf_network *net);
/** Bytes that this network needs, known before the first step: arena + parameters + gradients +
 * momentum + scratch. */
int64_t sf_network_bytes(const sf_network *net);
/** Voxels (z,y,x) that one output voxel of the full-resolution head can see. */
void sf_network_receptive_field(const sf_network *net, int64_t field[3]);
/** Multiply-adds of one forward pass: of all samples held, of its slab of a sample. */
double sf_network_forward_macs(const sf_network *net);
/** Name of the instruction set that decides the last bits of every result ("avx512"); static. */
const char *sf_network_isa(void);

/** Parameters (owned by the network) in PyTorch's optimiser order with PyTorch's names. */
sf_params *sf_network_params(sf_network *net);

/** input: plain [batch][in_channels][patch], float (F32, BF16) or double (F64).
 *  `used` <= batch: number of samples that are valid (the last batch of windows). */
sf_status sf_network_forward(sf_network *net, const void *input, int64_t used);
/** Deep-supervision outputs of the last forward: level 0 = full resolution. */
int sf_network_levels(const sf_network *net);
void sf_network_level_shape(const sf_network *net, int level, sf_shape *shape);
/** Plain logits [batch][heads][d][h][w] of the last forward (borrowed, valid until the next). */
const void *sf_network_logits(const sf_network *net, int level);
/** Gradient of the logits, to be filled by the loss before sf_network_backward; a level whose
 * weight is 0 is marked by sf_network_skip_level and gets no gradient at all. */
void *sf_network_dlogits(sf_network *net, int level);
void sf_network_skip_level(sf_network *net, int level, bool skip);
/** Fill the gradients of all parameters (overwritten); those of skipped heads are marked absent. */
sf_status sf_network_backward(sf_network *net);

/** Called from sf_network_backward as soon as the gradient of parameter `param` (index into
 *  sf_params.item) is final, in the fixed order of the graph, so that a group can start to sum it.
 *  Heads come first, the first layer last; skipped heads are not announced. Alone: one part, the
 *  gradient. In a group: one part for each node that sf_tree_cover (base/tree.h) finds for the
 *  network's samples, valid during the call, and sf_param.grad is scratch until the group's sum is
 *  written there. Norm parameters have parts in double, rounded to float after the last addition;
 *  all others in the network's type. fn NULL = none. */
typedef void sf_grad_ready_fn(void *user, int param, const void *const *part, int parts);
void sf_network_on_grad(sf_network *net, sf_grad_ready_fn *fn, void *user);

/** Slices of an array that the ranks of one sample share: `outer` runs of border[slabs] slices of
 *  `bytes` bytes, of which this network has filled [border[slab], border[slab + 1]). halo >= 1: so
 *  many slices on both sides are wanted, 0: all. Collective over the ranks of the sample; called
 *  from forward, loss and backward of a network with slabs > 1, in one order on all of them. */
typedef sf_status sf_share_fn(void *user, void *data, int64_t outer, int64_t bytes,
                              const int64_t *border, int64_t halo);
void sf_network_on_share(sf_network *net, sf_share_fn *fn, void *user);

/** All calls of sf_share_fn that one training step makes (forward, loss, backward of the levels
 * that are not skipped), with their sizes and in their order, and no computation: the arrays hold
 *  nothing. Not collective, for a function that does not exchange either. SF_EINVAL: it failed. */
sf_status sf_network_rehearse(sf_network *net);
/** Operations of one training step of this rank: 2 per multiply-add of the forward pass, of the
 *  gradients of the weights and of the inputs (the first layer has none). A slab counts its slices,
 *  and all of a thin resolution, whose weight gradients are the first slab's. */
double sf_network_step_flops(const sf_network *net);

/** What a group must know beforehand: the parameters that backward will announce with the levels
 *  that are now skipped, in order; out holds up to sf_params.count entries. @return how many */
typedef struct {
    int param;
    int64_t leaves; /* per sample: the parts are nodes of the tree {whole, leaves} */
    bool wide;      /* parts in double */
    sf_shape shape; /* of the volume whose slices make the leaves (sf_slabs_leaf) */
} sf_grad_info;
int sf_network_grad_order(sf_network *net, sf_grad_info *out);

/** The parts of a step, for whoever times them: the output of a node, the gradient through its norm
 *  and activation, of its weights, of its inputs. */
typedef enum {
    SF_PART_FORWARD,
    SF_PART_NORM_GRAD,
    SF_PART_GRAD_WEIGHT,
    SF_PART_GRAD_INPUT,
    SF_PARTS
} sf_part;
/** Called at the end of every part of every node; fn NULL = none. Changes no result. */
typedef void sf_part_done_fn(void *user, int node, sf_part part);
void sf_network_on_part(sf_network *net, sf_part_done_fn *fn, void *user);

/** Nodes in the order of the forward pass, and what one of them is. */
typedef struct {
    const char *kind;    /* "conv", "convt", "head", "input", "pool", "add"; static */
    const char *variant; /* of the kernel ("wino_avx512"); "" without one; static */
    char name[128];      /* of the layer: its weight's name without the last words; else the kind */
    sf_shape in, out;    /* in.c = all concatenated channels */
    int kernel[3], stride[3];
    double macs;     /* multiply-adds of one forward pass of the batch */
    bool input_grad; /* the backward pass makes the gradient of its input */
} sf_node_info;
int sf_network_nodes(const sf_network *net);
void sf_network_node(const sf_network *net, int node, sf_node_info *info);

#endif
