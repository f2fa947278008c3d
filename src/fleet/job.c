#include "fleet/job.h"
#include "base/mem.h"
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A tenth of an hour and a quarter more than expected, at most a day. */
static void time_text(char text[32], double hours)
{
    const double most = 24;
    const double want = hours < most ? 1.25 * hours + 0.1 : most;
    const int minutes = (int)ceil(60 * (want < most ? want : most));
    snprintf(text, 32, "%02d:%02d:00", minutes / 60, minutes % 60);
}

/* The value that a line "#SBATCH --NAME=..." gets; false: the line stays as it is. */
static bool new_value(const sf_job *j, const char *line, char text[32])
{
    const struct {
        const char *begin;
        int64_t value;
        const char *unit;
    } rows[] = { { "#SBATCH --nodes=", j->nodes, "" },
                 { "#SBATCH --ntasks-per-node=", j->ranks_per_node, "" },
                 { "#SBATCH --cpus-per-task=", j->cores, "" },
                 { "#SBATCH --mem=", (j->memory + ((int64_t)1 << 20) - 1) >> 20, "M" } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strncmp(line, rows[i].begin, strlen(rows[i].begin)) != 0) continue;
        snprintf(text, 32, "%" PRId64 "%s", rows[i].value, rows[i].unit);
        return true;
    }
    if (strncmp(line, "#SBATCH --time=", 15) != 0) return false;
    time_text(text, j->hours);
    return true;
}

static void put_words(FILE *to, const sf_job *j)
{
    fputs("set --", to);
    for (int i = 0; i < j->n_words; i++) {
        fputs(" '", to);
        for (const char *c = j->words[i]; *c; c++)
            if (*c == '\'')
                fputs("'\\''", to);
            else
                fputc(*c, to);
        fputc('\'', to);
    }
    fputs("\n", to);
}

/* One line of the template, `length` bytes with its end. */
static void put_line(FILE *to, const sf_job *j, const char *line, size_t length)
{
    char value[32];
    if (new_value(j, line, value))
        fprintf(to, "%.*s%s\n", (int)(strchr(line, '=') + 1 - line), line, value);
    else
        fwrite(line, 1, length, to);
    /* the words take the place of those that sbatch would get */
    if (j->n_words > 0 && strncmp(line, "set -euo", 8) == 0) put_words(to, j);
}

sf_status sf_job_script(char **out, const sf_job *j)
{
    char *text = NULL;
    size_t size = 0;
    *out = NULL;
    SF_CHECK(j->nodes > 0 && j->ranks_per_node > 0 && j->cores > 0 && j->memory > 0 && j->hours > 0,
             SF_EINVAL, "a job needs nodes, ranks, cores, memory and time");
    FILE *to = open_memstream(&text, &size);
    SF_CHECK(to, SF_ENOMEM, "out of memory");
    for (const char *line = sf_embedded_slurm[0].text; *line;) {
        const size_t length = strcspn(line, "\n") + (strchr(line, '\n') != NULL);
        put_line(to, j, line, length);
        line += length;
    }
    const bool written = fclose(to) == 0;
    sf_status st = written ? SF_OK : SF_FAIL(SF_ENOMEM, "out of memory");
    if (st == SF_OK) st = sf_mem_alloc(out, size + 1, 1, SF_MEM_MISC);
    if (st == SF_OK) memcpy(*out, text, size + 1);
    free(text);
    return st;
}
