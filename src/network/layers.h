/** Node constructors of the U-Net. Each declares its parameters (with PyTorch's names) and appends
 *  its node and value to the graph. A new norm, activation or join is a new load rule or node kind
 *  here plus one row of the table in exec.c; the builder in unet.c combines them.
 *  Private to this folder. Errors: SF_EINVAL from the kernels' checks, SF_ENOMEM. */
#ifndef SF_NETWORK_LAYERS_H
#define SF_NETWORK_LAYERS_H
#include "network/graph.h"

/** Order of parameter groups in PyTorch's optimiser (nnunet-training.md 11.2). */
typedef enum { SF_GROUP_ENCODER, SF_GROUP_DECODER, SF_GROUP_UP, SF_GROUP_HEADS } sf_param_group;

/** A convolution unit: convolution -> instance norm -> leaky ReLU. */
typedef struct {
    const char *prefix; /* "encoder.stages.0.0.convs.0"; ".conv.weight" and so on are appended */
    sf_param_group group;
    int64_t out_channels;
    const int *kernel, *stride; /* z,y,x */
    bool bias;
    double slope; /* 1: no activation */
} sf_unit;

sf_status sf_layer_input(sf_network *net, int *value);
/** in: input values in concatenation order. */
sf_status sf_layer_unit(sf_network *net, const sf_unit *unit, const int *in, int n_in, int *value);
sf_status sf_layer_up(sf_network *net, const char *prefix, int in, int64_t out_channels,
                      const int stride[3], bool bias, int *value);
/** Declares the head's parameters always; makes the node when level >= 0. */
sf_status sf_layer_head(sf_network *net, const char *prefix, int in, int level);
sf_status sf_layer_pool(sf_network *net, int in, const int window[3], int *value);
/** act(load(a) + load(b)) */
sf_status sf_layer_add(sf_network *net, int a, int b, double slope, int *value);

/** Sort the parameters into PyTorch's order and give them memory (zeroed; gamma included). */
sf_status sf_layers_finish_params(sf_network *net);

#endif
