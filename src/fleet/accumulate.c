/* Validation segmentations of several folds -> one cross-validation folder. */
#include "base/mem.h"
#include "base/path.h"
#include "fleet/folders.h"
#include "fleet/postprocess.h"
#include "fleet/project.h"
#include "plan/recipe.h"
#include "plan/splits.h"
#include "plan/work.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *work, *config, *out;
    char variant[SF_VARIANT_NAME];
    uint64_t seed;
    sf_dataset *dataset;
    struct {
        const sf_case *c;
        int fold;
    } * item;
    int count;
} gathering;

static sf_status find_case(const sf_case **out, const sf_dataset *d, const char *id)
{
    for (int i = 0; i < d->n_train; i++) {
        if (strcmp(d->train[i].id, id) != 0) continue;
        *out = &d->train[i];
        return SF_OK;
    }
    return SF_FAIL(SF_EDATA, "case %s of splits_final.json is not in the dataset", id);
}

static sf_status add_fold(gathering *g, const sf_splits *s, int fold)
{
    sf_id_list train = { 0 }, val = { 0 };
    sf_status st;
    SF_TRY(sf_splits_fold(&train, &val, s, fold));
    SF_GOTO(
        done, st,
        sf_mem_resize(&g->item, (size_t)(g->count + val.count) + 1, sizeof *g->item, SF_MEM_MISC));
    for (int i = 0; i < val.count; i++) {
        const sf_case *c = NULL;
        SF_GOTO(done, st, find_case(&c, g->dataset, val.id[i]));
        for (int k = 0; k < g->count; k++)
            SF_CHECK_GOTO(done, st, g->item[k].c != c, SF_EDATA,
                          "case %s is validated by fold %d and by fold %d", c->id, g->item[k].fold,
                          fold);
        g->item[g->count].c = c;
        g->item[g->count++].fold = fold;
    }
done:
    sf_id_list_free(&train);
    sf_id_list_free(&val);
    return st;
}

static sf_status list_cases(gathering *g, const int *folds, int n_folds)
{
    sf_splits *s = NULL;
    sf_status st = SF_OK;
    SF_TRY(sf_project_splits(&s, g->dataset, g->work));
    /* one case has no folds: it is trained and validated on itself */
    const int n = folds ? n_folds : s->count > 0 ? s->count : 1;
    for (int i = 0; i < n && st == SF_OK; i++)
        st = add_fold(g, s, folds ? folds[i] : s->count > 0 ? i : SF_FOLD_ALL);
    sf_splits_destroy(&s);
    return st;
}

static int compare_items(const void *a, const void *b)
{
    const sf_case *const *x = a, *const *y = b; /* the case is the first member */
    return strcmp((*x)->id, (*y)->id);
}

static sf_task_key gathering_key(const gathering *g, int fold)
{
    return (
        sf_task_key){ .variant = g->variant, .seed = g->seed, .config = g->config, .fold = fold };
}

static sf_status source_path(char out[SF_PATH_MAX], const gathering *g, int i)
{
    const sf_task_key key = gathering_key(g, g->item[i].fold);
    char dir[SF_PATH_MAX];
    SF_TRY(sf_work_fold_dir(dir, g->work, &key));
    return sf_path_format(out, "%s/validation/%s%s", dir, g->item[i].c->id,
                          g->dataset->file_ending);
}

/** Nothing is written before everything is there. */
static sf_status check_sources(const gathering *g)
{
    for (int i = 0; i < g->count; i++) {
        char path[SF_PATH_MAX], fold[16] = "all";
        SF_TRY(source_path(path, g, i));
        if (g->item[i].fold != SF_FOLD_ALL) snprintf(fold, sizeof fold, "%d", g->item[i].fold);
        SF_CHECK(sf_path_is_file(path), SF_EINVAL,
                 "%s is missing: train configuration %s, fold %s first", path, g->config, fold);
    }
    return SF_OK;
}

static sf_status check_empty(const char *out)
{
    char **names = NULL;
    size_t count = 0;
    SF_TRY(sf_path_make_dirs(out));
    SF_TRY(sf_path_list(&names, &count, out));
    sf_path_free_list(&names, count);
    SF_CHECK(count == 0, SF_EINVAL, "%s is not empty: give a new folder", out);
    return SF_OK;
}

static sf_status measure_case(sf_summary *s, const gathering *g, int i, const char *path)
{
    const sf_labels *l = &g->dataset->labels;
    const sf_case *c = g->item[i].c;
    char name[SF_PATH_MAX], reference[SF_PATH_MAX];
    sf_label_image *ref = NULL, *pred = NULL;
    sf_metric *m = NULL;
    sf_status st;
    SF_GOTO(done, st, sf_path_format(name, "%s%s", c->id, g->dataset->file_ending));
    SF_GOTO(done, st, sf_path_format(reference, "labelsTr/%s", name));
    SF_GOTO(done, st, sf_label_image_read(&ref, c->label));
    SF_GOTO(done, st, sf_label_image_read(&pred, path));
    const int64_t *n = ref->geo.shape;
    SF_CHECK_GOTO(done, st, memcmp(n, pred->geo.shape, sizeof ref->geo.shape) == 0, SF_EDATA,
                  "%s has another shape than %s", path, c->label);
    SF_GOTO(done, st, sf_mem_calloc(&m, (size_t)l->n_eval, sizeof *m, SF_MEM_MISC));
    sf_metrics_compute(ref->data, pred->data, n[0] * n[1] * n[2], l, m);
    SF_GOTO(done, st, sf_summary_set(s, i, c->id, name, reference, m));
done:
    sf_mem_free(m);
    sf_label_image_destroy(&ref);
    sf_label_image_destroy(&pred);
    return st;
}

static sf_status gather(sf_summary *s, const gathering *g)
{
    char path[SF_PATH_MAX], to[SF_PATH_MAX], model[SF_PATH_MAX];
    const sf_task_key key = gathering_key(g, 0);
    SF_TRY(sf_work_model_dir(model, g->work, &key));
    SF_TRY(sf_folder_describe(g->out, model));
    for (int i = 0; i < g->count; i++) {
        SF_TRY(source_path(path, g, i));
        SF_TRY(sf_path_format(to, "%s/%s%s", g->out, g->item[i].c->id, g->dataset->file_ending));
        SF_TRY(sf_image_copy(path, to));
        SF_TRY(measure_case(s, g, i, path));
    }
    sf_summary_finish(s);
    SF_TRY(sf_path_join(path, g->out, "summary.json", NULL));
    return sf_summary_save(s, &g->dataset->labels, path);
}

/* The name under which a variant's results lie. */
static sf_status name_variant(gathering *g, const char *variant)
{
    json_t *over = NULL;
    if (!variant[0]) return SF_OK;
    SF_TRY(sf_variant_load(&over, variant));
    snprintf(g->variant, sizeof g->variant, "%s", json_string_value(json_object_get(over, "name")));
    json_decref(over);
    return SF_OK;
}

sf_status sf_accumulate_folds(sf_summary **s, sf_dataset **d, const char *work, const char *config,
                              const char *variant, const int *folds, int n_folds, const char *out)
{
    gathering g = { .work = work, .config = config, .out = out };
    sf_settings settings;
    sf_status st;
    *s = NULL;
    *d = NULL;
    SF_TRY(sf_settings_load(&settings, work));
    SF_TRY(name_variant(&g, variant ? variant : settings.variant));
    g.seed = settings.seed;
    SF_TRY(sf_dataset_load(&g.dataset, settings.dataset));
    SF_GOTO(done, st, list_cases(&g, folds, n_folds));
    qsort(g.item, (size_t)g.count, sizeof *g.item, compare_items);
    SF_GOTO(done, st, check_sources(&g));
    SF_GOTO(done, st, check_empty(out));
    SF_GOTO(done, st, sf_summary_create(s, g.count, &g.dataset->labels));
    SF_GOTO(done, st, gather(*s, &g));
    *d = g.dataset;
    g.dataset = NULL;
done:
    if (st != SF_OK) sf_summary_destroy(s);
    sf_mem_free(g.item);
    sf_dataset_destroy(&g.dataset);
    return st;
}
