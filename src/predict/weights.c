#include "predict/weights.h"
#include "base/mem.h"
#include "base/path.h"
#include "interop/torch.h"
#include "store/arrays.h"
#include <stdio.h>
#include <string.h>

typedef struct {
    char *name;
    int ndim;
    int64_t dim[8], count;
    float *value;
} tensor;

struct sf_weights {
    char *origin; /* file name for errors */
    tensor *item;
    int count;
};

void sf_weights_destroy(sf_weights **w)
{
    if (*w == NULL) return;
    for (int i = 0; (*w)->item != NULL && i < (*w)->count; i++) {
        sf_mem_free((*w)->item[i].name);
        sf_mem_free((*w)->item[i].value);
    }
    sf_mem_free((*w)->item);
    sf_mem_free((*w)->origin);
    sf_mem_free(*w);
    *w = NULL;
}

static sf_status weights_new(sf_weights **out, const char *origin, int capacity)
{
    sf_weights *w;
    *out = NULL;
    SF_TRY(sf_mem_calloc(&w, 1, sizeof *w, SF_MEM_PARAMS));
    sf_status st = sf_mem_strdup(&w->origin, origin);
    if (st == SF_OK) st = sf_mem_calloc(&w->item, (size_t)capacity, sizeof *w->item, SF_MEM_PARAMS);
    if (st != SF_OK)
        sf_weights_destroy(&w);
    else
        *out = w;
    return st;
}

/** Room for one more tensor; the caller fills the values. */
static sf_status add(sf_weights *w, const char *name, int ndim, const int64_t *dim, int64_t count,
                     float **value)
{
    tensor *t = &w->item[w->count++];
    t->ndim = ndim;
    t->count = count;
    memcpy(t->dim, dim, (size_t)ndim * sizeof *dim);
    SF_TRY(sf_mem_strdup(&t->name, name));
    SF_TRY(sf_mem_alloc(&t->value, (size_t)count, sizeof *t->value, SF_MEM_PARAMS));
    *value = t->value;
    return SF_OK;
}

static sf_status add_copy(sf_weights *w, const char *name, int ndim, const int64_t *dim,
                          int64_t count, const float *src)
{
    float *value;
    SF_TRY(add(w, name, ndim, dim, count, &value));
    memcpy(value, src, (size_t)count * sizeof *value);
    return SF_OK;
}

static sf_status from_arrays(sf_weights **out, json_t **meta, const char *path)
{
    sf_array *array = NULL;
    int count = 0;
    sf_status st = SF_OK;
    SF_TRY(sf_arrays_load(&array, &count, meta, path, "params"));
    SF_GOTO(done, st, weights_new(out, path, count));
    for (int i = 0; i < count; i++) {
        const sf_array *a = &array[i];
        SF_GOTO(done, st, add_copy(*out, a->name, a->ndim, a->dim, a->count, a->data));
    }
done:
    sf_arrays_free(&array, count);
    return st;
}

/** PyTorch repeats the encoder in the decoder and every unit in "all_modules": the same tensors
 * under other names. */
static bool is_repeated(const char *name)
{
    return strncmp(name, "decoder.encoder.", 16) == 0 || strstr(name, ".all_modules.") != NULL;
}

static sf_status from_torch(sf_weights **out, json_t **meta, const char *path)
{
    sf_torch_checkpoint *c = NULL;
    sf_status st = SF_OK;
    SF_TRY(sf_torch_load(&c, path));
    SF_GOTO(done, st, weights_new(out, path, c->count));
    for (int i = 0; i < c->count; i++) {
        const sf_torch_tensor *t = &c->tensor[i];
        if (is_repeated(t->name)) continue;
        SF_GOTO(done, st, add_copy(*out, t->name, t->ndim, t->dim, t->count, t->data));
    }
    if (meta != NULL) *meta = json_incref(c->meta);
done:
    sf_torch_destroy(&c);
    return st;
}

static sf_status is_hdf5(bool *out, const char *path)
{
    static const unsigned char mark[8] = { 0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n' };
    unsigned char head[8] = { 0 };
    FILE *f = fopen(path, "rb");
    SF_CHECK(f != NULL, SF_EIO, "%s: cannot be opened for reading", path);
    const size_t n = fread(head, 1, sizeof head, f);
    fclose(f);
    *out = n == sizeof head && memcmp(head, mark, sizeof mark) == 0;
    return SF_OK;
}

sf_status sf_weights_load_meta(sf_weights **out, json_t **meta, bool *is_torch, const char *path)
{
    bool ours = false;
    *out = NULL;
    if (meta != NULL) *meta = NULL;
    SF_TRY(is_hdf5(&ours, path));
    *is_torch = !ours;
    const sf_status st = ours ? from_arrays(out, meta, path) : from_torch(out, meta, path);
    if (st == SF_OK) return SF_OK;
    sf_weights_destroy(out);
    if (meta != NULL) {
        json_decref(*meta);
        *meta = NULL;
    }
    return sf_trace_(st, __FILE__, __LINE__, path);
}

sf_status sf_weights_load(sf_weights **out, const char *path)
{
    bool is_torch;
    return sf_weights_load_meta(out, NULL, &is_torch, path);
}

sf_status sf_weights_from_params(sf_weights **out, const sf_params *p)
{
    SF_CHECK(p->dtype == SF_F32 || p->dtype == SF_F64, SF_EINTERNAL, "parameters of type %d",
             (int)p->dtype);
    sf_status st = SF_OK;
    SF_TRY(weights_new(out, "a network in memory", p->count));
    for (int i = 0; i < p->count; i++) {
        const sf_param *q = &p->item[i];
        float *value;
        SF_GOTO(done, st, add(*out, q->name, q->ndim, q->dim, q->count, &value));
        for (int64_t k = 0; k < q->count; k++)
            value[k] = p->dtype == SF_F32 ? ((const float *)q->value)[k]
                                          : (float)((const double *)q->value)[k];
    }
done:
    if (st != SF_OK) sf_weights_destroy(out);
    return st;
}

static const tensor *find(const sf_weights *w, const char *name)
{
    for (int i = 0; i < w->count; i++)
        if (strcmp(w->item[i].name, name) == 0) return &w->item[i];
    return NULL;
}

/** "[32, 1, 3, 3]" */
static void shape_text(char out[128], int ndim, const int64_t *dim)
{
    int at = snprintf(out, 128, "[");
    for (int a = 0; a < ndim && at < 100; a++)
        at +=
            snprintf(out + at, (size_t)(128 - at), "%s%lld", a > 0 ? ", " : "", (long long)dim[a]);
    snprintf(out + at, (size_t)(128 - at), "]");
}

static sf_status apply_one(const sf_weights *w, sf_param *q, sf_dtype dtype)
{
    const tensor *t = find(w, q->name);
    SF_CHECK(t != NULL, SF_EDATA, "%s: parameter %s is missing; is this a checkpoint of this plan?",
             w->origin, q->name);
    if (t->ndim != q->ndim || memcmp(t->dim, q->dim, (size_t)q->ndim * sizeof *q->dim) != 0) {
        char has[128], wants[128];
        shape_text(has, t->ndim, t->dim);
        shape_text(wants, q->ndim, q->dim);
        return SF_FAIL(SF_EDATA, "%s: parameter %s has shape %s, the plan asks for %s", w->origin,
                       q->name, has, wants);
    }
    for (int64_t k = 0; k < q->count; k++) {
        if (dtype == SF_F32)
            ((float *)q->value)[k] = t->value[k];
        else
            ((double *)q->value)[k] = (double)t->value[k];
    }
    return SF_OK;
}

sf_status sf_weights_apply(const sf_weights *w, sf_params *p)
{
    SF_CHECK(p->dtype == SF_F32 || p->dtype == SF_F64, SF_EINTERNAL, "parameters of type %d",
             (int)p->dtype);
    for (int i = 0; i < p->count; i++) SF_TRY(apply_one(w, &p->item[i], p->dtype));
    return SF_OK;
}

sf_status sf_weights_apply_body(const sf_weights *w, sf_params *p, int *copied)
{
    *copied = 0;
    for (int i = 0; i < p->count; i++) {
        if (strstr(p->item[i].name, ".seg_layers.")) continue;
        SF_TRY(apply_one(w, &p->item[i], p->dtype));
        ++*copied;
    }
    return SF_OK;
}
