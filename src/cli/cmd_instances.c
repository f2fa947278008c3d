/* segfleet instances: label images of instances <-> core and border, file by file. */
#include "base/mem.h"
#include "cli/command.h"
#include "evaluate/instances.h"
#include "fleet/folders.h"
#include "fleet/threads.h"
#include "image/image.h"
#include <stdlib.h>
#include <string.h>

static const char details[] =
    "to-classes: every value above 0 is one object; its outer layer becomes 2 = border, the rest 1 "
    "= core. Train on that.\n"
    "to-instances: every connected core is one object; cores grow over the border until they meet. "
    "16 bits per voxel.\n"
    "All files of IN but *.json and hidden ones are label images; OUT gets files of the same "
    "names, "
    "formats and geometry.";

typedef struct {
    const char *action, *in, *out, *spacing_text;
    double border, spacing[3];
    sf_instances_rule rule;
    int threads;
    int64_t objects;
} instances_words;

/* "Z,Y,X" */
static sf_status parse_spacing(instances_words *w)
{
    char **word = NULL;
    int n = 0;
    if (!w->spacing_text) return SF_OK;
    SF_TRY(sf_args_split(&word, &n, w->spacing_text));
    bool fine = n == 3;
    for (int a = 0; a < 3 && fine; a++) {
        char *end;
        w->spacing[a] = strtod(word[a], &end);
        fine = *end == 0 && w->spacing[a] > 0 && w->spacing[a] < 1e9;
    }
    sf_mem_free(word);
    SF_CHECK(fine, SF_EINVAL, "--spacing must be three numbers above 0, as in 0.2,0.125,0.125");
    return SF_OK;
}

static sf_status to_classes(const instances_words *w, sf_label_image *img, const double *spacing)
{
    sf_border_element e;
    SF_TRY(sf_border_element_make(&e, img->geo.shape, spacing, w->border));
    const sf_status st =
        sf_instances_to_classes(img->data, img->data, img->geo.shape, &e, w->threads);
    sf_border_element_free(&e);
    return st;
}

static sf_status convert(instances_words *w, const char *name, bool classes)
{
    char from[SF_PATH_MAX], to[SF_PATH_MAX];
    sf_label_image *img = NULL;
    int count = 0;
    sf_status st;
    SF_TRY(sf_path_join(from, w->in, name, NULL));
    SF_TRY(sf_path_join(to, w->out, name, NULL));
    SF_TRY(sf_label_image_read(&img, from));
    const double *spacing = w->spacing_text ? w->spacing : img->geo.spacing;
    if (classes) {
        st = to_classes(w, img, spacing);
    } else {
        st = sf_classes_to_instances(img->data, &count, img->data, img->geo.shape, spacing,
                                     &w->rule);
    }
    if (st == SF_OK)
        st = sf_label_write(to, &img->geo, img->data, classes ? SF_INSTANCE_BORDER : UINT16_MAX);
    w->objects += count;
    sf_label_image_destroy(&img);
    if (st != SF_EDATA) return st;
    sf_error_state e;
    sf_error_save(&e, st);
    return SF_FAIL(st, "%s: %s", from, e.text);
}

static bool is_image(const char *name)
{
    const size_t n = strlen(name);
    return name[0] != '.' && !(n > 5 && strcmp(name + n - 5, ".json") == 0);
}

static sf_status convert_all(instances_words *w, bool classes)
{
    char **names = NULL;
    size_t n = 0, done = 0;
    SF_TRY(sf_path_list(&names, &n, w->in));
    sf_status st = sf_folder_make_output(w->out, &w->in, 1);
    for (size_t i = 0; i < n && st == SF_OK; i++) {
        if (!is_image(names[i])) continue;
        st = convert(w, names[i], classes);
        done++;
    }
    sf_path_free_list(&names, n);
    SF_TRY(st);
    SF_CHECK(done > 0, SF_EDATA, "%s holds no label image", w->in);
    if (classes)
        printf("%zu label images in %s: 1 = core, 2 = border\n", done, w->out);
    else
        printf("%zu label images in %s: %lld objects\n", done, w->out, (long long)w->objects);
    return SF_OK;
}

sf_status sf_cmd_instances(int argc, char **argv)
{
    instances_words w = { .rule = { 30, 15 } };
    bool g_border = false, done = false;
    int64_t threads = 0;
    sf_arg args[] = {
        SF_ARG("ACTION", 0, STR, &w.action, NULL, "to-classes or to-instances", .positional = true,
               .required = true),
        SF_ARG("input", 'i', STR, &w.in, "DIR", "label images", .required = true),
        SF_ARG("output", 'o', STR, &w.out, "DIR", "label images of the same names",
               .required = true),
        SF_ARG("border", 'b', REAL, &w.border, "X",
               "to-classes: thickness, in the unit of the spacing; D21: 0.5", .given = &g_border,
               .positive = true),
        SF_ARG("spacing", 0, STR, &w.spacing_text, "Z,Y,X", "default: the files' own"),
        SF_ARG("min-core", 0, INT, &w.rule.min_core, "N",
               "to-instances: cores of at most N voxels are border; default 30"),
        SF_ARG("min-border", 0, INT, &w.rule.min_border, "N",
               "to-instances: border without core is an object from N voxels on; default 15, 0 = "
               "never"),
        SF_ARG("threads", 't', INT, &threads, "T", "default: all processors", .positive = true),
        SF_ARG_END,
    };
    const sf_arg_table table = { "instances",
                                 "objects (cells, nuclei) as core and border, and back", details,
                                 args };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return SF_OK;
    const bool classes = strcmp(w.action, "to-classes") == 0;
    SF_CHECK(classes || strcmp(w.action, "to-instances") == 0, SF_EINVAL,
             "instances: '%s' is neither to-classes nor to-instances", w.action);
    SF_CHECK(classes == g_border, SF_EINVAL, "instances: --border is needed by to-classes alone");
    SF_CHECK(w.rule.min_core >= 0 && w.rule.min_border >= 0, SF_EINVAL,
             "--min-core and --min-border must not be negative");
    SF_TRY(parse_spacing(&w));
    w.threads = threads > 0 ? (int)threads : sf_threads_available();
    return convert_all(&w, classes);
}
