#include "mpi/io_hints.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include "mpi/comm_private.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* What MPI 3 allows at least (MPI_MAX_INFO_KEY may be 36). */
enum { KEY_MAX = 35, VALUE_MAX = 255 };

typedef sf_status take_pair(void *user, const char *key, const char *value);

static sf_status check_pair(const char *where, const char *key, const char *value)
{
    SF_CHECK(key[0] && strlen(key) <= KEY_MAX && value[0] && strlen(value) <= VALUE_MAX, SF_EDATA,
             "%s: hint '%s': a key of 1..%d and a value of 1..%d characters are needed", where, key,
             KEY_MAX, VALUE_MAX);
    return SF_OK;
}

static sf_status parse_json(const char *text, const char *where, take_pair *take, void *user)
{
    json_t *j = NULL, *v;
    const char *key;
    char number[32];
    SF_TRY(sf_json_parse(&j, text, where));
    sf_status st = SF_OK;
    json_object_foreach(j, key, v)
    {
        const char *value = json_string_value(v);
        if (json_is_integer(v)) {
            snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
            value = number;
        }
        if (!value)
            st = SF_FAIL(SF_EDATA, "%s: hint '%s' must be a text or a whole number", where, key);
        if (st == SF_OK) st = check_pair(where, key, value);
        if (st == SF_OK) st = take(user, key, value);
        if (st != SF_OK) break;
    }
    json_decref(j);
    return st;
}

/* Without blanks at both ends; changes the text. */
static char *trim(char *s)
{
    while (isspace((unsigned char)*s)) s++;
    for (size_t n = strlen(s); n > 0 && isspace((unsigned char)s[n - 1]); n--) s[n - 1] = 0;
    return s;
}

static sf_status parse_line(char *line, int number, const char *where, take_pair *take, void *user)
{
    line[strcspn(line, "#")] = 0;
    line = trim(line);
    if (!line[0]) return SF_OK;
    char *equals = strchr(line, '=');
    SF_CHECK(equals, SF_EDATA, "%s, line %d: '%s' is not KEY=VALUE", where, number, line);
    *equals = 0;
    const char *key = trim(line), *value = trim(equals + 1);
    SF_TRY(check_pair(where, key, value));
    return take(user, key, value);
}

sf_status sf_io_hints_parse(const char *text, const char *where, take_pair *take, void *user)
{
    const char *first = text + strspn(text, " \t\r\n");
    if (*first == '{') return parse_json(text, where, take, user);
    char *copy = NULL;
    SF_TRY(sf_mem_strdup(&copy, text));
    sf_status st = SF_OK;
    int number = 1;
    for (char *line = copy; line && st == SF_OK; number++) {
        char *end = strchr(line, '\n');
        if (end) *end = 0;
        st = parse_line(line, number, where, take, user);
        line = end ? end + 1 : NULL;
    }
    sf_mem_free(copy);
    return st;
}

#ifdef SEGFLEET_MPI
static sf_status put(void *user, const char *key, const char *value)
{
    SF_MPI_TRY(MPI_Info_set(*(MPI_Info *)user, key, value));
    return SF_OK;
}

static sf_status keep(sf_comm *c, const char *text, const char *path)
{
    MPI_Info info;
    SF_MPI_TRY(MPI_Info_create(&info));
    const sf_status st = sf_io_hints_parse(text, path, put, &info);
    if (st != SF_OK) {
        MPI_Info_free(&info);
        return st;
    }
    c->hints = info;
    c->has_hints = true;
    return SF_OK;
}
#else
static sf_status ignore(void *user, const char *key, const char *value)
{
    (void)user, (void)key, (void)value;
    return SF_OK;
}

static sf_status keep(sf_comm *c, const char *text, const char *path)
{
    (void)c;
    return sf_io_hints_parse(text, path, ignore, NULL);
}
#endif

sf_status sf_io_hints_load(sf_comm *c, const char *path)
{
    char *text = NULL;
    void **all = NULL;
    size_t *sizes = NULL, size = 0;
    sf_status st = SF_OK;
    if (c->rank == 0) st = sf_path_read(&text, &size, path, (size_t)1 << 20);
    SF_GOTO(done, st, sf_comm_agree(c, st));
    SF_GOTO(done, st, sf_comm_allgather_bytes(c, text, text ? size + 1 : 0, &all, &sizes));
    SF_GOTO(done, st, sf_comm_agree(c, keep(c, all[0], path)));
    if (c->size == 1)
        sf_log(SF_LOG_INFO, "io_hints", "file=%s: not used, one rank writes without MPI-IO", path);
done:
    sf_mem_free(all);
    sf_mem_free(text);
    return st;
}
