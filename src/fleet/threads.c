#include "fleet/threads.h"
#include "base/log.h"
#include "base/mem.h"
#include <sched.h>
#include <stdio.h>
#include <string.h>

/* cgroup v2 quota in whole processors, or 0 when there is none. */
static int cgroup_limit(void)
{
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (!f) return 0;
    long long quota = 0, period = 0;
    const int n = fscanf(f, "%lld %lld", &quota, &period); /* "max 100000" reads nothing */
    fclose(f);
    if (n != 2 || quota <= 0 || period <= 0) return 0;
    const long long cpus = (quota + period - 1) / period;
    return (int)cpus;
}

int sf_threads_available(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    const int limit = cgroup_limit();
    if (limit > 0 && limit < n) n = limit;
    return n > 0 ? n : 1;
}

/* Ranks of this host whose processors are shared with ours. */
static sf_status ranks_here(int *count, sf_comm *world)
{
    void **all;
    size_t *sizes;
    const char *host = sf_comm_host();
    SF_TRY(sf_comm_allgather_bytes(world, host, strlen(host) + 1, &all, &sizes));
    *count = 0;
    for (int r = 0; r < sf_comm_size(world); r++) *count += strcmp(all[r], host) == 0;
    sf_mem_free(all);
    return SF_OK;
}

sf_status sf_threads_decide(int *threads, sf_comm *world, int wanted)
{
    int here = 1;
    SF_TRY(ranks_here(&here, world));
    const int cpus = sf_threads_available();
    *threads = wanted > 0 ? wanted : cpus / here > 0 ? cpus / here : 1;
    if (*threads > cpus) {
        sf_log(SF_LOG_WARN, "threads", "asked=%d processors=%d using=%d", *threads, cpus, cpus);
        *threads = cpus;
    }
    return SF_OK;
}
