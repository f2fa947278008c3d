#include "train/memory.h"
#include "base/log.h"
#include "train/validate.h"

static double mib(int64_t bytes) { return (double)bytes / 1048576.0; }

/* Bytes of the preprocessed cases of a list, which are mapped. */
static sf_status mapped_bytes(const sf_cases *cases, const sf_id_list *list, int64_t *bytes)
{
    for (int i = 0; i < list->count; i++) {
        sf_case_view v;
        SF_TRY(sf_cases_get(cases, sf_cases_index(cases, list->id[i]), &v));
        const int64_t *n = v.props.shape;
        *bytes +=
            n[0] * n[1] * n[2] * (v.channels * (int64_t)sizeof *v.data + (int64_t)sizeof *v.seg);
    }
    return SF_OK;
}

enum { TRAINING, VALIDATION, DATA, PARTS };

/* Each step; then validation, which has the parameters alone beside it. Pages of the cases stay as
 * long as there is room. */
static sf_status foretell(int64_t most[PARTS], const sf_train_memory *m,
                          const sf_train_options *opt, const sf_cases *cases, int64_t scratch,
                          int64_t parameters)
{
    most[TRAINING] = sf_mem_live(SF_MEM_CATEGORIES) - m->live_at_start + scratch;
    SF_TRY(sf_validate_bytes(&most[VALIDATION], opt, cases));
    most[VALIDATION] += 3 * parameters * (int64_t)sizeof(float); /* gradient and momentum too */
    SF_TRY(mapped_bytes(cases, opt->train, &most[DATA]));
    return opt->key.fold == SF_FOLD_ALL ? SF_OK : mapped_bytes(cases, opt->val, &most[DATA]);
}

void sf_train_memory_begin(sf_train_memory *m)
{
    m->foretold = 0;
    m->live_at_start = sf_mem_live(SF_MEM_CATEGORIES);
    sf_mem_of_process(&m->at_start);
}

sf_status sf_train_memory_foretell(sf_train_memory *m, sf_comm *group, const sf_train_options *opt,
                                   const sf_cases *cases, int64_t scratch, int64_t parameters)
{
    int64_t most[PARTS] = { 0 };
    SF_TRY(sf_comm_agree(group, foretell(most, m, opt, cases, scratch, parameters)));
    SF_TRY(sf_comm_max_i64(group, most, PARTS));
    m->foretold =
        most[DATA] + (most[TRAINING] > most[VALIDATION] ? most[TRAINING] : most[VALIDATION]);
    sf_log(SF_LOG_INFO, "memory",
           "peak_mib=%.1f training_mib=%.1f validation_mib=%.1f data_mib=%.1f", mib(m->foretold),
           mib(most[TRAINING]), mib(most[VALIDATION]), mib(most[DATA]));
    return SF_OK;
}

sf_status sf_train_memory_measure(const sf_train_memory *m, sf_comm *group)
{
    sf_mem_process now;
    if (m->foretold == 0) return SF_OK;
    sf_mem_of_process(&now);
    int64_t most = now.highest > m->at_start.highest ? now.highest - m->at_start.resident : 0;
    SF_TRY(sf_comm_max_i64(group, &most, 1));
    if (most > 0)
        sf_log(SF_LOG_INFO, "memory", "foretold_mib=%.1f measured_mib=%.1f", mib(m->foretold),
               mib(most));
    return SF_OK;
}
