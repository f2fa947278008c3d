#include "plan/cases.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SUFFIX = 5, MAX_ID = 200 }; /* "_0000" */

static bool ends_with(const char *name, const char *ending)
{
    const size_t n = strlen(name), e = strlen(ending);
    return n > e && strcmp(name + n - e, ending) == 0;
}

/** Length of CASE in CASE_dddd+ending, 0 when the name has another form. */
static size_t case_length(const char *name, const char *ending)
{
    const size_t n = strlen(name), e = strlen(ending);
    if (n < e + SUFFIX + 1) return 0;
    const char *mark = name + n - e - SUFFIX;
    if (*mark != '_') return 0;
    for (int i = 1; i < SUFFIX; i++)
        if (!isdigit((unsigned char)mark[i])) return 0;
    return (size_t)(mark - name);
}

/** An identifier becomes a file name and a group name. */
static sf_status check_id(const char *id, const char *where)
{
    const size_t n = strlen(id);
    SF_CHECK(n > 0 && n <= MAX_ID && !strchr(id, '/') && id[0] != '.', SF_EDATA,
             "%s: \"%.80s\" cannot be a case identifier: 1 to %d characters, no slash, no leading "
             "dot",
             where, id, (int)MAX_ID);
    return SF_OK;
}

static sf_status add_case(sf_case **cases, int *count, const char *id, size_t id_length)
{
    char *copy = NULL;
    SF_TRY(sf_mem_printf(&copy, "%.*s", (int)id_length, id));
    const sf_status st = sf_mem_resize(cases, (size_t)*count + 1, sizeof **cases, SF_MEM_MISC);
    if (st != SF_OK) {
        sf_mem_free(copy);
        return st;
    }
    sf_case *c = &(*cases)[(*count)++];
    memset(c, 0, sizeof *c);
    c->id = copy;
    return check_id(c->id, "a file of the dataset");
}

static sf_status add_image(sf_case *c, const char *path)
{
    SF_TRY(sf_mem_resize(&c->images, (size_t)c->n_images + 1, sizeof *c->images, SF_MEM_MISC));
    SF_TRY(sf_mem_strdup(&c->images[c->n_images], path));
    c->n_images++;
    return SF_OK;
}

void sf_cases_free(sf_case **cases, int count)
{
    if (!cases || !*cases) return;
    for (int i = 0; i < count; i++) {
        sf_case *c = &(*cases)[i];
        for (int k = 0; k < c->n_images; k++) sf_mem_free(c->images[k]);
        sf_mem_free(c->images);
        sf_mem_free(c->id);
        sf_mem_free(c->label);
    }
    sf_mem_free(*cases);
    *cases = NULL;
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const sf_case *)a)->id, ((const sf_case *)b)->id);
}

/** Channels of one case must be 0, 1, 2 ...: its files are in name order. */
static sf_status check_numbers(const sf_case *c, const char *ending)
{
    for (int k = 0; k < c->n_images; k++) {
        const char *name = sf_path_base(c->images[k]);
        const int got = atoi(name + strlen(name) - strlen(ending) - (SUFFIX - 1));
        SF_CHECK(got == k, SF_EDATA, "%s: case %s lacks channel file %s_%04d%s", c->images[k],
                 c->id, c->id, k, ending);
    }
    return SF_OK;
}

/** Names are sorted; all files of one case are neighbours unless another case's name continues
 *  its own ("a_0000", "a_0000_0000"), so the last case is not always the right one. */
static sf_status add_file(sf_case **cases, int *count, const char *dir, const char *name,
                          size_t length)
{
    char path[SF_PATH_MAX];
    SF_TRY(sf_path_join(path, dir, name, NULL));
    int i = *count - 1;
    while (i >= 0 &&
           !(strlen((*cases)[i].id) == length && memcmp((*cases)[i].id, name, length) == 0))
        i = i > *count - 8 ? i - 1 : -1;
    if (i < 0) {
        SF_TRY(add_case(cases, count, name, length));
        i = *count - 1;
    }
    return add_image(&(*cases)[i], path);
}

/** Spacing files of TIFFs and voxel files of headers lie beside the images they belong to. */
static bool belongs(const char *name, const char *ending)
{
    if (strncasecmp(ending, ".tif", 4) == 0) return ends_with(name, ".json");
    return (strcasecmp(ending, ".mhd") == 0 || strcasecmp(ending, ".nhdr") == 0) &&
           (ends_with(name, "raw") || ends_with(name, ".raw.gz"));
}

static sf_status collect(sf_case **cases, int *count, const char *dir, const char *ending)
{
    char **names = NULL;
    const char *first = NULL;
    size_t n = 0;
    int hidden = 0, foreign = 0;
    sf_status st = SF_OK;
    SF_TRY(sf_path_list(&names, &n, dir));
    for (size_t i = 0; i < n; i++) {
        if (names[i][0] == '.') {
            hidden += ends_with(names[i], ending);
            continue;
        }
        const size_t length = case_length(names[i], ending);
        if (length == 0) {
            if (!belongs(names[i], ending) && foreign++ == 0) first = names[i];
            continue;
        }
        SF_GOTO(done, st, add_file(cases, count, dir, names[i], length));
    }
    if (foreign)
        sf_log(SF_LOG_WARN, "dataset", "ignored files not named CASE_dddd%s=%d first=%s folder=%s",
               ending, foreign, first, dir);
    if (hidden) sf_log(SF_LOG_WARN, "dataset", "ignored hidden files=%d folder=%s", hidden, dir);
done:
    sf_path_free_list(&names, n);
    return st;
}

/** After sorting, equal identifiers can only come from add_file's bounded search. */
static sf_status merge_equal(sf_case *cases, int *count)
{
    int kept = 0;
    for (int i = 1; i < *count; i++) {
        if (strcmp(cases[i].id, cases[kept].id) != 0) {
            cases[++kept] = cases[i];
            continue;
        }
        for (int k = 0; k < cases[i].n_images; k++) {
            SF_TRY(sf_mem_resize(&cases[kept].images, (size_t)cases[kept].n_images + 1,
                                 sizeof(char *), SF_MEM_MISC));
            cases[kept].images[cases[kept].n_images++] = cases[i].images[k];
        }
        sf_mem_free(cases[i].images);
        sf_mem_free(cases[i].id);
    }
    if (*count > 0) *count = kept + 1;
    return SF_OK;
}

sf_status sf_cases_check_channels(const sf_case *cases, int count, int n_channels)
{
    for (int i = 0; i < count; i++) {
        const sf_case *c = &cases[i];
        sf_geometry geo;
        int inside = 0;
        if (c->n_images == n_channels) continue;
        SF_CHECK(
            c->n_images == 1, SF_EDATA,
            "case %s has %d channel files, but dataset.json names %d channels (first file: %s)",
            c->id, c->n_images, n_channels, c->n_images ? c->images[0] : "none");
        SF_TRY(sf_case_probe(&geo, &inside, c));
        SF_CHECK(inside == n_channels, SF_EDATA,
                 "case %s: its only file %s holds %d channels, but dataset.json names %d; is a "
                 "channel file missing?",
                 c->id, c->images[0], inside, n_channels);
    }
    return SF_OK;
}

/** A folder without a fitting file: DICOM deserves its own advice. */
static sf_status nothing_found(const char *dir, const char *ending)
{
    SF_CHECK(!sf_image_is_dicom(dir), SF_EUNSUPPORTED, "%s: %s", dir, sf_image_dicom_advice());
    return SF_FAIL(SF_EDATA, "%s: no file named CASE_dddd%s", dir, ending);
}

sf_status sf_dataset_find_cases(sf_case **out, int *count, const sf_dataset *d, const char *dir)
{
    sf_case *cases = NULL;
    int n = 0;
    sf_status st = SF_OK;
    SF_CHECK(sf_path_is_dir(dir), SF_EDATA, "%s: no such folder of images", dir);
    SF_GOTO(fail, st, collect(&cases, &n, dir, d->file_ending));
    if (n == 0) SF_GOTO(fail, st, nothing_found(dir, d->file_ending));
    qsort(cases, (size_t)n, sizeof *cases, by_id);
    SF_GOTO(fail, st, merge_equal(cases, &n));
    for (int i = 0; i < n; i++) cases[i].reader = d->reader;
    for (int i = 0; i < n; i++) SF_GOTO(fail, st, check_numbers(&cases[i], d->file_ending));
    SF_GOTO(fail, st, sf_cases_check_channels(cases, n, d->n_channels));
    *out = cases;
    *count = n;
    return SF_OK;
fail:
    sf_cases_free(&cases, n);
    return st;
}

sf_status sf_case_read(sf_image **out, const sf_case *c)
{
    SF_TRY(sf_image_read_as(out, (const char *const *)c->images, c->n_images, c->reader));
    return SF_OK;
}

sf_status sf_case_probe(sf_geometry *geo, int *channels, const sf_case *c)
{
    SF_TRY(sf_image_probe_as(geo, channels, c->images[0], c->reader));
    return SF_OK;
}

static void warn_extra_labels(const sf_case *cases, int count, const char *dir, const char *ending)
{
    char **names = NULL;
    const char *first = NULL;
    size_t n = 0;
    int extra = 0;
    if (sf_path_list(&names, &n, dir) != SF_OK) return;
    for (size_t i = 0; i < n; i++) {
        if (names[i][0] == '.' || !ends_with(names[i], ending)) continue;
        names[i][strlen(names[i]) - strlen(ending)] = '\0';
        const sf_case key = { .id = names[i] };
        if (bsearch(&key, cases, (size_t)count, sizeof *cases, by_id)) continue;
        if (extra++ == 0) first = names[i];
    }
    if (extra)
        sf_log(SF_LOG_WARN, "dataset", "labels without images=%d first=%s folder=%s", extra, first,
               dir);
    sf_path_free_list(&names, n);
}

sf_status sf_cases_find_labels(sf_case *cases, int count, const char *labels_dir,
                               const char *file_ending, bool required)
{
    char path[SF_PATH_MAX], name[MAX_ID + 64];
    for (int i = 0; i < count; i++) {
        SF_CHECK(snprintf(name, sizeof name, "%s%s", cases[i].id, file_ending) < (int)sizeof name,
                 SF_EDATA, "%s: file_ending is too long", file_ending);
        SF_TRY(sf_path_join(path, labels_dir, name, NULL));
        if (sf_path_is_file(path))
            SF_TRY(sf_mem_strdup(&cases[i].label, path));
        else
            SF_CHECK(!required, SF_EDATA, "%s: missing; every case of imagesTr needs a label",
                     path);
    }
    if (required) warn_extra_labels(cases, count, labels_dir, file_ending);
    return SF_OK;
}

/** $NAME and ${NAME} become the variable's value; an unset one stays as it is. */
static sf_status expand_variables(char out[SF_PATH_MAX], const char *text)
{
    size_t n = 0;
    while (*text) {
        const char *from = text, *end = text + 1, *value = NULL;
        char name[256];
        if (*text == '$') {
            const bool braces = text[1] == '{';
            from = text + 1 + braces;
            end = from;
            while (isalnum((unsigned char)*end) || *end == '_') end++;
            const size_t length = (size_t)(end - from);
            if (length > 0 && length < sizeof name && (!braces || *end == '}')) {
                memcpy(name, from, length);
                name[length] = '\0';
                value = getenv(name);
            }
            end = value ? end + braces : text + 1;
        }
        const char *piece = value ? value : text;
        const size_t size = value ? strlen(value) : 1;
        SF_CHECK(n + size < SF_PATH_MAX, SF_EDATA, "%.200s...: path too long", text);
        memcpy(out + n, piece, size);
        n += size;
        text = end;
    }
    out[n] = '\0';
    return SF_OK;
}

static sf_status resolve(char out[SF_PATH_MAX], const json_t *v, const char *dir, const char *id,
                         const char *where)
{
    char text[SF_PATH_MAX];
    SF_CHECK(json_is_string(v), SF_EDATA, "%s: \"dataset\", case %s: a path must be a string",
             where, id);
    SF_TRY(expand_variables(text, json_string_value(v)));
    if (text[0] == '/')
        SF_TRY(sf_path_format(out, "%s", text));
    else
        SF_TRY(sf_path_join(out, dir, text, NULL));
    SF_CHECK(sf_path_is_file(out), SF_EDATA, "%s: missing (\"dataset\", case %s of %s)", out, id,
             where);
    return SF_OK;
}

static sf_status add_listed(sf_case *c, const json_t *entry, const char *dir, const char *where)
{
    char path[SF_PATH_MAX];
    const json_t *images = json_object_get(entry, "images");
    const json_t *label = json_object_get(entry, "label");
    SF_CHECK(json_is_array(images) && json_array_size(images) > 0 && label, SF_EDATA,
             "%s: \"dataset\", case %s needs \"images\": [paths] and \"label\": path", where,
             c->id);
    for (size_t k = 0; k < json_array_size(images); k++) {
        SF_TRY(resolve(path, json_array_get(images, k), dir, c->id, where));
        SF_TRY(add_image(c, path));
    }
    SF_TRY(resolve(path, label, dir, c->id, where));
    return sf_mem_strdup(&c->label, path);
}

sf_status sf_cases_from_list(sf_case **out, int *count, const json_t *list, const sf_dataset *d,
                             const char *where)
{
    sf_case *cases = NULL;
    int n = 0;
    sf_status st = SF_OK;
    const char *id;
    json_t *entry;
    SF_CHECK(json_is_object(list), SF_EDATA, "%s: \"dataset\" must be an object", where);
    json_object_foreach((json_t *)list, id, entry)
    {
        SF_GOTO(fail, st, check_id(id, where));
        SF_GOTO(fail, st, add_case(&cases, &n, id, strlen(id)));
        cases[n - 1].reader = d->reader;
        SF_GOTO(fail, st, add_listed(&cases[n - 1], entry, d->dir, where));
    }
    *out = cases;
    *count = n;
    return SF_OK;
fail:
    sf_cases_free(&cases, n);
    return st;
}
