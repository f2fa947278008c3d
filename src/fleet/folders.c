#include "fleet/folders.h"
#include "base/mem.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/** Length of a case's name without the first ending that it has; 0: none. */
static size_t id_length(const char *name, const char *const *endings, int n)
{
    const size_t length = strlen(name);
    for (int i = 0; i < n && name[0] != '.'; i++) {
        const size_t m = strlen(endings[i]);
        if (length > m && strcmp(name + length - m, endings[i]) == 0) return length - m;
    }
    return 0;
}

static void remove_doubles(sf_id_list *l)
{
    int kept = 0;
    for (int i = 0; i < l->count; i++) {
        if (kept > 0 && strcmp(l->id[i], l->id[kept - 1]) == 0)
            sf_mem_free(l->id[i]);
        else
            l->id[kept++] = l->id[i];
    }
    l->count = kept;
}

sf_status sf_folder_cases(sf_id_list *out, const char *dir, const char *const *endings, int n)
{
    char **names = NULL;
    size_t count = 0;
    sf_status st;
    *out = (sf_id_list){ 0 };
    SF_TRY(sf_path_list(&names, &count, dir));
    SF_GOTO(done, st, sf_mem_calloc(&out->id, count + 1, sizeof *out->id, SF_MEM_MISC));
    for (size_t i = 0; i < count; i++) {
        const size_t length = id_length(names[i], endings, n);
        if (length == 0) continue;
        SF_GOTO(done, st, sf_mem_strdup(&out->id[out->count], names[i]));
        out->id[out->count++][length] = 0;
    }
    qsort(out->id, (size_t)out->count, sizeof *out->id, compare);
    remove_doubles(out);
done:
    sf_path_free_list(&names, count);
    if (st != SF_OK) sf_id_list_free(out);
    return st;
}

sf_status sf_folder_describe(const char *to, const char *from)
{
    static const char *const names[] = { "dataset.json", "plans.json" };
    for (int i = 0; i < 2; i++) {
        char source[SF_PATH_MAX], target[SF_PATH_MAX];
        SF_TRY(sf_path_join(source, from, names[i], NULL));
        SF_TRY(sf_path_join(target, to, names[i], NULL));
        if (sf_path_is_file(source)) SF_TRY(sf_path_copy(source, target));
    }
    return SF_OK;
}

sf_status sf_folder_make_output(const char *out, const char *const *inputs, int n)
{
    SF_TRY(sf_path_make_dirs(out));
    char *real = realpath(out, NULL);
    bool same = false;
    for (int i = 0; real != NULL && i < n; i++) {
        char *input = realpath(inputs[i], NULL);
        same = same || (input != NULL && strcmp(input, real) == 0);
        free(input);
    }
    free(real);
    SF_CHECK(!same, SF_EINVAL, "%s is also an input: give another folder for the results", out);
    return SF_OK;
}
