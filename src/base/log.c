/* Log lines, the log file of a run, progress, clocks. */
#include "base/log.h"
#include "base/mem.h"
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 2048, BAR_WIDTH = 30 };

static struct {
    sf_log_level level;
    sf_log_sink *sink;
    void *user;
    int group, rank;
    bool speaks, bar; /* bar: an unfinished progress bar stands on the terminal's last line */
    FILE *file;
} state = { .level = SF_LOG_INFO, .group = -1, .speaks = true };
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct sf_progress {
    char what[64];
    int64_t total, done;
    double started, shown;
    bool bar;
};

double sf_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double sf_cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void sf_log_set_level(sf_log_level level)
{
    pthread_mutex_lock(&lock);
    state.level = level;
    pthread_mutex_unlock(&lock);
}

void sf_log_set_sink(sf_log_sink *sink, void *user)
{
    pthread_mutex_lock(&lock);
    state.sink = sink;
    state.user = user;
    pthread_mutex_unlock(&lock);
}

void sf_log_set_rank(int group, int rank, bool speaks)
{
    pthread_mutex_lock(&lock);
    state.group = group;
    state.rank = rank;
    state.speaks = speaks;
    pthread_mutex_unlock(&lock);
}

/* One line stays one line, whatever a file name or message holds. */
static void flatten(char *line)
{
    for (; *line != 0; line++)
        if ((unsigned char)*line < 0x20) *line = ' ';
}

static int prefix(char *line, size_t room, sf_log_level level, const char *event)
{
    static const char *const names[] = { "error", "warn", "info", "debug" };
    char group[16] = "g-";
    struct tm day;
    const time_t now = time(NULL);
    localtime_r(&now, &day);
    if (state.group >= 0) snprintf(group, sizeof group, "g%d", state.group);
    return snprintf(line, room, "%02d:%02d:%02d %s r%d %s %s", day.tm_hour, day.tm_min, day.tm_sec,
                    group, state.rank, names[level], event);
}

static void emit(sf_log_level level, const char *line)
{
    if (state.file != NULL) {
        fprintf(state.file, "%s\n", line);
        fflush(state.file);
    }
    if (state.sink != NULL)
        state.sink(state.user, level, line);
    else
        fprintf(stderr, "%s%s\n", state.bar ? "\r\033[K" : "", line);
}

void sf_log(sf_log_level level, const char *event, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    va_list args;
    pthread_mutex_lock(&lock);
    if (level <= state.level && (level != SF_LOG_INFO || state.speaks)) {
        const int n = prefix(line, sizeof line, level, event);
        if (n > 0 && n < LINE_MAX_BYTES - 2) {
            line[n] = ' ';
            va_start(args, fmt);
            vsnprintf(line + n + 1, sizeof line - (size_t)n - 1, fmt, args);
            va_end(args);
        }
        flatten(line);
        emit(level, line);
    }
    pthread_mutex_unlock(&lock);
}

void sf_log_file_open(const char *path)
{
    FILE *f = fopen(path, "ae");
    const int why = errno;
    sf_log_file_close();
    if (f == NULL) {
        sf_log(SF_LOG_WARN, "log", "file=%s not opened: %s", path, strerror(why));
        return;
    }
    pthread_mutex_lock(&lock);
    state.file = f;
    pthread_mutex_unlock(&lock);
}

void sf_log_file_close(void)
{
    pthread_mutex_lock(&lock);
    if (state.file != NULL) fclose(state.file);
    state.file = NULL;
    pthread_mutex_unlock(&lock);
}

sf_progress *sf_progress_begin(const char *what, int64_t total)
{
    sf_progress *p = NULL;
    pthread_mutex_lock(&lock);
    const bool wanted = state.speaks && state.level >= SF_LOG_INFO && total > 0,
               own_sink = state.sink != NULL;
    pthread_mutex_unlock(&lock);
    if (!wanted || sf_mem_calloc(&p, 1, sizeof *p, SF_MEM_MISC) != SF_OK) return NULL;
    snprintf(p->what, sizeof p->what, "%s", what);
    p->total = total;
    p->started = p->shown = sf_now();
    p->bar = !own_sink && isatty(STDERR_FILENO);
    return p;
}

static double seconds_left(const sf_progress *p, double now)
{
    return p->done > 0 ? (now - p->started) * (double)(p->total - p->done) / (double)p->done : 0;
}

static void show_bar(const sf_progress *p, double now)
{
    char bar[BAR_WIDTH + 1];
    const int full = (int)(BAR_WIDTH * p->done / p->total);
    const long left = (long)(seconds_left(p, now) + 0.5);
    for (int i = 0; i < BAR_WIDTH; i++) bar[i] = i < full ? '#' : '.';
    bar[BAR_WIDTH] = 0;
    pthread_mutex_lock(&lock);
    state.bar = true;
    fprintf(stderr, "\r%s [%s] %lld/%lld, %ld:%02ld:%02ld left\033[K", p->what, bar,
            (long long)p->done, (long long)p->total, left / 3600, left / 60 % 60, left % 60);
    fflush(stderr);
    pthread_mutex_unlock(&lock);
}

void sf_progress_step(sf_progress *p, int64_t done)
{
    const double bar_every = 0.2, line_every = 10.0;
    if (p == NULL) return;
    const double now = sf_now();
    p->done = done < 0 ? 0 : done > p->total ? p->total : done;
    if (now - p->shown < (p->bar ? bar_every : line_every)) return;
    p->shown = now;
    if (p->bar)
        show_bar(p, now);
    else
        sf_log(SF_LOG_INFO, "progress", "what=%s done=%lld total=%lld sec=%.1f eta_sec=%.0f",
               p->what, (long long)p->done, (long long)p->total, now - p->started,
               seconds_left(p, now));
}

void sf_progress_end(sf_progress **p)
{
    if (p == NULL || *p == NULL) return;
    sf_progress *q = *p;
    if (q->bar) {
        show_bar(q, sf_now());
        pthread_mutex_lock(&lock);
        fputc('\n', stderr);
        state.bar = false;
        pthread_mutex_unlock(&lock);
    } else {
        sf_log(SF_LOG_INFO, "progress", "what=%s done=%lld total=%lld sec=%.1f eta_sec=0", q->what,
               (long long)q->done, (long long)q->total, sf_now() - q->started);
    }
    sf_mem_free(q);
    *p = NULL;
}
