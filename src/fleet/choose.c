#include "fleet/choose.h"
#include "base/log.h"
#include "base/mem.h"
#include "fleet/project.h"
#include "plan/work.h"
#include "predict/export.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A validation case: its fold and its place in the dataset. */
typedef struct {
    const sf_case *c;
    int fold;
} pooled_case;

typedef struct {
    const sf_choose_options *o;
    const sf_labels *labels;
    pooled_case *pool;
    int n_pool;
    char folds_text[200]; /* "0_1_2_3_4"; part of a file name, so not of any length */
    sf_selection *sel;
    sf_summary **summary; /* one per candidate */
} chooser;

static sf_task_key choice_key(const chooser *c, const char *config, int fold)
{
    return (sf_task_key){
        .variant = c->o->variant, .seed = c->o->seed, .config = config, .fold = fold
    };
}

static sf_status validation_dir(char out[SF_PATH_MAX], const chooser *c, int config, int fold)
{
    const sf_task_key key = choice_key(c, c->o->configs[config], fold);
    char dir[SF_PATH_MAX];
    SF_TRY(sf_work_fold_dir(dir, c->o->work, &key));
    return sf_path_join(out, dir, "validation", NULL);
}

static int compare_pool(const void *a, const void *b)
{
    return strcmp(((const pooled_case *)a)->c->id, ((const pooled_case *)b)->c->id);
}

static sf_status add_fold(chooser *c, const sf_splits *s, int fold)
{
    sf_id_list train = { 0 }, val = { 0 };
    SF_TRY(sf_splits_fold(&train, &val, s, fold));
    sf_status st;
    SF_GOTO(done, st,
            sf_mem_resize(&c->pool, (size_t)(c->n_pool + val.count), sizeof *c->pool, SF_MEM_MISC));
    for (int i = 0; i < val.count; i++) {
        const sf_case *found = NULL;
        for (int k = 0; k < c->o->dataset->n_train; k++) {
            if (strcmp(c->o->dataset->train[k].id, val.id[i]) == 0)
                found = &c->o->dataset->train[k];
        }
        SF_CHECK_GOTO(done, st, found, SF_EDATA,
                      "case %s of splits_final.json is not in the dataset", val.id[i]);
        c->pool[c->n_pool++] = (pooled_case){ found, fold };
    }
done:
    sf_id_list_free(&train);
    sf_id_list_free(&val);
    return st;
}

/* "0_1_2"; a list too long for a file name is counted instead. */
static void name_folds(chooser *c)
{
    size_t n = 0;
    for (int i = 0; i < c->o->n_folds && n < sizeof c->folds_text; i++) {
        char *at = c->folds_text + n;
        const size_t room = sizeof c->folds_text - n;
        n += (size_t)(c->o->folds[i] == SF_FOLD_ALL
                          ? snprintf(at, room, "%sall", i ? "_" : "")
                          : snprintf(at, room, "%s%d", i ? "_" : "", c->o->folds[i]));
    }
    if (n >= sizeof c->folds_text)
        snprintf(c->folds_text, sizeof c->folds_text, "%d_to_%d_count_%d", c->o->folds[0],
                 c->o->folds[c->o->n_folds - 1], c->o->n_folds);
}

static sf_status check_validated(const chooser *c)
{
    for (int i = 0; i < c->o->n_configs * c->o->n_folds; i++) {
        const int config = i / c->o->n_folds, fold = c->o->folds[i % c->o->n_folds];
        char dir[SF_PATH_MAX], path[SF_PATH_MAX], word[16] = "all";
        SF_TRY(validation_dir(dir, c, config, fold));
        SF_TRY(sf_path_join(path, dir, "summary.json", NULL));
        if (fold != SF_FOLD_ALL) snprintf(word, sizeof word, "%d", fold);
        SF_CHECK(sf_path_is_file(path), SF_EINVAL,
                 "%s is missing: train configuration %s, fold %s first", path,
                 c->o->configs[config], word);
    }
    return SF_OK;
}

static sf_status pool_cases(chooser *c)
{
    char path[SF_PATH_MAX];
    sf_splits *s = NULL;
    SF_TRY(sf_work_file(path, c->o->work, "splits_final.json"));
    SF_TRY(sf_project_splits(&s, c->o->dataset, c->o->work));
    sf_status st = SF_OK;
    for (int i = 0; i < c->o->n_folds && st == SF_OK; i++) st = add_fold(c, s, c->o->folds[i]);
    sf_splits_destroy(&s);
    SF_TRY(st);
    qsort(c->pool, (size_t)c->n_pool, sizeof *c->pool, compare_pool);
    for (int i = 1; i < c->n_pool; i++) {
        SF_CHECK(c->pool[i].c != c->pool[i - 1].c, SF_EDATA,
                 "%s: case %s is validated by two of the chosen folds: leave one out with --folds",
                 path, c->pool[i].c->id);
    }
    SF_CHECK(c->n_pool > 0, SF_EDATA, "%s: the chosen folds have no validation case", path);
    return SF_OK;
}

static sf_status read_reference(const chooser *c, int i, sf_label_image **ref)
{
    return sf_label_image_read(ref, c->pool[i].c->label);
}

/* Segmentation of one single model as stored by its validation. */
static sf_status read_single(const chooser *c, int config, int i, sf_label_image **out)
{
    char dir[SF_PATH_MAX], path[SF_PATH_MAX];
    SF_TRY(validation_dir(dir, c, config, c->pool[i].fold));
    SF_TRY(sf_path_format(path, "%s/%s%s", dir, c->pool[i].c->id, c->o->dataset->file_ending));
    SF_CHECK(sf_path_is_file(path), SF_EINVAL,
             "%s is missing: train configuration %s, fold %d first", path, c->o->configs[config],
             c->pool[i].fold);
    return sf_label_image_read(out, path);
}

/* Mean of two models' stored probabilities -> labels. */
static sf_status read_pair(const chooser *c, const int member[2], int i, const int64_t shape[3],
                           int32_t *out)
{
    const int64_t voxels = shape[0] * shape[1] * shape[2];
    float *p[2] = { NULL, NULL };
    sf_status st = SF_OK;
    for (int k = 0; k < 2; k++) {
        char dir[SF_PATH_MAX], path[SF_PATH_MAX];
        int heads;
        int64_t got[3];
        SF_GOTO(done, st, validation_dir(dir, c, member[k], c->pool[i].fold));
        SF_GOTO(done, st, sf_path_format(path, "%s/%s.h5", dir, c->pool[i].c->id));
        SF_CHECK_GOTO(done, st, sf_path_is_file(path), SF_EINVAL,
                      "%s is missing: 'segfleet run' writes it, or choose among single models with "
                      "--no-ensembles",
                      path);
        SF_GOTO(done, st, sf_probabilities_load(path, &p[k], &heads, got));
        SF_CHECK_GOTO(done, st, heads == c->labels->n_heads && memcmp(got, shape, sizeof got) == 0,
                      SF_EDATA, "%s has another shape than its reference: remove it and run again",
                      path);
    }
    const float *in[2] = { p[0], p[1] };
    sf_ensemble_mean(in, 2, voxels * c->labels->n_heads, p[0]);
    sf_labels_decide(c->labels, p[0], false, voxels, out);
done:
    sf_mem_free(p[0]);
    sf_mem_free(p[1]);
    return st;
}

static int64_t voxels_of(const sf_label_image *l)
{
    return l->geo.shape[0] * l->geo.shape[1] * l->geo.shape[2];
}

/* Labels that a candidate predicts for a pooled case; caller frees. */
static sf_status predict(const chooser *c, const sf_candidate *k, int i, const sf_label_image *ref,
                         int32_t **out)
{
    const int64_t voxels = voxels_of(ref);
    SF_TRY(sf_mem_alloc(out, (size_t)voxels, sizeof **out, SF_MEM_IMAGE));
    if (k->n_members == 2) return read_pair(c, k->member, i, ref->geo.shape, *out);
    sf_label_image *pred = NULL;
    SF_TRY(read_single(c, k->member[0], i, &pred));
    sf_status st = SF_OK;
    SF_CHECK_GOTO(done, st, memcmp(pred->geo.shape, ref->geo.shape, sizeof pred->geo.shape) == 0,
                  SF_EDATA,
                  "the prediction of case %s by %s has another shape than %s: remove it and run "
                  "again",
                  c->pool[i].c->id, k->name, c->pool[i].c->label);
    memcpy(*out, pred->data, (size_t)voxels * sizeof **out);
done:
    sf_label_image_destroy(&pred);
    return st;
}

/* Counts of all candidates on one case, as doubles: whole numbers far below 2^53, so any sum of
 * them is exact. */
static sf_status count_case(const chooser *c, int i, double *counts)
{
    sf_label_image *ref = NULL;
    sf_metric *m = NULL;
    sf_status st;
    SF_GOTO(done, st, read_reference(c, i, &ref));
    SF_GOTO(done, st, sf_mem_calloc(&m, (size_t)c->labels->n_eval, sizeof *m, SF_MEM_MISC));
    for (int k = 0; k < c->sel->n; k++) {
        int32_t *pred = NULL;
        st = predict(c, &c->sel->candidate[k], i, ref, &pred);
        if (st == SF_OK) sf_metrics_compute(ref->data, pred, voxels_of(ref), c->labels, m);
        sf_mem_free(pred);
        if (st != SF_OK) goto done;
        for (int e = 0; e < c->labels->n_eval; e++) {
            double *to = counts + (((int64_t)k * c->n_pool + i) * c->labels->n_eval + e) * 4;
            to[0] = (double)m[e].tp;
            to[1] = (double)m[e].fp;
            to[2] = (double)m[e].fn;
            to[3] = (double)m[e].tn;
        }
    }
done:
    sf_mem_free(m);
    sf_label_image_destroy(&ref);
    return st;
}

static void metric_from_counts(sf_metric *m, const double *count)
{
    *m = (sf_metric){ .tp = (int64_t)count[0],
                      .fp = (int64_t)count[1],
                      .fn = (int64_t)count[2],
                      .tn = (int64_t)count[3] };
    const double all = (double)(m->tp + m->fp + m->fn);
    m->dice =
        all > 0 ? 2.0 * (double)m->tp / (2.0 * (double)m->tp + (double)m->fp + (double)m->fn) : NAN;
    m->iou = all > 0 ? (double)m->tp / all : NAN;
}

static sf_status fill_summary(const chooser *c, int k, const double *counts)
{
    sf_metric *m = NULL;
    SF_TRY(sf_mem_calloc(&m, (size_t)c->labels->n_eval, sizeof *m, SF_MEM_MISC));
    sf_status st = SF_OK;
    for (int i = 0; i < c->n_pool && st == SF_OK; i++) {
        for (int e = 0; e < c->labels->n_eval; e++) {
            metric_from_counts(&m[e],
                               counts + (((int64_t)k * c->n_pool + i) * c->labels->n_eval + e) * 4);
        }
        char name[512], ref[600];
        snprintf(name, sizeof name, "%s%s", c->pool[i].c->id, c->o->dataset->file_ending);
        snprintf(ref, sizeof ref, "labelsTr/%s", name);
        st = sf_summary_set(c->summary[k], i, c->pool[i].c->id, name, ref, m);
    }
    sf_mem_free(m);
    sf_summary_finish(c->summary[k]);
    c->sel->candidate[k].dice = c->summary[k]->foreground_dice;
    memcpy(c->sel->candidate[k].class_dice, c->summary[k]->mean_dice,
           (size_t)c->labels->n_eval * sizeof(double));
    return st;
}

/* All candidates on all pooled cases: cases are dealt to ranks, counts are summed exactly. After
 * the sum nothing is collective: the caller agrees. */
static sf_status score_candidates(sf_comm *world, chooser *c)
{
    const int64_t n = (int64_t)c->sel->n * c->n_pool * c->labels->n_eval * 4;
    double *counts = NULL;
    sf_status st = sf_mem_calloc(&counts, (size_t)n, sizeof *counts, SF_MEM_MISC);
    for (int i = sf_comm_rank(world); i < c->n_pool && st == SF_OK; i += sf_comm_size(world))
        st = count_case(c, i, counts);
    SF_GOTO(done, st, sf_comm_agree(world, st));
    SF_GOTO(done, st, sf_comm_sum_f64(world, counts, n));
    SF_GOTO(done, st,
            sf_mem_calloc(&c->summary, (size_t)c->sel->n, sizeof *c->summary, SF_MEM_MISC));
    for (int k = 0; k < c->sel->n; k++) {
        SF_GOTO(done, st, sf_summary_create(&c->summary[k], c->n_pool, c->labels));
        SF_GOTO(done, st, fill_summary(c, k, counts));
    }
    sf_selection_choose(c->sel);
done:
    sf_mem_free(counts);
    return st;
}

static sf_status save_candidate(const chooser *c, int k)
{
    const sf_candidate *cand = &c->sel->candidate[k];
    char dir[SF_PATH_MAX], path[SF_PATH_MAX];
    if (cand->n_members == 1) {
        const sf_task_key key = choice_key(c, cand->name, 0);
        SF_TRY(sf_work_model_dir(path, c->o->work, &key));
        SF_TRY(sf_path_format(dir, "%s/crossval_results_folds_%s", path, c->folds_text));
    } else {
        SF_TRY(sf_path_format(dir, "%s/results/ensembles/%s_%s", c->o->work, cand->name,
                              c->folds_text));
    }
    SF_TRY(sf_path_make_dirs(dir));
    SF_TRY(sf_path_join(path, dir, "summary.json", NULL));
    return sf_summary_save(c->summary[k], c->labels, path);
}

/* Predictions of the winner in memory, then the measured decision. */
static sf_status decide_postprocessing(const chooser *c, double *after_dice)
{
    sf_pp_case *cases = NULL;
    sf_label_image **ref = NULL;
    sf_postproc *pp = NULL;
    sf_summary *before = NULL, *after = NULL;
    char path[SF_PATH_MAX];
    sf_status st;
    SF_GOTO(done, st, sf_mem_calloc(&cases, (size_t)c->n_pool, sizeof *cases, SF_MEM_MISC));
    SF_GOTO(done, st, sf_mem_calloc(&ref, (size_t)c->n_pool, sizeof *ref, SF_MEM_MISC));
    for (int i = 0; i < c->n_pool; i++) {
        SF_GOTO(done, st, read_reference(c, i, &ref[i]));
        SF_GOTO(done, st, predict(c, &c->sel->candidate[c->sel->best], i, ref[i], &cases[i].pred));
        cases[i].ref = ref[i]->data;
        memcpy(cases[i].shape, ref[i]->geo.shape, sizeof cases[i].shape);
    }
    SF_GOTO(done, st, sf_postproc_determine(&pp, cases, c->n_pool, c->labels, &before, &after));
    SF_GOTO(done, st, sf_work_file(path, c->o->work, "postprocessing.json"));
    SF_GOTO(done, st, sf_postproc_save(pp, before, after, c->labels, path));
    *after_dice = after->foreground_dice;
done:
    for (int i = 0; cases && ref && i < c->n_pool; i++) {
        sf_mem_free(cases[i].pred);
        sf_label_image_destroy(&ref[i]);
    }
    sf_mem_free(cases);
    sf_mem_free(ref);
    sf_postproc_destroy(&pp);
    sf_summary_destroy(&before);
    sf_summary_destroy(&after);
    return st;
}

static json_t *candidate_json(const chooser *c, const sf_candidate *k)
{
    json_t *dice = json_object(), *members = json_array();
    for (int e = 0; e < c->labels->n_eval; e++)
        json_object_set_new(dice, c->labels->eval[e].key, sf_json_real(k->class_dice[e]));
    for (int i = 0; i < k->n_members; i++)
        json_array_append_new(members, json_string(c->o->configs[k->member[i]]));
    return json_pack("{s:o,s:o,s:o}", "models", members, "foreground_mean_dice",
                     sf_json_real(k->dice), "mean_dice", dice);
}

static sf_status save_selection(const chooser *c, double after_dice)
{
    json_t *all = json_object(), *folds = json_array(), *models = json_array(), *j = NULL;
    char path[SF_PATH_MAX];
    for (int i = 0; i < c->o->n_folds; i++)
        json_array_append_new(folds, c->o->folds[i] == SF_FOLD_ALL ? json_string("all")
                                                                   : json_integer(c->o->folds[i]));
    for (int i = 0; i < c->o->n_configs; i++)
        json_array_append_new(models, json_string(c->o->configs[i]));
    for (int k = 0; k < c->sel->n; k++) {
        json_object_set_new(all, c->sel->candidate[k].name,
                            candidate_json(c, &c->sel->candidate[k]));
    }
    const sf_candidate *best = &c->sel->candidate[c->sel->best];
    json_t *winner = json_pack(
        "{s:s,s:O,s:o,s:o,s:s}", "name", best->name, "selected_model_or_models",
        json_object_get(json_object_get(all, best->name), "models"), "result_on_crossval_pre_pp",
        sf_json_real(best->dice), "result_on_crossval_post_pp", sf_json_real(after_dice),
        "postprocessing_file", "postprocessing.json");
    j = json_pack("{s:s,s:o,s:o,s:i,s:b,s:o,s:o}", "dataset_name", c->o->dataset->name,
                  "considered_models", models, "folds", folds, "number_of_cases", c->n_pool,
                  "ensembling_allowed", c->o->ensembles, "all_results", all,
                  "best_model_or_ensemble", winner);
    SF_CHECK(j, SF_ENOMEM, "out of memory");
    sf_status st = sf_work_file(path, c->o->work, "selection.json");
    if (st == SF_OK) st = sf_json_save(j, path, 4, false);
    json_decref(j);
    sf_log(SF_LOG_INFO, "selected", "model=%s dice=%.4f after_postprocessing=%.4f", best->name,
           best->dice, after_dice);
    return st;
}

static sf_status write_results(const chooser *c)
{
    double after = NAN;
    for (int k = 0; k < c->sel->n; k++) SF_TRY(save_candidate(c, k));
    SF_TRY(decide_postprocessing(c, &after));
    return save_selection(c, after);
}

sf_status sf_choose(sf_comm *world, const sf_choose_options *o)
{
    chooser c = { .o = o, .labels = &o->dataset->labels };
    name_folds(&c);
    sf_status st = check_validated(&c);
    if (st == SF_OK) st = pool_cases(&c);
    if (st == SF_OK) {
        st = sf_selection_create(&c.sel, (const char *const *)o->configs, o->n_configs,
                                 o->ensembles && o->n_configs > 1, c.labels->n_eval);
    }
    SF_GOTO(done, st, sf_comm_agree(world, st));
    st = score_candidates(world, &c);
    if (st == SF_OK && sf_comm_rank(world) == 0) st = write_results(&c);
    st = sf_comm_agree(world, st);
done:
    for (int k = 0; c.summary && k < c.sel->n; k++) sf_summary_destroy(&c.summary[k]);
    sf_mem_free(c.summary);
    sf_selection_destroy(&c.sel);
    sf_mem_free(c.pool);
    return st;
}

int sf_choice_fold(const json_t *entry)
{
    if (json_is_integer(entry) && json_integer_value(entry) >= 0 &&
        json_integer_value(entry) <= 1000000)
        return (int)json_integer_value(entry);
    const char *word = json_string_value(entry);
    return word && strcmp(word, "all") == 0 ? SF_FOLD_ALL : -2;
}

sf_status sf_choice_load(char *model[2], int *n_models, const char *work)
{
    char path[SF_PATH_MAX];
    json_t *j = NULL, *best, *list;
    *n_models = 0;
    SF_TRY(sf_work_file(path, work, "selection.json"));
    SF_TRY(sf_json_load(&j, path));
    sf_status st;
    SF_GOTO(done, st, sf_json_get(&best, j, "best_model_or_ensemble", path));
    SF_GOTO(done, st, sf_json_get(&list, best, "selected_model_or_models", path));
    SF_CHECK_GOTO(done, st, json_array_size(list) >= 1 && json_array_size(list) <= 2, SF_EDATA,
                  "%s names no model", path);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        SF_CHECK_GOTO(done, st, name, SF_EDATA, "%s names no model", path);
        SF_GOTO(done, st, sf_mem_strdup(&model[(*n_models)++], name));
    }
done:
    json_decref(j);
    return st;
}
