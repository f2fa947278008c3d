#include "train/folder.h"
#include "base/log.h"
#include "train/handover.h"
#include "train/validate.h"

bool sf_train_is_done(const char *work, const sf_task_key *key, const sf_plans *plans,
                      const sf_id_list *val, bool probabilities)
{
    char dir[SF_PATH_MAX], final[SF_PATH_MAX];
    const sf_config *cfg;
    if (sf_plans_config(&cfg, plans, key->config) != SF_OK) return false;
    if (sf_work_fold_dir(dir, work, key) != SF_OK) return false;
    return sf_path_join(final, dir, "checkpoint_final.h5", NULL) == SF_OK &&
           sf_path_is_file(final) && sf_validate_complete(dir, val, probabilities) &&
           (!cfg->next_stage || sf_handover_complete(dir, cfg->next_stage, val));
}

sf_status sf_train_drop_predictions(const char *dir, sf_train_part part)
{
    static const char *const all[] = { "validation", "predicted_next_stage", "validation_best" };
    const int first = part == SF_TRAIN_VALIDATE_BEST ? 2 : 0;
    const int end = part == SF_TRAIN_VALIDATE ? 2 : 3;
    for (int i = first; i < end; i++) {
        char path[SF_PATH_MAX];
        SF_TRY(sf_path_join(path, dir, all[i], NULL));
        SF_TRY(sf_path_remove(path));
    }
    return SF_OK;
}

void sf_train_open_log(const char *dir, const sf_train_options *o, const sf_train_state *s,
                       int ranks)
{
    char path[SF_PATH_MAX], key[256];
    if (sf_path_join(path, dir, "training.log", NULL) != SF_OK) return;
    sf_log_file_open(path);
    sf_work_key_text(key, &o->key);
    sf_log(SF_LOG_INFO, "train",
           "%s epochs=%lld iterations=%lld batch=%lld train_cases=%d val_cases=%d ranks=%d "
           "threads=%d",
           key, (long long)s->epochs, (long long)s->iterations, (long long)s->batch,
           o->train->count, o->val->count, ranks, o->threads);
}

void sf_train_log_times(const sf_prof *prof)
{
    for (int e = 0; e < SF_EV_COUNT; e++) {
        const double sec = prof->ev[e].seconds;
        if (prof->ev[e].calls == 0) continue;
        sf_log(SF_LOG_INFO, "time", "stage=%s calls=%lld sec=%.2f gflops=%.1f",
               sf_prof_name((sf_event)e), (long long)prof->ev[e].calls, sec,
               sec > 0 ? prof->ev[e].flops / sec / 1e9 : 0);
    }
}
