/** A pickle read as plain data: a closed list of opcodes and of global names, nothing is executed.
 *
 *  The result is a table of nodes that refer to each other by number; a shared object is one node
 *  (so cycles are possible: walk with a depth limit). Text and bytes are borrowed from the input.
 *  Limits: every opcode adds at most one node; memo numbers below the input's size.
 *  Anything outside the lists: SF_EUNSUPPORTED by name; broken streams: SF_EDATA.
 *  Not collective, thread-safe. Source: nnunet-training.md 11.1. */
#ifndef SF_INTEROP_PICKLE_H
#define SF_INTEROP_PICKLE_H
#include "base/error.h"
#include "base/json.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    SF_PK_NONE,
    SF_PK_BOOL,   /* i */
    SF_PK_INT,    /* i */
    SF_PK_REAL,   /* r */
    SF_PK_TEXT,   /* s, len: UTF-8, not 0-terminated */
    SF_PK_BYTES,  /* s, len */
    SF_PK_LIST,   /* item[0..n) */
    SF_PK_TUPLE,  /* item[0..n) */
    SF_PK_DICT,   /* item: key, value, key, value, ... */
    SF_PK_GLOBAL, /* i = sf_pk_name */
    SF_PK_CALL, /* what a call would have made: i = sf_pk_name, item[0] = arguments, item[1] = state
                 */
    SF_PK_PERSID /* item[0] = the persistent id's tuple */
} sf_pk_kind;

/** The globals that may appear. */
typedef enum {
    SF_PK_REBUILD_TENSOR,
    SF_PK_ORDERED_DICT,
    SF_PK_NUMPY_SCALAR,
    SF_PK_NUMPY_DTYPE,
    SF_PK_ENCODE,
    SF_PK_DEVICE,
    SF_PK_FLOAT, /* storages from here on */
    SF_PK_DOUBLE,
    SF_PK_HALF,
    SF_PK_BFLOAT16,
    SF_PK_LONG,
    SF_PK_INT32,
    SF_PK_SHORT,
    SF_PK_CHAR,
    SF_PK_BYTE,
    SF_PK_BOOLEAN,
    SF_PK_NAMES
} sf_pk_name;

typedef struct {
    sf_pk_kind kind;
    int64_t i;
    double r;
    const char *s;
    size_t len;
    int *item;
    int n, cap;
} sf_pk_node;

typedef struct {
    sf_pk_node *node;
    int count, root;
} sf_pickle;

/** Read one pickle of `size` bytes. `data` must stay alive as long as *out; `where` stands in
 * errors. */
sf_status sf_pickle_read(sf_pickle *out, const void *data, size_t size, const char *where);
void sf_pickle_clear(sf_pickle *p);

/** Is a node this text? */
bool sf_pickle_is_text(const sf_pickle *p, int node, const char *text);
/** Value of a dict's key, or -1. */
int sf_pickle_get(const sf_pickle *p, int dict, const char *key);
/** Plain data as JSON (new reference): tuples become arrays, integer keys text, NumPy scalars
 * numbers, devices text, tensors null. SF_EDATA for what is too deep, too large or has no JSON
 * form. */
sf_status sf_pickle_json(json_t **out, const sf_pickle *p, int node, const char *where);

#endif
