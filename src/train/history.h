/** history.jsonl: one JSON object per finished epoch. A resumed training drops the lines of epochs
 * that it repeats. */
#ifndef SF_TRAIN_HISTORY_H
#define SF_TRAIN_HISTORY_H
#include "base/error.h"
#include "base/json.h"
#include <stdint.h>

typedef struct {
    int64_t epoch; /* 0-based */
    double lr, train_loss, val_loss, dice, ema,
        seconds;              /* dice: mean over classes seen; NaN when none */
    double wait;              /* of `seconds`: spent waiting for batches, by the step */
    const double *class_dice; /* n_classes entries, NaN where undefined */
    int n_classes;
} sf_epoch_record;

/** Keep the leading lines whose epoch is below `epoch`; the first other line, a damaged or torn one
 * included, and all behind it are dropped. A missing file is fine. */
sf_status sf_history_cut(const char *path, int64_t epoch);
/** One line, fsynced. NaN is written as null. SF_EIO names the file. */
sf_status sf_history_append(const char *path, const sf_epoch_record *r);

#endif
