/* bench augment: patches per second of a plan's training augmentation. */
#include "base/json.h"
#include "base/mem.h"
#include "batch/bench.h"
#include "cli/command.h"
#include "fleet/threads.h"
#include "report/table.h"

typedef struct {
    const char *plans, *dataset_json, *config, *recipe, *json;
    int64_t threads, repeat;
} words;

/* What was measured, under which names. */
typedef struct {
    const sf_config *cfg;
    const sf_bench_augment *bench;
    const sf_bench_augment_result *r;
    const char *recipe;
} report;

static double per_patch(const report *p, double seconds)
{
    return seconds / (double)p->bench->patches;
}

static sf_status fill_table(sf_table *t, const report *p)
{
    double all = 0;
    for (int s = 0; s < SF_AUG_STAGES; s++) all += p->r->stage[s];
    SF_TRY(sf_table_cell(t, "transform"));
    SF_TRY(sf_table_cell(t, "ms per patch"));
    SF_TRY(sf_table_cell(t, "share %%"));
    for (int s = 0; s < SF_AUG_STAGES; s++) {
        SF_TRY(sf_table_cell(t, "%s", sf_augment_stage_name(s)));
        SF_TRY(sf_table_cell(t, "%.3f", 1e3 * per_patch(p, p->r->stage[s])));
        SF_TRY(sf_table_cell(t, "%.1f", 100 * p->r->stage[s] / all));
    }
    return SF_OK;
}

static sf_status print(const report *p)
{
    const int64_t *n = p->cfg->patch;
    sf_table *t = NULL;
    char *text = NULL;
    sf_status st;
    printf("augment %s recipe=%s patch=%lldx%lldx%lld channels=%d threads=%d patches=%lld\n",
           p->cfg->name, p->recipe, (long long)n[0], (long long)n[1], (long long)n[2],
           p->bench->channels, p->bench->threads, (long long)p->bench->patches);
    printf("  %.2f patches/s, %.3f CPU ms per patch, %lld bytes per patch, hash %016llx\n",
           (double)p->bench->patches / p->r->seconds, 1e3 * per_patch(p, p->r->cpu_seconds),
           (long long)p->r->patch_bytes, (unsigned long long)p->r->hash);
    SF_GOTO(done, st, sf_table_create(&t, 3));
    SF_GOTO(done, st, fill_table(t, p));
    SF_GOTO(done, st, sf_table_text(&text, t));
    printf("%s", text);
done:
    sf_mem_free(text);
    sf_table_destroy(&t);
    return st;
}

static sf_status save(const report *p, const char *path)
{
    json_t *stages = json_object();
    for (int s = 0; s < SF_AUG_STAGES; s++)
        json_object_set_new(stages, sf_augment_stage_name(s),
                            sf_json_real(per_patch(p, p->r->stage[s])));
    json_t *j = json_pack(
        "{s:s,s:s,s:f,s:f,s:i,s:I,s:I,s:i,s:o}", "configuration", p->cfg->name, "recipe", p->recipe,
        "patches_per_second", (double)p->bench->patches / p->r->seconds, "cpu_seconds_per_patch",
        per_patch(p, p->r->cpu_seconds), "threads", p->bench->threads, "patches",
        (json_int_t)p->bench->patches, "bytes_per_patch", (json_int_t)p->r->patch_bytes, "channels",
        p->bench->channels, "seconds_per_patch", stages);
    SF_CHECK(j, SF_ENOMEM, "out of memory");
    const sf_status st = sf_json_save(j, path, 4, false);
    json_decref(j);
    return st;
}

static sf_status run(const words *w)
{
    sf_plans *plans = NULL;
    sf_dataset *d = NULL;
    sf_recipe *named = NULL;
    sf_bench_augment_result r;
    report p = { .r = &r };
    sf_status st;
    SF_GOTO(end, st, sf_plans_load(&plans, w->plans));
    SF_GOTO(end, st, sf_dataset_from_json(&d, w->dataset_json));
    SF_CHECK_GOTO(end, st, plans->n_configs > 0, SF_EDATA, "%s has no configuration", w->plans);
    if (w->recipe) SF_GOTO(end, st, sf_recipe_load(&named, w->recipe));
    const sf_recipe *recipe = named ? named : plans->recipe;
    const char *config = w->config ? w->config : plans->config[plans->n_configs - 1].name;
    SF_GOTO(end, st, sf_plans_config(&p.cfg, plans, config));
    const sf_bench_augment b = { .cfg = p.cfg,
                                 .recipe = recipe,
                                 .channels = plans->n_channels,
                                 .labels = d->labels.n_labels,
                                 .threads =
                                     w->threads > 0 ? (int)w->threads : sf_threads_available(),
                                 .patches = w->repeat };
    p.bench = &b;
    p.recipe = recipe->name;
    SF_GOTO(end, st, sf_bench_augment_run(&b, &r));
    SF_GOTO(end, st, print(&p));
    if (w->json) SF_GOTO(end, st, save(&p, w->json));
end:
    sf_recipe_destroy(&named);
    sf_dataset_destroy(&d);
    sf_plans_destroy(&plans);
    return st;
}

sf_status sf_bench_augment_words(int argc, char **argv)
{
    words w = { .repeat = 100 };
    bool done = false;
    sf_arg args[] = {
        SF_ARG("plans", 'p', STR, &w.plans, "FILE", "plans file", .required = true),
        SF_ARG("dataset-json", 'd', STR, &w.dataset_json, "FILE", "dataset.json that belongs to it",
               .required = true),
        SF_ARG("config", 'c', STR, &w.config, "NAME", "default: the last of the plan"),
        SF_ARG("recipe", 'r', STR, &w.recipe, "paper|nnunetv2|FILE", "default: the plan's"),
        SF_ARG("threads", 't', INT, &w.threads, "T", "default: all processors", .positive = true),
        SF_ARG("repeat", 'n', INT, &w.repeat, "N", "patches; default 100", .positive = true),
        SF_ARG("json", 'j', STR, &w.json, "FILE", "write the figures as JSON"),
        SF_ARG_END,
    };
    const sf_arg_table table = { "bench augment",
                                 "patches per second of a plan's training augmentation",
                                 "The images are noise; patch i draws what step i of a training "
                                 "draws, so two runs do the same work.",
                                 args };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    return done ? SF_OK : run(&w);
}
