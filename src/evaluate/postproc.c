#include "evaluate/postproc.h"
#include "base/mem.h"
#include "evaluate/components.h"
#include "evaluate/summary.h"
#include <stdio.h>
#include <string.h>

/* nnU-Net's name of the only operation there is. */
static const char function_name[] = "remove_all_but_largest_component_from_segmentation";

/* ---- the list of operations; key = the JSON text of labels_or_regions: "2", "[1, 2]" ---- */

static sf_status make_key(char **out, const int *value, int n, bool as_list)
{
    char *text = NULL;
    size_t used = 1;
    if (!as_list) return sf_mem_printf(out, "%d", value[0]);
    SF_TRY(sf_mem_alloc(&text, (size_t)n * 14 + 3, 1, SF_MEM_MISC));
    strcpy(text, "[");
    for (int i = 0; i < n; i++)
        used += (size_t)snprintf(text + used, 14, i ? ", %d" : "%d", value[i]);
    strcpy(text + used, "]");
    *out = text;
    return SF_OK;
}

static sf_status add_op(sf_postproc *p, const int *value, int n, bool as_list)
{
    SF_TRY(sf_mem_resize(&p->op, (size_t)p->n_ops + 1, sizeof *p->op, SF_MEM_MISC));
    memset(&p->op[p->n_ops], 0, sizeof p->op[0]);
    p->n_ops++;
    const int k = p->n_ops - 1;
    SF_TRY(sf_mem_alloc(&p->op[k].value, (size_t)n, sizeof(int), SF_MEM_MISC));
    memcpy(p->op[k].value, value, (size_t)n * sizeof(int));
    p->op[k].n = n;
    SF_TRY(make_key(&p->op[k].key, value, n, as_list));
    return SF_OK;
}

void sf_postproc_destroy(sf_postproc **postproc)
{
    sf_postproc *p = *postproc;
    if (!p) return;
    for (int i = 0; i < p->n_ops; i++) {
        sf_mem_free(p->op[i].value);
        sf_mem_free(p->op[i].key);
    }
    sf_mem_free(p->op);
    sf_mem_free(p);
    *postproc = NULL;
}

sf_status sf_postproc_apply(const sf_postproc *p, int32_t *seg, const int64_t shape[3])
{
    for (int i = 0; i < p->n_ops; i++)
        SF_TRY(sf_components_keep_largest(seg, shape, p->op[i].value, p->op[i].n, NULL));
    return SF_OK;
}

/* ---- determination ---- */

typedef struct {
    const int *value;
    int n; /* 0 = leave the predictions as they are */
} removal;

static int64_t voxels_of(const sf_pp_case *c) { return c->shape[0] * c->shape[1] * c->shape[2]; }

/* Metrics of one case after a trial removal, which leaves c->pred untouched. */
static sf_status measure_case(sf_summary *s, int i, const sf_pp_case *c, const removal *r,
                              const sf_labels *labels)
{
    const int64_t n = voxels_of(c);
    int32_t *work = NULL;
    sf_metric *m = NULL;
    sf_status st = SF_OK;
    SF_TRY(sf_mem_alloc(&m, (size_t)s->n_eval, sizeof *m, SF_MEM_MISC));
    if (r->n > 0) {
        SF_GOTO(done, st, sf_mem_alloc(&work, (size_t)n, sizeof *work, SF_MEM_SCRATCH));
        memcpy(work, c->pred, (size_t)n * sizeof *work);
        SF_GOTO(done, st, sf_components_keep_largest(work, c->shape, r->value, r->n, NULL));
    }
    sf_metrics_compute(c->ref, work ? work : c->pred, n, labels, m);
    SF_GOTO(done, st, sf_summary_set(s, i, NULL, NULL, NULL, m));
done:
    sf_mem_free(work);
    sf_mem_free(m);
    return st;
}

/* Cases side by side; counts are integers, so the order of threads cannot show. */
static sf_status measure(sf_summary **out, const sf_pp_case *cases, int n, const removal *r,
                         const sf_labels *labels)
{
    sf_error_state first = { .status = SF_OK };
    int failed_at = n;
    SF_TRY(sf_summary_create(out, n, labels));
    sf_summary *s = *out;
#pragma omp parallel for schedule(dynamic, 1)
    for (int i = 0; i < n; i++) {
        const sf_status st = measure_case(s, i, &cases[i], r, labels);
        if (st == SF_OK) continue;
#pragma omp critical(sf_postproc_failure)
        if (i < failed_at) {
            failed_at = i;
            sf_error_save(&first, st);
        }
    }
    sf_summary_finish(s);
    return first.status == SF_OK ? SF_OK : sf_error_restore(&first);
}

static sf_status remove_from_all(sf_pp_case *cases, int n, const removal *r)
{
    for (int i = 0; i < n; i++)
        SF_TRY(sf_components_keep_largest(cases[i].pred, cases[i].shape, r->value, r->n, NULL));
    return SF_OK;
}

/* Foreground mean rises and no class falls. A comparison with NaN is false: NaN never accepts. */
static bool better_jointly(const sf_summary *now, const sf_summary *trial)
{
    if (!(trial->foreground_dice > now->foreground_dice)) return false;
    for (int e = 0; e < now->n_eval; e++)
        if (trial->mean_dice[e] < now->mean_dice[e]) return false;
    return true;
}

/* Tries one removal on the current predictions; when accepted it is carried out and recorded, and
 * *now becomes its summary. e < 0: all foreground jointly, else thing e judged alone. */
static sf_status try_removal(sf_postproc *p, sf_pp_case *cases, int n, const removal *r, int e,
                             const sf_labels *labels, sf_summary **now)
{
    sf_summary *trial = NULL;
    sf_status st = SF_OK;
    SF_GOTO(done, st, measure(&trial, cases, n, r, labels));
    if (e < 0 ? !better_jointly(*now, trial) : !(trial->mean_dice[e] > (*now)->mean_dice[e]))
        goto done;
    SF_GOTO(done, st, remove_from_all(cases, n, r));
    SF_GOTO(done, st, add_op(p, r->value, r->n, e < 0 || labels->eval[e].is_list));
    sf_summary *old = *now;
    *now = trial;
    trial = old;
done:
    sf_summary_destroy(&trial);
    return st;
}

static sf_status try_joint(sf_postproc *p, sf_pp_case *cases, int n, const sf_labels *labels,
                           sf_summary **now)
{
    removal all = { .n = labels->n_labels - 1 };
    int *value = NULL;
    SF_TRY(sf_mem_alloc(&value, (size_t)labels->n_labels, sizeof *value, SF_MEM_MISC));
    for (int i = 0; i < all.n; i++) value[i] = i + 1;
    all.value = value;
    const sf_status st = try_removal(p, cases, n, &all, -1, labels, now);
    sf_mem_free(value);
    SF_TRY(st);
    return SF_OK;
}

sf_status sf_postproc_determine(sf_postproc **out, sf_pp_case *cases, int n,
                                const sf_labels *labels, sf_summary **before, sf_summary **after)
{
    const removal none = { 0 };
    sf_postproc *p = NULL;
    sf_summary *now = NULL, *start = NULL;
    sf_status st = SF_OK;
    *out = NULL;
    if (before) *before = NULL;
    if (after) *after = NULL;
    SF_GOTO(done, st, sf_mem_calloc(&p, 1, sizeof *p, SF_MEM_MISC));
    SF_GOTO(done, st, measure(&start, cases, n, &none, labels));
    SF_GOTO(done, st, measure(&now, cases, n, &none, labels));
    SF_GOTO(done, st, try_joint(p, cases, n, labels, &now));
    for (int e = 0; labels->n_eval > 1 && e < labels->n_eval; e++) {
        const removal one = { labels->eval[e].value, labels->eval[e].count };
        SF_GOTO(done, st, try_removal(p, cases, n, &one, e, labels, &now));
    }
    *out = p;
    p = NULL;
    if (before) {
        *before = start;
        start = NULL;
    }
    if (after) {
        *after = now;
        now = NULL;
    }
done:
    sf_summary_destroy(&start);
    sf_summary_destroy(&now);
    sf_postproc_destroy(&p);
    return st;
}

/* ---- postprocessing.json ---- */

static sf_status add_op_json(json_t *fns, json_t *kwargs, const char *key)
{
    json_t *value = NULL, *one = json_object();
    const sf_status st = sf_json_parse(&value, key, "postprocessing");
    if (st != SF_OK) {
        json_decref(one);
        return st;
    }
    json_object_set_new(one, "labels_or_regions", value);
    json_array_append_new(kwargs, one);
    json_array_append_new(fns, json_string(function_name));
    return SF_OK;
}

sf_status sf_postproc_save(const sf_postproc *p, const sf_summary *before, const sf_summary *after,
                           const sf_labels *labels, const char *path)
{
    json_t *root = json_object(), *fns = json_array(), *kwargs = json_array();
    sf_status st = SF_OK;
    json_object_set_new(root, "postprocessing_fns", fns);
    json_object_set_new(root, "postprocessing_kwargs", kwargs);
    if (before) json_object_set_new(root, "input_folder", sf_summary_means(before, labels));
    if (after) json_object_set_new(root, "postprocessed", sf_summary_means(after, labels));
    for (int i = 0; i < p->n_ops; i++) SF_GOTO(done, st, add_op_json(fns, kwargs, p->op[i].key));
    SF_GOTO(done, st, sf_json_save(root, path, 4, true));
done:
    json_decref(root);
    return st;
}

/* Labels in an integer, a list, or a list that also holds regions, e.g. [[1, 2], 3]. */
static sf_status collect_labels(int *value, int *n, int room, const json_t *v, const char *path)
{
    if (json_is_array(v)) {
        for (size_t i = 0; i < json_array_size(v); i++)
            SF_TRY(collect_labels(value, n, room, json_array_get(v, i), path));
        return SF_OK;
    }
    const long long x = json_is_integer(v) ? json_integer_value(v) : -1;
    SF_CHECK(x >= 0 && x <= 65535, SF_EDATA, "%s: labels_or_regions must hold label numbers", path);
    SF_CHECK(*n < room, SF_EDATA, "%s: labels_or_regions holds too many labels", path);
    value[(*n)++] = (int)x;
    return SF_OK;
}

static sf_status load_op(sf_postproc *p, const json_t *fn, const json_t *kwargs, const char *path)
{
    enum { ROOM = 4096 };
    const char *name = json_string_value(fn);
    json_t *v = NULL;
    int *value = NULL, n = 0;
    sf_status st = SF_OK;
    SF_CHECK(name && strcmp(name, function_name) == 0, SF_EUNSUPPORTED,
             "%s: post-processing function \"%s\" is not known", path, name ? name : "?");
    SF_TRY(sf_json_get(&v, kwargs, "labels_or_regions", path));
    SF_TRY(sf_mem_alloc(&value, ROOM, sizeof *value, SF_MEM_MISC));
    SF_GOTO(done, st, collect_labels(value, &n, ROOM, v, path));
    SF_CHECK_GOTO(done, st, n > 0, SF_EDATA, "%s: labels_or_regions is empty", path);
    SF_GOTO(done, st, add_op(p, value, n, json_is_array(v)));
done:
    sf_mem_free(value);
    return st;
}

sf_status sf_postproc_load(sf_postproc **out, const char *path)
{
    json_t *root = NULL, *fns = NULL, *kwargs = NULL;
    sf_postproc *p = NULL;
    sf_status st = SF_OK;
    *out = NULL;
    SF_TRY(sf_json_load(&root, path));
    SF_GOTO(done, st, sf_json_get(&fns, root, "postprocessing_fns", path));
    SF_GOTO(done, st, sf_json_get(&kwargs, root, "postprocessing_kwargs", path));
    SF_CHECK_GOTO(done, st,
                  json_is_array(fns) && json_is_array(kwargs) &&
                      json_array_size(fns) == json_array_size(kwargs),
                  SF_EDATA,
                  "%s: postprocessing_fns and postprocessing_kwargs must be lists of one length",
                  path);
    SF_GOTO(done, st, sf_mem_calloc(&p, 1, sizeof *p, SF_MEM_MISC));
    for (size_t i = 0; i < json_array_size(fns); i++)
        SF_GOTO(done, st, load_op(p, json_array_get(fns, i), json_array_get(kwargs, i), path));
    *out = p;
    p = NULL;
done:
    sf_postproc_destroy(&p);
    json_decref(root);
    return st;
}
