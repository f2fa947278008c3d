#include "fleet/stages.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "plan/work.h"
#include "preprocess/origin.h"
#include "preprocess/pipeline.h"
#include <stdlib.h>
#include <string.h>

/* Packed prints of this rank's cases, each preceded by its case number and size. */
typedef struct {
    char *data;
    size_t size;
} packet;

static sf_status packet_add(packet *p, int index, const void *data, size_t size)
{
    const int64_t head[2] = { index, (int64_t)size };
    SF_TRY(sf_mem_resize(&p->data, p->size + sizeof head + size, 1, SF_MEM_MISC));
    memcpy(p->data + p->size, head, sizeof head);
    memcpy(p->data + p->size + sizeof head, data, size);
    p->size += sizeof head + size;
    return SF_OK;
}

static sf_status print_my_cases(sf_comm *world, const sf_dataset *d, const sf_recipe *r,
                                packet *mine)
{
    const int rank = sf_comm_rank(world), size = sf_comm_size(world);
    sf_progress *progress = rank == 0 ? sf_progress_begin("fingerprint", d->n_train) : NULL;
    sf_status st = SF_OK;
    for (int i = rank; i < d->n_train && st == SF_OK; i += size) {
        sf_case_print *print = NULL;
        void *data = NULL;
        size_t bytes = 0;
        st = sf_case_print_make(&print, d, r, i);
        if (st == SF_OK) st = sf_case_print_pack(print, &data, &bytes);
        if (st == SF_OK) st = packet_add(mine, i, data, bytes);
        sf_mem_free(data);
        sf_case_print_destroy(&print);
        sf_progress_step(progress, i + 1);
    }
    sf_progress_end(&progress);
    return st;
}

static sf_status unpack(sf_case_print **prints, int n, const char *data, size_t size)
{
    size_t at = 0;
    while (at < size) {
        int64_t head[2];
        memcpy(head, data + at, sizeof head);
        at += sizeof head;
        SF_CHECK(head[0] >= 0 && head[0] < n, SF_EINTERNAL, "case number %lld", (long long)head[0]);
        SF_TRY(sf_case_print_unpack(&prints[head[0]], data + at, (size_t)head[1]));
        at += (size_t)head[1];
    }
    return SF_OK;
}

static sf_status combine_and_save(const sf_dataset *d, const sf_recipe *r, void *const *all,
                                  const size_t *sizes, int ranks, const char *path)
{
    sf_case_print **prints = NULL;
    sf_fingerprint *f = NULL;
    sf_status st;
    SF_GOTO(done, st, sf_mem_calloc(&prints, (size_t)d->n_train, sizeof *prints, SF_MEM_MISC));
    for (int i = 0; i < ranks; i++) SF_GOTO(done, st, unpack(prints, d->n_train, all[i], sizes[i]));
    SF_GOTO(done, st, sf_fingerprint_combine(&f, d, r, prints));
    SF_GOTO(done, st, sf_fingerprint_save(f, d, path));
done:
    sf_fingerprint_destroy(&f);
    for (int i = 0; prints && i < d->n_train; i++) sf_case_print_destroy(&prints[i]);
    sf_mem_free(prints);
    return st;
}

sf_status sf_stage_fingerprint(sf_comm *world, const sf_dataset *d, const sf_recipe *r,
                               const char *path)
{
    int64_t there = sf_path_is_file(path);
    SF_TRY(sf_comm_min_i64(world, &there, 1));
    if (there) return SF_OK;
    packet mine = { NULL, 0 };
    void **all = NULL;
    size_t *sizes = NULL;
    sf_status st = print_my_cases(world, d, r, &mine);
    SF_GOTO(done, st, sf_comm_agree(world, st));
    SF_GOTO(done, st, sf_comm_allgather_bytes(world, mine.data, mine.size, &all, &sizes));
    if (sf_comm_rank(world) == 0)
        st = combine_and_save(d, r, all, sizes, sf_comm_size(world), path);
    st = sf_comm_agree(world, st);
done:
    sf_mem_free(all);
    sf_mem_free(mine.data);
    return st;
}

static sf_status plan_here(const sf_dataset *d, const sf_recipe *r, const sf_planner_options *o,
                           const char *fingerprint, const char *plans)
{
    sf_fingerprint *f = NULL;
    json_t *out = NULL;
    sf_status st;
    SF_GOTO(done, st, sf_fingerprint_load(&f, fingerprint));
    SF_GOTO(done, st, sf_planner_run(&out, NULL, f, d, r, o));
    SF_GOTO(done, st, sf_json_save(out, plans, 4, false));
done:
    json_decref(out);
    sf_fingerprint_destroy(&f);
    return st;
}

sf_status sf_stage_plan(sf_comm *world, const sf_dataset *d, const sf_recipe *r,
                        const sf_planner_options *o, const char *fingerprint, const char *plans)
{
    sf_status st = SF_OK;
    if (sf_comm_rank(world) == 0 && !sf_path_is_file(plans))
        st = plan_here(d, r, o, fingerprint, plans);
    return sf_comm_agree(world, st);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The user's file wins, then the dataset's own; it must fit the dataset before anything is built on
 * it. */
static sf_status make_splits(const sf_dataset *d, const char *path, int folds, const char *groups,
                             const char *splits)
{
    char own[SF_PATH_MAX];
    SF_TRY(splits[0] ? sf_path_format(own, "%s", splits)
                     : sf_path_join(own, d->dir, "splits_final.json", NULL));
    const bool given = splits[0] || sf_path_is_file(own);
    const char **ids = NULL;
    char **group = NULL;
    sf_splits *s = NULL;
    sf_status st;
    SF_GOTO(done, st, sf_mem_calloc(&ids, (size_t)d->n_train, sizeof *ids, SF_MEM_MISC));
    for (int i = 0; i < d->n_train; i++) ids[i] = d->train[i].id;
    qsort(ids, (size_t)d->n_train, sizeof *ids, by_text);
    if (given) {
        SF_CHECK_GOTO(done, st, !groups[0], SF_EINVAL,
                      "%s gives the folds: leave --groups out, or remove that file", own);
        SF_GOTO(done, st, sf_splits_open(&s, own, ids, d->n_train, folds, NULL));
        SF_GOTO(done, st, sf_path_copy(own, path));
        sf_log(SF_LOG_INFO, "splits", "folds=%d from=%s", s->count, own);
        goto done;
    }
    if (groups[0]) SF_GOTO(done, st, sf_splits_groups(&group, groups, ids, d->n_train));
    SF_GOTO(done, st, sf_splits_make(&s, ids, d->n_train, folds, (const char *const *)group));
    SF_GOTO(done, st, sf_splits_save(s, path));
done:
    sf_splits_destroy(&s);
    sf_mem_free(group);
    sf_mem_free(ids);
    return st;
}

/* The folds of a work folder stay what they were when it was started. */
static sf_status check_given(const char *path, const char *splits)
{
    json_t *mine = NULL, *given = NULL;
    sf_status st;
    if (!splits[0]) return SF_OK;
    SF_GOTO(done, st, sf_json_load(&mine, path));
    SF_GOTO(done, st, sf_json_load(&given, splits));
    SF_CHECK_GOTO(done, st, json_equal(mine, given), SF_EINVAL,
                  "%s differs from %s: undo the change, or start another work folder", splits,
                  path);
done:
    json_decref(mine);
    json_decref(given);
    return st;
}

sf_status sf_stage_splits(sf_comm *world, const sf_dataset *d, const char *work, int folds,
                          const char *groups, const char *splits)
{
    char path[SF_PATH_MAX];
    sf_status st = sf_work_file(path, work, "splits_final.json");
    if (st == SF_OK && sf_comm_rank(world) == 0)
        st = sf_path_is_file(path) ? check_given(path, splits)
                                   : make_splits(d, path, folds, groups, splits);
    return sf_comm_agree(world, st);
}

static sf_status copy_description(const sf_dataset *d, const char *work)
{
    char from[SF_PATH_MAX], to[SF_PATH_MAX];
    SF_TRY(sf_path_join(from, d->dir, "dataset.json", NULL));
    SF_TRY(sf_work_file(to, work, "dataset.json"));
    return sf_path_is_file(to) ? SF_OK : sf_path_copy(from, to);
}

/* The data that a configuration reads, unless they are there. */
static sf_status preprocess_one(sf_comm *world, const sf_dataset *d, const sf_plans *p,
                                const char *config, const char *work, int threads)
{
    char path[SF_PATH_MAX];
    const sf_config *cfg = NULL;
    sf_status st = sf_plans_config(&cfg, p, config);
    if (st == SF_OK) cfg = sf_plans_data_owner(p, cfg);
    if (st == SF_OK) st = sf_work_container(path, work, cfg->name);
    SF_TRY(sf_comm_agree(world, st));
    int64_t there = sf_path_is_file(path);
    SF_TRY(sf_comm_min_i64(world, &there, 1));
    if (there) {
        if (sf_comm_rank(world) == 0) st = sf_data_origin_check(path, p, cfg);
        return sf_comm_agree(world, st);
    }
    const double begin = sf_now();
    SF_TRY(sf_preprocess_config(world, d, p, cfg, path, threads));
    sf_log(SF_LOG_INFO, "preprocessed", "cfg=%s cases=%d sec=%.1f", cfg->name, d->n_train,
           sf_now() - begin);
    return SF_OK;
}

sf_status sf_stage_preprocess(sf_comm *world, const sf_dataset *d, const sf_plans *p,
                              char *const *configs, int n, const char *work, int threads)
{
    char dir[SF_PATH_MAX];
    sf_status st = sf_work_file(dir, work, "preprocessed");
    if (st == SF_OK && sf_comm_rank(world) == 0) {
        st = sf_path_make_dirs(dir);
        if (st == SF_OK) st = sf_path_sweep_tmp(dir);
        if (st == SF_OK) st = copy_description(d, work);
    }
    SF_TRY(sf_comm_agree(world, st));
    for (int i = 0; i < n; i++) {
        SF_TRY(preprocess_one(world, d, p, configs[i], work, threads));
        const sf_config *cfg;
        SF_TRY(sf_plans_config(&cfg, p, configs[i]));
        if (cfg->previous_stage)
            SF_TRY(preprocess_one(world, d, p, cfg->previous_stage, work, threads));
    }
    return SF_OK;
}
