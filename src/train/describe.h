/** What a training is, as text in its checkpoints: two runs of equal text may continue each other.
 */
#ifndef SF_TRAIN_DESCRIBE_H
#define SF_TRAIN_DESCRIBE_H
#include "train/trainer.h"

/** JSON: recipe, mirror axes, exact, precision (where it is not float32), configuration, variant,
 * hash of the pretrained weights. Caller
 * frees (sf_mem_free). Not collective. SF_ENOMEM; SF_EIO for the file of pretrained weights. */
sf_status sf_train_describe(char **json, const sf_train_options *o, const sf_config *cfg);

#endif
