/* Plain data of a pickle as JSON. */
#include "interop/pickle.h"
#include <stdio.h>
#include <string.h>

enum { DEPTH_MAX = 64, NODES_MAX = 4000000 }; /* shared nodes are written out each time */

typedef struct {
    const sf_pickle *p;
    const char *where;
    int depth, made;
} writer;

static sf_status no_form(const writer *w, const char *what)
{
    return SF_FAIL(SF_EDATA, "%s: %s cannot be read as plain data", w->where, what);
}

static sf_status value(writer *w, int node, json_t **out);

/* --- NumPy scalars and other calls --------------------------------------------------------------
 */

/** Bytes of a scalar: BYTES, or (protocol 2) _codecs.encode(text, "latin1"): the text's code
 * points. */
static sf_status scalar_bytes(const writer *w, int node, unsigned char bytes[8], int size)
{
    const sf_pk_node *nd = &w->p->node[node];
    if (nd->kind == SF_PK_BYTES && nd->len == (size_t)size) {
        memcpy(bytes, nd->s, nd->len);
        return SF_OK;
    }
    if (nd->kind != SF_PK_CALL || nd->i != SF_PK_ENCODE) return no_form(w, "a NumPy scalar");
    const sf_pk_node *args = &w->p->node[nd->item[0]];
    const sf_pk_node *text = args->n ? &w->p->node[args->item[0]] : nd;
    if (text->kind != SF_PK_TEXT) return no_form(w, "a NumPy scalar");
    int n = 0;
    for (size_t i = 0; i < text->len && n < size; i++) {
        const unsigned char c = (unsigned char)text->s[i];
        if (c >= 0xc2 && c <= 0xc3 && i + 1 < text->len)
            bytes[n++] = (unsigned char)((c & 3) << 6 | ((unsigned char)text->s[++i] & 0x3f));
        else if (c < 0x80)
            bytes[n++] = c;
        else
            return no_form(w, "a NumPy scalar");
    }
    return n == size ? SF_OK : no_form(w, "a NumPy scalar");
}

/** dtype = ("f8", ...) with state (3, "<", ...); big-endian files do not occur in practice. */
static sf_status scalar_type(const writer *w, int node, char *kind, int *size)
{
    const sf_pk_node *nd = &w->p->node[node];
    if (nd->kind != SF_PK_CALL || nd->i != SF_PK_NUMPY_DTYPE) return no_form(w, "a NumPy scalar");
    const sf_pk_node *args = &w->p->node[nd->item[0]];
    const sf_pk_node *code = args->n ? &w->p->node[args->item[0]] : nd;
    if (code->kind != SF_PK_TEXT || code->len != 2) return no_form(w, "a NumPy scalar's type");
    *kind = code->s[0];
    *size = code->s[1] - '0';
    const bool known = strchr("fiub", *kind) && strchr("1248", code->s[1]) && code->s[1];
    if (!known || (*kind == 'f' && *size < 4)) return no_form(w, "a NumPy scalar's type");
    if (nd->n < 2) return SF_OK;
    const sf_pk_node *state = &w->p->node[nd->item[1]];
    if (state->kind == SF_PK_TUPLE && state->n > 1 && sf_pickle_is_text(w->p, state->item[1], ">"))
        return no_form(w, "a big-endian NumPy scalar");
    return SF_OK;
}

static json_t *scalar_value(char kind, int size, const unsigned char bytes[8])
{
    uint64_t v = 0;
    for (int i = size; i-- > 0;) v = v << 8 | bytes[i];
    if (kind == 'b') return json_boolean(v != 0);
    if (kind == 'f' && size == 8) {
        double d;
        memcpy(&d, &v, sizeof d);
        return sf_json_real(d);
    }
    if (kind == 'f') {
        const uint32_t half = (uint32_t)v;
        float f;
        memcpy(&f, &half, sizeof f);
        return sf_json_real((double)f);
    }
    if (kind == 'i' && size < 8 && (v >> (8 * size - 1) & 1)) v |= UINT64_MAX << 8 * size;
    return json_integer((json_int_t)v);
}

static sf_status scalar(const writer *w, const sf_pk_node *args, json_t **out)
{
    if (args->n != 2) return no_form(w, "a NumPy scalar");
    char kind = 0;
    int size = 0;
    unsigned char bytes[8];
    SF_TRY(scalar_type(w, args->item[0], &kind, &size));
    SF_TRY(scalar_bytes(w, args->item[1], bytes, size));
    *out = scalar_value(kind, size, bytes);
    return SF_OK;
}

static sf_status call(writer *w, const sf_pk_node *nd, json_t **out)
{
    const sf_pk_node *args = &w->p->node[nd->item[0]];
    switch (nd->i) {
    case SF_PK_NUMPY_SCALAR:
        return scalar(w, args, out);
    case SF_PK_REBUILD_TENSOR:
        *out = json_null();
        return SF_OK;
    case SF_PK_DEVICE:
        if (args->n < 1) return no_form(w, "a device");
        return value(w, args->item[0], out);
    default:
        return no_form(w, "an object");
    }
}

/* --- containers ---------------------------------------------------------------------------------
 */

static sf_status array(writer *w, const sf_pk_node *nd, json_t **out)
{
    json_t *list = json_array(), *item = NULL;
    sf_status st = SF_OK;
    for (int i = 0; i < nd->n; i++) {
        SF_GOTO(fail, st, value(w, nd->item[i], &item));
        json_array_append_new(list, item);
    }
    *out = list;
    return SF_OK;
fail:
    json_decref(list);
    return st;
}

static sf_status set_item(writer *w, json_t *object, int key, int item)
{
    const sf_pk_node *k = &w->p->node[key];
    char number[32];
    const char *name = k->s;
    size_t len = k->len;
    if (k->kind == SF_PK_INT) {
        len = (size_t)snprintf(number, sizeof number, "%lld", (long long)k->i);
        name = number;
    } else if (k->kind != SF_PK_TEXT) {
        return no_form(w, "a dictionary with keys that are no text");
    }
    json_t *v = NULL;
    SF_TRY(value(w, item, &v));
    if (json_object_setn_new(object, name, len, v) != 0) return no_form(w, "a key");
    return SF_OK;
}

static sf_status object(writer *w, const sf_pk_node *nd, json_t **out)
{
    json_t *made = json_object();
    sf_status st = SF_OK;
    for (int i = 0; i + 1 < nd->n; i += 2)
        SF_GOTO(fail, st, set_item(w, made, nd->item[i], nd->item[i + 1]));
    *out = made;
    return SF_OK;
fail:
    json_decref(made);
    return st;
}

static sf_status plain(writer *w, const sf_pk_node *nd, json_t **out)
{
    switch (nd->kind) {
    case SF_PK_NONE:
        *out = json_null();
        break;
    case SF_PK_BOOL:
        *out = json_boolean(nd->i);
        break;
    case SF_PK_INT:
        *out = json_integer(nd->i);
        break;
    case SF_PK_REAL:
        *out = sf_json_real(nd->r);
        break;
    case SF_PK_TEXT:
        *out = json_stringn(nd->s, nd->len);
        break;
    case SF_PK_LIST:
    case SF_PK_TUPLE:
        return array(w, nd, out);
    case SF_PK_DICT:
        return object(w, nd, out);
    case SF_PK_CALL:
        return call(w, nd, out);
    default:
        return no_form(w, "an object");
    }
    return *out ? SF_OK : no_form(w, "a value");
}

static sf_status value(writer *w, int node, json_t **out)
{
    *out = NULL;
    SF_CHECK(++w->made <= NODES_MAX && w->depth < DEPTH_MAX, SF_EDATA,
             "%s: data nested too deeply or too large", w->where);
    w->depth++;
    const sf_status st = plain(w, &w->p->node[node], out);
    w->depth--;
    return st;
}

sf_status sf_pickle_json(json_t **out, const sf_pickle *p, int node, const char *where)
{
    writer w = { .p = p, .where = where };
    return value(&w, node, out);
}
