/** Failures of one rank of a training: where they happened, and the last resort. */
#ifndef SF_TRAIN_GIVE_UP_H
#define SF_TRAIN_GIVE_UP_H
#include "train/checkpoint.h"

/** Put the stage, the fold folder and the step before the text of the last failure; its trace
 *  stays. Others hear it with rank and host (sf_comm_agree). stage NULL, SF_OK, SF_ESTOP: nothing.
 *  @return st */
sf_status sf_train_name_stage(sf_status st, const char *stage, const char *fold_dir,
                              const sf_train_state *s);

/** For a failure that one rank alone knows of (sf_comm_all_know) while others wait for its part of
 *  an exchange, so that no agreement can be reached: ends the whole job with the exit code of `st`
 *  after one line on stderr: rank, host, stage, fold folder, step, the text of the last failure,
 *  and that the same command goes on. Does not return. */
void sf_train_give_up(sf_status st, const char *stage, const char *fold_dir,
                      const sf_train_state *s) __attribute__((noreturn));

#endif
