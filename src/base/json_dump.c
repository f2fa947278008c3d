/* Writing JSON as Python's json.dump does, so that files can be compared with those of nnU-Net. */
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char *data;
    size_t used, room;
    sf_status st; /* the first failure; later writes do nothing */
    int indent;
    bool sort;
} text;

static void put(text *t, const char *s, size_t n)
{
    if (t->st == SF_OK && t->used + n + 1 > t->room) {
        const size_t room = 2 * (t->used + n) + 256;
        t->st = sf_mem_resize(&t->data, room, 1, SF_MEM_MISC);
        if (t->st == SF_OK) t->room = room;
    }
    if (t->st != SF_OK) return;
    memcpy(t->data + t->used, s, n);
    t->used += n;
    t->data[t->used] = 0;
}

static void put_str(text *t, const char *s) { put(t, s, strlen(s)); }

static void put_quoted(text *t, const char *s, size_t n)
{
    static const char named[] = "\b\f\n\r\t\"\\", letters[] = "bfnrt\"\\";
    put(t, "\"", 1);
    for (size_t i = 0; i < n; i++) {
        char escape[8];
        const char *known = s[i] != 0 ? strchr(named, s[i]) : NULL;
        if (known != NULL) {
            snprintf(escape, sizeof escape, "\\%c", letters[known - named]);
            put_str(t, escape);
        } else if ((unsigned char)s[i] < 0x20) {
            snprintf(escape, sizeof escape, "\\u%04x", (unsigned)s[i]);
            put_str(t, escape);
        } else {
            put(t, &s[i], 1);
        }
    }
    put(t, "\"", 1);
}

/* Below a power of two doubles are denser than above it, so the nearest decimal of a length may
 * miss x while its upper neighbour of the same length still rounds to x. */
static bool upper_neighbour(char *e_form, double x)
{
    char *last = strchr(e_form, 'e') - 1;
    if (*last == '9' || *last == '.') return false;
    ++*last;
    if (strtod(e_form, NULL) == x) return true;
    --*last;
    return false;
}

/* Shortest "d.ddde+XX" that reads back as x (finite, positive). */
static void shortest(char e_form[40], double x)
{
    int exponent;
    const bool power_of_two = frexp(x, &exponent) == 0.5;
    for (int digits = x < DBL_MIN ? 0 : 14; digits < 17; digits++) {
        snprintf(e_form, 40, "%.*e", digits, x);
        if (strtod(e_form, NULL) == x || (power_of_two && upper_neighbour(e_form, x))) return;
    }
}

/* Python's repr of a float: digits without trailing zeros, fixed point for 1e-4 <= x < 1e16. */
static void put_real(text *t, double x)
{
    char e_form[40], digits[24], out[64];
    if (signbit(x)) put(t, "-", 1), x = -x;
    if (x == 0) {
        put_str(t, "0.0");
        return;
    }
    shortest(e_form, x);
    const int e10 = atoi(strchr(e_form, 'e') + 1);
    int n = 0;
    for (const char *p = e_form; *p != 'e'; p++)
        if (*p != '.') digits[n++] = *p;
    while (n > 1 && digits[n - 1] == '0') n--;
    if (e10 < -4 || e10 >= 16)
        snprintf(out, sizeof out, "%c%s%.*se%c%02d", digits[0], n > 1 ? "." : "", n - 1, digits + 1,
                 e10 < 0 ? '-' : '+', abs(e10));
    else if (e10 < 0)
        snprintf(out, sizeof out, "0.%.*s%.*s", -e10 - 1, "000", n, digits);
    else if (n <= e10 + 1)
        snprintf(out, sizeof out, "%.*s%.*s.0", n, digits, e10 + 1 - n, "0000000000000000");
    else
        snprintf(out, sizeof out, "%.*s.%.*s", e10 + 1, digits, n - e10 - 1, digits + e10 + 1);
    put_str(t, out);
}

static void put_break(text *t, int depth)
{
    if (t->indent <= 0) return;
    put(t, "\n", 1);
    for (int i = 0; i < depth * t->indent; i++) put(t, " ", 1);
}

static void put_value(text *t, const json_t *v, int depth);

static void put_array(text *t, const json_t *v, int depth)
{
    const size_t n = json_array_size(v);
    put(t, "[", 1);
    for (size_t i = 0; i < n; i++) {
        if (i > 0) put_str(t, t->indent > 0 ? "," : ", ");
        put_break(t, depth + 1);
        put_value(t, json_array_get(v, i), depth + 1);
    }
    if (n > 0) put_break(t, depth);
    put(t, "]", 1);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void put_members(text *t, const json_t *v, const char **keys, size_t n, int depth)
{
    size_t i = 0;
    for (void *it = json_object_iter((json_t *)(uintptr_t)v); it != NULL;
         it = json_object_iter_next((json_t *)(uintptr_t)v, it))
        keys[i++] = json_object_iter_key(it);
    if (t->sort && n > 0) qsort(keys, n, sizeof *keys, compare_keys);
    for (i = 0; i < n; i++) {
        if (i > 0) put_str(t, t->indent > 0 ? "," : ", ");
        put_break(t, depth + 1);
        put_quoted(t, keys[i], strlen(keys[i]));
        put_str(t, ": ");
        put_value(t, json_object_get(v, keys[i]), depth + 1);
    }
    if (n > 0) put_break(t, depth);
}

static void put_object(text *t, const json_t *v, int depth)
{
    const size_t n = json_object_size(v);
    const char **keys = NULL;
    put(t, "{", 1);
    if (t->st == SF_OK) t->st = sf_mem_alloc(&keys, n, sizeof *keys, SF_MEM_MISC);
    if (t->st == SF_OK) put_members(t, v, keys, n, depth);
    put(t, "}", 1);
    sf_mem_free((void *)keys);
}

static void put_value(text *t, const json_t *v, int depth)
{
    char number[32];
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        put_object(t, v, depth);
        break;
    case JSON_ARRAY:
        put_array(t, v, depth);
        break;
    case JSON_STRING:
        if (sf_json_is_num(v))
            put_str(t, json_string_value(v) + 1);
        else
            put_quoted(t, json_string_value(v), json_string_length(v));
        break;
    case JSON_INTEGER:
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
        put_str(t, number);
        break;
    case JSON_REAL:
        put_real(t, json_real_value(v));
        break;
    case JSON_TRUE:
        put_str(t, "true");
        break;
    case JSON_FALSE:
        put_str(t, "false");
        break;
    default:
        put_str(t, "null");
        break;
    }
}

static sf_status dump(text *t, const json_t *v, bool newline)
{
    SF_CHECK(v != NULL, SF_EINTERNAL, "no JSON value to write");
    put_value(t, v, 0);
    if (newline) put(t, "\n", 1);
    if (t->st != SF_OK) {
        sf_mem_free(t->data);
        t->data = NULL;
    }
    return t->st;
}

sf_status sf_json_dump(char **out, const json_t *v, int indent, bool sort)
{
    text t = { .indent = indent, .sort = sort };
    *out = NULL;
    SF_TRY(dump(&t, v, false));
    *out = t.data;
    return SF_OK;
}

sf_status sf_json_save(const json_t *v, const char *path, int indent, bool sort)
{
    text t = { .indent = indent, .sort = sort };
    SF_TRY(dump(&t, v, true));
    const sf_status st = sf_path_write(path, t.data, t.used);
    sf_mem_free(t.data);
    return st;
}
