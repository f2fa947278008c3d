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
/** "conv", "head", ...; static. */
const char *sf_exec_kind_name(int kind);
/** Fill what never changes: scale 1, shift 0 of values that are only activated. */
void sf_exec_prepare(sf_network *net);

#endif
