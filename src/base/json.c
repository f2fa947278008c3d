/* Reading JSON: bare NaN and Infinity become private strings before jansson sees the text. */
#include "base/json.h"
#include "base/mem.h"
#include "base/path.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* A private string is \x01 and one of these words. Raw control characters are not allowed inside
 * JSON strings, so a file can only hold one as an escape, which sf_json_parse refuses. */
static const struct {
    const char *word, *carried;
} specials[] = { { "NaN", "\x01NaN" },
                 { "Infinity", "\x01Infinity" },
                 { "-Infinity", "\x01-Infinity" } };
enum {
    SPECIALS = sizeof specials / sizeof *specials,
    ESCAPED_EXTRA = 8 /* two quotes and \u0001 */
};

static int special_at(const char *p, const char *end)
{
    for (int i = 0; i < SPECIALS; i++) {
        const size_t n = strlen(specials[i].word);
        if ((size_t)(end - p) >= n && memcmp(p, specials[i].word, n) == 0) return i;
    }
    return -1;
}

/* Position after the string that starts at the quote p. */
static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\' && p + 1 < end) p++;
    return p < end ? p + 1 : end;
}

static size_t count_specials(const char *p, const char *end)
{
    size_t n = 0;
    while (p < end) {
        const int k = *p == 'N' || *p == 'I' || *p == '-' ? special_at(p, end) : -1;
        n += k >= 0;
        p = *p == '"' ? skip_string(p, end) : p + (k >= 0 ? strlen(specials[k].word) : 1);
    }
    return n;
}

/* Copy with every bare special written as a JSON string. */
static size_t quote_specials(char *out, const char *p, const char *end)
{
    char *o = out;
    while (p < end) {
        const int k = *p == 'N' || *p == 'I' || *p == '-' ? special_at(p, end) : -1;
        const char *next = *p == '"' ? skip_string(p, end) : p + 1;
        if (k >= 0) {
            o += sprintf(o, "\"\\u0001%s\"", specials[k].word);
            next = p + strlen(specials[k].word);
        } else {
            memcpy(o, p, (size_t)(next - p));
            o += next - p;
        }
        p = next;
    }
    return (size_t)(o - out);
}

/* A string of the file that would pass for one of ours. */
static bool has_private_string(const char *text, size_t size)
{
    return memmem(text, size, "\"\\u0001", 7) != NULL;
}

static sf_status parse_buffer(json_t **out, const char *text, size_t size, const char *name)
{
    json_error_t why;
    char *quoted = NULL;
    if (size >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        text += 3, size -= 3; /* byte order mark */
    SF_CHECK(!has_private_string(text, size), SF_EDATA,
             "%s: a string starts with the character U+0001", name);
    const size_t n = count_specials(text, text + size);
    if (n > 0) {
        SF_TRY(sf_mem_alloc(&quoted, size + n * ESCAPED_EXTRA + 1, 1, SF_MEM_MISC));
        size = quote_specials(quoted, text, text + size);
        text = quoted;
    }
    *out = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    sf_mem_free(quoted);
    SF_CHECK(*out != NULL, SF_EDATA, "%s: not valid JSON, line %d: %s; correct it there", name,
             why.line, why.text);
    return SF_OK;
}

sf_status sf_json_parse(json_t **out, const char *text, const char *name)
{
    *out = NULL;
    return parse_buffer(out, text, strlen(text), name);
}

sf_status sf_json_load(json_t **out, const char *path)
{
    char *text = NULL;
    size_t size = 0;
    *out = NULL;
    SF_TRY(sf_path_read(&text, &size, path, 0));
    const sf_status st = parse_buffer(out, text, size, path);
    sf_mem_free(text);
    return st;
}

json_t *sf_json_real(double x)
{
    if (isnan(x)) return json_string(specials[0].carried);
    if (isinf(x)) return json_string(specials[x > 0 ? 1 : 2].carried);
    return json_real(x);
}

bool sf_json_is_num(const json_t *v)
{
    const char *s = json_string_value(v);
    return json_is_number(v) || (s != NULL && s[0] == '\x01');
}

double sf_json_num(const json_t *v)
{
    const char *s = json_string_value(v);
    if (json_is_number(v)) return json_number_value(v);
    if (s == NULL || strcmp(s, specials[0].carried) == 0) return NAN;
    if (strcmp(s, specials[1].carried) == 0) return INFINITY;
    if (strcmp(s, specials[2].carried) == 0) return -INFINITY;
    return NAN;
}

sf_status sf_json_get(json_t **out, const json_t *obj, const char *key, const char *where)
{
    *out = NULL;
    SF_CHECK(json_is_object(obj), SF_EDATA, "%s: expected an object that holds \"%s\"", where, key);
    *out = json_object_get(obj, key);
    SF_CHECK(*out != NULL, SF_EDATA, "%s: key \"%s\" is missing", where, key);
    return SF_OK;
}

sf_status sf_json_get_str(const char **out, const json_t *obj, const char *key, const char *where)
{
    json_t *v = NULL;
    *out = NULL;
    SF_TRY(sf_json_get(&v, obj, key, where));
    SF_CHECK(json_is_string(v) && !sf_json_is_num(v), SF_EDATA, "%s: \"%s\" must be a string",
             where, key);
    *out = json_string_value(v);
    return SF_OK;
}

/* Python writes 3.0 where it means 3 when a value came out of NumPy. */
static bool as_int(int64_t *out, const json_t *v)
{
    const double limit = 9007199254740992.0, x = json_is_real(v) ? json_real_value(v) : 0;
    if (json_is_integer(v))
        *out = (int64_t)json_integer_value(v);
    else if (json_is_real(v) && x == floor(x) && fabs(x) <= limit)
        *out = (int64_t)x;
    else
        return false;
    return true;
}

sf_status sf_json_get_int(int64_t *out, const json_t *obj, const char *key, const char *where)
{
    json_t *v = NULL;
    SF_TRY(sf_json_get(&v, obj, key, where));
    SF_CHECK(as_int(out, v), SF_EDATA, "%s: \"%s\" must be a whole number", where, key);
    return SF_OK;
}

sf_status sf_json_get_num(double *out, const json_t *obj, const char *key, const char *where)
{
    json_t *v = NULL;
    SF_TRY(sf_json_get(&v, obj, key, where));
    SF_CHECK(sf_json_is_num(v), SF_EDATA, "%s: \"%s\" must be a number", where, key);
    *out = sf_json_num(v);
    return SF_OK;
}

sf_status sf_json_get_bool(bool *out, const json_t *obj, const char *key, const char *where)
{
    json_t *v = NULL;
    SF_TRY(sf_json_get(&v, obj, key, where));
    SF_CHECK(json_is_boolean(v), SF_EDATA, "%s: \"%s\" must be true or false", where, key);
    *out = json_is_true(v);
    return SF_OK;
}

static sf_status get_array(json_t **out, int n, const json_t *obj, const char *key,
                           const char *where)
{
    SF_TRY(sf_json_get(out, obj, key, where));
    SF_CHECK(json_is_array(*out) && json_array_size(*out) == (size_t)n, SF_EDATA,
             "%s: \"%s\" must be a list of %d numbers", where, key, n);
    return SF_OK;
}

sf_status sf_json_get_ints(int64_t *out, int n, const json_t *obj, const char *key,
                           const char *where)
{
    json_t *v = NULL;
    SF_TRY(get_array(&v, n, obj, key, where));
    for (int i = 0; i < n; i++)
        SF_CHECK(as_int(&out[i], json_array_get(v, (size_t)i)), SF_EDATA,
                 "%s: \"%s\"[%d] must be a whole number", where, key, i);
    return SF_OK;
}

sf_status sf_json_get_nums(double *out, int n, const json_t *obj, const char *key,
                           const char *where)
{
    json_t *v = NULL;
    SF_TRY(get_array(&v, n, obj, key, where));
    for (int i = 0; i < n; i++) {
        const json_t *x = json_array_get(v, (size_t)i);
        SF_CHECK(sf_json_is_num(x), SF_EDATA, "%s: \"%s\"[%d] must be a number", where, key, i);
        out[i] = sf_json_num(x);
    }
    return SF_OK;
}

json_t *sf_json_ints(const int64_t *v, int n)
{
    json_t *a = json_array();
    for (int i = 0; a != NULL && i < n; i++) json_array_append_new(a, json_integer(v[i]));
    return a;
}

json_t *sf_json_nums(const double *v, int n)
{
    json_t *a = json_array();
    for (int i = 0; a != NULL && i < n; i++) json_array_append_new(a, sf_json_real(v[i]));
    return a;
}
