/** The two newest checkpoints of a training that is under way: checkpoint_latest.h5 and, until the
 *  next one stands complete on the disk, the one before it, checkpoint_previous.h5. A kill at any
 *  moment leaves at least one whole; damage found by checksum in one leaves the other. */
#ifndef SF_TRAIN_GENERATIONS_H
#define SF_TRAIN_GENERATIONS_H
#include "base/path.h"
#include "mpi/comm.h"
#include "train/checkpoint.h"

typedef struct {
    char latest[SF_PATH_MAX], previous[SF_PATH_MAX];
    char next[SF_PATH_MAX]; /* complete, and about to become the latest */
} sf_generations;

/** Names only. */
sf_status sf_generations_names(sf_generations *g, const char *fold_dir);
/** Finish or undo what a kill left between two generations. One process, before anybody reads. */
sf_status sf_generations_settle(const sf_generations *g);
/** Is there one? Not collective. */
bool sf_generations_any(const sf_generations *g);
/** As sf_checkpoint_save; the latest becomes the previous once the new file is complete. One
 * process of the training. */
sf_status sf_generations_save(const sf_generations *g, const sf_train_state *s, const sf_params *p);
/** Collective over the ranks of the training: all load the same generation. One that any rank finds
 * damaged or cannot read is passed over by all, with a warning that names it. *from (borrowed from
 * g) is the file that was read. SF_EDATA, SF_EIO: none can be used, names them. *s: as by
 * sf_checkpoint_load. */
sf_status sf_generations_load(const sf_generations *g, sf_comm *c, sf_train_state *s, sf_params *p,
                              const char **from);
/** All of them, when the training is finished. */
sf_status sf_generations_remove(const sf_generations *g);

#endif
