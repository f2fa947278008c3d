/** Weight gradients: sums over the leaves of a node (slices of its samples, graph.h), folded in one
 *  fixed tree (base/tree.h). Private to this folder; not collective. The bits do not depend on the
 *  threads. */
#ifndef SF_NETWORK_LEAVES_H
#define SF_NETWORK_LEAVES_H
#include "network/graph.h"

/** Gradient of weight and bias from the gradient of the node's output; announced when it is there
 *  (sf_network_on_grad). */
sf_status sf_leaves_conv(sf_network *net, const sf_node *nd);
sf_status sf_leaves_convt(sf_network *net, const sf_node *nd);

#endif
