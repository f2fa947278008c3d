/** Forward and backward over the node list of a graph. Private to this folder; not collective.
 *  Every sum has one tree that depends on the graph alone (base/tree.h): leaves of the weight
 *  gradient in order of slices, then samples. */
#ifndef SF_NETWORK_EXEC_H
#define SF_NETWORK_EXEC_H
#include "network/graph.h"

/** Run all nodes on net->input with net->used samples. */
sf_status sf_exec_forward(sf_network *net);
/** Run all nodes backwards from the dlogits of the levels that are not skipped. */
sf_status sf_exec_backward(sf_network *net);
/** See sf_network_grad_order. */
int sf_exec_grad_order(sf_network *net, sf_grad_info *out);
/** What a node does for the other ranks of its sample (nothing where the value is not split).
 *  Of a split value (or its gradient) every rank has its slab and gets `halo` slices of the
 *  neighbours; 0: all; -1: none. Of sums per slice, [cpad][slices][2], it gets all. */
sf_status sf_exec_share_value(sf_network *net, const sf_value *v, int block, int64_t halo);
sf_status sf_exec_share_sums(sf_network *net, const sf_value *v, int block);
/** Slices of the neighbours' gradient that the gradient of a convolution's input needs; -1: none.
 */
int64_t sf_exec_grad_halo(const sf_node *nd);
/** The whole tensor of a value in one of its blocks, with the samples of this batch. */
sf_view sf_exec_view(const sf_network *net, const sf_value *v, int block);
/** A value as input, with its load rule; backward: where the backward pass finds it. */
sf_input sf_exec_input(const sf_network *net, int value, bool backward);
/** A node's operation on the samples of this batch. */
sf_conv sf_exec_conv(const sf_network *net, const sf_node *nd);
sf_convt sf_exec_convt(const sf_network *net, const sf_node *nd);
/** One part of a node is done: whoever times it may look at the clock. */
void sf_exec_part_done(const sf_network *net, const sf_node *nd, sf_part part);
/** The gradient of a parameter is there, as partial sums; index -1: nothing. */
void sf_exec_announce(sf_network *net, int index, const void *const *part, int parts);
/** "conv", "head", ...; static. */
const char *sf_exec_kind_name(int kind);
/** Fill what never changes: scale 1, shift 0 of values that are only activated. */
void sf_exec_prepare(sf_network *net);

#endif
