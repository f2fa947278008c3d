/** The U-Nets of nnU-Net from an architecture: encoder, decoder, deep-supervision heads.
 *  Private to this folder. Source: paper, Methods: Network architecture;
 * nnunet-training.md 1.1, 1.2. */
#ifndef SF_NETWORK_UNET_H
#define SF_NETWORK_UNET_H
#include "network/graph.h"

/** SF_EINVAL when the patch cannot pass through the strides or the architecture is out of range. */
sf_status sf_unet_check(const sf_network *net);
/** Append all nodes and parameters; the heads that are evaluated become levels, 0 = full
 * resolution. */
sf_status sf_unet_build(sf_network *net);

#endif
