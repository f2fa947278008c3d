#include "base/json.h"
#include "base/mem.h"
#include "cli/bench.h"
#include "cli/bench_predict.h"
#include "cli/command.h"
#include "fleet/threads.h"
#include "kernels/cpu.h"
#include "kernels/peak.h"
#include <string.h>

static sf_status print_step(const sf_bench_words *w, const char *config, int threads,
                            const sf_bench_step_result *r)
{
    const double rate = r->gflop / r->cpu_seconds_per_step;
    printf("step %s batch=%lld threads=%d isa=%s precision=%s conv=%s\n", config,
           (long long)r->batch, threads, sf_cpu_isa_name(sf_cpu_isa()), w->precision, w->conv);
    printf("  %.4f s per step, %.4f CPU s, %.1f GFLOP, %.1f GFLOP/s of CPU time\n",
           r->seconds_per_step, r->cpu_seconds_per_step, r->gflop, rate);
    printf("  forward %.4f  loss %.4f  backward %.4f  optimiser %.4f s\n", r->forward, r->loss,
           r->backward, r->optimiser);
    printf("  memory: %.0f MiB by the plan, %.0f MiB measured\n", (double)r->peak_bytes / 1048576.0,
           (double)r->measured_peak_bytes / 1048576.0);
    if (!w->json) return SF_OK;
    json_t *j = json_pack(
        "{s:s,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:I,s:I,s:I,s:i,s:s,s:s,s:s}", "configuration",
        config, "seconds_per_step", r->seconds_per_step, "cpu_seconds_per_step",
        r->cpu_seconds_per_step, "gflops", rate, "gflop", r->gflop, "forward", r->forward, "loss",
        r->loss, "backward", r->backward, "optimiser", r->optimiser, "peak_bytes",
        (json_int_t)r->peak_bytes, "measured_peak_bytes", (json_int_t)r->measured_peak_bytes,
        "batch", (json_int_t)r->batch, "threads", threads, "isa", sf_cpu_isa_name(sf_cpu_isa()),
        "precision", w->precision, "conv", w->conv);
    SF_CHECK(j, SF_ENOMEM, "out of memory");
    sf_status st = sf_json_save(j, w->json, 4, false);
    json_decref(j);
    return st;
}

static sf_status run_step(const sf_bench_words *w, const sf_bench_step *b)
{
    sf_bench_step_result r;
    SF_TRY(sf_bench_step_run(b, &r));
    return print_step(w, b->config, b->threads, &r);
}

typedef sf_status bench_run(const sf_bench_words *w, const sf_bench_step *b);

/* Both measurements of a step need the plan and the labels. */
static sf_status with_plan(const sf_bench_words *w, bench_run *run)
{
    sf_plans *p = NULL;
    sf_dataset *d = NULL;
    sf_status st;
    sf_dtype precision;
    SF_GOTO(end, st, sf_precision_of(&precision, w->precision));
    SF_GOTO(end, st, sf_plans_load(&p, w->plans));
    SF_GOTO(end, st, sf_dataset_from_json(&d, w->dataset_json));
    SF_CHECK_GOTO(end, st, p->n_configs > 0, SF_EDATA, "%s has no configuration", w->plans);
    const char *config = w->config ? w->config : p->config[p->n_configs - 1].name;
    const int threads = w->threads > 0 ? (int)w->threads : sf_threads_available();
    const sf_bench_step b = { .plans = p,
                              .labels = &d->labels,
                              .config = config,
                              .batch = w->batch,
                              .threads = threads,
                              .repeat = (int)w->repeat,
                              .exact = strcmp(w->conv, "exact") == 0,
                              .precision = precision };
    SF_GOTO(end, st, run(w, &b));
end:
    sf_dataset_destroy(&d);
    sf_plans_destroy(&p);
    return st;
}

static sf_status bench_peak(const sf_bench_words *w)
{
    const char *isa;
    double read, copy;
    const double gflops = sf_peak_fma(0.5, &isa);
    sf_peak_memory((size_t)256 << 20, 1.0, &read, &copy);
    printf("one core: %.1f GFLOP/s float32 (%s), reads %.1f GB/s, copies %.1f GB/s\n", gflops, isa,
           read, copy);
    if (!w->json) return SF_OK;
    json_t *j = json_pack("{s:s,s:f,s:f,s:f}", "isa", isa, "fma_gflops", gflops, "read_gb_per_s",
                          read, "copy_gb_per_s", copy);
    SF_CHECK(j, SF_ENOMEM, "out of memory");
    sf_status st = sf_json_save(j, w->json, 4, false);
    json_decref(j);
    return st;
}

static sf_status bench_predict(const sf_bench_words *w, sf_bench_predict_words *p)
{
    SF_CHECK(p->model && p->in.count > 0, SF_EINVAL, "bench predict: give --model and --input");
    p->json = w->json;
    p->threads = w->threads > 0 ? (int)w->threads : sf_threads_available();
    p->repeat = (int)w->repeat;
    p->exact = strcmp(w->conv, "exact") == 0;
    SF_TRY(sf_precision_of(&p->precision, w->precision));
    return sf_bench_predict(p);
}

/* Measurements with options of their own. */
static const struct {
    const char *name;
    sf_command_fn *run;
} PARTS[] = { { "augment", sf_bench_augment_words }, { "preprocess", sf_bench_preprocess_words } };

sf_status sf_cmd_bench(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof PARTS / sizeof *PARTS; i++)
        if (strcmp(argv[1], PARTS[i].name) == 0) return PARTS[i].run(argc - 1, argv + 1);
    sf_bench_words w = { .conv = "fast", .precision = "fp32", .repeat = 5 };
    sf_bench_predict_words predict = { 0 };
    const char *what = NULL;
    bool done = false;
    sf_arg args[] = {
        SF_ARG("WHAT", 0, STR, &what, NULL,
               "step = one training step on random data; layers = the same, part by part; "
               "predict = images through a model; "
               "peak = what a core can do at most",
               .positional = true, .required = true),
        SF_ARG("plans", 'p', STR, &w.plans, "FILE", "plans file (step, layers)"),
        SF_ARG("dataset-json", 'd', STR, &w.dataset_json, "FILE",
               "dataset.json that belongs to it (step, layers)"),
        SF_ARG("config", 'c', STR, &w.config, "NAME", "default: the last of the plan"),
        SF_ARG("model", 'm', STR, &predict.model, "DIR", "model folder (predict)"),
        SF_ARG("input", 'i', LIST, &predict.in, "DIR|FILE...", "images (predict)"),
        SF_ARG("batch", 'b', INT, &w.batch, "B", "default: the plan's"),
        SF_ARG("threads", 't', INT, &w.threads, "T", "default: all processors"),
        SF_ARG("repeat", 'n', INT, &w.repeat, "N",
               "timed steps or runs; medians are reported; default 5"),
        SF_ARG("conv", 0, STR, &w.conv, "fast|exact", "convolution kernels; default fast"),
        SF_ARG("precision", 0, STR, &w.precision, "fp32|bf16", SF_CLI_PRECISION),
        SF_ARG("json", 'j', STR, &w.json, "FILE", "write the figures as JSON"),
        SF_ARG_END,
    };
    const sf_arg_table table = {
        "bench", "measure this machine: a training step, a prediction, the peak of a core",
        "bench augment and bench preprocess have options of their own: bench augment --help.", args
    };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return SF_OK;
    SF_CHECK(w.repeat >= 1 && w.repeat <= 10000 && w.batch >= 0 && w.threads >= 0, SF_EINVAL,
             "bench: numbers out of range");
    SF_CHECK(strcmp(w.conv, "fast") == 0 || strcmp(w.conv, "exact") == 0, SF_EINVAL,
             "--conv must be fast or exact");
    if (strcmp(what, "peak") == 0) return bench_peak(&w);
    if (strcmp(what, "predict") == 0) return bench_predict(&w, &predict);
    const bool layers = strcmp(what, "layers") == 0;
    SF_CHECK(layers || strcmp(what, "step") == 0, SF_EINVAL,
             "bench: '%s' is none of step, layers, predict, peak", what);
    SF_CHECK(w.plans && w.dataset_json, SF_EINVAL, "bench %s: give --plans and --dataset-json",
             what);
    return with_plan(&w, layers ? sf_cli_bench_layers : run_step);
}
