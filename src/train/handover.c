#include "train/handover.h"
#include "base/log.h"
#include "base/mem.h"
#include <string.h>

struct sf_handover {
    sf_cases **file; /* [count] one per case */
    const int16_t **labels;
    int count;
    int from_all; /* cases whose labels come from fold "all" */
};

sf_status sf_handover_path(char out[SF_PATH_MAX], const char *fold_dir, const char *second,
                           const char *id)
{
    return sf_path_format(out, "%s/predicted_next_stage/%s/%s.h5", fold_dir, second, id);
}

sf_status sf_handover_begin(const char *fold_dir, const char *second)
{
    char dir[SF_PATH_MAX];
    SF_TRY(sf_path_format(dir, "%s/predicted_next_stage/%s", fold_dir, second));
    SF_TRY(sf_path_make_dirs(dir));
    return sf_path_sweep_tmp(dir);
}

sf_status sf_handover_save(const char *path, const char *id, const int64_t shape[3],
                           int16_t *labels)
{
    sf_cases_writer *w = NULL;
    sf_prepared c = { .seg = labels };
    memcpy(c.props.shape, shape, sizeof c.props.shape);
    SF_TRY(sf_mem_strdup(&c.id, id));
    sf_status st;
    SF_GOTO(done, st, sf_cases_create(&w, sf_comm_self(), path, NULL));
    st = sf_cases_add_round(w, &c);
    sf_status end = sf_cases_finish(&w, st == SF_OK);
    if (st == SF_OK) st = end;
done:
    sf_mem_free(c.id);
    return st;
}

bool sf_handover_complete(const char *fold_dir, const char *second, const sf_id_list *ids)
{
    char path[SF_PATH_MAX];
    for (int i = 0; i < ids->count; i++) {
        if (sf_handover_path(path, fold_dir, second, ids->id[i]) != SF_OK) return false;
        if (!sf_path_is_file(path)) return false;
    }
    return true;
}

static bool contains(const sf_id_list *l, const char *id)
{
    for (int i = 0; i < l->count; i++) {
        if (strcmp(l->id[i], id) == 0) return true;
    }
    return false;
}

/* The file of one case, as sf_handover_open says. */
static sf_status find_file(char path[SF_PATH_MAX], sf_handover *h, const char *work,
                           const sf_task_key *second, const sf_config *cfg, const sf_splits *splits,
                           const char *id)
{
    sf_task_key first = *second;
    int fold = 0;
    char dir[SF_PATH_MAX], all[SF_PATH_MAX];
    first.config = cfg->previous_stage;
    first.fold = SF_FOLD_ALL;
    SF_TRY(sf_work_fold_dir(dir, work, &first));
    SF_TRY(sf_handover_path(all, dir, cfg->name, id));
    while (fold < splits->count && !contains(&splits->val[fold], id)) fold++;
    if (fold < splits->count) {
        first.fold = fold;
        SF_TRY(sf_work_fold_dir(dir, work, &first));
        SF_TRY(sf_handover_path(path, dir, cfg->name, id));
        if (sf_path_is_file(path)) return SF_OK;
    }
    if (sf_path_is_file(all)) {
        h->from_all++;
        return sf_path_format(path, "%s", all);
    }
    SF_CHECK(fold < splits->count, SF_EINVAL,
             "%s needs the labels of case %s by %s, which no fold validates: train fold all of %s "
             "before",
             cfg->name, id, cfg->previous_stage, cfg->previous_stage);
    return SF_FAIL(SF_EINVAL, "%s needs %s: train configuration %s, fold %d before", cfg->name,
                   path, cfg->previous_stage, fold);
}

static sf_status open_case(sf_handover *h, int i, const char *path, const char *id,
                           const sf_cases *cases)
{
    sf_case_view own, theirs;
    const int at = sf_cases_index(cases, id);
    SF_CHECK(at >= 0, SF_EDATA, "case %s of the split is not in the preprocessed data", id);
    SF_TRY(sf_cases_get(cases, at, &theirs));
    SF_TRY(sf_cases_open(&h->file[i], path, false));
    const int index = sf_cases_index(h->file[i], id);
    SF_CHECK(index >= 0, SF_EDATA, "%s does not hold case %s", path, id);
    SF_TRY(sf_cases_get(h->file[i], index, &own));
    const int64_t *a = own.props.shape, *b = theirs.props.shape;
    SF_CHECK(own.seg && memcmp(a, b, sizeof own.props.shape) == 0, SF_EDATA,
             "%s is for %lld x %lld x %lld voxels, the preprocessed case has %lld x %lld x %lld: "
             "remove it and run the validation of the first stage again",
             path, (long long)a[0], (long long)a[1], (long long)a[2], (long long)b[0],
             (long long)b[1], (long long)b[2]);
    h->labels[i] = own.seg;
    return SF_OK;
}

static sf_status open_all(sf_handover *h, const char *work, const sf_task_key *second,
                          const sf_config *cfg, const sf_splits *splits, const sf_id_list *ids,
                          const sf_cases *cases)
{
    char path[SF_PATH_MAX];
    h->count = ids->count;
    SF_TRY(sf_mem_calloc(&h->file, (size_t)ids->count, sizeof *h->file, SF_MEM_MISC));
    SF_TRY(sf_mem_calloc(&h->labels, (size_t)ids->count, sizeof *h->labels, SF_MEM_MISC));
    for (int i = 0; i < ids->count; i++) {
        SF_TRY(find_file(path, h, work, second, cfg, splits, ids->id[i]));
        SF_TRY(open_case(h, i, path, ids->id[i], cases));
    }
    if (h->from_all > 0)
        sf_log(SF_LOG_WARN, "cascade",
               "%d of %d cases have labels of the first stage from fold all, which was trained on "
               "them",
               h->from_all, h->count);
    return SF_OK;
}

sf_status sf_handover_open(sf_handover **out, const char *work, const sf_task_key *second,
                           const sf_config *cfg, const sf_splits *splits, const sf_id_list *ids,
                           const sf_cases *cases)
{
    sf_handover *h = NULL;
    *out = NULL;
    SF_TRY(sf_mem_calloc(&h, 1, sizeof *h, SF_MEM_MISC));
    const sf_status st = open_all(h, work, second, cfg, splits, ids, cases);
    if (st != SF_OK) {
        sf_handover_close(&h);
        return st;
    }
    *out = h;
    return SF_OK;
}

const int16_t *const *sf_handover_labels(const sf_handover *h) { return h ? h->labels : NULL; }

void sf_handover_close(sf_handover **h)
{
    if (*h == NULL) return;
    for (int i = 0; (*h)->file && i < (*h)->count; i++) sf_cases_close(&(*h)->file[i]);
    sf_mem_free((*h)->file);
    sf_mem_free((*h)->labels);
    sf_mem_free(*h);
    *h = NULL;
}
