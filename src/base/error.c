/* Failures of the calling thread: one text, and one line per level that passed it on. */
#include "base/error.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local sf_error_state last;

const char *sf_status_name(sf_status st)
{
    static const char *const names[] = { "ok",
                                         "wrong argument",
                                         "bad data",
                                         "input/output",
                                         "out of memory",
                                         "not supported",
                                         "internal error",
                                         "another process failed",
                                         "stopped" };
    if ((int)st < 0 || (size_t)st >= sizeof names / sizeof *names) return "unknown status";
    return names[st];
}

/* "src/base/error.c" says enough; the folder in which somebody compiled does not belong in a log.
 */
static const char *short_file(const char *file)
{
    const char *slash = strrchr(file, '/');
    if (slash == NULL) return file;
    for (const char *p = slash; p > file; p--)
        if (p[-1] == '/') return p;
    return file;
}

static void add_line(const char *file, int line, const char *what)
{
    const size_t used = strlen(last.trace), room = sizeof last.trace - used;
    const int n = snprintf(last.trace + used, room, "%s:%d: %s\n", short_file(file), line, what);
    /* A line that does not fit is dropped whole: the deepest levels are the ones that matter. */
    if (n < 0 || (size_t)n >= room) last.trace[used] = 0;
}

sf_status sf_fail_(sf_status st, const char *file, int line, const char *fmt, ...)
{
    va_list args;
    char text[sizeof last.text]; /* the arguments may point into the old text */
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    memcpy(last.text, text, sizeof text);
    last.status = st;
    last.trace[0] = 0;
    add_line(file, line, sf_status_name(st));
    return st;
}

sf_status sf_trace_(sf_status st, const char *file, int line, const char *call)
{
    add_line(file, line, call);
    return st;
}

const char *sf_error_text(void) { return last.text; }

const char *sf_error_trace(void) { return last.trace; }

void sf_error_clear(void)
{
    last.status = SF_OK;
    last.text[0] = last.trace[0] = 0;
}

void sf_error_save(sf_error_state *out, sf_status st)
{
    *out = last;
    out->status = st;
}

sf_status sf_error_restore(const sf_error_state *e)
{
    last = *e;
    return e->status;
}
