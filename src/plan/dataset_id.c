#include "plan/dataset_id.h"
#include "base/mem.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { PREFIX = 7, DIGITS = 3 }; /* "Dataset", "004" */

int sf_dataset_number(const char *name)
{
    int number = 0;
    if (strncmp(name, "Dataset", PREFIX) != 0) return -1;
    for (int i = 0; i < DIGITS; i++) {
        if (!isdigit((unsigned char)name[PREFIX + i])) return -1;
        number = 10 * number + (name[PREFIX + i] - '0');
    }
    return name[PREFIX + DIGITS] == '_' ? number : -1;
}

/** Is `name` one of the entries of "a, b, c"? */
static bool is_listed(const char *text, const char *name)
{
    const size_t n = strlen(name);
    for (const char *at = text; at; at = strstr(at, ", ")) {
        if (*at == ',') at += 2;
        if (strncmp(at, name, n) == 0 && (at[n] == ',' || at[n] == '\0')) return true;
    }
    return false;
}

static sf_status append(char **text, const char *name)
{
    char *all = NULL;
    if (*text && is_listed(*text, name)) return SF_OK;
    SF_TRY(sf_mem_printf(&all, "%s%s%s", *text ? *text : "", *text ? ", " : "", name));
    sf_mem_free(*text);
    *text = all;
    return SF_OK;
}

sf_status sf_dataset_names(char **text, const char *dir, int number)
{
    char **names = NULL, path[SF_PATH_MAX];
    size_t n = 0;
    sf_status st = SF_OK;
    SF_TRY(sf_path_list(&names, &n, dir));
    for (size_t i = 0; i < n; i++) {
        if (sf_dataset_number(names[i]) != number || strstr(names[i], ".tmp.")) continue;
        SF_GOTO(done, st, sf_path_join(path, dir, names[i], NULL));
        if (sf_path_is_dir(path)) SF_GOTO(done, st, append(text, names[i]));
    }
done:
    sf_path_free_list(&names, n);
    return st;
}

static sf_status find_number(char out[SF_PATH_MAX], const char *raw, int number)
{
    static const char *const variables[] = { "nnUNet_raw", "nnUNet_preprocessed",
                                             "nnUNet_results" };
    char *names = NULL;
    sf_status st = SF_OK;
    for (int i = 0; i < 3; i++) {
        const char *dir = getenv(variables[i]);
        if (dir && sf_path_is_dir(dir)) SF_GOTO(done, st, sf_dataset_names(&names, dir, number));
    }
    SF_CHECK_GOTO(done, st, names, SF_EINVAL, "%s has no folder Dataset%03d_...", raw, number);
    SF_CHECK_GOTO(done, st, !strchr(names, ','), SF_EDATA,
                  "number %d belongs to several datasets: %s; rename all but one, or give the path",
                  number, names);
    SF_GOTO(done, st, sf_path_join(out, raw, names, NULL));
    SF_CHECK_GOTO(done, st, sf_path_is_dir(out), SF_EINVAL,
                  "%s: missing, although other folders of nnU-Net know dataset %d", out, number);
done:
    sf_mem_free(names);
    return st;
}

sf_status sf_dataset_resolve(char out[SF_PATH_MAX], const char *word)
{
    const char *raw = getenv("nnUNet_raw");
    const size_t digits = strspn(word, "0123456789");
    const bool number = digits > 0 && digits <= DIGITS && word[digits] == '\0';
    const bool name = sf_dataset_number(word) >= 0 && !strchr(word, '/');
    if (sf_path_is_dir(word)) return sf_path_format(out, "%s", word);
    SF_CHECK(number || name, SF_EINVAL, "%s: no such dataset folder", word);
    SF_CHECK(raw && *raw, SF_EINVAL,
             "%s: no such folder; a dataset's number or name is looked up in the folder that the "
             "variable nnUNet_raw names, but it is not set",
             word);
    SF_CHECK(sf_path_is_dir(raw), SF_EINVAL, "nnUNet_raw=%s: no such folder", raw);
    if (number) return find_number(out, raw, atoi(word));
    SF_TRY(sf_path_join(out, raw, word, NULL));
    SF_CHECK(sf_path_is_dir(out), SF_EINVAL, "%s: no such dataset folder", out);
    return SF_OK;
}

sf_status sf_dataset_default_work(char out[SF_PATH_MAX], const char *dataset_dir)
{
    const char *results = getenv("nnUNet_results");
    char *real = realpath(dataset_dir, NULL);
    sf_status st = SF_OK;
    SF_CHECK_GOTO(done, st, real, SF_EINVAL, "%s: no such dataset folder", dataset_dir);
    SF_CHECK_GOTO(done, st, results && *results && sf_dataset_number(sf_path_base(real)) >= 0,
                  SF_EINVAL,
                  "give --work DIR (without it, nnUNet_results must be set and the dataset's "
                  "folder be called DatasetXXX_Name)");
    SF_GOTO(done, st, sf_path_join(out, results, sf_path_base(real), "segfleet"));
done:
    free(real);
    return st;
}
