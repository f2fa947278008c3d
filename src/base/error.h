/** Errors are return values.
 *
 *  Every function that can fail returns sf_status. The first failure also stores one text for the
 *  user in the calling thread ("which file, what is wrong, what to do"); every level that passes
 *  the status on through SF_TRY or SF_GOTO adds a line to the trace. Only src/cli prints them.
 *  Thread safety: text and trace belong to the thread that failed; move them to another thread
 *  with sf_error_save / sf_error_restore. Nothing here is collective. */
#ifndef SF_BASE_ERROR_H
#define SF_BASE_ERROR_H

typedef enum {
    SF_OK = 0,
    SF_EINVAL = 1,       /* an option or argument is wrong                      -> exit code 2  */
    SF_EDATA = 2,        /* a dataset or file is broken or contradicts itself   -> exit code 3  */
    SF_EIO = 3,          /* a file could not be opened, read or written         -> exit code 4  */
    SF_ENOMEM = 4,       /* memory ran out                                      -> exit code 5  */
    SF_EUNSUPPORTED = 5, /* understood, but this build or version cannot do it  -> exit code 6  */
    SF_EINTERNAL = 6,    /* our own bug                                         -> exit code 7  */
    SF_ECOMM = 7,        /* another rank failed or died                         -> exit code 8  */
    SF_ESTOP = 8         /* stopped on request, work is left: run again         -> exit code 75 */
} sf_status;

/** Short English name of a status ("bad data"); never NULL. */
const char *sf_status_name(sf_status st);

/** Store the text (printf style) and start a new trace. @return st, so that it can be returned. */
sf_status sf_fail_(sf_status st, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/** Add one line to the trace. @return st. */
sf_status sf_trace_(sf_status st, const char *file, int line, const char *call);

/** Text of the last failure of this thread; "" if none. Valid until the next failure. */
const char *sf_error_text(void);
/** Trace of the last failure of this thread, one "file:line: call" per line; "" if none. */
const char *sf_error_trace(void);
/** Forget the last failure of this thread. */
void sf_error_clear(void);

/** A failure carried from one thread (or OpenMP worker) to another. Plain value, no ownership. */
typedef struct {
    sf_status status;
    char text[1024];
    char trace[2048];
} sf_error_state;
/** Copy the failure `st` of the calling thread into *out. */
void sf_error_save(sf_error_state *out, sf_status st);
/** Make `e` the failure of the calling thread. @return e->status. */
sf_status sf_error_restore(const sf_error_state *e);

/** return SF_FAIL(SF_EIO, "%s: ...", path): store the text, start the trace. */
#define SF_FAIL(st, ...) sf_fail_((st), __FILE__, __LINE__, __VA_ARGS__)
/** Pass a failure on. */
#define SF_TRY(call)                                                                               \
    do {                                                                                           \
        sf_status s_ = (call);                                                                     \
        if (s_ != SF_OK) return sf_trace_(s_, __FILE__, __LINE__, #call);                          \
    } while (0)
/** Pass a failure on through the function's one cleanup label; `st` is an sf_status variable. */
#define SF_GOTO(label, st, call)                                                                   \
    do {                                                                                           \
        (st) = (call);                                                                             \
        if ((st) != SF_OK) {                                                                       \
            sf_trace_((st), __FILE__, __LINE__, #call);                                            \
            goto label;                                                                            \
        }                                                                                          \
    } while (0)
/** Check what comes from outside: SF_CHECK(n > 0, SF_EDATA, "%s: no cases", dir). */
#define SF_CHECK(cond, code, ...)                                                                  \
    do {                                                                                           \
        if (!(cond)) return SF_FAIL((code), __VA_ARGS__);                                          \
    } while (0)
/** The same for functions that hold something: jump to the cleanup label. */
#define SF_CHECK_GOTO(label, st, cond, code, ...)                                                  \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            (st) = SF_FAIL((code), __VA_ARGS__);                                                   \
            goto label;                                                                            \
        }                                                                                          \
    } while (0)

#endif
