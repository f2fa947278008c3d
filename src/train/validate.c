#include "train/validate.h"
#include "base/log.h"
#include "base/mem.h"
#include "batch/cascade.h"
#include "predict/next_stage.h"
#include "train/handover.h"
#include "train/spread.h"
#include <string.h>

typedef struct {
    const sf_train_options *opt;
    const sf_config *cfg, *next; /* next: the stage of a cascade that reads our labels, or NULL */
    const sf_labels *labels;
    const sf_cases *cases;
    const int16_t *const *previous; /* labels of the first stage per case of opt->val, or NULL */
    const char *fold_dir;
    sf_network *net;
    const sf_predict_team *team; /* ranks that share this rank's case, or NULL */
    char dir[SF_PATH_MAX];
} validator;

enum { BATCH_2D = 8 };

static bool leads(const validator *v) { return !v->team || v->team->member == 0; }

void sf_mirror_axes(const sf_config *cfg, const sf_recipe *recipe, bool mirror, bool axis[3])
{
    for (int a = 0; a < 3; a++) axis[a] = mirror && (cfg->dim == 3 || a > 0);
    if (!recipe->infer.mirror_last_axis) axis[2] = false;
}

static const sf_case *find_case(const sf_dataset *d, const char *id)
{
    for (int i = 0; i < d->n_train; i++) {
        if (strcmp(d->train[i].id, id) == 0) return &d->train[i];
    }
    return NULL;
}

bool sf_validate_complete(const char *dir, const sf_id_list *val, bool probabilities)
{
    char path[SF_PATH_MAX];
    bool all =
        sf_path_join(path, dir, "validation/summary.json", NULL) == SF_OK && sf_path_is_file(path);
    for (int i = 0; all && probabilities && i < val->count; i++)
        all = sf_path_format(path, "%s/validation/%s.h5", dir, val->id[i]) == SF_OK &&
              sf_path_is_file(path);
    return all;
}

static sf_status make_network(validator *v)
{
    sf_network_options o = { .arch = &v->cfg->arch,
                             .in_channels =
                                 sf_plans_input_channels(v->opt->plans, v->cfg, v->labels),
                             .heads = v->labels->n_heads,
                             .batch = v->cfg->dim == 2 ? BATCH_2D : 1,
                             .dtype = v->opt->precision,
                             .exact = v->opt->exact,
                             .threads = v->opt->threads };
    memcpy(o.patch, v->cfg->patch, sizeof o.patch);
    return sf_network_create(&v->net, &o);
}

static sf_status copy_params(validator *v, const sf_params *trained)
{
    sf_params *p = sf_network_params(v->net);
    for (int i = 0; i < p->count; i++) {
        const sf_param *from = sf_params_find(trained, p->item[i].name);
        SF_CHECK(from && from->count == p->item[i].count, SF_EINTERNAL, "parameter %s is missing",
                 p->item[i].name);
        memcpy(p->item[i].value, from->value, (size_t)from->count * sizeof(float));
    }
    return SF_OK;
}

static int64_t volume(const int64_t n[3]) { return n[0] * n[1] * n[2]; }

/* The network's answers are there from the windows' sums to the files. */
static int64_t case_bytes(const validator *v, const sf_case_props *p)
{
    const int64_t heads = v->labels->n_heads, voxels = volume(p->shape), value = sizeof(float);
    const int64_t batch = v->cfg->dim == 2 ? BATCH_2D : 1; /* a unit on its way between ranks */
    const int64_t sums = (heads + 1) * voxels + (1 + batch) * heads * volume(v->cfg->patch);
    const int64_t files =
        volume(p->shape_before_crop) * (v->opt->save_probabilities ? 1 + heads : 1);
    const int one_hot = v->cfg->previous_stage ? v->labels->n_labels - 1 : 0;
    const int64_t input = one_hot ? voxels * (v->opt->dataset->n_channels + one_hot) : 0;
    return value * (heads * voxels + (sums + input > files ? sums + input : files));
}

sf_status sf_validate_bytes(int64_t *bytes, const sf_train_options *opt, const sf_cases *cases)
{
    validator v = { .opt = opt, .labels = &opt->dataset->labels, .cases = cases };
    int64_t most = 0;
    SF_TRY(sf_plans_config(&v.cfg, opt->plans, opt->key.config));
    for (int i = 0; i < opt->val->count; i++) {
        sf_case_view view;
        const int at = sf_cases_index(cases, opt->val->id[i]);
        SF_CHECK(at >= 0, SF_EDATA, "case %s is not in the preprocessed data", opt->val->id[i]);
        SF_TRY(sf_cases_get(cases, at, &view));
        const int64_t now = case_bytes(&v, &view.props);
        if (now > most) most = now;
    }
    SF_TRY(make_network(&v)); /* nothing of its memory but the parameters is touched */
    *bytes = sf_network_bytes(v.net) + most;
    sf_network_destroy(&v.net);
    return SF_OK;
}

/* Network output of a prepared case -> files. */
static sf_status export_files(const validator *v, const sf_case *c, const sf_case_view *view,
                              const float *values, const char *label_path, const char *prob_path)
{
    sf_geometry geo;
    int channels;
    SF_TRY(sf_case_probe(&geo, &channels, c));
    const size_t voxels = (size_t)(geo.shape[0] * geo.shape[1] * geo.shape[2]);
    int32_t *labels = NULL;
    float *prob = NULL;
    sf_status st;
    SF_GOTO(done, st, sf_mem_alloc(&labels, voxels, sizeof *labels, SF_MEM_IMAGE));
    if (v->opt->save_probabilities) {
        SF_GOTO(
            done, st,
            sf_mem_alloc(&prob, voxels * (size_t)v->labels->n_heads, sizeof *prob, SF_MEM_IMAGE));
    }
    SF_GOTO(done, st,
            sf_export_case(v->opt->plans, v->cfg, v->labels, &view->props, values,
                           !v->opt->plans->recipe->infer.average_probabilities, labels, prob,
                           v->opt->threads));
    if (prob)
        SF_GOTO(done, st, sf_probabilities_save(prob_path, prob, v->labels->n_heads, geo.shape));
    SF_GOTO(done, st, sf_label_write(label_path, &geo, labels, v->labels->n_labels - 1));
done:
    sf_mem_free(labels);
    sf_mem_free(prob);
    return st;
}

/* The labels that the second stage gets of this case. */
static sf_status write_handover(const validator *v, const sf_case_view *view, const float *values,
                                const char *path)
{
    const sf_train_options *o = v->opt;
    int64_t shape[3];
    int16_t *labels = NULL;
    sf_next_stage_shape(shape, &view->props, v->next);
    SF_TRY(sf_mem_alloc(&labels, (size_t)(shape[0] * shape[1] * shape[2]), sizeof *labels,
                        SF_MEM_IMAGE));
    sf_status st = sf_next_stage_labels(o->plans, v->cfg, v->labels, &view->props, values,
                                        !o->plans->recipe->infer.average_probabilities, shape,
                                        labels, o->threads);
    if (st == SF_OK) st = sf_handover_save(path, view->id, shape, labels);
    sf_mem_free(labels);
    return st;
}

/* What the network sees: the case's channels, in the second stage of a cascade followed by the
 * first stage's labels, one channel each. *own is the caller's to free, NULL without a cascade. */
static sf_status network_input(const validator *v, const sf_case_view *view,
                               const int16_t *previous, const float **data, float **own)
{
    *data = view->data;
    *own = NULL;
    if (previous == NULL) return SF_OK;
    const int64_t *s = view->props.shape, n = s[0] * s[1] * s[2];
    const int classes = v->labels->n_labels - 1;
    SF_TRY(sf_mem_alloc(own, (size_t)(n * (view->channels + classes)), sizeof **own, SF_MEM_IMAGE));
    memcpy(*own, view->data, (size_t)(n * view->channels) * sizeof **own);
    for (int k = 0; k < classes; k++) {
        const int label = k + 1;
        sf_one_hot(*own + (view->channels + k) * n, previous, n, &label, 1);
    }
    *data = *own;
    return SF_OK;
}

static sf_status agree(const validator *v, sf_status mine)
{
    return v->team ? v->team->agree(v->team->user, mine) : mine;
}

/* Sliding window over one prepared case: values [heads][shape] of the leading rank, caller frees.
 */
static sf_status predict_values(const validator *v, const sf_case_view *view,
                                const int16_t *previous, float **values)
{
    const sf_recipe *r = v->opt->plans->recipe;
    const sf_predict_options po = { .step = r->infer.step,
                                    .mirror = v->opt->mirror && r->infer.mirror,
                                    .gaussian = true,
                                    .gaussian_sigma = r->infer.gaussian_sigma,
                                    .average_probabilities = r->infer.average_probabilities,
                                    .threads = v->opt->threads,
                                    .team = v->team };
    const int64_t *s = view->props.shape;
    bool axis[3];
    const float *data = NULL;
    float *own = NULL;
    sf_status st = SF_OK;
    sf_mirror_axes(v->cfg, v->opt->plans->recipe, po.mirror, axis);
    if (leads(v))
        st = sf_mem_alloc(values, (size_t)(s[0] * s[1] * s[2] * v->labels->n_heads),
                          sizeof **values, SF_MEM_IMAGE);
    if (st == SF_OK) st = network_input(v, view, previous, &data, &own);
    SF_GOTO(done, st, agree(v, st));
    const int channels = sf_plans_input_channels(v->opt->plans, v->cfg, v->labels);
    st = sf_predict_network(v->net, v->cfg, &po, axis, v->labels->n_heads, data, channels, s,
                            v->labels->has_regions, *values);
done:
    sf_mem_free(own);
    return st;
}

/* Files that a case gets. */
typedef struct {
    char label[SF_PATH_MAX], prob[SF_PATH_MAX], next[SF_PATH_MAX];
    bool hand_over; /* `next` is to be written */
} case_files;

static sf_status name_files(case_files *f, const validator *v, const char *id)
{
    SF_TRY(sf_path_format(f->label, "%s/%s%s", v->dir, id, v->opt->dataset->file_ending));
    SF_TRY(sf_path_format(f->prob, "%s/%s.h5", v->dir, id));
    if (v->next) SF_TRY(sf_handover_path(f->next, v->fold_dir, v->next->name, id));
    f->hand_over = v->next && !sf_path_is_file(f->next);
    return SF_OK;
}

/* Case i is to be predicted. */
static sf_status is_missing(bool *missing, const validator *v, int i)
{
    case_files f;
    SF_TRY(name_files(&f, v, v->opt->val->id[i]));
    *missing = !sf_path_is_file(f.label) || f.hand_over ||
               (v->opt->save_probabilities && !sf_path_is_file(f.prob));
    return SF_OK;
}

/* With a team: collective; the leading rank writes. */
static sf_status predict_case(const validator *v, int i)
{
    const char *id = v->opt->val->id[i];
    const sf_case *c = find_case(v->opt->dataset, id);
    const int index = sf_cases_index(v->cases, id);
    SF_CHECK(c && index >= 0, SF_EDATA,
             "case %s of splits_final.json is not in the %s: start another work folder", id,
             c ? "preprocessed data" : "dataset");
    case_files f;
    SF_TRY(name_files(&f, v, id));
    sf_case_view view;
    SF_TRY(sf_cases_get(v->cases, index, &view));
    float *values = NULL;
    sf_status st = predict_values(v, &view, v->previous ? v->previous[i] : NULL, &values);
    if (leads(v) && st == SF_OK && f.hand_over) st = write_handover(v, &view, values, f.next);
    if (leads(v) && st == SF_OK) st = export_files(v, c, &view, values, f.label, f.prob);
    sf_mem_free(values);
    return st;
}

static sf_status score_case(const validator *v, sf_summary *summary, int i, const char *id)
{
    const sf_case *c = find_case(v->opt->dataset, id);
    char pred_path[SF_PATH_MAX], pred_name[512], ref_name[512];
    snprintf(pred_name, sizeof pred_name, "%s%s", id, v->opt->dataset->file_ending);
    snprintf(ref_name, sizeof ref_name, "labelsTr/%s%s", id, v->opt->dataset->file_ending);
    SF_TRY(sf_path_join(pred_path, v->dir, pred_name, NULL));
    sf_label_image *ref = NULL, *pred = NULL;
    sf_metric *m = NULL;
    sf_status st;
    SF_GOTO(done, st, sf_label_image_read(&ref, c->label));
    SF_GOTO(done, st, sf_label_image_read(&pred, pred_path));
    SF_CHECK_GOTO(done, st, memcmp(ref->geo.shape, pred->geo.shape, sizeof ref->geo.shape) == 0,
                  SF_EDATA, "%s has another shape than %s: remove it and run again", pred_path,
                  c->label);
    SF_GOTO(done, st, sf_mem_calloc(&m, (size_t)v->labels->n_eval, sizeof *m, SF_MEM_MISC));
    sf_metrics_compute(ref->data, pred->data,
                       ref->geo.shape[0] * ref->geo.shape[1] * ref->geo.shape[2], v->labels, m);
    SF_GOTO(done, st, sf_summary_set(summary, i, id, pred_name, ref_name, m));
done:
    sf_mem_free(m);
    sf_label_image_destroy(&ref);
    sf_label_image_destroy(&pred);
    return st;
}

static sf_status write_summary(const validator *v)
{
    char path[SF_PATH_MAX];
    SF_TRY(sf_path_join(path, v->dir, "summary.json", NULL));
    sf_summary *summary = NULL;
    SF_TRY(sf_summary_create(&summary, v->opt->val->count, v->labels));
    sf_status st = SF_OK;
    for (int i = 0; i < v->opt->val->count; i++) {
        SF_GOTO(done, st, score_case(v, summary, i, v->opt->val->id[i]));
    }
    sf_summary_finish(summary);
    SF_GOTO(done, st, sf_summary_save(summary, v->labels, path));
    char key[256];
    sf_work_key_text(key, &v->opt->key);
    sf_log(SF_LOG_INFO, "validated", "%s cases=%d mean_dice=%.4f", key, summary->n_cases,
           summary->foreground_dice);
done:
    sf_summary_destroy(&summary);
    return st;
}

/* Folders, without what an interrupted run left half-written: rank 0, before anybody writes. */
static sf_status make_folders(const validator *v)
{
    SF_TRY(sf_path_make_dirs(v->dir));
    SF_TRY(sf_path_sweep_tmp(v->dir));
    return v->next ? sf_handover_begin(v->fold_dir, v->next->name) : SF_OK;
}

static sf_status open_validator(validator *v, bool first)
{
    const sf_train_options *o = v->opt;
    SF_TRY(sf_plans_config(&v->cfg, o->plans, o->key.config));
    const bool best = o->part == SF_TRAIN_VALIDATE_BEST;
    if (v->cfg->next_stage && !best)
        SF_TRY(sf_plans_config(&v->next, o->plans, v->cfg->next_stage));
    SF_TRY(sf_path_join(v->dir, v->fold_dir, best ? "validation_best" : "validation", NULL));
    return first ? make_folders(v) : SF_OK;
}

/* Cases that are to be predicted, as rank 0 sees it. @param[out] todo  caller frees */
static sf_status list_todo(int **todo, int *n, const validator *v, sf_comm *group)
{
    const int count = v->opt->val->count;
    bool *missing = NULL;
    *n = 0;
    sf_status st = sf_mem_calloc(todo, (size_t)count + 1, sizeof **todo, SF_MEM_MISC);
    if (st == SF_OK) st = sf_mem_calloc(&missing, (size_t)count + 1, 1, SF_MEM_MISC);
    for (int i = 0; i < count && st == SF_OK && sf_comm_rank(group) == 0; i++)
        st = is_missing(&missing[i], v, i);
    SF_GOTO(done, st, sf_comm_agree(group, st));
    SF_GOTO(done, st, sf_comm_bcast(group, missing, (size_t)count, 0));
    for (int i = 0; i < count; i++) {
        if (missing[i]) (*todo)[(*n)++] = i;
    }
done:
    sf_mem_free(missing);
    return st;
}

static sf_status ask_to_stop(const sf_train_options *o)
{
    SF_CHECK(!o->stop || !o->stop(o->stop_user), SF_ESTOP,
             "stopped during validation: run again to continue");
    return SF_OK;
}

/* Every `step`-th case from `first` on. */
static sf_status predict_alone(const validator *v, const int *todo, int first, int end, int step)
{
    sf_progress *progress = sf_progress_begin("validation", end);
    sf_status st = SF_OK;
    for (int i = first; i < end; i += step) {
        SF_GOTO(done, st, ask_to_stop(v->opt));
        SF_GOTO(done, st, predict_case(v, todo[i]));
        sf_progress_step(progress, i + 1);
        sf_comm_poll(); /* other nodes may be waiting for their next task */
    }
done:
    sf_progress_end(&progress);
    return st;
}

/* The cases left over when every rank has had as many: each by a part of the group. */
static sf_status predict_shared(validator *v, sf_comm *group, const int *todo,
                                const sf_spread_plan *plan)
{
    sf_comm *part = NULL;
    sf_spread *spread = NULL;
    SF_TRY(sf_comm_split(&part, group, plan->group, sf_comm_rank(group)));
    sf_status st = sf_spread_create(&spread, part);
    if (st == SF_OK) st = ask_to_stop(v->opt);
    SF_GOTO(done, st, sf_comm_agree(part, st));
    v->team = sf_spread_team(spread);
    st = predict_case(v, todo[plan->whole + plan->group]);
done:
    v->team = NULL;
    sf_spread_destroy(&spread);
    sf_comm_destroy(&part);
    return st;
}

static sf_status predict_cases(validator *v, sf_comm *group)
{
    const int rank = sf_comm_rank(group), size = sf_comm_size(group);
    int *todo = NULL, n = 0;
    sf_status st;
    SF_GOTO(done, st, list_todo(&todo, &n, v, group));
    const sf_spread_plan plan = sf_spread_make(n, rank, size);
    st = predict_alone(v, todo, rank, plan.whole, size);
    SF_GOTO(done, st, sf_comm_agree(group, st));
    if (plan.shared > 0) st = sf_comm_agree(group, predict_shared(v, group, todo, &plan));
done:
    sf_mem_free(todo);
    return st;
}

sf_status sf_validate_fold(sf_comm *group, const sf_train_options *opt, const sf_cases *cases,
                           const sf_params *trained, const int16_t *const *previous,
                           const char *dir)
{
    const int rank = sf_comm_rank(group);
    validator v = { .opt = opt,
                    .labels = &opt->dataset->labels,
                    .cases = cases,
                    .previous = previous,
                    .fold_dir = dir };
    SF_TRY(sf_comm_agree(group, open_validator(&v, rank == 0)));
    sf_status st = make_network(&v);
    if (st == SF_OK) st = copy_params(&v, trained);
    SF_GOTO(done, st, sf_comm_agree(group, st));
    SF_GOTO(done, st, predict_cases(&v, group));
    st = sf_comm_agree(group, rank == 0 ? write_summary(&v) : SF_OK);
done:
    sf_network_destroy(&v.net);
    return st;
}
