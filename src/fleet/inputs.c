#include "fleet/inputs.h"
#include "base/mem.h"
#include "base/path.h"
#include <stdlib.h>
#include <string.h>

enum { NUMBER = 5 }; /* "_0000" */

/** Length of the case's name in a file name without its ending. */
static size_t id_length(const char *name, size_t length)
{
    if (length <= NUMBER || name[length - NUMBER] != '_') return length;
    for (size_t i = length - NUMBER + 1; i < length; i++)
        if (name[i] < '0' || name[i] > '9') return length;
    return length - NUMBER;
}

static int by_base(const void *a, const void *b)
{
    return strcmp(sf_path_base(*(const char *const *)a), sf_path_base(*(const char *const *)b));
}

static sf_status add_image(sf_case *c, const char *file)
{
    SF_TRY(sf_mem_resize(&c->images, (size_t)c->n_images + 1, sizeof *c->images, SF_MEM_MISC));
    SF_TRY(sf_mem_strdup(&c->images[c->n_images], file));
    c->n_images++;
    return SF_OK;
}

/** Files in the order of their names, so that the channels of a case follow each other. */
static sf_status add_file(sf_case *cases, int *n, const char *file, const sf_dataset *d)
{
    const char *name = sf_path_base(file), *ending = d->file_ending;
    const size_t length = strlen(name), tail = strlen(ending);
    SF_CHECK(!sf_path_is_dir(file), SF_EINVAL, "%s: give one folder, or image files", file);
    SF_CHECK(sf_path_is_file(file), SF_EDATA, "%s: no such file", file);
    SF_CHECK(length > tail && strcmp(name + length - tail, ending) == 0, SF_EINVAL,
             "%s: the model was trained on files that end in %s", file, ending);
    const size_t id = id_length(name, length - tail);
    sf_case *last = *n > 0 ? &cases[*n - 1] : NULL;
    if (last == NULL || strlen(last->id) != id || strncmp(last->id, name, id) != 0) {
        last = &cases[(*n)++];
        last->reader = d->reader;
        SF_TRY(sf_mem_printf(&last->id, "%.*s", (int)id, name));
    }
    return add_image(last, file);
}

/** One file per channel, or one file with all channels (which reading verifies). */
static sf_status check_channels(const sf_case *c, const sf_dataset *d)
{
    SF_CHECK(c->n_images == d->n_channels || c->n_images == 1, SF_EDATA,
             "case %s: %d files were given, but the model has %d channels (first file: %s)", c->id,
             c->n_images, d->n_channels, c->images[0]);
    for (int i = 0; c->n_images > 1 && i < c->n_images; i++) {
        char tail[64];
        const char *name = sf_path_base(c->images[i]);
        snprintf(tail, sizeof tail, "_%04d%s", i, d->file_ending);
        SF_CHECK(strlen(name) > strlen(tail) &&
                     strcmp(name + strlen(name) - strlen(tail), tail) == 0,
                 SF_EDATA, "case %s: %s is there, but channel %d (CASE%s) is not", c->id,
                 c->images[i], i, tail);
    }
    return SF_OK;
}

static sf_status find_files(sf_case **cases, int *n_cases, const char *const *word, int n,
                            const sf_dataset *d)
{
    const char **file = NULL;
    sf_status st;
    SF_GOTO(done, st, sf_mem_calloc(cases, (size_t)n, sizeof **cases, SF_MEM_MISC));
    SF_GOTO(done, st, sf_mem_alloc(&file, (size_t)n, sizeof *file, SF_MEM_MISC));
    memcpy(file, word, (size_t)n * sizeof *file);
    qsort(file, (size_t)n, sizeof *file, by_base);
    for (int i = 0; i < n; i++) SF_GOTO(done, st, add_file(*cases, n_cases, file[i], d));
    for (int i = 0; i < *n_cases; i++) SF_GOTO(done, st, check_channels(&(*cases)[i], d));
done:
    sf_mem_free(file);
    if (st != SF_OK) {
        sf_cases_free(cases, *n_cases);
        *n_cases = 0;
    }
    return st;
}

sf_status sf_inputs_find(sf_case **cases, int *n_cases, const char *const *word, int n,
                         const sf_dataset *d)
{
    *cases = NULL;
    *n_cases = 0;
    if (n == 1 && !sf_path_is_file(word[0]))
        return sf_dataset_find_cases(cases, n_cases, d, word[0]);
    return find_files(cases, n_cases, word, n, d);
}
