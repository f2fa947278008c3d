#include "plan/work.h"
#include "plan/splits.h"
#include <stdio.h>
#include <string.h>

/* A work folder belongs to one seed (run.json), so a plain run has nnU-Net's short paths; the tasks
 * of an ablation are told apart by variant and seed. */

static const char *variant_name(const sf_task_key *key)
{
    return key->variant && key->variant[0] ? key->variant : "none";
}

static void fold_name(char out[24], int fold)
{
    if (fold == SF_FOLD_ALL)
        snprintf(out, 24, "all");
    else
        snprintf(out, 24, "%d", fold);
}

sf_status sf_work_file(char out[SF_PATH_MAX], const char *work, const char *name)
{
    return sf_path_join(out, work, name, NULL);
}

sf_status sf_work_container(char out[SF_PATH_MAX], const char *work,
                            const char *data_identifier_config)
{
    return sf_path_format(out, "%s/preprocessed/%s.h5", work, data_identifier_config);
}

sf_status sf_work_model_dir(char out[SF_PATH_MAX], const char *work, const sf_task_key *key)
{
    const bool named = key->variant && key->variant[0] && strcmp(key->variant, "none") != 0;
    if (!named) return sf_path_join(out, work, "results", key->config);
    SF_CHECK(strlen(key->variant) < 64 && !strchr(key->variant, '/'), SF_EINVAL,
             "variant \"%.80s\": a variant's name has at most 63 characters and no slash",
             key->variant);
    return sf_path_format(out, "%s/results/%s/%s_seed_%llu", work, key->config, key->variant,
                          (unsigned long long)key->seed);
}

sf_status sf_work_fold_dir(char out[SF_PATH_MAX], const char *work, const sf_task_key *key)
{
    char dir[SF_PATH_MAX], fold[24];
    fold_name(fold, key->fold);
    SF_TRY(sf_work_model_dir(dir, work, key));
    return sf_path_format(out, "%s/fold_%s", dir, fold);
}

void sf_work_key_text(char out[256], const sf_task_key *key)
{
    char fold[24];
    fold_name(fold, key->fold);
    snprintf(out, 256, "variant=%.60s seed=%llu cfg=%.100s fold=%s", variant_name(key),
             (unsigned long long)key->seed, key->config, fold);
}

void sf_work_scope(char out[256], const sf_task_key *key)
{
    char fold[24];
    fold_name(fold, key->fold);
    snprintf(out, 256, "%.60s/%.100s/%s", variant_name(key), key->config, fold);
}
