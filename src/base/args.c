/* Option tables on top of getopt_long. */
#include "base/args.h"
#include "base/mem.h"
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ARGS = 64, FIRST_CODE = 256 /* above every letter */ };

static sf_status wrong(const sf_arg_table *t, const char *what, const char *word)
{
    return SF_FAIL(SF_EINVAL, "%s %s; see: segfleet %s --help", what, word, t->command);
}

/* Zero must not pass for "not given": --epochs 0 would train a thousand. */
static sf_status check_sign(const sf_arg_table *t, const sf_arg *a, double v, const char *word)
{
    char what[128];
    snprintf(what, sizeof what, "--%s must be greater than 0, not", a->name);
    return a->positive && v <= 0 ? wrong(t, what, word) : SF_OK;
}

static sf_status store_int(const sf_arg_table *t, const sf_arg *a, const char *word)
{
    char *end = NULL, what[128];
    errno = 0;
    const long long v = strtoll(word, &end, 10);
    snprintf(what, sizeof what, "--%s needs a whole number, not", a->name);
    if (end == word || *end != 0 || errno != 0) return wrong(t, what, word);
    SF_TRY(check_sign(t, a, (double)v, word));
    *(int64_t *)a->value = v;
    return SF_OK;
}

static sf_status store_real(const sf_arg_table *t, const sf_arg *a, const char *word)
{
    char *end = NULL, what[128];
    const double v = strtod(word, &end);
    snprintf(what, sizeof what, "--%s needs a number, not", a->name);
    if (end == word || *end != 0 || !isfinite(v)) return wrong(t, what, word);
    SF_TRY(check_sign(t, a, v, word));
    *(double *)a->value = v;
    return SF_OK;
}

static sf_status store_item(const sf_arg_table *t, const sf_arg *a, const char *word)
{
    sf_arg_list *list = a->value;
    if (list->count == SF_ARG_LIST_MAX) return wrong(t, "too many values for option", a->name);
    list->item[list->count++] = word;
    return SF_OK;
}

static sf_status store(const sf_arg_table *t, const sf_arg *a, char *word)
{
    switch (a->kind) {
    case SF_ARG_FLAG:
        *(bool *)a->value = true;
        break;
    case SF_ARG_INT:
        SF_TRY(store_int(t, a, word));
        break;
    case SF_ARG_REAL:
        SF_TRY(store_real(t, a, word));
        break;
    case SF_ARG_STR:
        *(const char **)a->value = word;
        break;
    case SF_ARG_LIST:
        SF_TRY(store_item(t, a, word));
        break;
    }
    if (a->given != NULL) *a->given = true;
    return SF_OK;
}

typedef struct {
    struct option longs[MAX_ARGS + 2];
    char shorts[3 * MAX_ARGS];
    bool seen[MAX_ARGS];
} options;

/* Codes: FIRST_CODE + row for every option, long or short. */
static void make_options(options *o, const sf_arg_table *t)
{
    int n = 0;
    char *s = o->shorts;
    *o = (options){ 0 };
    *s++ = ':'; /* a missing value is reported apart from an unknown option */
    *s++ = 'h';
    for (int i = 0; t->args[i].name != NULL && i < MAX_ARGS; i++) {
        const sf_arg *a = &t->args[i];
        if (a->positional) continue;
        const int has = a->kind == SF_ARG_FLAG ? no_argument : required_argument;
        o->longs[n++] = (struct option){ a->name, has, NULL, FIRST_CODE + i };
        if (a->letter != 0) *s++ = a->letter;
        if (a->letter != 0 && has) *s++ = ':';
    }
    o->longs[n] = (struct option){ "help", no_argument, NULL, 'h' };
}

static int row_of(const sf_arg_table *t, int code)
{
    if (code >= FIRST_CODE) return code - FIRST_CODE;
    for (int i = 0; t->args[i].name != NULL; i++)
        if (!t->args[i].positional && t->args[i].letter == code) return i;
    return -1;
}

/* getopt_long takes "--epo" for "--epochs"; a script that relies on it breaks with the next option.
 */
static bool abbreviated(const char *word, const char *name)
{
    if (strncmp(word, "--", 2) != 0) return false;
    const size_t n = strcspn(word + 2, "=");
    return n > 0 && n < strlen(name) && strncmp(word + 2, name, n) == 0;
}

static sf_status unknown(const sf_arg_table *t, const options *o, char **argv)
{
    const char *word = argv[optind - 1];
    char letter[3] = { '-', (char)optopt, 0 };
    for (int i = 0; o->longs[i].name != NULL; i++)
        if (optopt == o->longs[i].val && strncmp(word, "--", 2) == 0)
            return wrong(t, "no value belongs to", word);
    if (optopt > 0 && optopt < FIRST_CODE) word = letter;
    return wrong(t, "unknown option", word);
}

/* The words after a list's first value, up to the next option. getopt takes what lies before optind
 * for options that it has seen. */
static sf_status more_items(const sf_arg_table *t, const sf_arg *a, int argc, char **argv)
{
    while (optind < argc && argv[optind][0] != '-') SF_TRY(store_item(t, a, argv[optind++]));
    return SF_OK;
}

static sf_status parse_options(options *o, const sf_arg_table *t, int argc, char **argv)
{
    optind = 0; /* glibc: start anew, also after an earlier parse */
    opterr = 0;
    for (;;) {
        int which = -1;
        const int code = getopt_long(argc, argv, o->shorts, o->longs, &which);
        if (code == -1) return SF_OK;
        if (code == ':') return wrong(t, "a value is missing after", argv[optind - 1]);
        const int row = code == '?' ? -1 : row_of(t, code);
        if (row < 0) return unknown(t, o, argv);
        const char *word = argv[optind - 1];
        if (which >= 0 && word == optarg) word = argv[optind - 2];
        if (which >= 0 && abbreviated(word, t->args[row].name))
            return wrong(t, "unknown option", word);
        const sf_arg *a = &t->args[row];
        if (o->seen[row] && a->kind != SF_ARG_LIST) return wrong(t, "given twice: option", a->name);
        o->seen[row] = true;
        SF_TRY(store(t, a, optarg));
        if (a->kind == SF_ARG_LIST) SF_TRY(more_items(t, a, argc, argv));
    }
}

static sf_status parse_words(options *o, const sf_arg_table *t, int argc, char **argv)
{
    int word = optind;
    for (int i = 0; t->args[i].name != NULL; i++) {
        if (!t->args[i].positional || word >= argc) continue;
        o->seen[i] = true;
        SF_TRY(store(t, &t->args[i], argv[word++]));
    }
    return word < argc ? wrong(t, "unexpected word", argv[word]) : SF_OK;
}

static bool asks_help(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) return false;
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    }
    return false;
}

sf_status sf_args_parse(const sf_arg_table *table, int argc, char **argv, bool *help)
{
    options o;
    char name[128];
    int n = 0;
    while (table->args[n].name != NULL) n++;
    SF_CHECK(n <= MAX_ARGS, SF_EINTERNAL, "%s: more than %d options", table->command, MAX_ARGS);
    *help = asks_help(argc, argv);
    if (*help) return SF_OK;
    make_options(&o, table);
    SF_TRY(parse_options(&o, table, argc, argv));
    SF_TRY(parse_words(&o, table, argc, argv));
    for (int i = 0; i < n; i++) {
        const sf_arg *a = &table->args[i];
        if (!a->required || o.seen[i]) continue;
        snprintf(name, sizeof name, "%s%s", a->positional ? "" : "--", a->name);
        return wrong(table, a->positional ? "missing word" : "missing option", name);
    }
    return SF_OK;
}

static void help_usage(const sf_arg_table *t, FILE *to)
{
    fprintf(to, "Usage: segfleet %s", t->command);
    for (const sf_arg *a = t->args; a->name != NULL; a++)
        if (!a->positional && a->required)
            fprintf(to, " --%s %s", a->name, a->meta != NULL ? a->meta : "VALUE");
    fprintf(to, " [OPTIONS]");
    for (const sf_arg *a = t->args; a->name != NULL; a++)
        if (a->positional) fprintf(to, a->required ? " %s" : " [%s]", a->name);
    fprintf(to, "\n\n%s\n\n", t->brief);
}

static void help_line(const sf_arg *a, FILE *to)
{
    char left[96], letter[8] = "    ";
    if (a->letter != 0) snprintf(letter, sizeof letter, "-%c, ", a->letter);
    if (a->positional)
        snprintf(left, sizeof left, "%s", a->name);
    else
        snprintf(left, sizeof left, "%s--%s%s%s", letter, a->name, a->meta != NULL ? " " : "",
                 a->meta != NULL ? a->meta : "");
    fprintf(to, "  %-28s %s\n", left, a->help != NULL ? a->help : "");
}

void sf_args_help(const sf_arg_table *table, FILE *to)
{
    static const sf_arg help = { .name = "help", .letter = 'h', .help = "show this text" };
    help_usage(table, to);
    for (const sf_arg *a = table->args; a->name != NULL; a++)
        if (a->positional) help_line(a, to);
    for (const sf_arg *a = table->args; a->name != NULL; a++)
        if (!a->positional) help_line(a, to);
    help_line(&help, to);
    if (table->details != NULL) fprintf(to, "\n%s\n", table->details);
}

sf_status sf_args_split(char ***out, int *count, const char *list)
{
    size_t n = 1;
    const size_t bytes = strlen(list) + 1;
    *out = NULL;
    *count = 0;
    for (const char *p = list; *p != 0; p++) n += *p == ',';
    char **v = NULL;
    SF_TRY(sf_mem_calloc(&v, (n + 1) * sizeof *v + bytes, 1, SF_MEM_MISC));
    char *word = memcpy(v + n + 1, list, bytes);
    for (size_t i = 0; i < n; i++) {
        char *comma = strchr(word, ',');
        if (comma != NULL) *comma = 0;
        v[i] = word;
        if (*word == 0) {
            sf_mem_free(v);
            return SF_FAIL(SF_EINVAL, "empty entry in the list \"%s\"", list);
        }
        word = comma != NULL ? comma + 1 : word;
    }
    *out = v;
    *count = (int)n;
    return SF_OK;
}
