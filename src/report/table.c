#include "report/table.h"
#include "base/json.h"
#include "base/mem.h"
#include "plan/work.h"
#include <stdarg.h>
#include <string.h>

struct sf_table {
    int columns, cells;
    char **cell;
};

sf_status sf_table_create(sf_table **out, int columns)
{
    SF_TRY(sf_mem_calloc(out, 1, sizeof **out, SF_MEM_MISC));
    (*out)->columns = columns;
    return SF_OK;
}

sf_status sf_table_cell(sf_table *t, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    SF_TRY(sf_mem_resize(&t->cell, (size_t)t->cells + 1, sizeof *t->cell, SF_MEM_MISC));
    SF_TRY(sf_mem_strdup(&t->cell[t->cells], text));
    t->cells++;
    return SF_OK;
}

static int column_width(const sf_table *t, int column)
{
    size_t width = 3;
    for (int i = column; i < t->cells; i += t->columns) {
        if (strlen(t->cell[i]) > width) width = strlen(t->cell[i]);
    }
    return (int)width;
}

sf_status sf_table_text(char **out, const sf_table *t)
{
    size_t row = 2;
    for (int c = 0; c < t->columns; c++) row += (size_t)column_width(t, c) + 3;
    const int rows = (t->cells + t->columns - 1) / t->columns;
    SF_TRY(sf_mem_alloc(out, row * (size_t)(rows + 1) + 1, 1, SF_MEM_MISC));
    char *p = *out;
    for (int r = 0; r < rows; r++) {
        for (int c = 0; c < t->columns; c++) {
            const int i = r * t->columns + c;
            p += sprintf(p, c ? "| %*s " : "| %-*s ", column_width(t, c),
                         i < t->cells ? t->cell[i] : "");
        }
        p += sprintf(p, "|\n");
        for (int c = 0; r == 0 && c < t->columns; c++) {
            *p++ = '|';
            memset(p, '-', (size_t)column_width(t, c) + 2);
            p += column_width(t, c) + 2;
            if (c) p[-1] = ':';
        }
        if (r == 0) p += sprintf(p, "|\n");
    }
    *p = 0;
    return SF_OK;
}

void sf_table_destroy(sf_table **t)
{
    if (!*t) return;
    for (int i = 0; i < (*t)->cells; i++) sf_mem_free((*t)->cell[i]);
    sf_mem_free((*t)->cell);
    sf_mem_free(*t);
    *t = NULL;
}

static sf_status score_row(sf_table *t, const char *name, const json_t *mean, const json_t *classes)
{
    const char *key;
    json_t *v;
    SF_TRY(sf_table_cell(t, "%s", name));
    SF_TRY(sf_table_cell(t, "%.4f", sf_json_num(mean)));
    json_object_foreach((json_t *)(uintptr_t)classes, key, v)
    {
        const json_t *dice = json_is_object(v) ? json_object_get(v, "Dice") : v;
        SF_TRY(sf_table_cell(t, "%.4f", sf_json_num(dice)));
    }
    return SF_OK;
}

static sf_status head_row(sf_table *t, const json_t *classes)
{
    const char *key;
    json_t *v;
    SF_TRY(sf_table_cell(t, "model"));
    SF_TRY(sf_table_cell(t, "mean Dice"));
    json_object_foreach((json_t *)(uintptr_t)classes, key, v)
        SF_TRY(sf_table_cell(t, "class %s", key));
    return SF_OK;
}

static sf_status build(sf_table **t, const json_t *selection, const json_t *test, const char *where)
{
    json_t *all, *best, *v;
    const char *name;
    SF_TRY(sf_json_get(&all, selection, "all_results", where));
    SF_TRY(sf_json_get(&best, selection, "best_model_or_ensemble", where));
    const json_t *first = json_object_iter_value(json_object_iter(all));
    const json_t *classes = json_object_get(first, "mean_dice");
    SF_TRY(sf_table_create(t, 2 + (int)json_object_size(classes)));
    SF_TRY(head_row(*t, classes));
    json_object_foreach(all, name, v)
    {
        SF_TRY(score_row(*t, name, json_object_get(v, "foreground_mean_dice"),
                         json_object_get(v, "mean_dice")));
    }
    if (!test) return SF_OK;
    const json_t *mean = json_object_get(json_object_get(test, "foreground_mean"), "Dice");
    return score_row(*t, "test images, chosen model", mean, json_object_get(test, "mean"));
}

sf_status sf_report_work(char **out, const char *work)
{
    char path[SF_PATH_MAX], test_path[SF_PATH_MAX];
    json_t *selection = NULL, *test = NULL;
    sf_table *t = NULL;
    char *table = NULL;
    sf_status st;
    SF_GOTO(done, st, sf_work_file(path, work, "selection.json"));
    SF_GOTO(done, st, sf_json_load(&selection, path));
    SF_GOTO(done, st, sf_work_file(test_path, work, "predictions/summary.json"));
    if (sf_path_is_file(test_path)) SF_GOTO(done, st, sf_json_load(&test, test_path));
    SF_GOTO(done, st, build(&t, selection, test, path));
    SF_GOTO(done, st, sf_table_text(&table, t));
    const json_t *best = json_object_get(selection, "best_model_or_ensemble");
    SF_GOTO(done, st,
            sf_mem_printf(out,
                          "%s\nchosen: %s, Dice %.4f before and %.4f after post-processing (%d "
                          "cross-validation cases)\n",
                          table, json_string_value(json_object_get(best, "name")),
                          sf_json_num(json_object_get(best, "result_on_crossval_pre_pp")),
                          sf_json_num(json_object_get(best, "result_on_crossval_post_pp")),
                          (int)json_integer_value(json_object_get(selection, "number_of_cases"))));
done:
    sf_mem_free(table);
    sf_table_destroy(&t);
    json_decref(selection);
    json_decref(test);
    return st;
}
