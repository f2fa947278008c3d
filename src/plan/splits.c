#include "plan/splits.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "base/rng.h"
#include <stdlib.h>
#include <string.h>

enum { SPLIT_SEED = 12345 };                          /* nnU-Net's, part of the exchange format */
enum { TRAIN_NUMERATOR = 8, TRAIN_DENOMINATOR = 10 }; /* of a fold beyond the file */

void sf_id_list_free(sf_id_list *l)
{
    for (int i = 0; i < l->count; i++) sf_mem_free(l->id[i]);
    sf_mem_free(l->id);
    l->id = NULL;
    l->count = 0;
}

static sf_status list_add(sf_id_list *l, const char *id)
{
    char *copy = NULL;
    SF_TRY(sf_mem_strdup(&copy, id));
    const sf_status st = sf_mem_resize(&l->id, (size_t)l->count + 1, sizeof *l->id, SF_MEM_MISC);
    if (st != SF_OK) {
        sf_mem_free(copy);
        return st;
    }
    l->id[l->count++] = copy;
    return SF_OK;
}

static sf_status list_copy(sf_id_list *to, const sf_id_list *from)
{
    for (int i = 0; i < from->count; i++) SF_TRY(list_add(to, from->id[i]));
    return SF_OK;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_sort_unique(sf_id_list *l)
{
    int kept = 0;
    if (l->count == 0) return;
    qsort(l->id, (size_t)l->count, sizeof *l->id, by_text);
    for (int i = 1; i < l->count; i++) {
        if (strcmp(l->id[i], l->id[kept]) == 0)
            sf_mem_free(l->id[i]);
        else
            l->id[++kept] = l->id[i];
    }
    l->count = kept + 1;
}

static bool list_has(const sf_id_list *l, const char *id)
{
    return bsearch(&id, l->id, (size_t)l->count, sizeof *l->id, by_text) != NULL;
}

void sf_splits_destroy(sf_splits **s)
{
    if (!s || !*s) return;
    for (int f = 0; f < (*s)->count; f++) {
        sf_id_list_free(&(*s)->train[f]);
        sf_id_list_free(&(*s)->val[f]);
    }
    sf_id_list_free(&(*s)->all);
    sf_mem_free((*s)->train);
    sf_mem_free((*s)->val);
    sf_mem_free(*s);
    *s = NULL;
}

static sf_status create(sf_splits **out, int count)
{
    sf_splits *s = NULL;
    sf_status st = SF_OK;
    SF_TRY(sf_mem_calloc(&s, 1, sizeof *s, SF_MEM_MISC));
    SF_GOTO(fail, st, sf_mem_calloc(&s->train, (size_t)count, sizeof *s->train, SF_MEM_MISC));
    SF_GOTO(fail, st, sf_mem_calloc(&s->val, (size_t)count, sizeof *s->val, SF_MEM_MISC));
    s->count = count;
    *out = s;
    return SF_OK;
fail:
    sf_splits_destroy(&s);
    return st;
}

/** fold_of[i] by KFold: consecutive pieces of the permutation, the first n % folds one longer. */
static sf_status deal_cases(int *fold_of, int n, int folds)
{
    sf_mt19937 g;
    int64_t *p = NULL;
    SF_TRY(sf_mem_alloc(&p, (size_t)n, sizeof *p, SF_MEM_MISC));
    sf_mt_seed(&g, SPLIT_SEED);
    sf_mt_permutation(&g, n, p);
    for (int f = 0, at = 0; f < folds; f++)
        for (int k = n / folds + (f < n % folds); k > 0; k--) fold_of[p[at++]] = f;
    sf_mem_free(p);
    return SF_OK;
}

static int emptiest(const int *size, int folds)
{
    int best = 0;
    for (int f = 1; f < folds; f++)
        if (size[f] < size[best]) best = f;
    return best;
}

static sf_status deal_groups(int *fold_of, const char *const *groups, int n, int folds,
                             const sf_id_list *names)
{
    sf_mt19937 g;
    int64_t *p = NULL;
    int *size = NULL;
    sf_status st = SF_OK;
    SF_GOTO(done, st, sf_mem_alloc(&p, (size_t)names->count, sizeof *p, SF_MEM_MISC));
    SF_GOTO(done, st, sf_mem_calloc(&size, (size_t)folds, sizeof *size, SF_MEM_MISC));
    sf_mt_seed(&g, SPLIT_SEED);
    sf_mt_permutation(&g, names->count, p);
    for (int k = 0; k < names->count; k++) {
        const int f = emptiest(size, folds);
        for (int i = 0; i < n; i++) {
            if (strcmp(groups[i], names->id[p[k]]) != 0) continue;
            fold_of[i] = f;
            size[f]++;
        }
    }
done:
    sf_mem_free(p);
    sf_mem_free(size);
    return st;
}

static sf_status fill(sf_splits *s, const char *const *ids, int n, const int *fold_of)
{
    for (int i = 0; i < n; i++) {
        SF_TRY(list_add(&s->all, ids[i]));
        for (int f = 0; f < s->count; f++)
            SF_TRY(list_add(fold_of[i] == f ? &s->val[f] : &s->train[f], ids[i]));
    }
    return SF_OK;
}

static int usable_folds(int units, int folds, const char *what)
{
    if (units >= folds) return folds;
    if (units < 2) {
        sf_log(SF_LOG_WARN, "splits", "only one %s: no cross-validation, fold=all only", what);
        return 0;
    }
    sf_log(SF_LOG_INFO, "splits", "leave-one-out: %d %ss for %d folds, so folds=%d", units, what,
           folds, units);
    return units;
}

sf_status sf_splits_make(sf_splits **out, const char *const *ids, int n, int folds,
                         const char *const *groups)
{
    sf_splits *s = NULL;
    sf_id_list names = { NULL, 0 };
    int *fold_of = NULL;
    sf_status st = SF_OK;
    SF_CHECK(n > 0 && folds >= 2, SF_EINVAL, "splits: %d cases, %d folds", n, folds);
    for (int i = 1; i < n; i++)
        SF_CHECK(strcmp(ids[i - 1], ids[i]) < 0, SF_EINTERNAL, "splits: ids are not sorted");
    for (int i = 0; groups && i < n; i++) SF_GOTO(done, st, list_add(&names, groups[i]));
    list_sort_unique(&names);
    folds = groups ? usable_folds(names.count, folds, "group") : usable_folds(n, folds, "case");
    SF_GOTO(done, st, create(&s, folds));
    SF_GOTO(done, st, sf_mem_calloc(&fold_of, (size_t)n, sizeof *fold_of, SF_MEM_MISC));
    if (folds > 0)
        SF_GOTO(done, st,
                groups ? deal_groups(fold_of, groups, n, folds, &names)
                       : deal_cases(fold_of, n, folds));
    SF_GOTO(done, st, fill(s, ids, n, fold_of));
    *out = s;
    s = NULL;
done:
    sf_splits_destroy(&s);
    sf_mem_free(fold_of);
    sf_id_list_free(&names);
    return st;
}

static sf_status read_ids(sf_id_list *l, const json_t *entry, const char *key, int fold,
                          const char *path)
{
    const json_t *a = json_object_get(entry, key);
    SF_CHECK(json_is_array(a) && json_array_size(a) > 0, SF_EDATA,
             "%s: fold %d needs a non-empty list \"%s\"", path, fold, key);
    for (size_t i = 0; i < json_array_size(a); i++) {
        const char *id = json_string_value(json_array_get(a, i));
        SF_CHECK(id && *id && !strchr(id, '/'), SF_EDATA,
                 "%s: fold %d, \"%s\": entry %zu is not a case identifier", path, fold, key, i);
        SF_TRY(list_add(l, id));
    }
    return SF_OK;
}

/** A mistyped list must not train for days. */
static sf_status check_lists(const sf_splits *s, int fold, const char *path)
{
    const sf_id_list *list[] = { &s->train[fold], &s->val[fold] };
    sf_id_list sorted = { NULL, 0 };
    int leaks = 0;
    sf_status st = SF_OK;
    for (int k = 0; k < 2; k++) {
        sf_id_list_free(&sorted);
        SF_GOTO(done, st, list_copy(&sorted, list[k]));
        list_sort_unique(&sorted);
        SF_CHECK_GOTO(done, st, sorted.count == list[k]->count, SF_EDATA,
                      "%s: fold %d, \"%s\" names a case twice", path, fold, k ? "val" : "train");
    }
    for (int i = 0; i < list[0]->count; i++) leaks += list_has(&sorted, list[0]->id[i]);
    if (leaks > 0 && s->count > 1)
        sf_log(SF_LOG_WARN, "splits", "fold=%d trains on %d of its validation cases, file=%s", fold,
               leaks, path);
done:
    sf_id_list_free(&sorted);
    return st;
}

static sf_status read_folds(sf_splits *s, const json_t *json, const char *path)
{
    for (int f = 0; f < s->count; f++) {
        const json_t *entry = json_array_get(json, (size_t)f);
        SF_TRY(read_ids(&s->train[f], entry, "train", f, path));
        SF_TRY(read_ids(&s->val[f], entry, "val", f, path));
        SF_TRY(check_lists(s, f, path));
        SF_TRY(list_copy(&s->all, &s->train[f]));
        SF_TRY(list_copy(&s->all, &s->val[f]));
        list_sort_unique(&s->all);
    }
    return SF_OK;
}

/** A single entry whose lists are equal is how one case is saved: no folds. */
static void drop_fold_all(sf_splits *s)
{
    if (s->count != 1 || s->train[0].count != s->val[0].count) return;
    for (int i = 0; i < s->train[0].count; i++)
        if (strcmp(s->train[0].id[i], s->val[0].id[i]) != 0) return;
    sf_id_list_free(&s->train[0]);
    sf_id_list_free(&s->val[0]);
    s->count = 0;
}

sf_status sf_splits_load(sf_splits **out, const char *path)
{
    json_t *json = NULL;
    sf_splits *s = NULL;
    sf_status st = SF_OK;
    SF_TRY(sf_json_load(&json, path));
    SF_CHECK_GOTO(done, st, json_is_array(json) && json_array_size(json) <= 1000, SF_EDATA,
                  "%s: must be a list of folds {\"train\": [...], \"val\": [...]}", path);
    SF_GOTO(done, st, create(&s, (int)json_array_size(json)));
    SF_GOTO(done, st, read_folds(s, json, path));
    drop_fold_all(s);
    *out = s;
    s = NULL;
done:
    sf_splits_destroy(&s);
    json_decref(json);
    return st;
}

static json_t *ids_json(const sf_id_list *l)
{
    json_t *a = json_array();
    for (int i = 0; a && i < l->count; i++) json_array_append_new(a, json_string(l->id[i]));
    return a;
}

sf_status sf_splits_save(const sf_splits *s, const char *path)
{
    json_t *json = json_array();
    if (json && s->count == 0) /* one case: the only fold there is, "all" */
        json_array_append_new(
            json, json_pack("{s:o, s:o}", "train", ids_json(&s->all), "val", ids_json(&s->all)));
    for (int f = 0; json && f < s->count; f++)
        json_array_append_new(json, json_pack("{s:o, s:o}", "train", ids_json(&s->train[f]), "val",
                                              ids_json(&s->val[f])));
    SF_CHECK(json, SF_ENOMEM, "out of memory");
    const sf_status st = sf_json_save(json, path, 4, false);
    json_decref(json);
    return st;
}

/** A file that names unknown cases belongs to another dataset. */
static sf_status adopt_ids(sf_splits *s, const char *const *ids, int n, const char *path)
{
    sf_id_list mine = { NULL, 0 };
    sf_status st = SF_OK;
    for (int i = 0; i < n; i++) SF_GOTO(fail, st, list_add(&mine, ids[i]));
    list_sort_unique(&mine);
    for (int i = 0; i < s->all.count; i++)
        SF_CHECK_GOTO(fail, st, list_has(&mine, s->all.id[i]), SF_EDATA,
                      "%s: names case %s, which the dataset does not have; remove the file to get "
                      "new splits",
                      path, s->all.id[i]);
    sf_id_list_free(&s->all);
    s->all = mine;
    return SF_OK;
fail:
    sf_id_list_free(&mine);
    return st;
}

sf_status sf_splits_open(sf_splits **out, const char *path, const char *const *ids, int n,
                         int folds, const char *const *groups)
{
    sf_splits *s = NULL;
    sf_status st = SF_OK;
    if (sf_path_is_file(path)) {
        SF_TRY(sf_splits_load(&s, path));
        SF_GOTO(fail, st, adopt_ids(s, ids, n, path));
    } else {
        SF_TRY(sf_splits_make(&s, ids, n, folds, groups));
        SF_GOTO(fail, st, sf_splits_save(s, path));
    }
    *out = s;
    return SF_OK;
fail:
    sf_splits_destroy(&s);
    return st;
}

sf_status sf_splits_check_pool(const sf_splits *s, const int *folds, int n)
{
    for (int k = 1; k < n; k++)
        for (int j = 0; j < k; j++) {
            const int a = folds[j], b = folds[k];
            if (a < 0 || b < 0 || a >= s->count || b >= s->count) continue;
            for (int i = 0; i < s->val[a].count * s->val[b].count; i++) {
                const char *id = s->val[a].id[i / s->val[b].count];
                SF_CHECK(strcmp(id, s->val[b].id[i % s->val[b].count]) != 0, SF_EINVAL,
                         "case %s is validated by folds %d and %d, which cannot be scored "
                         "together: choose others with --folds, or correct the splits",
                         id, a, b);
            }
        }
    return SF_OK;
}

/** "case group" lines as a JSON object, so that both forms end alike. */
static sf_status parse_lines(json_t **out, char *text, const char *path)
{
    json_t *map = json_object();
    char *line_end = NULL;
    int number = 0;
    SF_CHECK(map, SF_ENOMEM, "out of memory");
    for (char *line = strtok_r(text, "\r\n", &line_end); line;
         line = strtok_r(NULL, "\r\n", &line_end)) {
        char *word_end = NULL;
        char *id = strtok_r(line, " \t,", &word_end);
        char *group = id ? strtok_r(NULL, " \t,", &word_end) : NULL;
        number++;
        if (!id || id[0] == '#') continue;
        if (!group) {
            json_decref(map);
            return SF_FAIL(SF_EDATA, "%s: entry %d (\"%s\") has no group", path, number, id);
        }
        json_object_set_new(map, id, json_string(group));
    }
    *out = map;
    return SF_OK;
}

static sf_status read_groups(json_t **out, const char *path)
{
    char *text = NULL;
    size_t size = 0;
    SF_TRY(sf_path_read(&text, &size, path, (size_t)1 << 28));
    const char *first = text + strspn(text, " \t\r\n");
    const sf_status st =
        *first == '{' ? sf_json_parse(out, text, path) : parse_lines(out, text, path);
    sf_mem_free(text);
    return st;
}

sf_status sf_splits_groups(char ***groups, const char *path, const char *const *ids, int n)
{
    json_t *map = NULL;
    char **list = NULL, *at;
    size_t bytes = 0;
    sf_status st = SF_OK;
    SF_TRY(read_groups(&map, path));
    for (int i = 0; i < n; i++) {
        const char *g = json_string_value(json_object_get(map, ids[i]));
        SF_CHECK_GOTO(done, st, g, SF_EDATA, "%s: no group for case %s", path, ids[i]);
        bytes += strlen(g) + 1;
    }
    SF_GOTO(done, st, sf_mem_alloc(&list, (size_t)n * sizeof *list + bytes, 1, SF_MEM_MISC));
    at = (char *)(list + n);
    for (int i = 0; i < n; i++) {
        const char *g = json_string_value(json_object_get(map, ids[i]));
        list[i] = strcpy(at, g);
        at += strlen(g) + 1;
    }
    *groups = list;
done:
    json_decref(map);
    return st;
}

/** A fold beyond the file: the first 80 % of a permutation of its own train. */
static sf_status random_fold(sf_id_list *train, sf_id_list *val, const sf_id_list *all, int fold)
{
    const int n = all->count, n_train = n * TRAIN_NUMERATOR / TRAIN_DENOMINATOR;
    sf_mt19937 g;
    int64_t *p = NULL;
    sf_status st = SF_OK;
    SF_CHECK(n_train > 0 && n_train < n, SF_EINVAL, "fold %d: %d cases cannot be split 80:20", fold,
             n);
    SF_TRY(sf_mem_alloc(&p, (size_t)n, sizeof *p, SF_MEM_MISC));
    sf_mt_seed(&g, (uint32_t)(SPLIT_SEED + fold));
    sf_mt_permutation(&g, n, p);
    for (int i = 0; i < n_train; i++) SF_GOTO(done, st, list_add(train, all->id[p[i]]));
    for (int i = n_train; i < n; i++) SF_GOTO(done, st, list_add(val, all->id[p[i]]));
    list_sort_unique(val);
done:
    sf_mem_free(p);
    return st;
}

static sf_status fill_fold(sf_id_list *train, sf_id_list *val, const sf_splits *s, int fold)
{
    if (fold >= 0 && fold < s->count) {
        SF_TRY(list_copy(train, &s->train[fold]));
        return list_copy(val, &s->val[fold]);
    }
    if (fold >= s->count) return random_fold(train, val, &s->all, fold);
    SF_TRY(list_copy(train, &s->all));
    return list_copy(val, &s->all);
}

sf_status sf_splits_fold(sf_id_list *train, sf_id_list *val, const sf_splits *s, int fold)
{
    memset(train, 0, sizeof *train);
    memset(val, 0, sizeof *val);
    SF_CHECK(fold >= SF_FOLD_ALL, SF_EINVAL, "fold %d: must be 0 or more, or \"all\"", fold);
    SF_CHECK(s->all.count > 0, SF_EDATA, "the splits file names no case");
    SF_CHECK(fold == SF_FOLD_ALL || s->all.count > 1, SF_EINVAL,
             "fold %d: with one case there is only fold \"all\"", fold);
    const sf_status st = fill_fold(train, val, s, fold);
    if (st != SF_OK) {
        sf_id_list_free(train);
        sf_id_list_free(val);
    }
    return st;
}
