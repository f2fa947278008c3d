#include "fleet/ensemble.h"
#include "base/log.h"
#include "base/mem.h"
#include "fleet/folders.h"
#include <string.h>

typedef struct {
    const sf_ensemble_options *o;
    const char *out;
    sf_dataset *dataset;
    sf_id_list cases;
} ensemble;

static int64_t volume(const int64_t d[3]) { return d[0] * d[1] * d[2]; }

/** First case that is in `a` and not in `b`, both ascending; NULL: none. */
static const char *first_missing(const sf_id_list *a, const sf_id_list *b)
{
    for (int i = 0, k = 0; i < a->count; i++) {
        while (k < b->count && strcmp(b->id[k], a->id[i]) < 0) k++;
        if (k == b->count || strcmp(b->id[k], a->id[i]) != 0) return a->id[i];
    }
    return NULL;
}

static sf_status compare_cases(const ensemble *e, const char *dir, const sf_id_list *other)
{
    const char *lost = first_missing(&e->cases, other), *extra = first_missing(other, &e->cases);
    SF_CHECK(lost == NULL, SF_EDATA,
             "%s has no probabilities of case %s, which %s has: predict the same cases", dir, lost,
             e->o->dir[0]);
    SF_CHECK(extra == NULL, SF_EDATA,
             "%s has no probabilities of case %s, which %s has: predict the same cases",
             e->o->dir[0], extra, dir);
    return SF_OK;
}

static sf_status list_cases(ensemble *e)
{
    static const char *const endings[] = { ".npz", ".h5" };
    SF_TRY(sf_folder_cases(&e->cases, e->o->dir[0], endings, 2));
    SF_CHECK(e->cases.count > 0, SF_EDATA,
             "%s holds no CASE.npz or CASE.h5: predict with --save-probabilities", e->o->dir[0]);
    for (int i = 1; i < e->o->n_dirs; i++) {
        sf_id_list other = { 0 };
        SF_TRY(sf_folder_cases(&other, e->o->dir[i], endings, 2));
        const sf_status st = compare_cases(e, e->o->dir[i], &other);
        sf_id_list_free(&other);
        SF_TRY(st);
    }
    return SF_OK;
}

static sf_status open_ensemble(ensemble *e)
{
    char json[SF_PATH_MAX];
    SF_TRY(sf_path_join(json, e->o->dir[0], "dataset.json", NULL));
    if (e->o->dataset_json) SF_TRY(sf_path_format(json, "%s", e->o->dataset_json));
    SF_CHECK(sf_path_is_file(json), SF_EINVAL, "%s does not exist: give --dataset-json", json);
    SF_TRY(sf_dataset_from_json(&e->dataset, json));
    return list_cases(e);
}

/** Mean over the folders; caller frees *mean. */
static sf_status mean_of_case(float **mean, const ensemble *e, const char *id,
                              const int64_t shape[3])
{
    const int heads = e->dataset->labels.n_heads, n_dirs = e->o->n_dirs;
    const int64_t n = heads * volume(shape);
    float *p = NULL;
    sf_status st = SF_OK;
    *mean = NULL;
    for (int i = 0; i < n_dirs; i++) {
        int got;
        int64_t s[3];
        SF_GOTO(done, st, sf_probabilities_read(&p, &got, s, e->o->dir[i], id));
        SF_CHECK_GOTO(done, st,
                      got == heads && s[0] == shape[0] && s[1] == shape[1] && s[2] == shape[2],
                      SF_EDATA,
                      "%s: probabilities of case %s are %d x %lld x %lld x %lld, but its "
                      "segmentation and dataset.json say %d x %lld x %lld x %lld",
                      e->o->dir[i], id, got, (long long)s[0], (long long)s[1], (long long)s[2],
                      heads, (long long)shape[0], (long long)shape[1], (long long)shape[2]);
        if (i == 0) {
            *mean = p;
            p = NULL;
            continue;
        }
        for (int64_t k = 0; k < n; k++) (*mean)[k] += p[k];
        sf_mem_free(p);
        p = NULL;
    }
    for (int64_t k = 0; k < n; k++) (*mean)[k] /= (float)n_dirs;
done:
    sf_mem_free(p);
    return st;
}

/** The first folder's properties of a case, whoever wrote them. */
static sf_status copy_properties(const ensemble *e, const char *id)
{
    static const char *const ending[] = { "json", "pkl" };
    for (int i = 0; i < 2; i++) {
        char from[SF_PATH_MAX], to[SF_PATH_MAX];
        SF_TRY(sf_path_format(from, "%s/%s.%s", e->o->dir[0], id, ending[i]));
        SF_TRY(sf_path_format(to, "%s/%s.%s", e->out, id, ending[i]));
        if (sf_path_is_file(from)) SF_TRY(sf_path_copy(from, to));
    }
    return SF_OK;
}

static sf_status ensemble_case(const ensemble *e, const char *id)
{
    const sf_labels *l = &e->dataset->labels;
    char path[SF_PATH_MAX];
    sf_label_image *seg = NULL;
    float *mean = NULL;
    sf_status st;
    SF_TRY(sf_path_format(path, "%s/%s%s", e->o->dir[0], id, e->dataset->file_ending));
    SF_CHECK(sf_path_is_file(path), SF_EDATA, "%s is missing: the geometry is taken from it", path);
    SF_TRY(sf_label_image_read(&seg, path));
    SF_GOTO(done, st, mean_of_case(&mean, e, id, seg->geo.shape));
    sf_labels_decide(l, mean, false, volume(seg->geo.shape), seg->data);
    if (e->o->save_probabilities) {
        SF_GOTO(done, st,
                sf_probabilities_write(e->out, id, e->o->format, mean, l->n_heads, seg->geo.shape,
                                       NULL));
        SF_GOTO(done, st, copy_properties(e, id));
    }
    SF_GOTO(done, st, sf_path_format(path, "%s/%s%s", e->out, id, e->dataset->file_ending));
    SF_GOTO(done, st, sf_label_write(path, &seg->geo, seg->data, l->n_labels - 1));
    sf_log(SF_LOG_INFO, "averaged", "case=%s folders=%d", id, e->o->n_dirs);
done:
    sf_mem_free(mean);
    sf_label_image_destroy(&seg);
    return st;
}

static sf_status prepare_output(const ensemble *e)
{
    SF_TRY(sf_folder_make_output(e->out, e->o->dir, e->o->n_dirs));
    SF_TRY(sf_path_sweep_tmp(e->out));
    return sf_folder_describe(e->out, e->o->dir[0]);
}

sf_status sf_ensemble_folders(sf_comm *world, const sf_ensemble_options *o, const char *out,
                              int *n_cases)
{
    ensemble e = { .o = o, .out = out };
    const int rank = sf_comm_rank(world), size = sf_comm_size(world);
    sf_status st = open_ensemble(&e);
    SF_GOTO(done, st, sf_comm_agree(world, st));
    if (rank == 0) st = prepare_output(&e);
    SF_GOTO(done, st, sf_comm_agree(world, st));
    for (int i = rank; i < e.cases.count && st == SF_OK; i += size)
        st = ensemble_case(&e, e.cases.id[i]);
    st = sf_comm_agree(world, st);
    if (n_cases) *n_cases = e.cases.count;
done:
    sf_id_list_free(&e.cases);
    sf_dataset_destroy(&e.dataset);
    return st;
}
