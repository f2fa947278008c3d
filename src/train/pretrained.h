/** Fine-tuning: a new training starts from another one's weights (nnunet-training.md 11.5). Not
 *  collective. */
#ifndef SF_TRAIN_PRETRAINED_H
#define SF_TRAIN_PRETRAINED_H
#include "network/params.h"

/** SHA-256 of the file: it tells trainings that began differently apart. path NULL: "". */
sf_status sf_pretrained_hash(char hex[65], const char *path);
/** All parameters but the heads get the values of a checkpoint of ours or of nnU-Net's (.pth).
 *  @return SF_EDATA names the parameter that is missing there or has another shape: the plans, or
 * the channels of the images, do not fit. */
sf_status sf_pretrained_apply(sf_params *p, const char *path);

#endif
