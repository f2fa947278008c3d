/* bench preprocess: cases per second, and where the time goes. */
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "cli/command.h"
#include "fleet/threads.h"
#include "preprocess/pipeline.h"
#include "report/table.h"
#include <stdlib.h>
#include <sys/stat.h>

typedef struct {
    const char *dataset, *plans, *config, *json;
    int64_t threads;
} words;

typedef struct {
    const sf_config *cfg;
    int threads, cases;
    double seconds, cpu_seconds, bytes_read, bytes_written;
    sf_prepare_times times;
} result;

static double file_bytes(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? (double)info.st_size : 0;
}

static double dataset_bytes(const sf_dataset *d)
{
    double bytes = 0;
    for (int i = 0; i < d->n_train; i++) {
        const sf_case *c = &d->train[i];
        for (int k = 0; k < c->n_images; k++) bytes += file_bytes(c->images[k]);
        bytes += file_bytes(c->label);
    }
    return bytes;
}

/* Into a folder that is removed again. */
static sf_status measure(result *r, const sf_dataset *d, const sf_plans *plans)
{
    char dir[] = "/tmp/segfleet-bench-XXXXXX", path[SF_PATH_MAX];
    SF_CHECK(mkdtemp(dir) != NULL, SF_EIO, "%s: cannot create a folder", dir);
    sf_status st;
    SF_GOTO(done, st, sf_path_join(path, dir, "cases.h5", NULL));
    const double cpu = sf_cpu_seconds(), begin = sf_now();
    SF_GOTO(
        done, st,
        sf_preprocess_config_timed(sf_comm_self(), d, plans, r->cfg, path, r->threads, &r->times));
    r->seconds = sf_now() - begin;
    r->cpu_seconds = sf_cpu_seconds() - cpu;
    r->cases = d->n_train;
    r->bytes_read = dataset_bytes(d);
    r->bytes_written = file_bytes(path);
done:
    if (st == SF_OK) return sf_path_remove(dir);
    sf_error_state why;
    sf_error_save(&why, st);
    sf_path_remove(dir);
    return sf_error_restore(&why);
}

static sf_status fill_table(sf_table *t, const result *r)
{
    SF_TRY(sf_table_cell(t, "step"));
    SF_TRY(sf_table_cell(t, "seconds"));
    SF_TRY(sf_table_cell(t, "share %%"));
    for (int s = 0; s < SF_STEP_COUNT; s++) {
        SF_TRY(sf_table_cell(t, "%s", sf_prepare_step_name(s)));
        SF_TRY(sf_table_cell(t, "%.3f", r->times.seconds[s]));
        SF_TRY(sf_table_cell(t, "%.1f", 100 * r->times.seconds[s] / r->seconds));
    }
    return SF_OK;
}

static sf_status print(const result *r)
{
    sf_table *t = NULL;
    char *text = NULL;
    sf_status st;
    printf("preprocess %s cases=%d threads=%d\n", r->cfg->name, r->cases, r->threads);
    printf("  %.3f cases/s, %.3f s, %.3f CPU s, %.1f MB read, %.1f MB written\n",
           r->cases / r->seconds, r->seconds, r->cpu_seconds, r->bytes_read / 1e6,
           r->bytes_written / 1e6);
    SF_GOTO(done, st, sf_table_create(&t, 3));
    SF_GOTO(done, st, fill_table(t, r));
    SF_GOTO(done, st, sf_table_text(&text, t));
    printf("%s", text);
done:
    sf_mem_free(text);
    sf_table_destroy(&t);
    return st;
}

static sf_status save(const result *r, const char *path)
{
    json_t *steps = json_object();
    for (int s = 0; s < SF_STEP_COUNT; s++)
        json_object_set_new(steps, sf_prepare_step_name(s), sf_json_real(r->times.seconds[s]));
    json_t *j =
        json_pack("{s:s,s:f,s:f,s:f,s:i,s:i,s:f,s:f,s:o}", "configuration", r->cfg->name,
                  "cases_per_second", r->cases / r->seconds, "seconds", r->seconds, "cpu_seconds",
                  r->cpu_seconds, "cases", r->cases, "threads", r->threads, "bytes_read",
                  r->bytes_read, "bytes_written", r->bytes_written, "step_seconds", steps);
    SF_CHECK(j, SF_ENOMEM, "out of memory");
    const sf_status st = sf_json_save(j, path, 4, false);
    json_decref(j);
    return st;
}

static sf_status run(const words *w)
{
    sf_plans *plans = NULL;
    sf_dataset *d = NULL;
    result r = { .threads = w->threads > 0 ? (int)w->threads : sf_threads_available() };
    sf_status st;
    char folder[SF_PATH_MAX];
    SF_GOTO(end, st, sf_cli_dataset(folder, w->dataset));
    SF_GOTO(end, st, sf_dataset_load(&d, folder));
    SF_GOTO(end, st, sf_plans_load(&plans, w->plans));
    SF_CHECK_GOTO(end, st, plans->n_configs > 0, SF_EDATA, "%s has no configuration", w->plans);
    const char *config = w->config ? w->config : plans->config[plans->n_configs - 1].name;
    SF_GOTO(end, st, sf_plans_config(&r.cfg, plans, config));
    r.cfg = sf_plans_data_owner(plans, r.cfg);
    SF_GOTO(end, st, measure(&r, d, plans));
    SF_GOTO(end, st, print(&r));
    if (w->json) SF_GOTO(end, st, save(&r, w->json));
end:
    sf_plans_destroy(&plans);
    sf_dataset_destroy(&d);
    return st;
}

sf_status sf_bench_preprocess_words(int argc, char **argv)
{
    words w = { 0 };
    bool done = false;
    sf_arg args[] = {
        SF_ARG("DATASET", 0, STR, &w.dataset, NULL, SF_CLI_DATASET, .positional = true,
               .required = true),
        SF_ARG("plans", 'p', STR, &w.plans, "FILE", "plans file", .required = true),
        SF_ARG("config", 'c', STR, &w.config, "NAME", "default: the last of the plan"),
        SF_ARG("threads", 't', INT, &w.threads, "T", "default: all processors", .positive = true),
        SF_ARG("json", 'j', STR, &w.json, "FILE", "write the figures as JSON"),
        SF_ARG_END,
    };
    const sf_arg_table table = { "bench preprocess",
                                 "preprocess all training cases once: cases per second and the "
                                 "time of each step",
                                 "What is written goes to a folder in /tmp and is removed.", args };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    return done ? SF_OK : run(&w);
}
