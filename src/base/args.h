/** Option table -> filled variables and --help text (on top of getopt_long).
 *
 *  `--name VALUE`, `--name=VALUE`, `-n VALUE`; options and words in any order; `--` ends the
 * options. Unknown or abbreviated options, options given twice, and extra words are refused: a
 * typing error must not start a training of three days. Only a list may be given several times
 * (`-i A -i B`) and takes all words up to the next option (`-i A B`), as nnU-Net's commands do.
 * getopt has process-wide state: call from one thread, as src/cli does. Not collective. */
#ifndef SF_BASE_ARGS_H
#define SF_BASE_ARGS_H
#include "base/error.h"
#include <stdbool.h>
#include <stdio.h>

/** What `value` of a row points to. */
typedef enum {
    SF_ARG_FLAG, /* bool: set to true */
    SF_ARG_INT,  /* int64_t, decimal */
    SF_ARG_REAL, /* double, finite */
    SF_ARG_STR,  /* const char *, borrowed from argv */
    SF_ARG_LIST  /* sf_arg_list, appended to; not for positional words */
} sf_arg_kind;

/** Values of one option in the order they were given; the texts are borrowed from argv. */
enum { SF_ARG_LIST_MAX = 32 };
typedef struct {
    int count;
    const char *item[SF_ARG_LIST_MAX];
} sf_arg_list;

/** One row: an option, or a positional word. Borrowed by every call. */
typedef struct {
    const char *name; /* long name without dashes; for a positional word: its upper-case name */
    char letter;      /* short name or 0 */
    sf_arg_kind kind;
    void *value;               /* keeps its default when the option is absent */
    bool *given;               /* set to true when the option is there; may be NULL */
    const char *meta;          /* "N", "FILE"; NULL for flags */
    const char *help;          /* one line, with default and unit */
    bool positional, required; /* positional words fill the rows in order */
    bool positive;             /* numbers only: 0 and less are refused */
} sf_arg;                      /* a table ends with SF_ARG_END; at most 64 rows */

/** One row in one line: SF_ARG("work", 'w', STR, &work, "DIR", "work folder", .required = true). */
#define SF_ARG(NAME, LETTER, KIND, VALUE, META, HELP, ...)                                         \
    {                                                                                              \
        .name = NAME, .letter = LETTER, .kind = SF_ARG_##KIND, .value = VALUE, .meta = META,       \
        .help = HELP, ##__VA_ARGS__                                                                \
    }
#define SF_ARG_END                                                                                 \
    {                                                                                              \
        .name = NULL                                                                               \
    }

typedef struct {
    const char *command; /* "plan" */
    const char *brief;   /* one line */
    const char *details; /* paragraphs after the options; may be NULL */
    sf_arg *args;
} sf_arg_table;

/** Parse argv[1..] (words may be reordered). *help = true when --help or -h was there (nothing else
 *  is checked then). SF_EINVAL names the offending option and how to get help; variables of rows
 *  that were parsed before it are changed. */
sf_status sf_args_parse(const sf_arg_table *table, int argc, char **argv, bool *help);
/** Usage line, brief, one line per row, details. */
void sf_args_help(const sf_arg_table *table, FILE *to);
/** Split "2d,3d_fullres" at commas into a NULL-terminated vector of *count texts, one block that
 * the caller frees with sf_mem_free. SF_EINVAL for an empty entry; *out is then NULL. */
sf_status sf_args_split(char ***out, int *count, const char *list);

#endif
