#include "base/json.h"
#include "base/mem.h"
#include "cli/bench.h"
#include "kernels/cpu.h"
#include "kernels/peak.h"
#include "report/table.h"
#include <stdio.h>
#include <string.h>

static sf_status row_cells(sf_table *t, const sf_bench_layer *r, double total, double peak)
{
    const double rate = r->gflop / r->seconds;
    SF_TRY(sf_table_cell(t, "%s", r->name));
    SF_TRY(sf_table_cell(t, "%s", r->shape));
    SF_TRY(sf_table_cell(t, "%s", r->direction));
    SF_TRY(sf_table_cell(t, "%s", r->variant));
    SF_TRY(sf_table_cell(t, "%.2f", r->seconds * 1e3));
    SF_TRY(sf_table_cell(t, "%.1f", 100 * r->seconds / total));
    if (r->gflop <= 0) {
        SF_TRY(sf_table_cell(t, "%s", ""));
        return sf_table_cell(t, "%s", "");
    }
    SF_TRY(sf_table_cell(t, "%.0f", rate));
    return sf_table_cell(t, "%.0f", 100 * rate / peak);
}

static sf_status print_rows(const sf_bench_layer *rows, int n, double total, double peak)
{
    static const char *const head[] = { "layer", "shape", "direction", "variant",
                                        "ms",    "%",     "GFLOP/s",   "% of peak" };
    sf_table *t = NULL;
    char *text = NULL;
    sf_status st;
    SF_GOTO(done, st, sf_table_create(&t, 8));
    for (int i = 0; i < 8; i++) SF_GOTO(done, st, sf_table_cell(t, "%s", head[i]));
    for (int i = 0; i < n; i++) SF_GOTO(done, st, row_cells(t, &rows[i], total, peak));
    SF_GOTO(done, st, sf_table_text(&text, t));
    printf("%s", text);
done:
    sf_mem_free(text);
    sf_table_destroy(&t);
    return st;
}

/* Sums per direction, so that one line tells where to look. */
static void print_sums(const sf_bench_layer *rows, int n, double total, double peak)
{
    static const char *const names[] = { "forward", "grad-input", "grad-weight", "grad-norm", "" };
    double gflop = 0;
    for (int i = 0; i < n; i++) gflop += rows[i].gflop;
    printf("\nstep %.4f CPU s, %.1f GFLOP/s, %.2f x the peak of one core (%.1f):", total,
           gflop / total, gflop / total / peak, peak);
    for (int d = 0; d < 5; d++) {
        double sum = 0;
        for (int i = 0; i < n; i++)
            if (strcmp(rows[i].direction, names[d]) == 0) sum += rows[i].seconds;
        printf(" %s %.4f", *names[d] ? names[d] : "rest", sum);
    }
    printf("\n");
}

static sf_status save_rows(const sf_bench_layer *rows, int n, const char *path)
{
    json_t *list = json_array();
    SF_CHECK(list, SF_ENOMEM, "out of memory");
    sf_status st = SF_OK;
    for (int i = 0; i < n && st == SF_OK; i++) {
        const sf_bench_layer *r = &rows[i];
        json_t *row = json_pack("{s:s,s:s,s:s,s:s,s:f,s:f}", "name", r->name, "shape", r->shape,
                                "direction", r->direction, "variant", r->variant, "seconds",
                                r->seconds, "gflops", r->gflop / r->seconds);
        if (json_array_append_new(list, row) != 0) st = SF_ENOMEM;
    }
    if (st == SF_OK) st = sf_json_save(list, path, 4, false);
    json_decref(list);
    return st;
}

sf_status sf_cli_bench_layers(const sf_bench_words *w, const sf_bench_step *b)
{
    sf_bench_layer *rows = NULL;
    const char *isa;
    int n = 0;
    double total = 0;
    sf_status st;
    const double peak = sf_peak_fma(0.5, &isa);
    SF_TRY(sf_bench_layers_run(b, &rows, &n));
    for (int i = 0; i < n; i++) total += rows[i].seconds;
    SF_GOTO(done, st, print_rows(rows, n, total, peak));
    print_sums(rows, n, total, peak);
    if (w->json) SF_GOTO(done, st, save_rows(rows, n, w->json));
done:
    sf_mem_free(rows);
    return st;
}
