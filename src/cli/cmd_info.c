#include "base/json.h"
#include "base/mem.h"
#include "cli/command.h"
#include "image/image.h"
#include "interop/torch.h"
#include "store/arrays.h"
#include "store/cases.h"
#include "train/checkpoint.h"
#include <stdlib.h>
#include <string.h>

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static sf_status info_json(const char *path)
{
    json_t *j = NULL;
    char *text = NULL;
    SF_TRY(sf_json_load(&j, path));
    sf_status st = sf_json_dump(&text, j, 2, false);
    if (st == SF_OK) puts(text);
    sf_mem_free(text);
    json_decref(j);
    return st;
}

static sf_status info_container(const char *path)
{
    sf_cases *c = NULL;
    SF_TRY(sf_cases_open(&c, path, true));
    printf("preprocessed dataset, complete, %d cases\n", sf_cases_count(c));
    for (int i = 0; i < sf_cases_count(c); i++) {
        sf_case_view v;
        sf_status st = sf_cases_get(c, i, &v);
        if (st != SF_OK) {
            sf_cases_close(&c);
            return st;
        }
        const int64_t *s = v.props.shape;
        printf("%s channels=%d shape=%lldx%lldx%lld locations=", v.id, v.channels, (long long)s[0],
               (long long)s[1], (long long)s[2]);
        for (int e = 0; e < v.loc->n_entries; e++)
            printf("%s%lld", e ? "," : "", (long long)v.loc->count[e]);
        putchar('\n');
    }
    sf_cases_close(&c);
    return SF_OK;
}

static void print_shape(const char *name, int ndim, const int64_t *dim)
{
    printf("  %s ", name);
    for (int i = 0; i < ndim; i++) printf("%s%lld", i ? "x" : "", (long long)dim[i]);
    putchar('\n');
}

static sf_status info_arrays(const char *path, const char *group)
{
    sf_array *a = NULL;
    json_t *meta = NULL;
    int n = 0;
    char *text = NULL;
    SF_TRY(sf_arrays_load(&a, &n, &meta, path, group));
    sf_status st = sf_json_dump(&text, meta, 2, false);
    if (st == SF_OK) printf("%s\n%s: %d arrays\n", text, group, n);
    for (int i = 0; st == SF_OK && i < n; i++) print_shape(a[i].name, a[i].ndim, a[i].dim);
    sf_mem_free(text);
    json_decref(meta);
    sf_arrays_free(&a, n);
    return st;
}

/* Which of our HDF5 files is it? The readers verify the checksum first, so trying them in turn is
 * safe. */
static sf_status info_h5(const char *path)
{
    if (info_arrays(path, "params") == SF_OK) {
        char hex[65];
        SF_TRY(sf_checkpoint_hash(path, hex));
        printf("hash %s\n", hex);
        return SF_OK;
    }
    if (info_container(path) == SF_OK) return SF_OK;
    return info_arrays(path, "prediction");
}

static sf_status info_torch(const char *path)
{
    sf_torch_checkpoint *c = NULL;
    SF_TRY(sf_torch_load(&c, path));
    printf("PyTorch checkpoint, %d tensors\n", c->count);
    for (int i = 0; i < c->count; i++)
        print_shape(c->tensor[i].name, c->tensor[i].ndim, c->tensor[i].dim);
    sf_torch_destroy(&c);
    return SF_OK;
}

static sf_status info_image(const char *path)
{
    sf_image *img = NULL;
    SF_TRY(sf_image_read(&img, &path, 1));
    const sf_geometry *g = &img->geo;
    const int64_t n = g->shape[0] * g->shape[1] * g->shape[2] * img->channels;
    float lo = n ? img->data[0] : 0, hi = lo;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        lo = img->data[i] < lo ? img->data[i] : lo;
        hi = img->data[i] > hi ? img->data[i] : hi;
        sum += img->data[i];
    }
    printf(
        "image channels=%d shape_zyx=%lldx%lldx%lld spacing_zyx=%gx%gx%g min=%g max=%g mean=%g\n",
        img->channels, (long long)g->shape[0], (long long)g->shape[1], (long long)g->shape[2],
        g->spacing[0], g->spacing[1], g->spacing[2], lo, hi, n ? sum / (double)n : 0);
    sf_image_destroy(&img);
    return SF_OK;
}

static sf_status print_info(const char *path)
{
    SF_CHECK(sf_path_is_file(path), SF_EIO, "%s is not a file", path);
    if (ends_with(path, ".json")) return info_json(path);
    if (ends_with(path, ".h5")) return info_h5(path);
    if (ends_with(path, ".pth")) return info_torch(path);
    return info_image(path);
}

sf_status sf_cmd_info(int argc, char **argv)
{
    const char *path = NULL;
    bool hash = false, done = false;
    sf_arg args[] = {
        SF_ARG("FILE", 0, STR, &path, NULL, "JSON, our .h5 files, .pth checkpoints, images",
               .positional = true, .required = true),
        SF_ARG("hash", 0, FLAG, &hash, NULL,
               "only the hash of a checkpoint's weights: SHA-256 over all parameters in name "
               "order, float32 little-endian"),
        SF_ARG_END,
    };
    const sf_arg_table table = { "info", "print what a file holds", NULL, args };
    SF_TRY(sf_cli_parse(&table, argc, argv, &done));
    if (done) return SF_OK;
    if (!hash) return print_info(path);
    char hex[65];
    SF_TRY(sf_checkpoint_hash(path, hex));
    puts(hex);
    return SF_OK;
}
