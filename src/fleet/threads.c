#include "fleet/threads.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

/* First number of a file, or of its second word; false: no file, or no number ("max"). */
static bool read_number(double *out, const char *path, int word)
{
    FILE *f = fopen(path, "r");
    if (!f) return false;
    double value[2] = { 0, 0 };
    const int n = fscanf(f, "%lf %lf", &value[0], &value[1]);
    fclose(f);
    *out = value[word];
    return n > word;
}

/* Quota of one group's folder, 0 = none. */
static double quota_of(const char *dir)
{
    char path[SF_PATH_MAX], period_path[SF_PATH_MAX];
    double quota = 0, period = 0;
    bool found = sf_path_join(path, dir, "cpu.max", NULL) == SF_OK &&
                 read_number(&quota, path, 0) && read_number(&period, path, 1);
    if (!found)
        found = sf_path_join(path, dir, "cpu.cfs_quota_us", NULL) == SF_OK &&
                sf_path_join(period_path, dir, "cpu.cfs_period_us", NULL) == SF_OK &&
                read_number(&quota, path, 0) && read_number(&period, period_path, 0);
    return found && quota > 0 && period > 0 ? quota / period : 0;
}

/* The smallest quota of the group and of those above it, up to the mount. A group that is not there
 * (a container that sees only its own part) leaves the mount itself. */
static double quota_upward(const char *mount, const char *group)
{
    char dir[SF_PATH_MAX];
    double least = 0;
    if (snprintf(dir, sizeof dir, "%s%s", mount, group) >= (int)sizeof dir) return 0;
    for (;;) {
        const double quota = quota_of(dir);
        if (quota > 0 && (least == 0 || quota < least)) least = quota;
        char *slash = strrchr(dir, '/');
        if (strlen(dir) <= strlen(mount) || slash == NULL) return least;
        *slash = 0;
    }
}

/* Does the comma-separated list of a version 1 hierarchy hold "cpu"? */
static bool names_cpu(const char *list, size_t length)
{
    for (size_t at = 0; at < length;) {
        const size_t word = strcspn(list + at, ",:");
        if (word == 3 && strncmp(list + at, "cpu", 3) == 0) return true;
        at += word + 1;
    }
    return false;
}

/* One line of /proc/self/cgroup, "0::/GROUP" or "4:cpu,cpuacct:/GROUP". */
static double quota_of_line(const char *root, char *line)
{
    static const char *const mounts[] = { "cpu", "cpu,cpuacct", "cpuacct,cpu" };
    char mount[SF_PATH_MAX];
    double least = 0;
    line[strcspn(line, "\n")] = 0;
    char *list = strchr(line, ':'), *group = list ? strchr(list + 1, ':') : NULL;
    if (!group) return 0;
    const bool unified = group == list + 1;
    if (!unified && !names_cpu(list + 1, (size_t)(group - list - 1))) return 0;
    for (int i = 0; i < (unified ? 1 : 3); i++) {
        const sf_status st = sf_path_format(mount, "%s/sys/fs/cgroup%s%s", root, unified ? "" : "/",
                                            unified ? "" : mounts[i]);
        const double quota = st == SF_OK ? quota_upward(mount, group + 1) : 0;
        if (quota > 0 && (least == 0 || quota < least)) least = quota;
    }
    return least;
}

double sf_threads_quota(const char *root)
{
    char path[SF_PATH_MAX], line[SF_PATH_MAX];
    double least = 0;
    FILE *f = NULL;
    if (sf_path_format(path, "%s/proc/self/cgroup", root) == SF_OK) f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
        const double quota = quota_of_line(root, line);
        if (quota > 0 && (least == 0 || quota < least)) least = quota;
    }
    if (f) fclose(f);
    sf_error_clear();
    return least;
}

/* The affinity mask of the calling thread; caller frees with sf_mem_free. */
static sf_status affinity(cpu_set_t **mask, size_t *bytes)
{
    for (int processors = 1024; processors <= 1 << 20; processors *= 4) {
        *bytes = CPU_ALLOC_SIZE(processors);
        SF_TRY(sf_mem_calloc(mask, *bytes, 1, SF_MEM_MISC));
        if (sched_getaffinity(0, *bytes, *mask) == 0) return SF_OK;
        const int reason = errno; /* EINVAL: the kernel knows of more processors */
        sf_mem_free(*mask);
        *mask = NULL;
        if (reason != EINVAL) break;
    }
    return SF_FAIL(SF_EUNSUPPORTED, "the affinity mask cannot be read");
}

static int processors_allowed(void)
{
    cpu_set_t *mask = NULL;
    size_t bytes = 0;
    int n = 1;
    if (affinity(&mask, &bytes) == SF_OK)
        n = CPU_COUNT_S(bytes, mask);
    else
        sf_error_clear();
    sf_mem_free(mask);
    return n > 0 ? n : 1;
}

static int capped(int processors, double quota)
{
    const int whole = quota >= 1 ? (int)quota : quota > 0 ? 1 : processors;
    return whole < processors ? whole : processors;
}

int sf_threads_available(void) { return capped(processors_allowed(), sf_threads_quota("")); }

static bool overlap(const unsigned char *a, size_t n_a, const unsigned char *b, size_t n_b)
{
    for (size_t i = 0; i < n_a && i < n_b; i++)
        if (a[i] & b[i]) return true;
    return false;
}

/* Ranks of this host that may run on the same processors, this one included. Every rank sends its
 * host's name, a 0, and its mask. */
static sf_status ranks_here(int *count, sf_comm *world)
{
    void **all;
    size_t *sizes, bytes = 0;
    cpu_set_t *mask = NULL;
    unsigned char *mine = NULL;
    const size_t name = strlen(sf_comm_host()) + 1;
    sf_status st = affinity(&mask, &bytes);
    if (st == SF_OK) st = sf_mem_alloc(&mine, name + bytes, 1, SF_MEM_MISC);
    SF_GOTO(done, st, sf_comm_agree(world, st));
    memcpy(mine, sf_comm_host(), name);
    memcpy(mine + name, mask, bytes);
    SF_GOTO(done, st, sf_comm_allgather_bytes(world, mine, name + bytes, &all, &sizes));
    *count = 0;
    for (int r = 0; r < sf_comm_size(world); r++) {
        const unsigned char *theirs = all[r];
        *count += sizes[r] > name && memcmp(theirs, mine, name) == 0 &&
                  overlap(theirs + name, sizes[r] - name, mine + name, bytes);
    }
    sf_mem_free(all);
done:
    sf_mem_free(mask);
    sf_mem_free(mine);
    return st;
}

sf_status sf_threads_decide(int *threads, sf_comm *world, int wanted)
{
    int here = 1;
    SF_TRY(ranks_here(&here, world));
    const double quota = sf_threads_quota("");
    const int allowed = processors_allowed(), cpus = capped(allowed, quota);
    *threads = wanted > 0 ? wanted : cpus / here > 0 ? cpus / here : 1;
    if (*threads > cpus) {
        sf_log(SF_LOG_WARN, "threads", "asked=%d processors=%d using=%d", *threads, cpus, cpus);
        *threads = cpus;
    }
    char text[32] = "none";
    if (quota > 0) snprintf(text, sizeof text, "%.2f", quota);
    sf_log(SF_LOG_INFO, "threads", "using=%d affinity=%d quota=%s ranks_sharing=%d", *threads,
           allowed, text, here);
    return SF_OK;
}
