#include "plan/convert.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "image/rewrite.h"
#include "plan/dataset_id.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char ending[] = ".nii.gz";

/** One file to be made. */
typedef struct {
    char from[SF_PATH_MAX], to[SF_PATH_MAX]; /* to: without "_0000.nii.gz" when split */
    bool split;
} job;

typedef struct {
    const char *task;
    json_t *json;
    bool from_v1;
    char dir[SF_PATH_MAX], tmp[SF_PATH_MAX];
    job *jobs;
    int n_jobs;
} conversion;

bool sf_convert_is_task(const char *dir)
{
    char path[SF_PATH_MAX];
    json_t *json = NULL;
    if (sf_path_join(path, dir, "dataset.json", NULL) != SF_OK || !sf_path_is_file(path))
        return false;
    if (sf_json_load(&json, path) != SF_OK) return true; /* its error is told when it is read */
    const bool yes = json_object_get(json, "training") && !json_object_get(json, "file_ending");
    json_decref(json);
    return yes;
}

/* ---- names ---- */

/** "Task04_Hippocampus" -> 4 and "Hippocampus"; -1 and the whole name when it is called otherwise.
 */
static int task_number(const char *name, const char **rest)
{
    const size_t digits = strncmp(name, "Task", 4) == 0 ? strspn(name + 4, "0123456789") : 0;
    *rest = name;
    if (digits == 0 || digits > 3 || name[4 + digits] != '_' || !name[5 + digits]) return -1;
    *rest = name + 5 + digits;
    return atoi(name + 4);
}

/** The number must be free where the dataset goes and, if it is set, in nnUNet_raw. */
static sf_status check_free(const char *parent, int number)
{
    const char *raw = getenv("nnUNet_raw");
    const char *dirs[2] = { parent, raw && *raw ? raw : parent };
    char *names = NULL;
    sf_status st = SF_OK;
    for (int i = 0; i < 2; i++)
        if (sf_path_is_dir(dirs[i])) SF_GOTO(done, st, sf_dataset_names(&names, dirs[i], number));
    SF_CHECK_GOTO(done, st, !names, SF_EINVAL,
                  "number %d is in use: %s (in %s); choose another with --id", number, names,
                  dirs[1]);
done:
    sf_mem_free(names);
    return st;
}

/** c->dir and c->tmp, from `out` and the task's own name. */
static sf_status choose_name(conversion *c, const char *out, int wanted)
{
    char parent[SF_PATH_MAX];
    const char *rest = NULL, *base = sf_path_base(out);
    char *real = realpath(c->task, NULL);
    SF_CHECK(real, SF_EINVAL, "%s: no such folder", c->task);
    int number = task_number(sf_path_base(real), &rest);
    sf_status st = SF_OK;
    if (sf_dataset_number(base) >= 0) { /* the new folder itself is named */
        number = sf_dataset_number(base);
        SF_CHECK_GOTO(done, st, wanted < 0 || wanted == number, SF_EINVAL,
                      "%s: --id %d names another number", out, wanted);
        SF_GOTO(done, st, sf_path_format(c->dir, "%s", out));
        SF_GOTO(done, st, sf_path_format(parent, "%.*s.", (int)(base - out), out));
    } else {
        number = wanted >= 0 ? wanted : number;
        SF_CHECK_GOTO(done, st, number >= 0, SF_EINVAL,
                      "%s: the folder is not called TaskXXX_Name: give --id N", c->task);
        SF_GOTO(done, st, sf_path_format(parent, "%s", out));
        SF_GOTO(done, st, sf_path_format(c->dir, "%s/Dataset%03d_%s", out, number, rest));
    }
    SF_GOTO(done, st, check_free(parent, number));
    SF_CHECK_GOTO(done, st, !sf_path_is_dir(c->dir) && !sf_path_is_file(c->dir), SF_EINVAL,
                  "%s is there already: remove it, or choose another number with --id", c->dir);
    SF_GOTO(done, st, sf_path_tmp_name(c->tmp, c->dir));
done:
    free(real);
    return st;
}

/* ---- dataset.json ---- */

/** {"0": "background", "1": "liver"} -> {"background": 0, "liver": 1}. */
static sf_status invert_labels(json_t **out, const json_t *labels, const char *where)
{
    const char *key;
    json_t *name;
    json_t *all = json_object();
    sf_status st = SF_OK;
    json_object_foreach((json_t *)labels, key, name)
    {
        char *end = NULL;
        const long v = strtol(key, &end, 10);
        SF_CHECK_GOTO(fail, st,
                      *key && !*end && json_is_string(name) &&
                          !json_object_get(all, json_string_value(name)),
                      SF_EDATA,
                      "%s: \"labels\": \"%s\" should be a number with a name of its own, as in "
                      "\"1\": \"liver\"",
                      where, key);
        json_object_set_new(all, json_string_value(name), json_integer(v));
    }
    *out = all;
    return SF_OK;
fail:
    json_decref(all);
    return st;
}

static sf_status rewrite_json(conversion *c, const char *where)
{
    json_t *modality = json_object_get(c->json, "modality"), *labels = NULL;
    SF_CHECK(json_is_object(modality) && json_is_object(json_object_get(c->json, "labels")),
             SF_EDATA, "%s: \"modality\" and \"labels\" must be objects, as the Decathlon has them",
             where);
    SF_TRY(invert_labels(&labels, json_object_get(c->json, "labels"), where));
    json_object_set_new(c->json, "labels", labels);
    json_object_set_new(c->json, "file_ending", json_string(ending));
    json_object_set(c->json, "channel_names", modality);
    json_object_del(c->json, "modality");
    json_object_del(c->json, "training");
    json_object_del(c->json, "test");
    if (!c->from_v1) return SF_OK;
    json_object_del(c->json, "tensorImageSize");
    json_object_del(c->json, "numTest");
    return SF_OK;
}

/** v1 lists CASE.nii.gz, but has the files CASE_0000.nii.gz. */
static sf_status detect_form(conversion *c, const char *where)
{
    char plain[SF_PATH_MAX], numbered[SF_PATH_MAX];
    const json_t *first = json_array_get(json_object_get(c->json, "training"), 0);
    const char *image = json_string_value(json_object_get(first, "image"));
    SF_CHECK(image, SF_EDATA,
             "%s: \"training\" must be a list of {\"image\": file, \"label\": file}; this is no "
             "dataset of the Decathlon or of nnU-Net v1",
             where);
    const size_t n = strlen(image), m = strlen(ending);
    SF_CHECK(n > m && strcmp(image + n - m, ending) == 0, SF_EDATA,
             "%s: \"training\" lists %s, which is no .nii.gz file", where, image);
    SF_TRY(sf_path_join(plain, c->task, image, NULL));
    SF_TRY(sf_path_format(numbered, "%s/%.*s_0000%s", c->task, (int)(n - m), image, ending));
    c->from_v1 = sf_path_is_file(numbered) && !sf_path_is_file(plain);
    SF_CHECK(c->from_v1 || sf_path_is_file(plain), SF_EDATA, "%s: missing (\"training\" of %s)",
             plain, where);
    return SF_OK;
}

/* ---- files ---- */

static bool is_image(const char *name)
{
    const size_t n = strlen(name), m = strlen(ending);
    return name[0] != '.' && name[0] != '_' && n > m && strcmp(name + n - m, ending) == 0;
}

static sf_status add_job(conversion *c, const char *from_dir, const char *to_dir, const char *name,
                         bool split)
{
    SF_TRY(sf_mem_resize(&c->jobs, (size_t)c->n_jobs + 1, sizeof *c->jobs, SF_MEM_MISC));
    job *j = &c->jobs[c->n_jobs];
    const int stem = (int)(strlen(name) - strlen(ending));
    SF_TRY(sf_path_join(j->from, from_dir, name, NULL));
    SF_TRY(sf_path_format(j->to, "%s/%.*s", to_dir, split ? stem : (int)strlen(name), name));
    j->split = split;
    c->n_jobs++;
    return SF_OK;
}

static sf_status add_folder(conversion *c, const char *folder, bool split)
{
    char from[SF_PATH_MAX], to[SF_PATH_MAX];
    char **names = NULL;
    size_t n = 0;
    int left_out = 0;
    sf_status st = SF_OK;
    SF_TRY(sf_path_join(from, c->task, folder, NULL));
    SF_TRY(sf_path_join(to, c->tmp, folder, NULL));
    SF_TRY(sf_path_make_dirs(to));
    SF_TRY(sf_path_list(&names, &n, from));
    for (size_t i = 0; i < n; i++) {
        if (is_image(names[i]))
            SF_GOTO(done, st, add_job(c, from, to, names[i], split));
        else
            left_out++;
    }
    if (left_out)
        sf_log(SF_LOG_WARN, "convert", "left out files=%d (hidden, or not %s) folder=%s", left_out,
               ending, from);
done:
    sf_path_free_list(&names, n);
    return st;
}

static sf_status add_folders(conversion *c)
{
    static const char *const optional[] = { "imagesTs", "labelsTs", "imagesVal", "labelsVal" };
    char path[SF_PATH_MAX];
    SF_TRY(add_folder(c, "imagesTr", !c->from_v1));
    SF_TRY(add_folder(c, "labelsTr", false));
    for (int i = 0; i < (c->from_v1 ? 4 : 1); i++) {
        SF_TRY(sf_path_join(path, c->task, optional[i], NULL));
        if (sf_path_is_dir(path))
            SF_TRY(add_folder(c, optional[i], !c->from_v1 && optional[i][0] == 'i'));
    }
    return SF_OK;
}

static sf_status do_job(const job *j, int64_t *files)
{
    int written = 1;
    if (j->split)
        SF_TRY(sf_nifti_split(&written, j->from, j->to));
    else
        SF_TRY(sf_path_copy(j->from, j->to));
    *files = written;
    return SF_OK;
}

static sf_status do_jobs(const conversion *c, int threads, int64_t *files)
{
    sf_error_state error = { .status = SF_OK };
    int64_t sum = 0;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads < 1 ? 1 : threads) reduction(+ : sum)
    for (int i = 0; i < c->n_jobs; i++) {
        sf_status before;
        int64_t mine = 0;
#pragma omp critical(sf_convert)
        before = error.status;
        if (before != SF_OK) continue;
        const sf_status st = do_job(&c->jobs[i], &mine);
        sum += mine;
#pragma omp critical(sf_convert)
        if (st != SF_OK && error.status == SF_OK) sf_error_save(&error, st);
    }
    *files = sum;
    return error.status == SF_OK ? SF_OK : sf_error_restore(&error);
}

/* ---- all together ---- */

static sf_status check_folders(const conversion *c, char where[SF_PATH_MAX])
{
    static const char *const needed[] = { "imagesTr", "labelsTr" };
    char path[SF_PATH_MAX];
    SF_TRY(sf_path_join(where, c->task, "dataset.json", NULL));
    SF_CHECK(sf_path_is_file(where), SF_EDATA, "%s: missing; %s is no dataset", where, c->task);
    for (int i = 0; i < 2; i++) {
        SF_TRY(sf_path_join(path, c->task, needed[i], NULL));
        SF_CHECK(sf_path_is_dir(path), SF_EDATA, "%s: missing; %s is no complete dataset", path,
                 c->task);
    }
    return SF_OK;
}

static sf_status fill(conversion *c, int threads, int64_t *files)
{
    char json[SF_PATH_MAX];
    SF_TRY(sf_path_remove(c->tmp));
    SF_TRY(add_folders(c));
    SF_TRY(do_jobs(c, threads, files));
    SF_TRY(sf_path_join(json, c->tmp, "dataset.json", NULL));
    SF_TRY(sf_json_save(c->json, json, 4, false));
    SF_CHECK(rename(c->tmp, c->dir) == 0, SF_EIO, "%s: cannot rename %s: %s", c->dir, c->tmp,
             strerror(errno));
    return SF_OK;
}

static sf_status convert(conversion *c, const char *out, const sf_convert_options *o,
                         int64_t *files)
{
    char where[SF_PATH_MAX];
    SF_TRY(check_folders(c, where));
    SF_TRY(choose_name(c, out, o->number));
    SF_TRY(sf_json_load(&c->json, where));
    SF_CHECK(json_is_object(c->json), SF_EDATA, "%s: must be a JSON object", where);
    SF_TRY(detect_form(c, where));
    SF_TRY(rewrite_json(c, where));
    const sf_status st = fill(c, o->threads, files);
    if (st == SF_OK) return SF_OK;
    sf_error_state error;
    sf_error_save(&error, st);
    sf_path_remove(c->tmp); /* nothing half made stays */
    return sf_error_restore(&error);
}

sf_status sf_convert_task(sf_convert_result *result, const char *task, const char *out,
                          const sf_convert_options *o)
{
    conversion *c = NULL;
    SF_TRY(sf_mem_calloc(&c, 1, sizeof *c, SF_MEM_MISC));
    c->task = task;
    memset(result, 0, sizeof *result);
    const sf_status st = convert(c, out, o, &result->files);
    memcpy(result->dir, c->dir, sizeof result->dir);
    result->from_v1 = c->from_v1;
    json_decref(c->json);
    sf_mem_free(c->jobs);
    sf_mem_free(c);
    return st;
}
