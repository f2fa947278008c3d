/** Gradients of a group of ranks that share one training, summed in the fixed tree (base/tree.h),
 *  and the updated weights sent back to all: reduce-scatter by owner, all-gather. The bits do not
 *  depend on the number of ranks.
 *
 *  Every parameter tensor is cut into pieces at multiples of SF_GRAD_UNIT elements; each piece has
 *  one owner, which gets the partial sums of all ranks, adds them in the order of the tree, and
 *  alone steps that piece of the weights: the optimiser's state is spread over the group.
 *  A step of the caller, on all ranks alike:
 *      sf_grad_begin;  backward pass: sf_grad_ready for every tensor in order, sf_grad_poll at
 * will; sf_grad_finish; step the pieces that sf_grad_piece names;  sf_grad_share. Tensors travel in
 * buckets while the backward pass goes on; each call moves messages along.
 *
 *  Bytes that rank r sends per step: for every piece that another rank owns, the number of r's
 *  partial sums (nodes of sf_tree_cover of its positions) x elements x 4, or 8 for a wide tensor,
 *  rounded up to 8; and (ranks - 1) x its own elements x 4 (sf_grad_bytes computes it).
 *  With one sample and one node per rank this is the least possible: 2 x (ranks-1)/ranks x weights.
 *  Memory: a copy of what is sent and of what comes in.
 *  Collective where said; main thread only. Source: decisions.md "Numbers and bits" 2. */
#ifndef SF_MPI_GRAD_H
#define SF_MPI_GRAD_H
#include "base/tree.h"
#include "mpi/comm.h"

enum { SF_GRAD_UNIT = 4096 }; /* elements; the block of sf_sum_squares (kernels/sgd.h) */

/** One tensor of float32 weights, borrowed. Partial sums are float, or double when `wide`: these
 *  are rounded to float after the last addition. */
typedef struct {
    int64_t count;
    bool wide;
    sf_tree tree;
    const int64_t *first; /* [ranks + 1]: rank r holds the positions [first[r], first[r+1]) */
    float *value, *grad;
} sf_grad_tensor;

typedef struct sf_grad sf_grad;

/** Collective over `c` (size >= 1), which must outlive it. Tensors in the order in which they
 *  become ready, the same on all ranks; copied, but not `first` and the arrays. A bucket is closed
 *  once it holds `bucket_bytes` of weights. SF_ENOMEM, SF_ECOMM on all ranks together. */
sf_status sf_grad_create(sf_grad **out, sf_comm *c, const sf_grad_tensor *tensors, int n,
                         int64_t bucket_bytes);
/** Not collective: what sf_grad_create would make of rank `rank` of `ranks`, on paper. It serves
 *  sf_grad_piece, sf_grad_bytes, sf_grad_messages, sf_grad_room and sf_grad_destroy (which is not
 *  collective then) alone. SF_ENOMEM. */
sf_status sf_grad_plan(sf_grad **out, int rank, int ranks, const sf_grad_tensor *tensors, int n,
                       int64_t bucket_bytes);
/** Collective; NULL inside is allowed when it is so on all ranks. */
void sf_grad_destroy(sf_grad **g);

/** Start a step. Not collective in time: ranks may come one after the other, as in the next two. */
sf_status sf_grad_begin(sf_grad *g);
/** Tensor `i` is ready: part[k] is this rank's sum over the k-th node of its positions; copied.
 *  SF_EINTERNAL when it is not the next one or `n_parts` is not what the tree says. */
sf_status sf_grad_ready(sf_grad *g, int i, const void *const *part, int n_parts);
sf_status sf_grad_poll(sf_grad *g);
/** Wait for all partial sums and add them: `grad` of the own pieces is complete then. Collective.
 */
sf_status sf_grad_finish(sf_grad *g);
/** Elements [*begin, *end) of tensor i that `rank` owns; begin = end: none. begin is a multiple of
 *  SF_GRAD_UNIT. */
void sf_grad_piece(const sf_grad *g, int i, int rank, int64_t *begin, int64_t *end);
/** Send the own pieces of `value` to all and take theirs. Collective. */
sf_status sf_grad_share(sf_grad *g);
/** Bring the owners' pieces of other arrays (array[i]: floats, as long as tensor i) together on
 *  rank `root`. Collective. */
sf_status sf_grad_collect(sf_grad *g, float *const *array, int root);

/** What the formula above gives for one step of this rank, and what it has really sent so far. */
int64_t sf_grad_bytes(const sf_grad *g);
int64_t sf_grad_sent(const sf_grad *g);
/** Messages of this rank per step, both ways, at most: to every other rank two for each bucket. */
int64_t sf_grad_messages(const sf_grad *g);
/** Bytes of memory for messages. */
int64_t sf_grad_room(const sf_grad *g);

#endif
