#include "interop/pickle.h"
#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

enum { PICKLE_MAX = 32 << 20 }; /* tensors lie elsewhere; real ones hold a few MB of names */

typedef struct {
    sf_pickle *p;
    const unsigned char *data;
    size_t size, at;
    const char *where;
    int *stack, stack_n, stack_cap;
    int *mark, mark_n, mark_cap; /* heights of the stack */
    int *memo, memo_cap, memo_n;
    bool done;
} machine;

/* --- small parts ---------------------------------------------------------------------------- */

static sf_status broken(const machine *m, const char *what)
{
    return SF_FAIL(SF_EDATA, "%s: broken pickle at byte %zu (%s)", m->where, m->at, what);
}

static sf_status push_int(int **list, int *n, int *cap, int value)
{
    if (*n == *cap) {
        const int grown = *cap ? 2 * *cap : 8;
        SF_TRY(sf_mem_resize(list, (size_t)grown, sizeof **list, SF_MEM_MISC));
        *cap = grown;
    }
    (*list)[(*n)++] = value;
    return SF_OK;
}

static sf_status need(const machine *m, size_t bytes)
{
    return bytes <= m->size - m->at ? SF_OK : broken(m, "cut off");
}

static sf_status take(machine *m, int bytes, uint64_t *value)
{
    SF_TRY(need(m, (size_t)bytes));
    *value = 0;
    for (int i = bytes; i-- > 0;) *value = *value << 8 | m->data[m->at + (size_t)i];
    m->at += (size_t)bytes;
    return SF_OK;
}

/** A new node, pushed on the stack. */
static sf_status make(machine *m, sf_pk_kind kind, sf_pk_node **out)
{
    sf_pickle *p = m->p;
    if ((p->count & (p->count - 1)) == 0) { /* full at powers of two */
        const size_t cap = p->count ? 2 * (size_t)p->count : 1;
        SF_TRY(sf_mem_resize(&p->node, cap, sizeof *p->node, SF_MEM_MISC));
    }
    SF_TRY(push_int(&m->stack, &m->stack_n, &m->stack_cap, p->count));
    sf_pk_node *nd = &p->node[p->count++];
    memset(nd, 0, sizeof *nd);
    nd->kind = kind;
    if (out) *out = nd;
    return SF_OK;
}

static int floor_of(const machine *m) { return m->mark_n ? m->mark[m->mark_n - 1] : 0; }

/** Take the top of the stack; objects below the last mark are out of reach. */
static sf_status pop(machine *m, int *node)
{
    if (m->stack_n <= floor_of(m)) return broken(m, "stack is empty");
    *node = m->stack[--m->stack_n];
    return SF_OK;
}

static sf_status pop_mark(machine *m, int *from)
{
    if (m->mark_n == 0) return broken(m, "no mark");
    *from = m->mark[--m->mark_n];
    return SF_OK;
}

static sf_status add_item(machine *m, int to, int item)
{
    sf_pk_node *nd = &m->p->node[to];
    return push_int(&nd->item, &nd->n, &nd->cap, item);
}

/** Append the stack from `from` on to a node and drop it from the stack. */
static sf_status move_items(machine *m, int from, int to)
{
    for (int i = from; i < m->stack_n; i++) SF_TRY(add_item(m, to, m->stack[i]));
    m->stack_n = from;
    return SF_OK;
}

/** The object below `above`, which must be of this kind. */
static sf_status target(machine *m, int above, sf_pk_kind kind, int *node)
{
    if (above <= floor_of(m) || above > m->stack_n) return broken(m, "nothing to fill");
    *node = m->stack[above - 1];
    return m->p->node[*node].kind == kind ? SF_OK : broken(m, "wrong kind of object to fill");
}

/* --- constants ------------------------------------------------------------------------------ */

static sf_status op_none(machine *m) { return make(m, SF_PK_NONE, NULL); }
static sf_status op_dict(machine *m) { return make(m, SF_PK_DICT, NULL); }
static sf_status op_list(machine *m) { return make(m, SF_PK_LIST, NULL); }
static sf_status op_empty(machine *m) { return make(m, SF_PK_TUPLE, NULL); }

static sf_status boolean(machine *m, bool value)
{
    sf_pk_node *nd = NULL;
    SF_TRY(make(m, SF_PK_BOOL, &nd));
    nd->i = value;
    return SF_OK;
}
static sf_status op_true(machine *m) { return boolean(m, true); }
static sf_status op_false(machine *m) { return boolean(m, false); }

static sf_status integer(machine *m, int64_t value)
{
    sf_pk_node *nd = NULL;
    SF_TRY(make(m, SF_PK_INT, &nd));
    nd->i = value;
    return SF_OK;
}
static sf_status op_int1(machine *m)
{
    uint64_t v = 0;
    SF_TRY(take(m, 1, &v));
    return integer(m, (int64_t)v);
}
static sf_status op_int2(machine *m)
{
    uint64_t v = 0;
    SF_TRY(take(m, 2, &v));
    return integer(m, (int64_t)v);
}
static sf_status op_int4(machine *m)
{
    uint64_t v = 0;
    SF_TRY(take(m, 4, &v));
    return integer(m, (int32_t)(uint32_t)v);
}

/** Two's complement, little-endian, of at most 8 bytes. */
static sf_status long_int(machine *m, int length_bytes)
{
    uint64_t n = 0, v = 0;
    SF_TRY(take(m, length_bytes, &n));
    if (n > 8) return broken(m, "integer of more than 64 bits");
    SF_TRY(take(m, (int)n, &v));
    if (n > 0 && n < 8 && (v >> (8 * n - 1) & 1)) v |= UINT64_MAX << 8 * n;
    return integer(m, (int64_t)v);
}
static sf_status op_long1(machine *m) { return long_int(m, 1); }
static sf_status op_long4(machine *m) { return long_int(m, 4); }

static sf_status op_float(machine *m)
{
    SF_TRY(need(m, 8));
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++) bits = bits << 8 | m->data[m->at++];
    sf_pk_node *nd = NULL;
    SF_TRY(make(m, SF_PK_REAL, &nd));
    memcpy(&nd->r, &bits, sizeof nd->r);
    return SF_OK;
}

static sf_status string(machine *m, sf_pk_kind kind, int length_bytes)
{
    uint64_t n = 0;
    SF_TRY(take(m, length_bytes, &n));
    SF_TRY(need(m, n));
    sf_pk_node *nd = NULL;
    SF_TRY(make(m, kind, &nd));
    nd->s = (const char *)m->data + m->at;
    nd->len = n;
    m->at += n;
    return SF_OK;
}
static sf_status op_text1(machine *m) { return string(m, SF_PK_TEXT, 1); }
static sf_status op_text4(machine *m) { return string(m, SF_PK_TEXT, 4); }
static sf_status op_bytes1(machine *m) { return string(m, SF_PK_BYTES, 1); }
static sf_status op_bytes4(machine *m) { return string(m, SF_PK_BYTES, 4); }

/* --- containers ----------------------------------------------------------------------------- */

static sf_status op_mark(machine *m)
{
    return push_int(&m->mark, &m->mark_n, &m->mark_cap, m->stack_n);
}

static sf_status tuple_from(machine *m, int from)
{
    if (from < floor_of(m)) return broken(m, "stack is empty");
    SF_TRY(make(m, SF_PK_TUPLE, NULL));
    const int made = m->stack[--m->stack_n];
    SF_TRY(move_items(m, from, made));
    return push_int(&m->stack, &m->stack_n, &m->stack_cap, made);
}
static sf_status op_tuple(machine *m)
{
    int from = 0;
    SF_TRY(pop_mark(m, &from));
    return tuple_from(m, from);
}
static sf_status op_tuple1(machine *m) { return tuple_from(m, m->stack_n - 1); }
static sf_status op_tuple2(machine *m) { return tuple_from(m, m->stack_n - 2); }
static sf_status op_tuple3(machine *m) { return tuple_from(m, m->stack_n - 3); }

static sf_status fill(machine *m, int from, sf_pk_kind kind, int group)
{
    int to = -1;
    SF_TRY(target(m, from, kind, &to));
    if ((m->stack_n - from) % group != 0) return broken(m, "key without value");
    return move_items(m, from, to);
}
static sf_status fill_marked(machine *m, sf_pk_kind kind, int group)
{
    int from = 0;
    SF_TRY(pop_mark(m, &from));
    return fill(m, from, kind, group);
}
static sf_status op_setitem(machine *m) { return fill(m, m->stack_n - 2, SF_PK_DICT, 2); }
static sf_status op_append(machine *m) { return fill(m, m->stack_n - 1, SF_PK_LIST, 1); }
static sf_status op_setitems(machine *m) { return fill_marked(m, SF_PK_DICT, 2); }
static sf_status op_appends(machine *m) { return fill_marked(m, SF_PK_LIST, 1); }

/* --- memo ----------------------------------------------------------------------------------- */

static sf_status put(machine *m, uint64_t index)
{
    if (m->stack_n <= floor_of(m)) return broken(m, "nothing to remember");
    if (index >= m->size) return broken(m, "memo number too large");
    if (index >= (uint64_t)m->memo_cap) {
        uint64_t cap = m->memo_cap ? 2 * (uint64_t)m->memo_cap : 64;
        if (cap <= index) cap = index + 1;
        SF_TRY(sf_mem_resize(&m->memo, cap, sizeof *m->memo, SF_MEM_MISC));
        for (uint64_t i = (uint64_t)m->memo_cap; i < cap; i++) m->memo[i] = -1;
        m->memo_cap = (int)cap;
    }
    if (m->memo[index] < 0) m->memo_n++;
    m->memo[index] = m->stack[m->stack_n - 1];
    return SF_OK;
}
static sf_status op_put1(machine *m)
{
    uint64_t i = 0;
    SF_TRY(take(m, 1, &i));
    return put(m, i);
}
static sf_status op_put4(machine *m)
{
    uint64_t i = 0;
    SF_TRY(take(m, 4, &i));
    return put(m, i);
}
static sf_status op_memoize(machine *m) { return put(m, (uint64_t)m->memo_n); }

static sf_status recall(machine *m, int bytes)
{
    uint64_t i = 0;
    SF_TRY(take(m, bytes, &i));
    if (i >= (uint64_t)m->memo_cap || m->memo[i] < 0) return broken(m, "unknown memo number");
    return push_int(&m->stack, &m->stack_n, &m->stack_cap, m->memo[i]);
}
static sf_status op_get1(machine *m) { return recall(m, 1); }
static sf_status op_get4(machine *m) { return recall(m, 4); }

/* --- globals and what they would make ------------------------------------------------------- */

static const struct {
    const char *module, *name;
    sf_pk_name id;
} globals[] = {
    { "torch._utils", "_rebuild_tensor_v2", SF_PK_REBUILD_TENSOR },
    { "collections", "OrderedDict", SF_PK_ORDERED_DICT },
    { "numpy.core.multiarray", "scalar", SF_PK_NUMPY_SCALAR },
    { "numpy._core.multiarray", "scalar", SF_PK_NUMPY_SCALAR },
    { "numpy", "dtype", SF_PK_NUMPY_DTYPE },
    { "_codecs", "encode", SF_PK_ENCODE },
    { "torch", "device", SF_PK_DEVICE },
    { "torch", "FloatStorage", SF_PK_FLOAT },
    { "torch", "DoubleStorage", SF_PK_DOUBLE },
    { "torch", "HalfStorage", SF_PK_HALF },
    { "torch", "BFloat16Storage", SF_PK_BFLOAT16 },
    { "torch", "LongStorage", SF_PK_LONG },
    { "torch", "IntStorage", SF_PK_INT32 },
    { "torch", "ShortStorage", SF_PK_SHORT },
    { "torch", "CharStorage", SF_PK_CHAR },
    { "torch", "ByteStorage", SF_PK_BYTE },
    { "torch", "BoolStorage", SF_PK_BOOLEAN },
};

static bool equals(const char *s, size_t len, const char *text)
{
    return strlen(text) == len && memcmp(s, text, len) == 0;
}

static sf_status global(machine *m, const char *mod, size_t mod_len, const char *name,
                        size_t name_len)
{
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++) {
        if (!equals(mod, mod_len, globals[i].module) || !equals(name, name_len, globals[i].name))
            continue;
        sf_pk_node *nd = NULL;
        SF_TRY(make(m, SF_PK_GLOBAL, &nd));
        nd->i = globals[i].id;
        return SF_OK;
    }
    return SF_FAIL(SF_EUNSUPPORTED,
                   "%s: refers to \"%.*s %.*s\", which is not on the list of safe names", m->where,
                   (int)(mod_len < 80 ? mod_len : 80), mod, (int)(name_len < 80 ? name_len : 80),
                   name);
}

static sf_status line(machine *m, const char **s, size_t *len)
{
    const char *from = (const char *)m->data + m->at;
    const char *end = memchr(from, '\n', m->size - m->at);
    if (!end) return broken(m, "name without end");
    *s = from;
    *len = (size_t)(end - from);
    m->at += *len + 1;
    return SF_OK;
}

static sf_status op_global(machine *m)
{
    const char *mod = "", *name = "";
    size_t mod_len = 0, name_len = 0;
    SF_TRY(line(m, &mod, &mod_len));
    SF_TRY(line(m, &name, &name_len));
    return global(m, mod, mod_len, name, name_len);
}

static sf_status op_stack_global(machine *m)
{
    int name = 0, mod = 0;
    SF_TRY(pop(m, &name));
    SF_TRY(pop(m, &mod));
    const sf_pk_node *a = &m->p->node[mod], *b = &m->p->node[name];
    if (a->kind != SF_PK_TEXT || b->kind != SF_PK_TEXT) return broken(m, "global without name");
    return global(m, a->s, a->len, b->s, b->len);
}

/** REDUCE and NEWOBJ: remember what would be called; only an empty OrderedDict is made at once. */
static sf_status op_call(machine *m)
{
    int args = 0, callee = 0;
    SF_TRY(pop(m, &args));
    SF_TRY(pop(m, &callee));
    if (m->p->node[callee].kind != SF_PK_GLOBAL || m->p->node[args].kind != SF_PK_TUPLE)
        return broken(m, "call of something that is no global");
    const int64_t id = m->p->node[callee].i;
    const bool dict = id == SF_PK_ORDERED_DICT;
    if (dict && m->p->node[args].n != 0) return broken(m, "OrderedDict with arguments");
    SF_TRY(make(m, dict ? SF_PK_DICT : SF_PK_CALL, NULL));
    const int made = m->stack[m->stack_n - 1];
    if (dict) return SF_OK;
    m->p->node[made].i = id;
    return add_item(m, made, args);
}

/** State of a dictionary (module versions) is dropped; that of a dtype is kept. */
static sf_status op_build(machine *m)
{
    int state = 0;
    SF_TRY(pop(m, &state));
    if (m->stack_n <= floor_of(m)) return broken(m, "state without object");
    const int to = m->stack[m->stack_n - 1];
    const sf_pk_node *nd = &m->p->node[to];
    if (nd->kind == SF_PK_DICT) return SF_OK;
    if (nd->kind != SF_PK_CALL || nd->i != SF_PK_NUMPY_DTYPE || nd->n != 1)
        return broken(m, "state for an object that has none");
    return add_item(m, to, state);
}

static sf_status op_persid(machine *m)
{
    int id = 0;
    SF_TRY(pop(m, &id));
    if (m->p->node[id].kind != SF_PK_TUPLE) return broken(m, "persistent id is no tuple");
    SF_TRY(make(m, SF_PK_PERSID, NULL));
    return add_item(m, m->stack[m->stack_n - 1], id);
}

/* --- frame of the stream -------------------------------------------------------------------- */

static sf_status op_proto(machine *m)
{
    uint64_t version = 0;
    SF_TRY(take(m, 1, &version));
    SF_CHECK(version >= 2 && version <= 5, SF_EUNSUPPORTED, "%s: pickle protocol %d", m->where,
             (int)version);
    return SF_OK;
}

static sf_status op_frame(machine *m)
{
    uint64_t bytes;
    return take(m, 8, &bytes);
}

static sf_status op_stop(machine *m)
{
    SF_TRY(pop(m, &m->p->root));
    if (m->mark_n) return broken(m, "mark left over");
    m->done = true;
    return SF_OK;
}

typedef sf_status op_fn(machine *m);
static op_fn *const ops[256] = {
    [0x80] = op_proto,   ['}'] = op_dict,          [']'] = op_list,    [')'] = op_empty,
    ['('] = op_mark,     ['X'] = op_text4,         [0x8c] = op_text1,  ['B'] = op_bytes4,
    ['C'] = op_bytes1,   ['q'] = op_put1,          ['r'] = op_put4,    ['h'] = op_get1,
    ['j'] = op_get4,     ['J'] = op_int4,          ['K'] = op_int1,    ['M'] = op_int2,
    ['G'] = op_float,    ['N'] = op_none,          [0x88] = op_true,   [0x89] = op_false,
    ['t'] = op_tuple,    [0x85] = op_tuple1,       [0x86] = op_tuple2, [0x87] = op_tuple3,
    ['s'] = op_setitem,  ['u'] = op_setitems,      ['a'] = op_append,  ['e'] = op_appends,
    ['c'] = op_global,   ['R'] = op_call,          ['b'] = op_build,   ['Q'] = op_persid,
    ['.'] = op_stop,     [0x8a] = op_long1,        [0x8b] = op_long4,  [0x81] = op_call,
    [0x94] = op_memoize, [0x93] = op_stack_global, [0x95] = op_frame,
};

static sf_status run(machine *m)
{
    while (!m->done) {
        SF_TRY(need(m, 1));
        const unsigned char op = m->data[m->at++];
        SF_CHECK(ops[op], SF_EUNSUPPORTED,
                 "%s: pickle opcode 0x%02x at byte %zu is not on the list of safe ones", m->where,
                 op, m->at - 1);
        SF_TRY(ops[op](m));
    }
    return SF_OK;
}

sf_status sf_pickle_read(sf_pickle *out, const void *data, size_t size, const char *where)
{
    *out = (sf_pickle){ 0 };
    SF_CHECK(size <= PICKLE_MAX, SF_EDATA, "%s: pickle of %zu bytes is too large", where, size);
    machine m = { .p = out, .data = data, .size = size, .where = where };
    const sf_status st = run(&m);
    sf_mem_free(m.stack);
    sf_mem_free(m.mark);
    sf_mem_free(m.memo);
    if (st != SF_OK) sf_pickle_clear(out);
    return st;
}

void sf_pickle_clear(sf_pickle *p)
{
    for (int i = 0; i < p->count; i++) sf_mem_free(p->node[i].item);
    sf_mem_free(p->node);
    *p = (sf_pickle){ 0 };
}

bool sf_pickle_is_text(const sf_pickle *p, int node, const char *text)
{
    const sf_pk_node *nd = &p->node[node];
    return nd->kind == SF_PK_TEXT && equals(nd->s, nd->len, text);
}

int sf_pickle_get(const sf_pickle *p, int dict, const char *key)
{
    const sf_pk_node *nd = &p->node[dict];
    if (nd->kind != SF_PK_DICT) return -1;
    for (int i = 0; i + 1 < nd->n; i += 2)
        if (sf_pickle_is_text(p, nd->item[i], key)) return nd->item[i + 1];
    return -1;
}
