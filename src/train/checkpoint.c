#include "train/checkpoint.h"
#include "base/mem.h"
#include "network/network.h"
#include "store/arrays.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static void describe(sf_array *a, const sf_param *p, const void *data)
{
    memset(a, 0, sizeof *a);
    snprintf(a->name, sizeof a->name, "%s", p->name);
    a->ndim = p->ndim;
    memcpy(a->dim, p->dim, sizeof p->dim);
    a->count = p->count;
    a->data = data;
}

static json_t *state_to_json(const sf_train_state *s)
{
    json_t *running = json_array();
    for (int i = 0; running && i < s->n_running; i++)
        json_array_append_new(running, sf_json_real(s->loss_sum[i]));
    json_t *j = json_object();
    if (!j || !running) {
        json_decref(j);
        json_decref(running);
        return NULL;
    }
    char seed[32];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)s->key.seed);
    json_object_set_new(j, "format", json_string("segfleet-checkpoint-1"));
    char library[32];
    sf_store_library(library);
    json_object_set_new(j, "program_version", json_string(SEGFLEET_VERSION));
    json_object_set_new(j, "compiler", json_string(__VERSION__));
    json_object_set_new(j, "library", json_string(library));
    json_object_set_new(j, "isa", json_string(sf_network_isa()));
    json_object_set_new(j, "variant", json_string(s->key.variant ? s->key.variant : "none"));
    json_object_set_new(j, "seed", json_string(seed));
    json_object_set_new(j, "configuration", json_string(s->key.config));
    json_object_set_new(j, "fold", json_integer(s->key.fold));
    json_object_set_new(j, "epoch", json_integer(s->epoch));
    json_object_set_new(j, "iteration", json_integer(s->iteration));
    json_object_set_new(j, "epochs", json_integer(s->epochs));
    json_object_set_new(j, "iterations", json_integer(s->iterations));
    json_object_set_new(j, "batch", json_integer(s->batch));
    json_object_set_new(j, "best_ema", sf_json_real(s->best_ema));
    json_object_set_new(j, "ema", sf_json_real(s->ema));
    json_object_set_new(j, "running", running);
    json_object_set_new(j, "extra", json_string(s->extra_json ? s->extra_json : ""));
    return j;
}

sf_status sf_checkpoint_save(const char *path, const sf_train_state *s, const sf_params *p)
{
    SF_CHECK(p->dtype == SF_F32, SF_EINTERNAL, "only float32 parameters are stored");
    sf_array *values = NULL, *momentum = NULL;
    json_t *meta = NULL;
    int n_momentum = 0;
    sf_status st;
    SF_GOTO(done, st, sf_mem_calloc(&values, (size_t)p->count, sizeof *values, SF_MEM_MISC));
    SF_GOTO(done, st, sf_mem_calloc(&momentum, (size_t)p->count, sizeof *momentum, SF_MEM_MISC));
    for (int i = 0; i < p->count; i++) {
        describe(&values[i], &p->item[i], p->item[i].value);
        if (p->item[i].has_velocity)
            describe(&momentum[n_momentum++], &p->item[i], p->item[i].velocity);
    }
    meta = state_to_json(s);
    SF_CHECK_GOTO(done, st, meta, SF_ENOMEM, "out of memory");
    const sf_array_group groups[] = { { "params", values, p->count },
                                      { "momentum", momentum, n_momentum } };
    SF_GOTO(done, st, sf_arrays_save(path, groups, 2, meta));
done:
    json_decref(meta);
    sf_mem_free(values);
    sf_mem_free(momentum);
    return st;
}

static sf_status copy_array(const sf_array *a, sf_param *p, void *to, const char *path)
{
    bool same = a->ndim == p->ndim && a->count == p->count;
    for (int i = 0; same && i < p->ndim; i++) same = a->dim[i] == p->dim[i];
    SF_CHECK(same, SF_EDATA,
             "%s: %s has another shape than this network: not a checkpoint of this plan", path,
             a->name);
    memcpy(to, a->data, (size_t)a->count * sizeof(float));
    return SF_OK;
}

static sf_status load_group(const char *path, const char *group, sf_params *p, json_t **meta)
{
    sf_array *array = NULL;
    int count = 0;
    const bool values = strcmp(group, "params") == 0;
    SF_TRY(sf_arrays_load(&array, &count, meta, path, group));
    sf_status st = SF_OK;
    SF_CHECK_GOTO(done, st, !values || count == p->count, SF_EDATA,
                  "%s holds %d tensors, but this network has %d: not a checkpoint of this plan",
                  path, count, p->count);
    for (int i = 0; !values && i < p->count; i++) p->item[i].has_velocity = false;
    for (int i = 0; i < count; i++) {
        sf_param *q = sf_params_find(p, array[i].name);
        SF_CHECK_GOTO(done, st, q, SF_EDATA,
                      "%s: unknown parameter %s: not a checkpoint of this plan", path,
                      array[i].name);
        void *to = values ? q->value : q->velocity;
        SF_CHECK_GOTO(done, st, to, SF_EINTERNAL, "%s: momentum for a network that does not train",
                      path);
        SF_GOTO(done, st, copy_array(&array[i], q, to, path));
        if (!values) q->has_velocity = true;
    }
done:
    sf_arrays_free(&array, count);
    return st;
}

static sf_status read_running(sf_train_state *s, const json_t *meta, const char *path)
{
    json_t *running;
    SF_TRY(sf_json_get(&running, meta, "running", path));
    s->n_running = (int)json_array_size(running);
    SF_TRY(sf_mem_calloc(&s->loss_sum, (size_t)s->n_running, sizeof *s->loss_sum, SF_MEM_MISC));
    for (int i = 0; i < s->n_running; i++)
        s->loss_sum[i] = sf_json_num(json_array_get(running, (size_t)i));
    return SF_OK;
}

static sf_status read_seed(uint64_t *seed, const json_t *meta, const char *path)
{
    const char *text;
    char *end;
    SF_TRY(sf_json_get_str(&text, meta, "seed", path));
    errno = 0;
    *seed = strtoull(text, &end, 10);
    SF_CHECK(*text >= '0' && *text <= '9' && *end == 0 && errno == 0, SF_EDATA,
             "%s: the seed '%s' is no number", path, text);
    return SF_OK;
}

static sf_status read_state(sf_train_state *s, const json_t *meta, const char *path)
{
    const char *format, *extra, *isa;
    int64_t fold;
    SF_TRY(sf_json_get_str(&format, meta, "format", path));
    SF_TRY(sf_json_get_str(&isa, meta, "isa", path));
    snprintf(s->isa, sizeof s->isa, "%s", isa);
    SF_CHECK(strcmp(format, "segfleet-checkpoint-1") == 0, SF_EDATA,
             "%s: unknown checkpoint format %s", path, format);
    SF_TRY(read_seed(&s->key.seed, meta, path));
    SF_TRY(sf_json_get_int(&fold, meta, "fold", path));
    s->key.fold = (int)fold;
    SF_TRY(sf_json_get_int(&s->epoch, meta, "epoch", path));
    SF_TRY(sf_json_get_int(&s->iteration, meta, "iteration", path));
    SF_TRY(sf_json_get_int(&s->epochs, meta, "epochs", path));
    SF_TRY(sf_json_get_int(&s->iterations, meta, "iterations", path));
    SF_TRY(sf_json_get_int(&s->batch, meta, "batch", path));
    SF_TRY(sf_json_get_num(&s->best_ema, meta, "best_ema", path));
    SF_TRY(sf_json_get_num(&s->ema, meta, "ema", path));
    SF_TRY(read_running(s, meta, path));
    SF_TRY(sf_json_get_str(&extra, meta, "extra", path));
    return sf_mem_strdup(&s->extra_json, extra);
}

sf_status sf_checkpoint_load(const char *path, sf_train_state *s, sf_params *p, bool with_momentum)
{
    json_t *meta = NULL;
    sf_status st;
    SF_GOTO(done, st, load_group(path, "params", p, &meta));
    if (with_momentum) SF_GOTO(done, st, load_group(path, "momentum", p, NULL));
    if (s) SF_GOTO(done, st, read_state(s, meta, path));
done:
    json_decref(meta);
    return st;
}

void sf_train_state_free(sf_train_state *s)
{
    sf_mem_free(s->loss_sum);
    sf_mem_free(s->extra_json);
    s->loss_sum = NULL;
    s->extra_json = NULL;
}

sf_status sf_checkpoint_hash(const char *path, char hex[65])
{
    sf_array *array = NULL;
    int count = 0;
    sf_params params = { .dtype = SF_F32 };
    SF_TRY(sf_arrays_load(&array, &count, NULL, path, "params"));
    sf_status st;
    SF_GOTO(done, st, sf_mem_calloc(&params.item, (size_t)count, sizeof *params.item, SF_MEM_MISC));
    params.count = count;
    for (int i = 0; i < count; i++) {
        sf_param *q = &params.item[i];
        SF_CHECK_GOTO(done, st, strlen(array[i].name) < sizeof q->name && array[i].ndim <= 5,
                      SF_EDATA, "%s: %s is no parameter", path, array[i].name);
        snprintf(q->name, sizeof q->name, "%.95s", array[i].name);
        q->ndim = array[i].ndim;
        memcpy(q->dim, array[i].dim, sizeof q->dim);
        q->count = array[i].count;
        q->value = (void *)(uintptr_t)array[i].data; /* read only from here on */
        params.total += q->count;
    }
    SF_GOTO(done, st, sf_params_hash(&params, hex));
done:
    sf_mem_free(params.item);
    sf_arrays_free(&array, count);
    return st;
}

/* The first key of `a` that `b` lacks or has with another value, unless there is one already. */
static void find_difference(char key[64], json_t *a, json_t *b)
{
    const char *name;
    json_t *value;
    json_object_foreach(a, name, value)
    {
        if (key[0] == 0 && !json_equal(value, json_object_get(b, name)))
            snprintf(key, 64, "%s", name);
    }
}

/* The first key in which the descriptions of two runs differ; "" when they are equal. */
static sf_status first_difference(char key[64], const char *mine, const char *other,
                                  const char *path)
{
    json_t *a = NULL, *b = NULL;
    sf_status st;
    key[0] = 0;
    SF_GOTO(done, st, sf_json_parse(&a, mine, "this run"));
    SF_GOTO(done, st, sf_json_parse(&b, other, path));
    find_difference(key, a, b);
    find_difference(key, b, a);
done:
    json_decref(a);
    json_decref(b);
    return st;
}

sf_status sf_train_state_same_run(const sf_train_state *mine, const sf_train_state *s,
                                  const char *path)
{
    char key[64];
    SF_CHECK(s->epochs == mine->epochs && s->iterations == mine->iterations &&
                 s->batch == mine->batch && s->key.seed == mine->key.seed &&
                 s->key.fold == mine->key.fold,
             SF_EINVAL,
             "%s was made with epochs=%lld iterations=%lld batch=%lld seed=%llu fold=%d: use the "
             "same options to continue, or another work folder",
             path, (long long)s->epochs, (long long)s->iterations, (long long)s->batch,
             (unsigned long long)s->key.seed, s->key.fold);
    SF_TRY(first_difference(key, mine->extra_json, s->extra_json, path));
    SF_CHECK(key[0] == 0, SF_EINVAL,
             "%s was made with another '%s': use the same options to continue, or another work "
             "folder",
             path, key);
    return SF_OK;
}
