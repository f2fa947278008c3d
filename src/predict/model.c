#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "plan/splits.h"
#include "predict/weights.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sf_model_destroy(sf_model **m)
{
    if (*m == NULL) return;
    for (int i = 0; (*m)->weights != NULL && i < (*m)->n_folds; i++)
        sf_weights_destroy(&(*m)->weights[i]);
    sf_mem_free((*m)->weights);
    sf_mem_free((*m)->fold);
    sf_plans_destroy(&(*m)->plans);
    sf_dataset_destroy(&(*m)->dataset);
    sf_mem_free(*m);
    *m = NULL;
}

/** Path of a fold's checkpoint, ours before PyTorch's; false when there is none. */
static bool checkpoint_path(char out[SF_PATH_MAX], const char *dir, const char *fold,
                            const char *checkpoint)
{
    static const char *const ending[] = { "h5", "pth" };
    for (int i = 0; i < 2; i++)
        if (sf_path_format(out, "%s/%s/%s.%s", dir, fold, checkpoint, ending[i]) == SF_OK &&
            sf_path_is_file(out))
            return true;
    return false;
}

static void fold_name(char out[32], int fold)
{
    if (fold == SF_FOLD_ALL)
        snprintf(out, 32, "fold_all");
    else
        snprintf(out, 32, "fold_%d", fold);
}

static int ascending(const void *a, const void *b)
{
    return (*(const int *)a > *(const int *)b) - (*(const int *)a < *(const int *)b);
}

/** "fold_3" -> 3; -2: not a numbered fold */
static int fold_number(const char *name)
{
    if (strncmp(name, "fold_", 5) != 0 || name[5] == 0 || strlen(name) > 9) return -2;
    for (const char *c = name + 5; *c != 0; c++)
        if (*c < '0' || *c > '9') return -2;
    return atoi(name + 5);
}

/** All numbered folds that hold the checkpoint; "all" only when there is no other (as nnU-Net
 * does). */
static sf_status find_folds(sf_model *m, const char *dir, const char *checkpoint)
{
    char **name, path[SF_PATH_MAX];
    size_t count;
    SF_TRY(sf_path_list(&name, &count, dir));
    const sf_status st = sf_mem_alloc(&m->fold, count + 1, sizeof *m->fold, SF_MEM_MISC);
    for (size_t i = 0; st == SF_OK && i < count; i++)
        if (fold_number(name[i]) >= 0 && checkpoint_path(path, dir, name[i], checkpoint))
            m->fold[m->n_folds++] = fold_number(name[i]);
    sf_path_free_list(&name, count);
    if (st != SF_OK) return st;
    qsort(m->fold, (size_t)m->n_folds, sizeof *m->fold, ascending);
    if (m->n_folds == 0 && checkpoint_path(path, dir, "fold_all", checkpoint))
        m->fold[m->n_folds++] = SF_FOLD_ALL;
    SF_CHECK(m->n_folds > 0, SF_EDATA, "%s: no folder fold_* holds %s.h5 or %s.pth", dir,
             checkpoint, checkpoint);
    return SF_OK;
}

/** Which configuration a folder holds: named in model.json or in nnU-Net's checkpoint, else the
 * last part of the folder's name. */
static sf_status find_config(sf_model *m, const char *dir, const json_t *model_json,
                             const json_t *init_args)
{
    const char *named = json_string_value(json_object_get(model_json, "configuration"));
    if (named == NULL) named = json_string_value(json_object_get(init_args, "configuration"));
    if (named != NULL) return sf_plans_config(&m->cfg, m->plans, named);
    char *full = realpath(dir, NULL);
    SF_CHECK(full != NULL, SF_EIO, "%s: no such folder", dir);
    const char *base = sf_path_base(full);
    for (const char *part = strstr(base, "__"); part != NULL; part = strstr(base, "__"))
        base = part + 2; /* TRAINER__PLANS__CONFIG */
    const sf_status st = sf_plans_config(&m->cfg, m->plans, base);
    free(full);
    return st;
}

/** nnU-Net counts the axes of the patch (0 is its first axis, y in 2-D); null or absent: none. */
static sf_status peer_mirror_axes(sf_model *m, const json_t *axes, const char *where)
{
    const int first = 3 - m->cfg->dim;
    for (int a = 0; a < 3; a++) m->mirror_axis[a] = false;
    for (size_t i = 0; i < json_array_size(axes); i++) {
        const json_t *v = json_array_get(axes, i);
        const json_int_t a = json_is_integer(v) ? json_integer_value(v) + first : -1;
        SF_CHECK(a >= first && a < 3, SF_EDATA, "%s: mirror axes must be axes of a %d-D patch",
                 where, m->cfg->dim);
        m->mirror_axis[a] = true;
    }
    return SF_OK;
}

/** Ours: model.json "mirror_axes", three booleans for z,y,x; without it every axis of the patch. */
static sf_status our_mirror_axes(sf_model *m, const json_t *model_json, const char *where)
{
    const json_t *axes = json_object_get(model_json, "mirror_axes");
    SF_CHECK(axes == NULL || json_array_size(axes) == 3, SF_EDATA,
             "%s: mirror_axes must be three booleans (z,y,x)", where);
    for (size_t a = 0; a < 3; a++) {
        const json_t *v = json_array_get(axes, a);
        SF_CHECK(axes == NULL || json_is_boolean(v), SF_EDATA,
                 "%s: mirror_axes must be three booleans (z,y,x)", where);
        const bool exists = (int)a >= 3 - m->cfg->dim;
        m->mirror_axis[a] = exists && (axes == NULL || json_is_true(v));
    }
    return SF_OK;
}

/** @param[out] meta  what a PyTorch checkpoint says beside its tensors, else NULL; caller decrefs
 */
static sf_status load_fold(sf_model *m, int i, const char *dir, const char *checkpoint,
                           json_t **meta)
{
    char name[32], path[SF_PATH_MAX];
    bool is_torch;
    fold_name(name, m->fold[i]);
    SF_CHECK(checkpoint_path(path, dir, name, checkpoint), SF_EINVAL,
             "%s/%s holds neither %s.h5 nor %s.pth; choose other folds or finish its training", dir,
             name, checkpoint, checkpoint);
    SF_TRY(sf_weights_load_meta(&m->weights[i], meta, &is_torch, path));
    if (!is_torch) {
        json_decref(*meta);
        *meta = NULL;
    }
    return SF_OK;
}

/** The folds that are asked for, or all; *first as load_fold leaves it for the first of them. */
static sf_status load_folds(sf_model *m, const char *dir, const int *folds, int n_folds,
                            const char *checkpoint, json_t **first)
{
    if (folds == NULL) {
        SF_TRY(find_folds(m, dir, checkpoint));
    } else {
        SF_CHECK(n_folds > 0, SF_EINVAL, "no fold is asked for");
        SF_TRY(sf_mem_alloc(&m->fold, (size_t)n_folds, sizeof *m->fold, SF_MEM_MISC));
        memcpy(m->fold, folds, (size_t)n_folds * sizeof *folds);
        m->n_folds = n_folds;
    }
    SF_TRY(sf_mem_calloc(&m->weights, (size_t)m->n_folds, sizeof(sf_weights *), SF_MEM_PARAMS));
    for (int i = 0; i < m->n_folds; i++) {
        json_t *meta = NULL;
        SF_TRY(load_fold(m, i, dir, checkpoint, &meta));
        if (i == 0)
            *first = meta;
        else
            json_decref(meta);
    }
    return SF_OK;
}

static sf_status load_json(sf_model *m, const char *dir, json_t **model_json)
{
    char path[SF_PATH_MAX];
    SF_TRY(sf_path_join(path, dir, "plans.json", NULL));
    SF_CHECK(sf_path_is_file(path), SF_EINVAL,
             "%s is not a model folder: it has no plans.json (give the folder that holds fold_0)",
             dir);
    SF_TRY(sf_plans_load(&m->plans, path));
    SF_TRY(sf_path_join(path, dir, "dataset.json", NULL));
    SF_TRY(sf_dataset_from_json(&m->dataset, path));
    SF_TRY(sf_path_join(path, dir, "model.json", NULL));
    return sf_path_is_file(path) ? sf_json_load(model_json, path) : SF_OK;
}

/** Configuration and mirror axes. Of nnU-Net's checkpoints the first decides; an old one without
 * the entry: no mirroring. */
static sf_status describe(sf_model *m, const char *dir, const json_t *model_json,
                          const json_t *torch_meta)
{
    char path[SF_PATH_MAX];
    SF_TRY(find_config(m, dir, model_json, json_object_get(torch_meta, "init_args")));
    SF_TRY(sf_path_join(path, dir, "model.json", NULL));
    SF_TRY(our_mirror_axes(m, model_json, path));
    if (torch_meta == NULL) return SF_OK;
    return peer_mirror_axes(m, json_object_get(torch_meta, "inference_allowed_mirroring_axes"),
                            dir);
}

static sf_status load_all(sf_model *m, const char *dir, const int *folds, int n_folds,
                          const char *checkpoint)
{
    json_t *model_json = NULL, *torch_meta = NULL;
    sf_status st;
    SF_GOTO(done, st, load_json(m, dir, &model_json));
    SF_GOTO(done, st, load_folds(m, dir, folds, n_folds, checkpoint, &torch_meta));
    SF_GOTO(done, st, describe(m, dir, model_json, torch_meta));
done:
    json_decref(torch_meta);
    json_decref(model_json);
    return st;
}

sf_status sf_model_load(sf_model **out, const char *dir, const int *folds, int n_folds,
                        const char *checkpoint)
{
    sf_model *m;
    *out = NULL;
    SF_TRY(sf_mem_calloc(&m, 1, sizeof *m, SF_MEM_MISC));
    const sf_status st = load_all(m, dir, folds, n_folds, checkpoint);
    if (st != SF_OK) {
        sf_model_destroy(&m);
        return sf_trace_(st, __FILE__, __LINE__, dir);
    }
    *out = m;
    return SF_OK;
}
