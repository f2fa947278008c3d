/** Cross-validation splits (nnunet-planning.md 10.4): NumPy's legacy shuffle, seed 12345, over sorted identifiers.
 *  Fewer cases than folds: leave-one-out. One case: only fold "all". */
#ifndef SF_PLAN_SPLITS_H
#define SF_PLAN_SPLITS_H
#include "base/error.h"
#include <stdint.h>

enum { SF_FOLD_ALL = -1 };
typedef struct { char **id; int count; } sf_id_list;
typedef struct { sf_id_list *train, *val; int count; } sf_splits;

/** ids sorted by byte order. groups: NULL, or one group name per id (cases of one group stay together). */
sf_status sf_splits_make(sf_splits **out, const char *const *ids, int n, int folds, const char *const *groups);
sf_status sf_splits_load(sf_splits **out, const char *path); /* splits_final.json */
sf_status sf_splits_save(const sf_splits *s, const char *path);
void sf_splits_destroy(sf_splits **s);
/** Lists of one fold (fold >= count: 80:20 with seed 12345+fold; SF_FOLD_ALL: everything); caller frees with sf_id_list_free. */
sf_status sf_splits_fold(sf_id_list *train, sf_id_list *val, const sf_splits *s, int fold);
void sf_id_list_free(sf_id_list *l);

#endif
