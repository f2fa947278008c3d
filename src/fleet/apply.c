#include "fleet/apply.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "evaluate/select.h"
#include "fleet/folders.h"
#include "fleet/handout.h"
#include "plan/splits.h"
#include "train/spread.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A model folder in memory, ready to run. */
typedef struct {
    sf_model *model;
    sf_predictor *predictor;
} stage;

/* Of the 3 GiB that a case may take beyond its image and results: what is left when program,
 * libraries and preprocessing have theirs. */
static const int64_t PREDICT_BYTES = (int64_t)5 << 29;

typedef struct {
    const sf_apply_options *opt;
    stage last[SF_APPLY_MAX];
    stage first[SF_APPLY_MAX]; /* of cascades; empty where the labels come from files */
    const char *out_dir;
    sf_comm *group; /* ranks that share this rank's case; the first of them reads and writes */
} applier;

static bool leads(const applier *a) { return sf_comm_rank(a->group) == 0; }

static sf_status open_stage(stage *s, const applier *a, const char *dir, const int *folds,
                            int n_folds)
{
    const sf_apply_options *o = a->opt;
    SF_TRY(sf_model_load(&s->model, dir, folds, n_folds, o->checkpoint));
    const sf_recipe *r = s->model->plans->recipe;
    const sf_predict_options po = { .step = o->step > 0 ? o->step : r->infer.step,
                                    .mirror = o->mirror && r->infer.mirror,
                                    .gaussian = true,
                                    .exact = o->exact,
                                    .precision = o->precision,
                                    .average_probabilities = r->infer.average_probabilities,
                                    .threads = o->threads,
                                    .memory = PREDICT_BYTES,
                                    .scratch_dir = a->out_dir };
    return sf_predictor_create(&s->predictor, s->model, &po);
}

static void close_stage(stage *s)
{
    sf_predictor_destroy(&s->predictor);
    sf_model_destroy(&s->model);
}

/* Folder of the first stage: beside the second's, named alike (results/CONFIG,
 * results/CONFIG/VARIANT, or nnU-Net's TRAINER__PLANS__CONFIG). */
static sf_status first_stage_dir(char out[SF_PATH_MAX], const char *dir, const sf_config *cfg)
{
    char *real = realpath(dir, NULL);
    SF_CHECK(real, SF_EIO, "%s cannot be read", dir);
    const size_t length = strlen(real), tail = strlen(cfg->name);
    const char *base = sf_path_base(real);
    const size_t parent = base > real ? (size_t)(base - real) - 1 : 0;
    sf_status st = SF_OK;
    if (length > tail && strcmp(real + length - tail, cfg->name) == 0) {
        st = sf_path_format(out, "%.*s%s", (int)(length - tail), real, cfg->previous_stage);
    } else if (parent > tail && strncmp(real + parent - tail, cfg->name, tail) == 0) {
        st =
            sf_path_format(out, "%.*s%s/%s", (int)(parent - tail), real, cfg->previous_stage, base);
    } else {
        st = sf_path_format(out, "%s/../%s", real, cfg->previous_stage);
    }
    free(real);
    return st;
}

static sf_status open_first(applier *a, int i)
{
    const sf_config *cfg = a->last[i].model->cfg;
    char dir[SF_PATH_MAX], plans[SF_PATH_MAX];
    if (!cfg->previous_stage || a->opt->previous_dir) return SF_OK;
    SF_TRY(first_stage_dir(dir, a->opt->model[i], cfg));
    SF_TRY(sf_path_join(plans, dir, "plans.json", NULL));
    SF_CHECK(
        sf_path_is_file(plans), SF_EINVAL,
        "%s is the second stage of a cascade and needs a segmentation by %s: put that model at "
        "%s, or give the segmentations with --previous-stage DIR",
        a->opt->model[i], cfg->previous_stage, dir);
    SF_TRY(open_stage(&a->first[i], a, dir, NULL, 0));
    SF_CHECK(!a->first[i].model->cfg->previous_stage, SF_EDATA, "%s is no first stage of a cascade",
             dir);
    return SF_OK;
}

static sf_status open_models(applier *a)
{
    const sf_apply_options *o = a->opt;
    for (int i = 0; i < o->n_models; i++) {
        SF_TRY(open_stage(&a->last[i], a, o->model[i], o->folds, o->n_folds));
        const sf_labels *first = &a->last[0].model->dataset->labels,
                        *own = &a->last[i].model->dataset->labels;
        SF_CHECK(first->n_heads == own->n_heads && first->has_regions == own->has_regions, SF_EDATA,
                 "%s and %s have different labels: they cannot be averaged", o->model[0],
                 o->model[i]);
        SF_TRY(open_first(a, i));
    }
    return SF_OK;
}

static void close_models(applier *a)
{
    for (int i = 0; i < SF_APPLY_MAX; i++) {
        close_stage(&a->last[i]);
        close_stage(&a->first[i]);
    }
}

/* A case on its way. The image is read once, for all stages and models that want it. */
typedef struct {
    const sf_case *c;
    sf_image *img;
    int uses; /* stages that still want the image */
    sf_geometry geo;
    sf_case_props props; /* in the first model's configuration, as nnU-Net's ensembles keep them */
    int32_t *labels;     /* file order */
} running;

static void running_free(running *r)
{
    sf_image_destroy(&r->img);
    sf_mem_free(r->labels);
}

static sf_status read_image(const applier *a, running *r)
{
    if (r->img) return SF_OK;
    sf_prof_begin(a->opt->prof, SF_EV_READ);
    SF_TRY(sf_case_read(&r->img, r->c));
    sf_prof_end(a->opt->prof, SF_EV_READ, 0, 0);
    r->geo = r->img->geo;
    return SF_OK;
}

/* The case as a stage's network sees it; labels: of the stage before, or NULL. */
static sf_status prepare(sf_prepared **out, const applier *a, const stage *g, running *r,
                         const int32_t *labels)
{
    const sf_model *m = g->model;
    SF_TRY(read_image(a, r));
    sf_prof_begin(a->opt->prof, SF_EV_PREPROCESS);
    SF_TRY(sf_prepare_case(out, r->c->id, m->plans, m->cfg, &m->dataset->labels, r->img, labels,
                           a->opt->threads));
    sf_prof_end(a->opt->prof, SF_EV_PREPROCESS, 0, 0);
    if (--r->uses == 0) sf_image_destroy(&r->img);
    return SF_OK;
}

/* Where the answers of a stage's network go: r->labels and, when prob is given, probabilities. */
static sf_status open_export(sf_export **out, const applier *a, const sf_model *m,
                             const sf_prepared *prep, running *r, float **prob)
{
    const size_t voxels = (size_t)(r->geo.shape[0] * r->geo.shape[1] * r->geo.shape[2]);
    const sf_export_options o = { .plans = m->plans,
                                  .cfg = m->cfg,
                                  .labels = &m->dataset->labels,
                                  .props = &prep->props,
                                  .are_logits = !m->plans->recipe->infer.average_probabilities,
                                  .threads = a->opt->threads };
    if (!r->labels) SF_TRY(sf_mem_alloc(&r->labels, voxels, sizeof *r->labels, SF_MEM_IMAGE));
    if (prob)
        SF_TRY(sf_mem_alloc(prob, voxels * (size_t)o.labels->n_heads, sizeof **prob, SF_MEM_IMAGE));
    return sf_export_open(out, &o, r->labels, prob ? *prob : NULL);
}

/* The first stage's segmentation of a case from --previous-stage DIR. */
static sf_status read_first(sf_label_image **out, const applier *a, const sf_model *m, running *r)
{
    char path[SF_PATH_MAX];
    SF_TRY(
        sf_path_format(path, "%s/%s%s", a->opt->previous_dir, r->c->id, m->dataset->file_ending));
    SF_CHECK(sf_path_is_file(path), SF_EINVAL, "%s, the segmentation by %s of case %s, is missing",
             path, m->cfg->previous_stage, r->c->id);
    SF_TRY(read_image(a, r));
    SF_TRY(sf_label_image_read(out, path));
    const bool same = memcmp((*out)->geo.shape, r->geo.shape, sizeof r->geo.shape) == 0;
    if (!same) sf_label_image_destroy(out);
    SF_CHECK(same, SF_EDATA, "%s has another shape than the image %s", path, r->c->images[0]);
    return SF_OK;
}

/* The case as a stage wants it. The second stage of a cascade sees the first one's labels, which go
 * through the preprocessing of segmentations, with the image (nnunet-training.md 7.4): r->labels,
 * or a file. */
static sf_status prepare_stage(sf_prepared **out, const applier *a, const stage *g, running *r)
{
    sf_label_image *given = NULL;
    const bool second = g->model->cfg->previous_stage != NULL;
    if (second && a->opt->previous_dir) SF_TRY(read_first(&given, a, g->model, r));
    const sf_status st = prepare(out, a, g, r, given ? given->data : second ? r->labels : NULL);
    sf_label_image_destroy(&given);
    return st;
}

/* A stage on a case, by all ranks of the group; the results are its first rank's. */
static sf_status run_stage(const applier *a, const stage *g, running *r, sf_case_props *props,
                           float **prob)
{
    sf_prepared *prep = NULL;
    sf_export *e = NULL;
    sf_status st = leads(a) ? prepare_stage(&prep, a, g, r) : SF_OK;
    if (st == SF_OK && leads(a)) st = open_export(&e, a, g->model, prep, r, prob);
    SF_GOTO(done, st, sf_handout_prepared(a->group, &prep, st));
    if (props) *props = prep->props;
    const sf_row_sink sink = e ? sf_export_sink(e) : (sf_row_sink){ .take = NULL };
    SF_GOTO(done, st, sf_predictor_rows(g->predictor, prep, sink, a->opt->prof));
done:
    sf_export_close(&e);
    sf_prepared_destroy(&prep);
    return st;
}

/* One model on one case: r->labels, and, when prob is given, probabilities. */
static sf_status run_model(const applier *a, int i, running *r, float **prob)
{
    if (a->first[i].model) SF_TRY(run_stage(a, &a->first[i], r, NULL, NULL));
    return run_stage(a, &a->last[i], r, i == 0 ? &r->props : NULL, prob);
}

static sf_status average(const applier *a, float *const *prob, int64_t voxels, int32_t *labels)
{
    const sf_labels *l = &a->last[0].model->dataset->labels;
    const float *p[SF_APPLY_MAX];
    for (int i = 0; i < a->opt->n_models; i++) p[i] = prob[i];
    sf_ensemble_mean(p, a->opt->n_models, voxels * l->n_heads, prob[0]);
    sf_labels_decide(l, prob[0], false, voxels, labels);
    return SF_OK;
}

/* A case is finished when everything that was asked for is there; the segmentation comes last. */
static sf_status is_finished(bool *finished, const applier *a, const sf_case *c, const char *path)
{
    char prob_path[SF_PATH_MAX];
    SF_TRY(sf_probabilities_path(prob_path, a->out_dir, c->id, a->opt->probabilities_format));
    *finished =
        sf_path_is_file(path) && (!a->opt->save_probabilities || sf_path_is_file(prob_path));
    return SF_OK;
}

/* Probabilities before the segmentation, which says that the case is finished. */
static sf_status write_case(const applier *a, const running *r, const float *prob, const char *path)
{
    const sf_apply_options *o = a->opt;
    const sf_labels *l = &a->last[0].model->dataset->labels;
    sf_prof_begin(o->prof, SF_EV_WRITE);
    if (o->save_probabilities)
        SF_TRY(sf_probabilities_write(a->out_dir, r->c->id, o->probabilities_format, prob,
                                      l->n_heads, r->geo.shape, &r->props));
    SF_TRY(sf_label_write(path, &r->geo, r->labels, l->n_labels - 1));
    sf_prof_end(o->prof, SF_EV_WRITE, 0, 0);
    return SF_OK;
}

/* What all models say of a case -> its files. */
static sf_status finish_case(const applier *a, running *r, float *const *prob, const char *path)
{
    const sf_apply_options *o = a->opt;
    if (o->n_models > 1)
        SF_TRY(average(a, prob, r->geo.shape[0] * r->geo.shape[1] * r->geo.shape[2], r->labels));
    if (o->postproc) SF_TRY(sf_postproc_apply(o->postproc, r->labels, r->geo.shape));
    SF_TRY(write_case(a, r, prob[0], path));
    sf_log(SF_LOG_INFO, "predicted", "case=%s", r->c->id);
    return SF_OK;
}

static sf_status segment_case(const applier *a, const sf_case *c, const char *path)
{
    const sf_apply_options *o = a->opt;
    const bool need_prob = o->n_models > 1 || o->save_probabilities;
    running r = { .c = c };
    float *prob[SF_APPLY_MAX] = { NULL };
    sf_status st = SF_OK;
    for (int i = 0; i < o->n_models; i++) r.uses += a->first[i].model ? 2 : 1;
    for (int i = 0; i < o->n_models; i++)
        SF_GOTO(done, st, run_model(a, i, &r, need_prob ? &prob[i] : NULL));
    if (leads(a)) st = finish_case(a, &r, prob, path);
done:
    for (int i = 0; i < SF_APPLY_MAX; i++) sf_mem_free(prob[i]);
    running_free(&r);
    return st;
}

static sf_status case_path(char path[SF_PATH_MAX], const applier *a, const sf_case *c)
{
    return sf_path_format(path, "%s/%s%s", a->out_dir, c->id,
                          a->last[0].model->dataset->file_ending);
}

static bool stop_asked(const sf_apply_options *o) { return o->stop && o->stop(o->stop_user); }

/* Cases that are to be segmented, in order, and how many of this rank's failed. */
typedef struct {
    const sf_case *const *todo;
    int n, mine, failed;
    sf_error_state first;
} queue;

/* A case that fails does not keep the others from their results. */
static void apply_case(const applier *a, queue *q, const sf_case *c)
{
    char path[SF_PATH_MAX];
    sf_status st = case_path(path, a, c);
    if (st == SF_OK) st = segment_case(a, c, path);
    if (!leads(a)) return; /* the first rank of the group speaks for it */
    q->mine++;
    if (st == SF_OK) return;
    if (q->n > 1) sf_log(SF_LOG_ERROR, "failed", "case=%s: %s", c->id, sf_error_text());
    if (q->failed++ == 0) sf_error_save(&q->first, st);
}

static sf_status ask_to_stop(const applier *a, const sf_case *c)
{
    SF_CHECK(!stop_asked(a->opt), SF_ESTOP, "stopped before test case %s: run again to continue",
             c->id);
    return SF_OK;
}

static sf_status apply_alone(applier *a, queue *q, int from, int to, int step)
{
    a->group = sf_comm_self();
    for (int i = from; i < to; i += step) {
        SF_TRY(ask_to_stop(a, q->todo[i]));
        apply_case(a, q, q->todo[i]);
    }
    return SF_OK;
}

static void set_team(applier *a, const sf_predict_team *team)
{
    for (int i = 0; i < SF_APPLY_MAX; i++) {
        if (a->last[i].predictor) sf_predictor_team(a->last[i].predictor, team);
        if (a->first[i].predictor) sf_predictor_team(a->first[i].predictor, team);
    }
}

/* The cases left over when every rank has had as many: each by a group of ranks. */
static sf_status apply_shared(applier *a, queue *q, sf_comm *world, const sf_spread_plan *plan)
{
    sf_comm *group = NULL;
    sf_spread *spread = NULL;
    const sf_case *c = q->todo[plan->whole + plan->group];
    SF_TRY(sf_comm_split(&group, world, plan->group, sf_comm_rank(world)));
    a->group = group;
    sf_status st = sf_spread_create(&spread, group);
    if (st == SF_OK) st = ask_to_stop(a, c);
    SF_GOTO(done, st, sf_comm_agree(group, st));
    set_team(a, sf_spread_team(spread));
    apply_case(a, q, c);
done:
    set_team(a, NULL);
    a->group = sf_comm_self();
    sf_spread_destroy(&spread);
    sf_comm_destroy(&group);
    return st;
}

static sf_status failures(const queue *q)
{
    if (q->failed == 0) return SF_OK;
    sf_error_restore(&q->first);
    if (q->n == 1) return sf_trace_(q->first.status, __FILE__, __LINE__, "apply_case");
    return SF_FAIL(q->first.status, "%s (%d of %d cases failed, the others are done)",
                   q->first.text, q->failed, q->mine);
}

static sf_status apply_all(applier *a, sf_comm *world, const sf_case *const *todo, int n)
{
    const int rank = sf_comm_rank(world), size = sf_comm_size(world);
    const sf_spread_plan plan = sf_spread_make(n, rank, size);
    queue q = { .todo = todo, .n = n, .first = { .status = SF_OK } };
    if (rank == 0 && size > 1)
        sf_log(SF_LOG_INFO, "predict", "cases=%d ranks=%d shared_cases=%d ranks_per_shared_case=%d",
               n, size, plan.shared, plan.ranks);
    sf_status st = apply_alone(a, &q, rank, plan.whole, size);
    if (plan.shared > 0) { /* a rank that was stopped does not come to the shared ones */
        SF_TRY(sf_comm_agree(world, st));
        st = apply_shared(a, &q, world, &plan);
    }
    return st == SF_OK ? failures(&q) : st;
}

/* Cases without all their results, as rank 0 sees it. @param[out] todo  caller frees */
static sf_status list_todo(const sf_case ***todo, int *n_todo, const applier *a, sf_comm *world,
                           const sf_case *cases, int n)
{
    char path[SF_PATH_MAX];
    bool *finished = NULL;
    sf_status st;
    *n_todo = 0;
    st = sf_mem_calloc(todo, (size_t)n + 1, sizeof **todo, SF_MEM_MISC);
    if (st == SF_OK) st = sf_mem_calloc(&finished, (size_t)n + 1, sizeof *finished, SF_MEM_MISC);
    const bool look = a->opt->keep_existing && sf_comm_rank(world) == 0;
    for (int i = 0; i < n && look && st == SF_OK; i++) {
        st = case_path(path, a, &cases[i]);
        if (st == SF_OK) st = is_finished(&finished[i], a, &cases[i], path);
    }
    SF_GOTO(done, st, sf_comm_agree(world, st));
    SF_GOTO(done, st, sf_comm_bcast(world, finished, (size_t)n * sizeof *finished, 0));
    for (int i = 0; i < n; i++) {
        if (!finished[i]) (*todo)[(*n_todo)++] = &cases[i];
    }
done:
    sf_mem_free(finished);
    return st;
}

static json_t *folds_json(const sf_model *m)
{
    json_t *list = json_array();
    for (int i = 0; list && i < m->n_folds; i++) {
        const bool all = m->fold[i] == SF_FOLD_ALL;
        json_array_append_new(list, all ? json_string("all") : json_integer(m->fold[i]));
    }
    return list;
}

/* nnU-Net's names; what decides the result, without paths. */
static json_t *arguments(const applier *a)
{
    const sf_apply_options *o = a->opt;
    const sf_model *m = a->last[0].model;
    const sf_recipe_infer *r = &m->plans->recipe->infer;
    char *real = realpath(o->model[0], NULL);
    json_t *j = json_pack(
        "{s:s,s:o,s:s,s:o,s:b,s:b,s:b,s:s*}", "model", sf_path_base(real ? real : o->model[0]),
        "use_folds", folds_json(m), "checkpoint_name", o->checkpoint, "tile_step_size",
        sf_json_real(o->step > 0 ? o->step : r->step), "use_gaussian", 1, "use_mirroring",
        o->mirror && r->mirror, "save_probabilities", o->save_probabilities, "precision",
        o->precision == SF_F32 ? NULL : sf_precision_name(o->precision));
    free(real);
    return j;
}

/* Cases that are kept must come from the same options; whether probabilities are kept is no matter.
 */
static sf_status compare_arguments(const char *path, json_t *now)
{
    json_t *then = NULL, *value;
    const char *key, *other = NULL;
    if (!sf_path_is_file(path)) return SF_OK;
    SF_TRY(sf_json_load(&then, path));
    json_object_foreach(now, key, value)
    {
        if (strcmp(key, "save_probabilities") == 0) continue;
        if (!json_equal(value, json_object_get(then, key))) other = key;
    }
    json_decref(then);
    SF_CHECK(!other, SF_EINVAL,
             "%s: the segmentations there were made with another %s; give the same options, "
             "another folder, or --overwrite",
             path, other);
    return SF_OK;
}

static sf_status describe(const applier *a)
{
    char path[SF_PATH_MAX];
    SF_TRY(sf_path_join(path, a->out_dir, "predict_from_raw_data_args.json", NULL));
    json_t *j = arguments(a);
    SF_CHECK(j, SF_ENOMEM, "out of memory");
    sf_status st = a->opt->keep_existing ? compare_arguments(path, j) : SF_OK;
    if (st == SF_OK) st = sf_folder_describe(a->out_dir, a->opt->model[0]);
    if (st == SF_OK) st = sf_json_save(j, path, 4, false);
    json_decref(j);
    return st;
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* CASE.ending may be the name of an image, too; results must not take its place. */
static sf_status check_inputs(const applier *a, const sf_case *cases, int n)
{
    char path[SF_PATH_MAX];
    for (int i = 0; i < n; i++) {
        SF_TRY(case_path(path, a, &cases[i]));
        for (int k = 0; k < cases[i].n_images; k++)
            SF_CHECK(!same_file(path, cases[i].images[k]), SF_EINVAL,
                     "%s is an input image: give another folder for the results", path);
    }
    return SF_OK;
}

/* Older results of the cases go before the options change: else a later --continue would take them
 * for results of this call. */
static sf_status remove_older(const applier *a, const sf_case *cases, int n)
{
    static const sf_probabilities_format formats[] = { SF_PROBABILITIES_NPZ, SF_PROBABILITIES_H5 };
    char path[SF_PATH_MAX];
    for (int i = 0; i < n; i++) {
        SF_TRY(case_path(path, a, &cases[i]));
        SF_TRY(sf_path_remove(path));
        for (int k = 0; k < 2; k++) {
            SF_TRY(sf_probabilities_path(path, a->out_dir, cases[i].id, formats[k]));
            SF_TRY(sf_path_remove(path));
        }
    }
    return SF_OK;
}

/* Rank 0, before the first case. */
static sf_status prepare_folder(const applier *a, const sf_case *cases, int n)
{
    SF_TRY(sf_folder_make_output(a->out_dir, &a->opt->previous_dir, a->opt->previous_dir ? 1 : 0));
    SF_TRY(check_inputs(a, cases, n));
    if (!a->opt->shared_folder) SF_TRY(sf_path_sweep_tmp(a->out_dir));
    if (!a->opt->keep_existing) SF_TRY(remove_older(a, cases, n));
    return a->opt->describe ? describe(a) : SF_OK;
}

sf_status sf_apply_cases(sf_comm *world, const sf_apply_options *o, const sf_case *cases, int n,
                         const char *out_dir)
{
    applier a = { .opt = o, .out_dir = out_dir, .group = sf_comm_self() };
    const sf_case **todo = NULL;
    int n_todo = 0;
    sf_status st = o->n_models >= 1 && o->n_models <= SF_APPLY_MAX
                       ? SF_OK
                       : SF_FAIL(SF_EINVAL, "1..%d models", SF_APPLY_MAX);
    if (st == SF_OK) st = open_models(&a);
    SF_GOTO(done, st, sf_comm_agree(world, st));
    if (sf_comm_rank(world) == 0) st = prepare_folder(&a, cases, n);
    SF_GOTO(done, st, sf_comm_agree(world, st));
    SF_GOTO(done, st, list_todo(&todo, &n_todo, &a, world, cases, n));
    st = apply_all(&a, world, todo, n_todo);
    sf_prof_begin(o->prof, SF_EV_IDLE);
    st = sf_comm_agree(world, st);
    sf_prof_end(o->prof, SF_EV_IDLE, 0, 0);
done:
    sf_mem_free(todo);
    close_models(&a);
    return st;
}
