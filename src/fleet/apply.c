#include "fleet/apply.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "evaluate/select.h"
#include "fleet/folders.h"
#include <stdlib.h>
#include <string.h>

/* A model folder in memory, ready to run. */
typedef struct {
    sf_model *model;
    sf_predictor *predictor;
} stage;

typedef struct {
    const sf_apply_options *opt;
    stage last[SF_APPLY_MAX];
    stage first[SF_APPLY_MAX]; /* of cascades; empty where the labels come from files */
    const char *out_dir;
} applier;

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
                                    .average_probabilities = r->infer.average_probabilities,
                                    .threads = o->threads };
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

/* Network output of a prepared case -> labels (file order, allocated when NULL) and, when prob is
 * given, probabilities. */
static sf_status run_stage(const applier *a, const stage *g, const sf_prepared *prep,
                           const sf_geometry *geo, int32_t **labels, float **prob)
{
    const sf_model *m = g->model;
    const int heads = m->dataset->labels.n_heads;
    const int64_t *s = prep->props.shape;
    float *values = NULL;
    sf_status st;
    const size_t voxels = (size_t)(geo->shape[0] * geo->shape[1] * geo->shape[2]);
    SF_GOTO(
        done, st,
        sf_mem_alloc(&values, (size_t)(s[0] * s[1] * s[2] * heads), sizeof *values, SF_MEM_IMAGE));
    if (!*labels) SF_GOTO(done, st, sf_mem_alloc(labels, voxels, sizeof **labels, SF_MEM_IMAGE));
    if (prob)
        SF_GOTO(done, st, sf_mem_alloc(prob, voxels * (size_t)heads, sizeof **prob, SF_MEM_IMAGE));
    SF_GOTO(done, st, sf_predictor_case(g->predictor, prep, values, NULL));
    SF_GOTO(done, st,
            sf_export_case(m->plans, m->cfg, &m->dataset->labels, &prep->props, values,
                           !m->plans->recipe->infer.average_probabilities, *labels,
                           prob ? *prob : NULL, a->opt->threads));
done:
    sf_mem_free(values);
    return st;
}

/* The first stage's segmentation of a case, in the image's geometry; caller frees. */
static sf_status run_first(const applier *a, int i, const sf_case *c, int32_t **labels)
{
    const sf_model *m = a->first[i].model;
    sf_prepared *prep = NULL;
    sf_geometry geo;
    SF_TRY(sf_prepare_case_files(&prep, c, m->plans, m->cfg, &m->dataset->labels, false, &geo,
                                 a->opt->threads));
    const sf_status st = run_stage(a, &a->first[i], prep, &geo, labels, NULL);
    sf_prepared_destroy(&prep);
    return st;
}

/* The case as the second stage of a cascade sees it: the first stage's labels go through the
 * preprocessing of segmentations, with the image (nnunet-training.md 7.4). */
static sf_status prepare_second(sf_prepared **out, const applier *a, int i, const sf_case *c,
                                sf_geometry *geo)
{
    const sf_model *m = a->last[i].model;
    const sf_labels *l = &m->dataset->labels;
    if (a->opt->previous_dir) {
        char path[SF_PATH_MAX];
        sf_case with_label = *c;
        SF_TRY(
            sf_path_format(path, "%s/%s%s", a->opt->previous_dir, c->id, m->dataset->file_ending));
        SF_CHECK(sf_path_is_file(path), SF_EINVAL,
                 "%s, the segmentation by %s of case %s, is missing", path, m->cfg->previous_stage,
                 c->id);
        with_label.label = path;
        return sf_prepare_case_files(out, &with_label, m->plans, m->cfg, l, true, geo,
                                     a->opt->threads);
    }
    int32_t *labels = NULL;
    sf_image *img = NULL;
    sf_status st;
    SF_GOTO(done, st, run_first(a, i, c, &labels));
    SF_GOTO(done, st, sf_case_read(&img, c));
    *geo = img->geo;
    SF_GOTO(done, st,
            sf_prepare_case(out, c->id, m->plans, m->cfg, l, img, labels, a->opt->threads));
done:
    sf_image_destroy(&img);
    sf_mem_free(labels);
    return st;
}

/* One model on one case: labels (file order) and, when prob is given, probabilities. */
static sf_status run_model(const applier *a, int i, const sf_case *c, sf_geometry *geo,
                           sf_case_props *props, int32_t **labels, float **prob)
{
    const sf_model *m = a->last[i].model;
    sf_prepared *prep = NULL;
    if (m->cfg->previous_stage) {
        SF_TRY(prepare_second(&prep, a, i, c, geo));
    } else {
        SF_TRY(sf_prepare_case_files(&prep, c, m->plans, m->cfg, &m->dataset->labels, false, geo,
                                     a->opt->threads));
    }
    *props = prep->props;
    const sf_status st = run_stage(a, &a->last[i], prep, geo, labels, prob);
    sf_prepared_destroy(&prep);
    return st;
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

static sf_status apply_case(const applier *a, const sf_case *c)
{
    const sf_apply_options *o = a->opt;
    const sf_dataset *d = a->last[0].model->dataset;
    char path[SF_PATH_MAX];
    bool finished = false;
    SF_TRY(sf_path_format(path, "%s/%s%s", a->out_dir, c->id, d->file_ending));
    SF_TRY(is_finished(&finished, a, c, path));
    if (o->keep_existing && finished) return SF_OK;
    const bool need_prob = o->n_models > 1 || o->save_probabilities;
    sf_geometry geo;
    sf_case_props props[SF_APPLY_MAX];
    int32_t *labels = NULL;
    float *prob[SF_APPLY_MAX] = { NULL };
    sf_status st;
    for (int i = 0; i < o->n_models; i++)
        SF_GOTO(done, st,
                run_model(a, i, c, &geo, &props[i], &labels, need_prob ? &prob[i] : NULL));
    if (o->n_models > 1)
        SF_GOTO(done, st, average(a, prob, geo.shape[0] * geo.shape[1] * geo.shape[2], labels));
    if (o->postproc) SF_GOTO(done, st, sf_postproc_apply(o->postproc, labels, geo.shape));
    if (o->save_probabilities)
        SF_GOTO(done, st,
                sf_probabilities_write(a->out_dir, c->id, o->probabilities_format, prob[0],
                                       d->labels.n_heads, geo.shape, &props[0]));
    SF_GOTO(done, st, sf_label_write(path, &geo, labels, d->labels.n_labels - 1));
    sf_log(SF_LOG_INFO, "predicted", "case=%s", c->id);
done:
    for (int i = 0; i < SF_APPLY_MAX; i++) sf_mem_free(prob[i]);
    sf_mem_free(labels);
    return st;
}

sf_status sf_apply_cases(sf_comm *world, const sf_apply_options *o, const sf_case *cases, int n,
                         const char *out_dir)
{
    applier a = { .opt = o, .out_dir = out_dir };
    const int rank = sf_comm_rank(world), size = sf_comm_size(world);
    sf_status st = SF_OK;
    if (rank == 0) {
        st = sf_path_make_dirs(out_dir);
        if (st == SF_OK && !o->shared_folder) st = sf_path_sweep_tmp(out_dir);
    }
    SF_TRY(sf_comm_agree(world, st));
    st = o->n_models >= 1 && o->n_models <= SF_APPLY_MAX
             ? SF_OK
             : SF_FAIL(SF_EINVAL, "1..%d models", SF_APPLY_MAX);
    if (st == SF_OK) st = open_models(&a);
    for (int i = rank; i < n && st == SF_OK; i += size) {
        if (o->stop && o->stop(o->stop_user))
            st = SF_FAIL(SF_ESTOP, "stopped before test case %s: run again to continue",
                         cases[i].id);
        else
            st = apply_case(&a, &cases[i]);
    }
    close_models(&a);
    return sf_comm_agree(world, st);
}

static json_t *folds_json(const sf_apply_options *o)
{
    json_t *list = o->folds ? json_array() : json_string("all");
    for (int i = 0; o->folds && i < o->n_folds; i++) {
        const bool all = o->folds[i] == SF_FOLD_ALL;
        json_array_append_new(list, all ? json_string("all") : json_integer(o->folds[i]));
    }
    return list;
}

static sf_status save_arguments(const sf_apply_options *o, const char *path)
{
    char plans_path[SF_PATH_MAX];
    sf_plans *plans = NULL;
    SF_TRY(sf_path_join(plans_path, o->model[0], "plans.json", NULL));
    SF_TRY(sf_plans_load(&plans, plans_path));
    char *real = realpath(o->model[0], NULL);
    const sf_recipe_infer *r = &plans->recipe->infer;
    json_t *j =
        json_pack("{s:s,s:o,s:s,s:o,s:b,s:b,s:b}", "model", sf_path_base(real ? real : o->model[0]),
                  "use_folds", folds_json(o), "checkpoint_name", o->checkpoint, "tile_step_size",
                  sf_json_real(o->step > 0 ? o->step : r->step), "use_gaussian", 1, "use_mirroring",
                  o->mirror && r->mirror, "save_probabilities", o->save_probabilities);
    const sf_status st = j ? sf_json_save(j, path, 4, false) : SF_FAIL(SF_ENOMEM, "out of memory");
    json_decref(j);
    free(real);
    sf_plans_destroy(&plans);
    return st;
}

sf_status sf_apply_describe(const sf_apply_options *o, const char *out_dir)
{
    char path[SF_PATH_MAX];
    SF_TRY(sf_path_make_dirs(out_dir));
    SF_TRY(sf_folder_describe(out_dir, o->model[0]));
    SF_TRY(sf_path_join(path, out_dir, "predict_from_raw_data_args.json", NULL));
    return save_arguments(o, path);
}
