/** Cross-validation splits (nnunet-planning.md 10.4): NumPy's legacy shuffle, seed 12345, over
 *  sorted identifiers; the folds are scikit-learn's KFold(5, shuffle). Fewer cases than folds:
 *  leave-one-out. One case: no folds, only "all". Not collective; immutable after load. */
#ifndef SF_PLAN_SPLITS_H
#define SF_PLAN_SPLITS_H
#include "base/error.h"
#include <stdint.h>

enum { SF_FOLD_ALL = -1 };

typedef struct {
    char **id;
    int count;
} sf_id_list;

typedef struct {
    sf_id_list *train, *val; /* [count], ascending */
    int count;               /* folds; 0 with one case (or one group) */
    sf_id_list all;          /* every case, ascending */
} sf_splits;

/** @param ids     n identifiers sorted by byte order
 *  @param folds   wanted, >= 2 (5 everywhere in nnU-Net)
 *  @param groups  NULL, or one group name per id: cases of one group stay in one fold. The sorted
 *                 group names are shuffled by the same generator and dealt, one after the other, to
 *                 the fold with the fewest cases (ties: the lowest fold). */
sf_status sf_splits_make(sf_splits **out, const char *const *ids, int n, int folds,
                         const char *const *groups);
/** splits_final.json as nnU-Net writes it; `all` = everything that is named in it. SF_EDATA: no
 * such list, a case named twice in one list; a case that is trained and validated in the same fold
 * is worth a warning, which is logged. */
sf_status sf_splits_load(sf_splits **out, const char *path);
sf_status sf_splits_save(const sf_splits *s, const char *path);
/** What a command wants: the file when it exists (SF_EDATA when it names a case that is not among
 *  ids), else new splits, saved to `path`. `all` = ids. */
sf_status sf_splits_open(sf_splits **out, const char *path, const char *const *ids, int n,
                         int folds, const char *const *groups);
/** --groups FILE: a JSON object case -> group, or lines "case group" (blank, tab or comma
 *  between). *groups: one string per id in the order of ids; caller frees with sf_mem_free (one
 *  block). SF_EDATA names a case without a group. */
sf_status sf_splits_groups(char ***groups, const char *path, const char *const *ids, int n);
void sf_splits_destroy(sf_splits **s);
/** May the validation cases of these folds be scored together? SF_EINVAL names a case that two of
 *  them validate. */
sf_status sf_splits_check_pool(const sf_splits *s, const int *folds, int n);

/** Lists of one fold. fold >= count: 80:20 with seed 12345 + fold (train in the order of the
 *  permutation, val ascending); SF_FOLD_ALL: both are everything. SF_EINVAL when there is only one
 *  case. Caller frees both with sf_id_list_free. */
sf_status sf_splits_fold(sf_id_list *train, sf_id_list *val, const sf_splits *s, int fold);
void sf_id_list_free(sf_id_list *l);

#endif
