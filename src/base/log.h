/** Log lines for people and for awk: "00:12:31 g1 r0 info train cfg=3d_fullres fold=2 loss=-0.43".
 *
 *  Logs go to stderr (or the sink that the program sets), results go to stdout and are printed by
 *  src/cli alone. Levels by meaning: error = never in a clean run; warn = the user should look;
 *  info = a few lines per task, on rank 0 of a group only; debug = any rank. Thread-safe. */
#ifndef SF_BASE_LOG_H
#define SF_BASE_LOG_H
#include <stdbool.h>
#include <stdint.h>

typedef enum { SF_LOG_ERROR, SF_LOG_WARN, SF_LOG_INFO, SF_LOG_DEBUG } sf_log_level;

/** Receives one finished line without newline. */
typedef void sf_log_sink(void *user, sf_log_level level, const char *line);

/** Lines above `level` are dropped. Default: SF_LOG_INFO. */
void sf_log_set_level(sf_log_level level);
/** Replace the sink; NULL = stderr. The caller keeps `user` alive. */
void sf_log_set_sink(sf_log_sink *sink, void *user);
/** Prefix of this process: group (-1 = none yet) and world rank. Info lines are printed when
 *  `speaks` is true (rank 0 of its group); warnings, errors and debug lines always. */
void sf_log_set_rank(int group, int rank, bool speaks);

/** One line: event word, then key=value text made by the caller. Control characters become spaces;
 *  a line of more than 2 KiB is cut. */
void sf_log(sf_log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/** Also append every line of this process to `path` until sf_log_file_close (training.log).
 *  One file at a time per thread-group; failure to open is a warning, not an error. */
void sf_log_file_open(const char *path);
void sf_log_file_close(void);

/** Progress of one long piece of work: a bar on a terminal, key=value lines otherwise, both with
 *  the time remaining. Not thread-safe: one thread drives one progress. */
typedef struct sf_progress sf_progress;
/** `total` steps, > 0. NULL when this process does not speak. */
sf_progress *sf_progress_begin(const char *what, int64_t total); /* never fails; may return NULL */
/** `done` of total are done; cheap enough for every step. */
void sf_progress_step(sf_progress *p, int64_t done); /* p may be NULL */
/** Frees it and sets *p to NULL. */
void sf_progress_end(sf_progress **p);

/** Monotonic seconds since an arbitrary start, and CPU seconds of the process. */
double sf_now(void);
double sf_cpu_seconds(void);

#endif
