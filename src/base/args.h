/** Option table -> filled variables and --help text (on top of getopt_long).
 *  `--name VALUE`, `--name=VALUE`, `-n VALUE`; unknown options and extra words are refused. */
#ifndef SF_BASE_ARGS_H
#define SF_BASE_ARGS_H
#include "base/error.h"
#include <stdbool.h>
#include <stdio.h>

typedef enum {
    SF_ARG_FLAG,
    SF_ARG_INT,
    SF_ARG_REAL,
    SF_ARG_STR
} sf_arg_kind; /* bool, int64_t, double, const char* (borrowed from argv) */

typedef struct {
    const char *name; /* long name without dashes; for a positional word: its upper-case name */
    char letter;      /* short name or 0 */
    sf_arg_kind kind;
    void *value;      /* keeps its default when the option is absent */
    bool *given;      /* may be NULL */
    const char *meta; /* "N", "FILE"; NULL for flags */
    const char *help; /* one line, with default and unit */
    bool positional, required;
} sf_arg; /* a table ends with .name == NULL */

typedef struct {
    const char *command; /* "plan" */
    const char *brief;   /* one line */
    const char *details; /* paragraphs after the options; may be NULL */
    sf_arg *args;
} sf_arg_table;

/** Parse argv[1..]. *help = true when --help or -h was there (nothing else is checked then).
 *  SF_EINVAL names the offending option and how to get help. */
sf_status sf_args_parse(const sf_arg_table *table, int argc, char **argv, bool *help);
void sf_args_help(const sf_arg_table *table, FILE *to);
/** Split "2d,3d_fullres" at commas: a NULL-terminated vector, caller frees with sf_mem_free (one
 * block). */
sf_status sf_args_split(char ***out, int *count, const char *list);

#endif
