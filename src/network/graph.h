/** The static graph of one network: values, nodes in execution order, arena blocks.
 *
 *  Private to this folder. A *value* is one stored tensor (a raw convolution output, a residual
 * sum, the blocked input) with the rule by which consumers load it. A *node* makes one value from
 * at most two others. Backward works with gradients of *loaded* values: consumers write or add
 * them, the producer turns them into gradients of the raw value in place.
 *
 *  Time: forward of node i is step i, the loss is step N = number of nodes; backward of node i is
 *  step 3N - 2i, its norm, after which nothing reads its raw value, and step 3N - 2i + 1, the
 *  gradients of its weights and inputs. Every buffer is an arena block with a first and a last
 *  step; blocks whose steps do not overlap share memory. All of this is fixed before the first
 *  forward.
 *  Not collective; one network is driven by one thread. Source: decisions.md "Numbers and bits". */
#ifndef SF_NETWORK_GRAPH_H
#define SF_NETWORK_GRAPH_H
#include "base/tree.h"
#include "kernels/conv.h"
#include "kernels/convt.h"
#include "network/network.h"
#include "network/slabs.h"

enum {
    SF_MAX_LEVELS = SF_MAX_STAGES,
    SF_MAX_LEAVES = 16,
    SF_LEAF_VOXELS = 4096,
    SF_LEAF_SLICES = 4
};

typedef enum {
    SF_NODE_INPUT, /* plain input -> blocked */
    SF_NODE_CONV,  /* convolution, then statistics when its value is normalised */
    SF_NODE_CONVT, /* transposed convolution */
    SF_NODE_HEAD,  /* 1x1 convolution -> plain logits, blocked chunk by chunk in the workspace */
    SF_NODE_POOL,  /* average pooling, window = stride */
    SF_NODE_ADD,   /* sum of two loaded values */
    SF_NODE_KINDS
} sf_node_kind;

/** How consumers load a value. */
typedef enum {
    SF_LOAD_RAW,  /* as stored */
    SF_LOAD_NORM, /* act(gamma * normalised + beta) */
    SF_LOAD_ACT   /* act(stored) */
} sf_load_kind;

typedef struct {
    int64_t bytes, offset; /* multiples of 64 */
    int birth, death;      /* first and last step, inclusive */
} sf_arena_block;

typedef struct {
    sf_shape shape; /* n = batch */
    sf_dtype dtype; /* of its elements and their gradients in memory */
    sf_load_kind load;
    double slope;            /* of the load rule; 1 = no activation */
    int producer;            /* node */
    int first_use, last_use; /* consuming nodes; -1: none */
    bool wants_grad;
    bool grad_ready; /* this backward pass has written its gradient */
    bool split;      /* this network fills its slab alone ... */
    int64_t share;   /* ... and then gets so many slices of the neighbours; 0: all; -1: none */
    int raw, raw_bwd, grad; /* blocks, -1: none (all of a head's). raw_bwd: where backward finds the
                               value */
    int affine;             /* block of mean, rstd, scale, shift, each [n][sf_cpad(c)] */
} sf_value;

/** Leaves that are summed at the same time, at most. */
enum { SF_MAX_TEAM = 64 };

typedef struct {
    sf_node_kind kind;
    int n_in, in[2], out;          /* values; concatenation order */
    int weight, bias, gamma, beta; /* parameters, -1: none */
    sf_conv conv;                  /* CONV, HEAD */
    const sf_conv_impl *conv_impl;
    sf_convt convt; /* CONVT */
    const sf_convt_impl *convt_impl;
    int window[3];          /* POOL */
    int level;              /* HEAD: index of its logits */
    int64_t leaves;         /* blocks of slices per sample in the weight gradient */
    int stats, sums, total; /* blocks: statistics, norm backward per slice and per sample */
    int partial, parts;     /* block of `parts` partial sums of the weight gradient */
    int team;               /* threads that sum leaves of their own; 1: all share each leaf */
    int64_t team_bytes, team_scratch; /* of one of them, and its kernel's workspace within */
    int scratch_fwd, scratch_bwd;     /* blocks: kernel workspace */
} sf_node;

typedef struct {
    int node, logits, dlogits; /* head node; blocks */
    sf_shape shape;
    bool skip;
} sf_level;

struct sf_network {
    sf_arch arch;
    int64_t in_channels, heads, batch, used, patch[3];
    int64_t first, whole; /* of a group's batch: our first sample, its size; whole 0: alone */
    sf_slabs slabs;
    int slab;
    sf_dtype dtype;  /* of sums, parameters and all plain arrays */
    sf_dtype stored; /* of values; those of the input and of the heads are of `dtype` */
    bool training, deep_supervision, exact;
    int threads;

    sf_params params;
    int *
        param_group; /* sort key while building: encoder, decoder stages, transposed convs, heads */
    void *param_memory;
    int64_t param_bytes;

    sf_node *node;
    int n_nodes;
    sf_value *value;
    int n_values;
    sf_arena_block *block;
    int n_blocks;
    char *arena;
    int64_t arena_bytes;

    sf_level level[SF_MAX_LEVELS];
    int n_levels;
    int64_t field[3];  /* receptive field */
    int plain_input;   /* block: copy of the input, for the first layer's weight gradient */
    int loss_work;     /* block: workspace of the loss */
    const void *input; /* of the running forward */
    bool ready;        /* a forward pass has been done and not been consumed by backward */
    sf_grad_ready_fn *on_grad;
    void *on_grad_user;
    sf_share_fn *on_share;
    void *on_share_user;
    sf_part_done_fn *on_part;
    void *on_part_user;
};

/** Append an empty node or value; *index is its number. Pointers into the arrays move. */
sf_status sf_graph_add_node(sf_network *net, sf_node_kind kind, int *index);
sf_status sf_graph_add_value(sf_network *net, sf_shape shape, int producer, int *index);
/** Declare that `node` consumes `value` as its next input block. */
void sf_graph_connect(sf_network *net, int node, int value);
/** Once all nodes exist: give every buffer its block and every block its place; fills arena_bytes.
 */
sf_status sf_graph_plan(sf_network *net);

/** Leaves per sample of a weight gradient over `shape` (the output, or the input of a transposed
 *  convolution): at most 16, at least 4096 voxels each. Shape alone. */
int64_t sf_graph_leaves(sf_shape shape);
/** Leaf l of `leaves` covers the slices [start of l, start of l+1). Borders are multiples of 4
 * slices, so that kernels that work in tiles of 4 fill them. */
int64_t sf_graph_leaf_start(int64_t slices, int64_t leaves, int64_t l);
/** Samples over which gradients are summed: the group's, or those of the last forward. */
static inline int64_t sf_graph_whole_batch(const sf_network *net)
{
    return net->whole > 0 ? net->whole : net->used;
}
/** Bytes of the largest chunk of a head's logits: `samples` of the slices of one leaf. */
int64_t sf_graph_chunk_bytes(const sf_network *net, const sf_node *head, int64_t samples);
/** Largest number of partial sums that the tree over samples x leaves holds at once. */
int sf_graph_tree_depth(const sf_network *net, int64_t leaves);

/** Which values are split, and what their consumers need of the neighbours; after the nodes exist.
 */
void sf_graph_plan_slabs(sf_network *net);
/** This network's slices [*lo, *hi) of a resolution. */
void sf_graph_own_slices(const sf_network *net, sf_shape shape, int64_t *lo, int64_t *hi);
/** The same as a part of all its slices, 0 to 1. */
double sf_graph_own_part(const sf_network *net, sf_shape shape);
/** Let the ranks of the sample share an array of `outer` runs of the slices of `shape`. */
sf_status sf_graph_share(sf_network *net, sf_shape shape, void *data, int64_t outer, int64_t bytes,
                         int64_t halo);

/** Memory of a block; NULL for -1. */
static inline void *sf_graph_ptr(const sf_network *net, int block)
{
    return block < 0 ? NULL : net->arena + net->block[block].offset;
}

#endif
