#include "fleet/layout.h"
#include "base/mem.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t most_ranks(const sf_layout_task *t) { return t->batch * t->slabs; }

static double slab_time(const sf_layout_task *t, int64_t slabs)
{
    return slabs > 1 ? t->thin[slabs] + (1 - t->thin[slabs]) / (double)slabs : 1;
}

double sf_layout_time(const sf_layout_task *t, int ranks)
{
    const int64_t used = ranks < most_ranks(t) ? ranks : most_ranks(t);
    double samples = (double)((t->batch + used - 1) / used); /* of the rank that has most */
    if (used > t->batch) { /* samples have so many ranks or one more */
        const int64_t least = used / t->batch;
        const double few = slab_time(t, least),
                     many = used % t->batch ? slab_time(t, least + 1) : 0;
        samples = few > many ? few : many;
    }
    return t->work * samples / (double)t->batch * (1 + 0.02 * (double)(used - 1));
}

int sf_layout_grow(const sf_layout_task *t, int size, int more)
{
    int best = size;
    for (int n = size + 1; n <= size + more; n++)
        if (sf_layout_time(t, n) < sf_layout_time(t, best)) best = n;
    return sf_layout_time(t, best) < 0.95 * sf_layout_time(t, size) ? best : size;
}

/* --- a run on paper ------------------------------------------------------------------------------
 */

typedef struct {
    const sf_sched_task *tasks;
    const sf_layout_task *costs;
    int n, left;
    double *end;  /* [n]: when a task ends; infinite: not begun */
    double *idle; /* [groups]: from when on a group is free */
} rehearsal;

static bool can_start(const rehearsal *r, int i, double now)
{
    if (!isinf(r->end[i])) return false;
    for (int k = 0; k < r->tasks[i].n_needs; k++)
        if (r->end[r->tasks[i].needs[k]] > now) return false;
    return true;
}

/* As mpi/sched.c picks. */
static int next_task(const rehearsal *r, double now)
{
    int best = -1;
    for (int i = 0; i < r->n; i++)
        if (can_start(r, i, now) && (best < 0 || r->tasks[i].cost > r->tasks[best].cost)) best = i;
    return best;
}

/* When the next running task ends. */
static double next_end(const rehearsal *r, double now)
{
    double next = INFINITY;
    for (int i = 0; i < r->n; i++)
        if (r->end[i] > now && r->end[i] < next) next = r->end[i];
    return next;
}

static double makespan(rehearsal *r, const int *sizes, int groups)
{
    double last = 0;
    int left = r->left;
    if (groups > left) groups = left; /* the others never get a task */
    for (int i = 0; i < r->n; i++) r->end[i] = r->tasks[i].done ? -1 : INFINITY;
    for (int g = 0; g < groups; g++) r->idle[g] = 0;
    while (left > 0) {
        int g = 0;
        for (int k = 1; k < groups; k++)
            if (r->idle[k] < r->idle[g]) g = k;
        const double now = r->idle[g];
        if (isinf(now)) return INFINITY;
        const int task = next_task(r, now);
        if (task < 0) {
            r->idle[g] = next_end(r, now);
            continue;
        }
        r->idle[g] = r->end[task] = now + sf_layout_time(&r->costs[task], sizes[g]);
        if (r->end[task] > last) last = r->end[task];
        left--;
    }
    return last;
}

sf_status sf_layout_span(double *span, const int *sizes, int n, const sf_sched_task *tasks,
                         const sf_layout_task *costs, int n_tasks)
{
    rehearsal r = { .tasks = tasks, .costs = costs, .n = n_tasks };
    for (int i = 0; i < n_tasks; i++) r.left += !tasks[i].done;
    sf_status st = sf_mem_alloc(&r.end, (size_t)n_tasks, sizeof *r.end, SF_MEM_MISC);
    if (st == SF_OK) st = sf_mem_alloc(&r.idle, (size_t)n, sizeof *r.idle, SF_MEM_MISC);
    if (st == SF_OK) *span = makespan(&r, sizes, n);
    sf_mem_free(r.end);
    sf_mem_free(r.idle);
    return st;
}

/* --- candidates
 * -----------------------------------------------------------------------------------
 */

/* Groups of `size`, the rest as one more. */
static int equal_groups(int *sizes, int size, int ranks)
{
    int n = 0;
    for (; ranks >= size; ranks -= size) sizes[n++] = size;
    if (ranks > 0) sizes[n++] = ranks;
    return n;
}

/* One group per task that can start at once, in their order; each further rank goes to the one that
 * would end last and can use it. What nobody can use stays alone. */
static int proportional_groups(rehearsal *r, int *sizes, int ranks)
{
    int n = 0, *task = (int *)(void *)r->idle; /* free until the rehearsal begins */
    for (int i = 0; i < r->n; i++) r->end[i] = r->tasks[i].done ? -1 : INFINITY;
    for (int t = next_task(r, 0); t >= 0 && n < ranks; t = next_task(r, 0)) {
        task[n] = t;
        sizes[n++] = 1;
        r->end[t] = 1; /* begun */
    }
    const int tasks = n;
    for (int given = n; given < ranks; given++) {
        int g = -1;
        for (int k = 0; k < tasks; k++) {
            const sf_layout_task *c = r->costs;
            if (sizes[k] < most_ranks(&c[task[k]]) &&
                (g < 0 ||
                 sf_layout_time(&c[task[k]], sizes[k]) > sf_layout_time(&c[task[g]], sizes[g])))
                g = k;
        }
        if (g >= 0)
            sizes[g]++;
        else
            sizes[n++] = 1;
    }
    return n;
}

static int64_t most_useful(const rehearsal *r)
{
    int64_t most = 1;
    for (int i = 0; i < r->n; i++)
        if (!r->tasks[i].done && most_ranks(&r->costs[i]) > most) most = most_ranks(&r->costs[i]);
    return most;
}

/* Keep `sizes` when its run is clearly shorter than the best so far. */
static void consider(rehearsal *r, const int *sizes, int n, double *shortest, int *best,
                     int *n_best)
{
    const double t = makespan(r, sizes, n);
    if (!(t < 0.98 * *shortest)) return;
    *shortest = t;
    *n_best = n;
    memcpy(best, sizes, (size_t)n * sizeof *sizes);
}

sf_status sf_layout_auto(int *sizes, int *n, const sf_sched_task *tasks,
                         const sf_layout_task *costs, int n_tasks, int ranks)
{
    rehearsal r = { .tasks = tasks, .costs = costs, .n = n_tasks };
    int *other = NULL;
    double shortest = INFINITY;
    sf_status st;
    for (int i = 0; i < n_tasks; i++) r.left += !tasks[i].done;
    *n = equal_groups(sizes, 1, ranks);
    if (r.left == 0 || ranks == 1) return SF_OK;
    const size_t room = (size_t)(ranks > n_tasks ? ranks : n_tasks);
    SF_GOTO(done, st, sf_mem_alloc(&r.end, (size_t)n_tasks, sizeof *r.end, SF_MEM_MISC));
    SF_GOTO(done, st, sf_mem_alloc(&r.idle, room, sizeof *r.idle, SF_MEM_MISC));
    SF_GOTO(done, st, sf_mem_alloc(&other, room, sizeof *other, SF_MEM_MISC));
    const int64_t most = most_useful(&r);
    for (int size = 1; size <= ranks && size <= most; size++) {
        const int count = equal_groups(other, size, ranks);
        consider(&r, other, count, &shortest, sizes, n);
    }
    const int count = proportional_groups(&r, other, ranks);
    consider(&r, other, count, &shortest, sizes, n);
done:
    sf_mem_free(r.end);
    sf_mem_free(r.idle);
    sf_mem_free(other);
    return st;
}

/* --- text
 * ------------------------------------------------------------------------------------------
 */

sf_status sf_layout_parse(int *sizes, int *n, const char *text, int ranks)
{
    int64_t sum = 0;
    *n = 0;
    for (const char *at = text;; at++) {
        long count = 0, size = 0;
        int used = 0;
        const bool read =
            *at >= '0' && *at <= '9' && sscanf(at, "%9ldx%9ld%n", &count, &size, &used) == 2;
        SF_CHECK(read && count > 0 && size > 0 && (at[used] == 0 || at[used] == ','), SF_EINVAL,
                 "--layout %s: auto, or numbers of groups and ranks like 2x3 or 1x4,2x2", text);
        sum += (int64_t)count * size;
        for (long i = 0; i < count && sum <= ranks; i++) sizes[(*n)++] = (int)size;
        at += used;
        if (*at == 0) break;
    }
    SF_CHECK(sum == ranks, SF_EINVAL, "--layout %s is for %lld ranks, but there are %d", text,
             (long long)sum, ranks);
    return SF_OK;
}

void sf_layout_text(char out[64], const int *sizes, int n)
{
    size_t at = 0;
    out[0] = 0;
    for (int i = 0; i < n && at < 48;) {
        int same = i;
        while (same < n && sizes[same] == sizes[i]) same++;
        at += (size_t)snprintf(out + at, 64 - at, "%s%dx%d", i ? "," : "", same - i, sizes[i]);
        i = same;
    }
}
