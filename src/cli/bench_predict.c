#include "cli/bench_predict.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "fleet/apply.h"
#include "fleet/inputs.h"
#include "kernels/cpu.h"
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* Stages that do not overlap, in the order of a case. */
static const sf_event stages[] = { SF_EV_READ,       SF_EV_PREPROCESS, SF_EV_CUT,  SF_EV_FORWARD,
                                   SF_EV_ACCUMULATE, SF_EV_EXPORT,     SF_EV_WRITE };
enum { STAGES = sizeof stages / sizeof stages[0] };

typedef struct {
    const sf_bench_predict_words *w;
    sf_dataset *dataset;
    sf_case *cases;
    int n_cases;
    char dir[SF_PATH_MAX];                 /* temporary */
    double *seconds[STAGES], *total, *cpu; /* [repeat] */
    int64_t windows;                       /* of one run */
    double flops;
} bench;

static sf_status open_bench(bench *b)
{
    char path[SF_PATH_MAX];
    const char *tmp = getenv("TMPDIR");
    const size_t n = (size_t)b->w->repeat;
    SF_TRY(sf_path_join(path, b->w->model, "dataset.json", NULL));
    SF_TRY(sf_dataset_from_json(&b->dataset, path));
    SF_TRY(sf_inputs_find(&b->cases, &b->n_cases, b->w->in.item, b->w->in.count, b->dataset));
    for (int k = 0; k < STAGES; k++)
        SF_TRY(sf_mem_calloc(&b->seconds[k], n, sizeof(double), SF_MEM_MISC));
    SF_TRY(sf_mem_calloc(&b->total, n, sizeof(double), SF_MEM_MISC));
    SF_TRY(sf_mem_calloc(&b->cpu, n, sizeof(double), SF_MEM_MISC));
    SF_TRY(sf_path_format(path, "%s/segfleet-bench-XXXXXX", tmp && *tmp ? tmp : "/tmp"));
    SF_CHECK(mkdtemp(path), SF_EIO, "%s: no temporary folder can be made", path);
    return sf_path_format(b->dir, "%s", path);
}

static void close_bench(bench *b)
{
    if (b->dir[0]) sf_path_remove(b->dir);
    for (int k = 0; k < STAGES; k++) sf_mem_free(b->seconds[k]);
    sf_mem_free(b->total);
    sf_mem_free(b->cpu);
    sf_cases_free(&b->cases, b->n_cases);
    sf_dataset_destroy(&b->dataset);
}

/* Of all threads: what a busy machine does not change. */
static double cpu_seconds(void)
{
    struct timespec t;
    return clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0
               ? (double)t.tv_sec + 1e-9 * (double)t.tv_nsec
               : 0;
}

static sf_status run_once(bench *b, int i)
{
    sf_prof prof = { 0 };
    const sf_apply_options o = { .model = { b->w->model },
                                 .n_models = 1,
                                 .checkpoint = "checkpoint_final",
                                 .mirror = true,
                                 .exact = b->w->exact,
                                 .precision = b->w->precision,
                                 .threads = b->w->threads,
                                 .prof = &prof };
    const double start = sf_now(), cpu = cpu_seconds();
    SF_TRY(sf_apply_cases(sf_comm_self(), &o, b->cases, b->n_cases, b->dir));
    b->total[i] = sf_now() - start;
    b->cpu[i] = cpu_seconds() - cpu;
    for (int k = 0; k < STAGES; k++) b->seconds[k][i] = prof.ev[stages[k]].seconds;
    b->windows = prof.ev[SF_EV_CUT].calls;
    b->flops = prof.ev[SF_EV_FORWARD].flops;
    return SF_OK;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, ascending);
    return 0.5 * (v[(n - 1) / 2] + v[n / 2]);
}

static int64_t resident_peak(void)
{
    struct rusage u;
    return getrusage(RUSAGE_SELF, &u) == 0 ? (int64_t)u.ru_maxrss * 1024 : 0;
}

/* Medians: stages, then what is left, then the whole. */
typedef struct {
    double stage[STAGES], other, total, cpu, gflops, windows_per_second;
} figures;

static void find_figures(figures *f, const bench *b)
{
    double named = 0, forward = 0;
    f->total = median(b->total, b->w->repeat);
    f->cpu = median(b->cpu, b->w->repeat);
    for (int k = 0; k < STAGES; k++) {
        named += f->stage[k] = median(b->seconds[k], b->w->repeat);
        if (stages[k] == SF_EV_FORWARD) forward = f->stage[k];
    }
    f->other = f->total - named;
    f->gflops = b->flops / forward * 1e-9;
    f->windows_per_second = (double)b->windows / f->total;
}

static void print_figures(const figures *f, const bench *b)
{
    printf("predict cases=%d windows=%lld threads=%d isa=%s precision=%s conv=%s\n", b->n_cases,
           (long long)b->windows, b->w->threads, sf_cpu_isa_name(sf_cpu_isa()),
           sf_precision_name(b->w->precision), b->w->exact ? "exact" : "fast");
    for (int k = 0; k < STAGES; k++)
        printf("  %-12s %9.4f s %5.1f %%\n", sf_prof_name(stages[k]), f->stage[k],
               100 * f->stage[k] / f->total);
    printf("  %-12s %9.4f s %5.1f %%   the model, folders\n", "other", f->other,
           100 * f->other / f->total);
    printf("  %-12s %9.4f s, %.4f CPU s\n", "total", f->total, f->cpu);
    printf("  %.2f windows/s, %.1f GFLOP/s in the network\n", f->windows_per_second, f->gflops);
    printf("  memory: %.0f MiB at most, the process %.0f MiB\n", (double)sf_mem_peak() / 1048576.0,
           (double)resident_peak() / 1048576.0);
}

static sf_status save_figures(const figures *f, const bench *b)
{
    json_t *seconds = json_object();
    for (int k = 0; seconds && k < STAGES; k++)
        json_object_set_new(seconds, sf_prof_name(stages[k]), json_real(f->stage[k]));
    json_t *j = json_pack(
        "{s:o,s:f,s:f,s:f,s:I,s:f,s:f,s:I,s:I,s:i,s:i,s:i,s:s,s:s,s:s}", "seconds", seconds,
        "seconds_other", f->other, "seconds_total", f->total, "cpu_seconds", f->cpu, "windows",
        (json_int_t)b->windows, "windows_per_second", f->windows_per_second, "gflops", f->gflops,
        "peak_bytes", (json_int_t)sf_mem_peak(), "resident_peak_bytes", (json_int_t)resident_peak(),
        "cases", b->n_cases, "threads", b->w->threads, "repeat", b->w->repeat, "isa",
        sf_cpu_isa_name(sf_cpu_isa()), "conv", b->w->exact ? "exact" : "fast", "precision",
        sf_precision_name(b->w->precision));
    SF_CHECK(j, SF_ENOMEM, "out of memory");
    const sf_status st = sf_json_save(j, b->w->json, 4, false);
    json_decref(j);
    return st;
}

sf_status sf_bench_predict(const sf_bench_predict_words *w)
{
    bench b = { .w = w };
    figures f;
    sf_status st;
    SF_GOTO(end, st, open_bench(&b));
    for (int i = 0; i < w->repeat; i++) SF_GOTO(end, st, run_once(&b, i));
    find_figures(&f, &b);
    print_figures(&f, &b);
    if (w->json) SF_GOTO(end, st, save_figures(&f, &b));
end:
    close_bench(&b);
    return st;
}
