/** The fixed tree in which the leaves of a batch are summed, however they are spread over threads
 *  and ranks. Every sample has the same number of leaves (blocks of slices); the leaves of a sample
 *  are summed first, then the samples. Over n leaves or samples a node of level k covers
 *  [i*2^k, min((i+1)*2^k, n)), so a sum splits at the largest power of two below its length, as in
 *  sf_tree_sum (kernels/op.h).
 *
 *  Positions count leaves through the whole batch: sample * leaves + leaf. Whoever holds the
 *  positions [lo, hi) can sum the largest nodes that lie in them (sf_tree_cover); whoever gets the
 *  nodes of all neighbours goes on with the same rule and ends with the same bits.
 *  Pure functions, thread-safe, not collective. Source: decisions.md "Numbers and bits" 2. */
#ifndef SF_BASE_TREE_H
#define SF_BASE_TREE_H
#include <stdbool.h>
#include <stdint.h>

/** The shape of the sum; it follows from the plan alone. */
typedef struct {
    int64_t samples, leaves; /* of the whole batch; of one sample. Both >= 1 */
} sf_tree;

/** A run of leaves, however long, is covered by fewer nodes than this. */
enum { SF_TREE_MAX = 128 };

/** Are the nodes [a,b) and [b,c), a < b < c, the two halves of one node, to be added now? */
bool sf_tree_siblings(const sf_tree *t, int64_t a, int64_t b, int64_t c);

/** A stack of neighbouring nodes: node i is [bound[i], bound[i+1]), i < n. Begin with n = 0 and
 *  bound[0] = the first position. */
typedef struct {
    int64_t bound[SF_TREE_MAX + 1];
    int n;
} sf_tree_stack;

/** Put the node [bound[n], end) on top: a leaf (end = bound[n] + 1), or a node that somebody else
 *  has summed. */
void sf_tree_push(sf_tree_stack *s, int64_t end);
/** If the two topmost nodes are the halves of one, join them and return true: the caller adds the
 *  values of node n (the former top) to those of node n-1 (the joined one). Call until false. */
bool sf_tree_fold(sf_tree_stack *s, const sf_tree *t);

/** The largest nodes in [lo, hi), in order; hi <= lo: none. @return the most nodes that summing
 * leaf by leaf holds at once. */
int sf_tree_cover(const sf_tree *t, int64_t lo, int64_t hi, sf_tree_stack *out);

#endif
