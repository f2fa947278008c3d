#include "fleet/apply.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "evaluate/select.h"
#include "fleet/folders.h"
#include <stdlib.h>
#include <string.h>

typedef struct {
    const sf_apply_options *opt;
    sf_model *model[SF_APPLY_MAX];
    sf_predictor *predictor[SF_APPLY_MAX];
    const char *out_dir;
} applier;

static sf_status open_models(applier *a)
{
    const sf_apply_options *o = a->opt;
    for (int i = 0; i < o->n_models; i++) {
        SF_TRY(sf_model_load(&a->model[i], o->model[i], o->folds, o->n_folds, o->checkpoint));
        const sf_labels *first = &a->model[0]->dataset->labels,
                        *own = &a->model[i]->dataset->labels;
        SF_CHECK(first->n_heads == own->n_heads && first->has_regions == own->has_regions, SF_EDATA,
                 "%s and %s have different labels: they cannot be averaged", o->model[0],
                 o->model[i]);
        const sf_recipe *r = a->model[i]->plans->recipe;
        const sf_predict_options po = { .step = o->step > 0 ? o->step : r->infer.step,
                                        .mirror = o->mirror && r->infer.mirror,
                                        .gaussian = true,
                                        .exact = o->exact,
                                        .average_probabilities = r->infer.average_probabilities,
                                        .threads = o->threads };
        SF_TRY(sf_predictor_create(&a->predictor[i], a->model[i], &po));
    }
    return SF_OK;
}

static void close_models(applier *a)
{
    for (int i = 0; i < SF_APPLY_MAX; i++) {
        sf_predictor_destroy(&a->predictor[i]);
        sf_model_destroy(&a->model[i]);
    }
}

/* One model on one case: labels (file order) and, when prob is given, probabilities. */
static sf_status run_model(const applier *a, int i, const sf_case *c, sf_geometry *geo,
                           sf_case_props *props, int32_t **labels, float **prob)
{
    const sf_model *m = a->model[i];
    const int heads = m->dataset->labels.n_heads;
    sf_prepared *prep = NULL;
    float *values = NULL;
    sf_status st;
    SF_GOTO(done, st,
            sf_prepare_case_files(&prep, c, m->plans, m->cfg, &m->dataset->labels, false, geo,
                                  a->opt->threads));
    *props = prep->props;
    const int64_t *s = props->shape;
    const size_t voxels = (size_t)(geo->shape[0] * geo->shape[1] * geo->shape[2]);
    SF_GOTO(
        done, st,
        sf_mem_alloc(&values, (size_t)(s[0] * s[1] * s[2] * heads), sizeof *values, SF_MEM_IMAGE));
    if (!*labels) SF_GOTO(done, st, sf_mem_alloc(labels, voxels, sizeof **labels, SF_MEM_IMAGE));
    if (prob)
        SF_GOTO(done, st, sf_mem_alloc(prob, voxels * (size_t)heads, sizeof **prob, SF_MEM_IMAGE));
    SF_GOTO(done, st, sf_predictor_case(a->predictor[i], prep, values, NULL));
    SF_GOTO(done, st,
            sf_export_case(m->plans, m->cfg, &m->dataset->labels, &prep->props, values,
                           !m->plans->recipe->infer.average_probabilities, *labels,
                           prob ? *prob : NULL, a->opt->threads));
done:
    sf_mem_free(values);
    sf_prepared_destroy(&prep);
    return st;
}

static sf_status average(const applier *a, float *const *prob, int64_t voxels, int32_t *labels)
{
    const sf_labels *l = &a->model[0]->dataset->labels;
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
    const sf_dataset *d = a->model[0]->dataset;
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
