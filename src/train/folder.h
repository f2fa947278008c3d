/** The folder of a fold: what in it is out of date, and the log that is kept there. */
#ifndef SF_TRAIN_FOLDER_H
#define SF_TRAIN_FOLDER_H
#include "train/checkpoint.h"
#include "train/trainer.h"

/** Remove predictions from `dir`, which belong to other weights than those that `part` is about to
 *  use. Not collective: for the rank that writes. SF_EIO. */
sf_status sf_train_drop_predictions(const char *dir, sf_train_part part);

/** Add the log to training.log from now on (sf_log_file_close ends it), first with a line about the
 * training. Not collective: for the rank that writes. A file that cannot be opened is no failure.
 */
void sf_train_open_log(const char *dir, const sf_train_options *o, const sf_train_state *s,
                       int ranks);
/** A log line `time` for each event that has happened. */
void sf_train_log_times(const sf_prof *prof);

#endif
