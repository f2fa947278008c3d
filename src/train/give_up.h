/** The last resort of ranks that share a sample: when one of them cannot go on in the middle of an
 * exchange, its mates wait for data that will never come, and no agreement can be reached. */
#ifndef SF_TRAIN_GIVE_UP_H
#define SF_TRAIN_GIVE_UP_H
#include "train/checkpoint.h"

/** Ends the whole job with the exit code of `st` after one line on stderr: rank, host, stage, fold
 *  folder, step, and the text of the last failure. Does not return. */
void sf_train_give_up(sf_status st, const char *stage, const char *fold_dir,
                      const sf_train_state *s) __attribute__((noreturn));

#endif
