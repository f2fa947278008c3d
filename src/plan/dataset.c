#include "plan/dataset.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "plan/cases.h"
#include "plan/labels.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CHANNELS = 1024 };

static sf_status read_ending(sf_dataset *d, const char *where)
{
    const char *ending = NULL;
    SF_TRY(sf_json_get_str(&ending, d->json, "file_ending", where));
    SF_CHECK(ending[0] == '.' && strlen(ending) > 1 && strlen(ending) < 32 && !strchr(ending, '/'),
             SF_EDATA, "%s: \"file_ending\" is \"%s\"; it must begin with a dot, as in \".nii.gz\"",
             where, ending);
    SF_TRY(sf_image_check_ending(ending, where));
    return sf_mem_strdup(&d->file_ending, ending);
}

/** nnU-Net's reader classes that read what we read (planning.md 1.6); others are refused by name,
 *  since they would turn or order the voxels in a way of their own. */
static sf_status set_reader(sf_dataset *d, const char *name, const char *key, const char *where)
{
    static const struct {
        const char *name;
        sf_image_reader reader;
        const char *endings; /* each followed by a blank */
    } known[] = {
        { "NaturalImage2DIO", SF_READER_PLANE, ".png .tif .tiff " },
        { "SimpleITKIO", SF_READER_AUTO, ".nii.gz .nii .nrrd .nhdr .mha .mhd .hdr .img " },
        { "Tiff3DIO", SF_READER_VOLUME, ".tif .tiff " },
        { "NibabelIO", SF_READER_AUTO, ".nii.gz .nii .hdr .img " },
    };
    char ending[40];
    size_t k = 0;
    while (k < sizeof known / sizeof *known && strcmp(known[k].name, name) != 0) k++;
    SF_CHECK(k < sizeof known / sizeof *known, SF_EUNSUPPORTED,
             "%s: \"%s\" is \"%.80s\", which we have no equivalent of; only NaturalImage2DIO, "
             "SimpleITKIO, Tiff3DIO and NibabelIO can be followed",
             where, key, name);
    snprintf(ending, sizeof ending, "%s ", d->file_ending);
    SF_CHECK(strcasestr(known[k].endings, ending), SF_EDATA,
             "%s: \"%s\" is %s, which does not read files ending in %s", where, key, name,
             d->file_ending);
    d->reader = known[k].reader;
    return SF_OK;
}

static sf_status read_reader(sf_dataset *d, const char *where)
{
    static const char key[] = "overwrite_image_reader_writer";
    const json_t *v = json_object_get(d->json, key);
    if (!json_is_string(v) || strcmp(json_string_value(v), "None") == 0) return SF_OK;
    return set_reader(d, json_string_value(v), key, where);
}

/** A model folder has plans.json beside dataset.json: it names the reader the model was trained
 *  with. Damaged plans are told by those who need them. */
static sf_status read_reader_of_plans(sf_dataset *d)
{
    static const char key[] = "image_reader_writer";
    char path[SF_PATH_MAX];
    json_t *plans = NULL;
    sf_status st = SF_OK;
    SF_TRY(sf_path_join(path, d->dir, "plans.json", NULL));
    if (!sf_path_is_file(path)) return SF_OK;
    if (sf_json_load(&plans, path) != SF_OK) {
        sf_error_clear();
        return SF_OK;
    }
    const char *name = json_string_value(json_object_get(plans, key));
    if (name) st = set_reader(d, name, key, path);
    json_decref(plans);
    return st;
}

/** Channel names by number; JSON order does not matter (a warning when it differs). */
static sf_status read_channels(sf_dataset *d, const char *where)
{
    const json_t *names = json_object_get(d->json, "channel_names");
    const char *key;
    json_t *v;
    int at = 0;
    bool in_order = true;
    if (!names) names = json_object_get(d->json, "modality"); /* nnU-Net v1's word */
    SF_CHECK(json_is_object(names) && json_object_size(names) > 0 &&
                 json_object_size(names) <= MAX_CHANNELS,
             SF_EDATA, "%s: \"channel_names\" must be an object: \"0\" -> name, \"1\" -> name ...",
             where);
    d->n_channels = (int)json_object_size(names);
    SF_TRY(sf_mem_calloc(&d->channel_names, (size_t)d->n_channels, sizeof(char *), SF_MEM_MISC));
    json_object_foreach((json_t *)names, key, v)
    {
        char *end = NULL;
        const long c = strtol(key, &end, 10);
        SF_CHECK(*key && !*end && c >= 0 && c < d->n_channels && !d->channel_names[c] &&
                     json_is_string(v),
                 SF_EDATA,
                 "%s: \"channel_names\": \"%s\" should be one of 0 to %d, each once, with a "
                 "name",
                 where, key, d->n_channels - 1);
        in_order = in_order && c == at++;
        SF_TRY(sf_mem_strdup(&d->channel_names[c], json_string_value(v)));
    }
    if (!in_order)
        sf_log(SF_LOG_WARN, "dataset", "channel_names are not in numeric order; sorted, file=%s",
               where);
    return SF_OK;
}

static sf_status check_keys(const json_t *json, const char *where)
{
    static const char *const needed[] = { "channel_names", "labels", "numTraining", "file_ending" };
    char missing[128] = "";
    SF_CHECK(json_is_object(json), SF_EDATA, "%s: must be a JSON object", where);
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        if (json_object_get(json, needed[i])) continue;
        if (missing[0]) strcat(missing, ", ");
        strcat(missing, needed[i]);
    }
    SF_CHECK(!missing[0], SF_EDATA,
             "%s: missing keys: %s (a dataset of the Decathlon or of nnU-Net v1: segfleet convert)",
             where, missing);
    return SF_OK;
}

/** What the JSON alone tells. */
static sf_status read_json(sf_dataset *d, const char *where)
{
    const json_t *n = json_object_get(d->json, "numTraining");
    SF_CHECK(json_is_object(d->json), SF_EDATA, "%s: must be a JSON object", where);
    if (n) {
        SF_TRY(sf_json_get_int(&d->num_training, d->json, "numTraining", where));
        SF_CHECK(d->num_training > 0, SF_EDATA, "%s: \"numTraining\" must be at least 1", where);
    }
    SF_TRY(read_ending(d, where));
    SF_TRY(read_reader(d, where));
    SF_TRY(read_channels(d, where));
    return sf_labels_parse(&d->labels, d->json, where);
}

static sf_status read_training_cases(sf_dataset *d, const char *where)
{
    char images[SF_PATH_MAX], labels[SF_PATH_MAX];
    const json_t *list = json_object_get(d->json, "dataset");
    if (list) {
        SF_TRY(sf_cases_from_list(&d->train, &d->n_train, list, d, where));
        SF_TRY(sf_cases_check_channels(d->train, d->n_train, d->n_channels));
    } else {
        SF_TRY(sf_path_join(images, d->dir, "imagesTr", NULL));
        SF_TRY(sf_path_join(labels, d->dir, "labelsTr", NULL));
        SF_CHECK(sf_path_is_dir(images) && sf_path_is_dir(labels), SF_EDATA,
                 "%s: needs the folders imagesTr and labelsTr (or a \"dataset\" list)", d->dir);
        SF_TRY(sf_dataset_find_cases(&d->train, &d->n_train, d, images));
        SF_TRY(sf_cases_find_labels(d->train, d->n_train, labels, d->file_ending, true));
    }
    SF_CHECK(d->n_train == d->num_training, SF_EDATA,
             "%s: \"numTraining\" is %lld, but %d cases were found (%s%s%s%s ...); correct the one "
             "or the other",
             where, (long long)d->num_training, d->n_train,
             d->n_train > 0 ? d->train[0].id : "none", d->n_train > 1 ? ", " : "",
             d->n_train > 1 ? d->train[1].id : "", d->n_train > 2 ? "," : "");
    return SF_OK;
}

/** imagesTs is optional and no training needs it, so trouble there is only a warning. */
static void read_test_cases(sf_dataset *d)
{
    char images[SF_PATH_MAX], labels[SF_PATH_MAX];
    char **names = NULL;
    size_t n = 0;
    if (sf_path_join(images, d->dir, "imagesTs", NULL) != SF_OK || !sf_path_is_dir(images) ||
        sf_path_join(labels, d->dir, "labelsTs", NULL) != SF_OK)
        return;
    if (sf_path_list(&names, &n, images) != SF_OK) return;
    sf_path_free_list(&names, n);
    if (n == 0) return;
    if (sf_dataset_find_cases(&d->test, &d->n_test, d, images) != SF_OK ||
        sf_cases_find_labels(d->test, d->n_test, labels, d->file_ending, false) != SF_OK) {
        sf_log(SF_LOG_WARN, "dataset", "test cases left out: %s", sf_error_text());
        sf_error_clear();
        sf_cases_free(&d->test, d->n_test);
        d->n_test = 0;
    }
}

/** dir without trailing slashes; name = its last component ("." is resolved). */
static sf_status set_folder(sf_dataset *d, const char *dir)
{
    char *real = realpath(dir, NULL);
    SF_CHECK(real, SF_EIO, "%s: no such folder", dir);
    sf_status st = sf_mem_strdup(&d->dir, real);
    if (st == SF_OK) st = sf_mem_strdup(&d->name, sf_path_base(real));
    free(real);
    return st;
}

static sf_status load(sf_dataset *d, const char *dir)
{
    char path[SF_PATH_MAX];
    sf_geometry geo;
    int channels = 0;
    SF_CHECK(sf_path_is_dir(dir), SF_EIO, "%s: no such dataset folder", dir);
    SF_TRY(set_folder(d, dir));
    SF_TRY(sf_path_join(path, d->dir, "dataset.json", NULL));
    SF_CHECK(sf_path_is_file(path), SF_EDATA, "%s: missing; %s is not a dataset folder", path, dir);
    SF_TRY(sf_json_load(&d->json, path));
    SF_TRY(check_keys(d->json, path));
    SF_TRY(read_json(d, path));
    SF_TRY(read_training_cases(d, path));
    SF_TRY(sf_case_probe(&geo, &channels, &d->train[0]));
    read_test_cases(d);
    return SF_OK;
}

static sf_status load_json(sf_dataset *d, const char *path)
{
    char folder[SF_PATH_MAX];
    SF_TRY(sf_json_load(&d->json, path));
    const char *base = sf_path_base(path);
    SF_TRY(sf_path_format(folder, "%.*s", (int)(base - path), path));
    SF_TRY(set_folder(d, folder[0] ? folder : "."));
    SF_TRY(read_json(d, path));
    return read_reader_of_plans(d);
}

static sf_status create(sf_dataset **out, const char *path,
                        sf_status (*fill)(sf_dataset *, const char *))
{
    sf_dataset *d = NULL;
    SF_TRY(sf_mem_calloc(&d, 1, sizeof *d, SF_MEM_MISC));
    const sf_status st = fill(d, path);
    if (st != SF_OK) sf_dataset_destroy(&d);
    *out = d;
    return st;
}

sf_status sf_dataset_load(sf_dataset **out, const char *dir)
{
    SF_TRY(create(out, dir, load));
    return SF_OK;
}

sf_status sf_dataset_from_json(sf_dataset **out, const char *json_path)
{
    SF_TRY(create(out, json_path, load_json));
    return SF_OK;
}

sf_status sf_dataset_of_labels(sf_dataset **out, const int *label, int n, int ignore,
                               const char *file_ending)
{
    sf_dataset *d = NULL;
    sf_status st;
    SF_TRY(sf_mem_calloc(&d, 1, sizeof *d, SF_MEM_MISC));
    SF_GOTO(failed, st, sf_mem_strdup(&d->file_ending, file_ending));
    SF_GOTO(failed, st, sf_labels_list(&d->labels, label, n, ignore, "the list of labels"));
    *out = d;
    return SF_OK;
failed:
    sf_dataset_destroy(&d);
    return st;
}

void sf_dataset_destroy(sf_dataset **d)
{
    if (!d || !*d) return;
    sf_dataset *x = *d;
    if (x->channel_names)
        for (int i = 0; i < x->n_channels; i++) sf_mem_free(x->channel_names[i]);
    sf_mem_free(x->channel_names);
    sf_mem_free(x->dir);
    sf_mem_free(x->name);
    sf_mem_free(x->file_ending);
    sf_labels_free(&x->labels);
    sf_cases_free(&x->train, x->n_train);
    sf_cases_free(&x->test, x->n_test);
    json_decref(x->json);
    sf_mem_free(x);
    *d = NULL;
}
