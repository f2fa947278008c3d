#include "interop/torch.h"
#include "base/mem.h"
#include "base/path.h"
#include "interop/half.h"
#include "interop/pickle.h"
#include "interop/zip.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TENSORS_MAX = 1 << 14, EXPANSION_MAX = 8 }; /* floats may take 8 times the file's bytes */

/** Where a tensor's elements lie: tensors of one place share one copy. */
typedef struct {
    int member, ndim;
    int64_t offset, dim[8], stride[8];
} place;

typedef struct {
    sf_torch_checkpoint pub; /* first: what the caller sees */
    place *at;
    bool *owns;
} checkpoint;

typedef struct {
    const char *path;
    sf_zip *zip;
    sf_pickle pickle;
    char top[256]; /* folder of the archive's members, with '/' */
    checkpoint *ckpt;
    int64_t elements;
} loader;

/* --- element types -------------------------------------------------------------------------- */

static float from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint64_t bits_of(const unsigned char *b, int n)
{
    uint64_t v = 0;
    for (int i = n; i-- > 0;) v = v << 8 | b[i];
    return v;
}

static float from_float(const unsigned char *b) { return from_bits((uint32_t)bits_of(b, 4)); }
static float from_bfloat16(const unsigned char *b)
{
    return from_bits((uint32_t)bits_of(b, 2) << 16);
}

static float from_double(const unsigned char *b)
{
    const uint64_t bits = bits_of(b, 8);
    double d;
    memcpy(&d, &bits, sizeof d);
    return (float)d;
}

static float from_half(const unsigned char *b) { return sf_half_to_float((uint16_t)bits_of(b, 2)); }

static float from_long(const unsigned char *b) { return (float)(int64_t)bits_of(b, 8); }
static float from_int(const unsigned char *b) { return (float)(int32_t)(uint32_t)bits_of(b, 4); }
static float from_short(const unsigned char *b) { return (float)(int16_t)(uint16_t)bits_of(b, 2); }
static float from_char(const unsigned char *b) { return (float)(int8_t)*b; }
static float from_byte(const unsigned char *b) { return (float)*b; }

static const struct {
    int size;
    float (*convert)(const unsigned char *);
} storages[SF_PK_NAMES] = {
    [SF_PK_FLOAT] = { 4, from_float }, [SF_PK_DOUBLE] = { 8, from_double },
    [SF_PK_HALF] = { 2, from_half },   [SF_PK_BFLOAT16] = { 2, from_bfloat16 },
    [SF_PK_LONG] = { 8, from_long },   [SF_PK_INT32] = { 4, from_int },
    [SF_PK_SHORT] = { 2, from_short }, [SF_PK_CHAR] = { 1, from_char },
    [SF_PK_BYTE] = { 1, from_byte },   [SF_PK_BOOLEAN] = { 1, from_byte },
};

/* --- one tensor ----------------------------------------------------------------------------- */

typedef struct {
    place at;
    int64_t count, numel;
    int type; /* row of storages */
} source;

static const sf_pk_node *node(const loader *l, int i) { return &l->pickle.node[i]; }

static sf_status bad(const loader *l, const char *name, const char *what)
{
    return SF_FAIL(SF_EDATA, "%s: tensor \"%s\": %s", l->path, name, what);
}

/** persistent id = ("storage", type, key, device, elements). */
static sf_status read_storage(const loader *l, const char *name, int persid, source *s)
{
    if (node(l, persid)->kind != SF_PK_PERSID) return bad(l, name, "no storage");
    const sf_pk_node *id = node(l, node(l, persid)->item[0]);
    if (id->n < 5 || !sf_pickle_is_text(&l->pickle, id->item[0], "storage"))
        return bad(l, name, "storage is not described as PyTorch does");
    const sf_pk_node *type = node(l, id->item[1]), *key = node(l, id->item[2]);
    const sf_pk_node *numel = node(l, id->item[4]);
    if (type->kind != SF_PK_GLOBAL || !storages[type->i].convert || key->kind != SF_PK_TEXT ||
        numel->kind != SF_PK_INT || key->len > 64)
        return bad(l, name, "storage is not described as PyTorch does");
    char member[400];
    const int len = snprintf(member, sizeof member, "%sdata/%.*s", l->top, (int)key->len, key->s);
    s->at.member = sf_zip_find(l->zip, member, (size_t)len);
    if (s->at.member < 0) return bad(l, name, "its storage is missing in the archive");
    s->type = (int)type->i;
    s->numel = numel->i;
    return SF_OK;
}

/** Shape and strides: every element must lie inside the storage. */
static sf_status read_shape(const loader *l, const char *name, const sf_pk_node *args, source *s)
{
    const sf_pk_node *offset = node(l, args->item[1]);
    const sf_pk_node *shape = node(l, args->item[2]), *stride = node(l, args->item[3]);
    if (offset->kind != SF_PK_INT || offset->i < 0 || shape->kind != SF_PK_TUPLE ||
        stride->kind != SF_PK_TUPLE || shape->n != stride->n || shape->n > 8)
        return bad(l, name, "broken shape");
    s->at.offset = offset->i;
    s->at.ndim = shape->n;
    s->count = 1;
    int64_t last = offset->i;
    for (int d = 0; d < shape->n; d++) {
        const sf_pk_node *n = node(l, shape->item[d]), *t = node(l, stride->item[d]);
        if (n->kind != SF_PK_INT || t->kind != SF_PK_INT || n->i < 0 || t->i < 0)
            return bad(l, name, "broken shape");
        int64_t span;
        if (__builtin_mul_overflow(s->count, n->i, &s->count) ||
            __builtin_mul_overflow(n->i ? n->i - 1 : 0, t->i, &span) ||
            __builtin_add_overflow(last, span, &last))
            return bad(l, name, "shape is too large");
        s->at.dim[d] = n->i;
        s->at.stride[d] = t->i;
    }
    if (s->count > s->numel || (s->count > 0 && last >= s->numel))
        return bad(l, name, "reaches beyond its storage");
    return SF_OK;
}

static sf_status read_source(const loader *l, const char *name, int tensor, source *s)
{
    memset(s, 0, sizeof *s);
    const sf_pk_node *call = node(l, tensor);
    if (call->kind != SF_PK_CALL || call->i != SF_PK_REBUILD_TENSOR)
        return bad(l, name, "is no tensor");
    const sf_pk_node *args = node(l, call->item[0]);
    if (args->n < 4) return bad(l, name, "is no tensor");
    SF_TRY(read_storage(l, name, args->item[0], s));
    return read_shape(l, name, args, s);
}

/** Elements in C order, whatever the strides. */
static void copy_elements(const source *s, const unsigned char *data, float *out)
{
    int64_t index[8] = { 0 }, at = s->at.offset;
    const int size = storages[s->type].size;
    for (int64_t i = 0; i < s->count; i++) {
        out[i] = storages[s->type].convert(data + at * size);
        for (int d = s->at.ndim - 1; d >= 0; d--) {
            at += s->at.stride[d];
            if (++index[d] < s->at.dim[d]) break;
            at -= s->at.stride[d] * s->at.dim[d];
            index[d] = 0;
        }
    }
}

static sf_status convert(loader *l, const char *name, const source *s, sf_torch_tensor *t)
{
    const unsigned char *data;
    size_t bytes;
    SF_TRY(sf_zip_read(l->zip, s->at.member, &data, &bytes));
    if ((uint64_t)s->numel > bytes / (size_t)storages[s->type].size)
        return bad(l, name, "its storage is shorter than declared");
    l->elements += s->count;
    if ((uint64_t)l->elements > EXPANSION_MAX / 4 * (uint64_t)sf_zip_size(l->zip))
        return bad(l, name, "tensors are far larger than the file");
    SF_TRY(sf_mem_alloc(&t->data, (size_t)s->count, sizeof *t->data, SF_MEM_PARAMS));
    copy_elements(s, data, t->data);
    return SF_OK;
}

static const char *without_prefixes(const char *name, size_t *len)
{
    static const char *const prefixes[] = { "module.", "_orig_mod." };
    for (int again = 1; again;) {
        again = 0;
        for (int i = 0; i < 2; i++) {
            const size_t n = strlen(prefixes[i]);
            if (*len <= n || memcmp(name, prefixes[i], n) != 0) continue;
            name += n;
            *len -= n;
            again = 1;
        }
    }
    return name;
}

static bool same_place(const place *a, const place *b)
{
    return a->member == b->member && memcmp(a, b, sizeof *a) == 0;
}

/** Append the tensor `key` of the state dictionary; the copy of an earlier one is shared. */
static sf_status add_tensor(loader *l, int key, int tensor)
{
    const sf_pk_node *k = node(l, key);
    SF_CHECK(k->kind == SF_PK_TEXT && k->len < 512, SF_EDATA, "%s: weight without name", l->path);
    checkpoint *c = l->ckpt;
    const int i = c->pub.count;
    sf_torch_tensor *t = &c->pub.tensor[i];
    memset(t, 0, sizeof *t);
    size_t len = k->len;
    const char *name = without_prefixes(k->s, &len);
    SF_TRY(sf_mem_printf(&t->name, "%.*s", (int)len, name));
    c->owns[i] = false;
    c->pub.count++;
    source s;
    SF_TRY(read_source(l, t->name, tensor, &s));
    c->at[i] = s.at;
    t->ndim = s.at.ndim;
    memcpy(t->dim, s.at.dim, sizeof t->dim);
    t->count = s.count;
    for (int j = 0; j < i; j++)
        if (same_place(&c->at[j], &s.at)) {
            t->data = c->pub.tensor[j].data;
            return SF_OK;
        }
    SF_TRY(convert(l, t->name, &s, t));
    c->owns[i] = true;
    return SF_OK;
}

/* --- the file ------------------------------------------------------------------------------- */

static sf_status open_zip(loader *l)
{
    const sf_status st = sf_zip_open(&l->zip, l->path);
    if (st != SF_EDATA) return st;
    FILE *f = fopen(l->path, "rb");
    unsigned char head[4] = { 0 };
    const bool pickled = f && fread(head, 1, 4, f) == 4 && head[0] == 0x80 && head[2] == 0x8a;
    if (f) fclose(f);
    if (!pickled) return st;
    return SF_FAIL(
        SF_EUNSUPPORTED,
        "%s: written in PyTorch's old format (before 1.6); load it in PyTorch and save it again",
        l->path);
}

/** The member that ends in "/data.pkl" and its folder. */
static sf_status find_pickle(loader *l, int *member)
{
    static const char tail[] = "/data.pkl";
    const size_t n = sizeof tail - 1;
    for (int i = 0; i < sf_zip_count(l->zip); i++) {
        size_t len;
        const char *name = sf_zip_name(l->zip, i, &len);
        if (len < n || memcmp(name + len - n, tail, n) != 0) continue;
        if (len - n + 2 > sizeof l->top) break;
        snprintf(l->top, sizeof l->top, "%.*s", (int)(len - n + 1), name);
        *member = i;
        return SF_OK;
    }
    return SF_FAIL(SF_EDATA, "%s: not a PyTorch checkpoint (no data.pkl inside)", l->path);
}

static sf_status check_byte_order(const loader *l)
{
    char name[300];
    const int len = snprintf(name, sizeof name, "%sbyteorder", l->top);
    const int i = sf_zip_find(l->zip, name, (size_t)len);
    const unsigned char *data;
    size_t size;
    if (i < 0) return SF_OK;
    SF_TRY(sf_zip_read(l->zip, i, &data, &size));
    SF_CHECK(size == 6 && memcmp(data, "little", 6) == 0, SF_EUNSUPPORTED,
             "%s: written on a big-endian machine", l->path);
    return SF_OK;
}

static sf_status read_weights(loader *l)
{
    const sf_pickle *p = &l->pickle;
    const int dict = sf_pickle_get(p, p->root, "network_weights");
    SF_CHECK(dict >= 0 && p->node[dict].kind == SF_PK_DICT, SF_EDATA,
             "%s: not an nnU-Net checkpoint (no network_weights)", l->path);
    const int count = p->node[dict].n / 2;
    SF_CHECK(count <= TENSORS_MAX, SF_EDATA, "%s: %d tensors", l->path, count);
    checkpoint *c = l->ckpt;
    const size_t n = (size_t)count;
    SF_TRY(sf_mem_calloc(&c->pub.tensor, n, sizeof *c->pub.tensor, SF_MEM_MISC));
    SF_TRY(sf_mem_calloc(&c->at, n, sizeof *c->at, SF_MEM_MISC));
    SF_TRY(sf_mem_calloc(&c->owns, n, sizeof *c->owns, SF_MEM_MISC));
    for (int i = 0; i < count; i++)
        SF_TRY(add_tensor(l, p->node[dict].item[2 * i], p->node[dict].item[2 * i + 1]));
    return SF_OK;
}

/** Everything but weights and optimiser. */
static sf_status read_meta(loader *l)
{
    const sf_pickle *p = &l->pickle;
    const sf_pk_node *root = &p->node[p->root];
    l->ckpt->pub.meta = json_object();
    for (int i = 0; i + 1 < root->n; i += 2) {
        const sf_pk_node *key = &p->node[root->item[i]];
        if (key->kind != SF_PK_TEXT) continue;
        if (sf_pickle_is_text(p, root->item[i], "network_weights") ||
            sf_pickle_is_text(p, root->item[i], "optimizer_state"))
            continue;
        json_t *value;
        SF_TRY(sf_pickle_json(&value, p, root->item[i + 1], l->path));
        SF_CHECK(json_object_setn_new(l->ckpt->pub.meta, key->s, key->len, value) == 0, SF_EDATA,
                 "%s: broken key", l->path);
    }
    return SF_OK;
}

static sf_status read_all(loader *l)
{
    SF_TRY(open_zip(l));
    int member = -1;
    const unsigned char *data;
    size_t size;
    SF_TRY(find_pickle(l, &member));
    SF_TRY(check_byte_order(l));
    SF_TRY(sf_zip_read(l->zip, member, &data, &size));
    SF_TRY(sf_pickle_read(&l->pickle, data, size, l->path));
    SF_TRY(read_weights(l));
    return read_meta(l);
}

sf_status sf_torch_load(sf_torch_checkpoint **out, const char *path)
{
    *out = NULL;
    loader l = { .path = path };
    SF_TRY(sf_mem_calloc(&l.ckpt, 1, sizeof *l.ckpt, SF_MEM_MISC));
    const sf_status st = read_all(&l);
    sf_pickle_clear(&l.pickle);
    sf_zip_destroy(&l.zip);
    sf_torch_checkpoint *made = &l.ckpt->pub;
    if (st == SF_OK)
        *out = made;
    else
        sf_torch_destroy(&made);
    return st;
}

void sf_torch_destroy(sf_torch_checkpoint **c)
{
    if (!c || !*c) return;
    checkpoint *k = (checkpoint *)*c; /* pub is its first member */
    for (int i = 0; i < k->pub.count; i++) {
        sf_mem_free(k->pub.tensor[i].name);
        if (k->owns[i]) sf_mem_free(k->pub.tensor[i].data);
    }
    sf_mem_free(k->pub.tensor);
    sf_mem_free(k->at);
    sf_mem_free(k->owns);
    json_decref(k->pub.meta);
    sf_mem_free(k);
    *c = NULL;
}

const sf_torch_tensor *sf_torch_find(const sf_torch_checkpoint *c, const char *name)
{
    for (int i = 0; i < c->count; i++)
        if (strcmp(c->tensor[i].name, name) == 0) return &c->tensor[i];
    return NULL;
}
