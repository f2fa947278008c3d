#include "fleet/account.h"
#include "base/log.h"
#include "base/mem.h"
#include "kernels/peak.h"
#include "mpi/prof_reduce.h"
#include "network/network.h"
#include <sched.h>
#include <stdio.h>
#include <string.h>

enum { MAX_NODES = 1024, TEXT = 1024, LINE = 1900 };

/* Of one rank. */
typedef struct {
    char host[256], isa[16], numa[TEXT];
    cpu_set_t cpus;
    int threads;
} place;

/* Adds to a text that ends silently when it is full. */
static void add(char *text, size_t size, const char *word)
{
    const size_t n = strlen(text);
    snprintf(text + n, size - n, "%s", word);
}

/* "0-3,8" */
static void cpu_list(char *text, size_t size, const cpu_set_t *set)
{
    text[0] = 0;
    for (int i = 0; i < CPU_SETSIZE; i++) {
        char word[32];
        int end = i;
        if (!CPU_ISSET((size_t)i, set)) continue;
        while (end + 1 < CPU_SETSIZE && CPU_ISSET((size_t)end + 1, set)) end++;
        const int n = snprintf(word, sizeof word, "%s%d", text[0] ? "," : "", i);
        if (end > i) snprintf(word + n, sizeof word - (size_t)n, "-%d", end);
        add(text, size, word);
        i = end;
    }
}

/* "0:0-15 1:16-31": nodes without processors have memory alone and are left out. */
static void numa_map(char *text, size_t size)
{
    text[0] = 0;
    for (int node = 0; node < MAX_NODES; node++) {
        char path[96], list[256], word[300];
        snprintf(path, sizeof path, "/sys/devices/system/node/node%d/cpulist", node);
        FILE *f = fopen(path, "r");
        if (f == NULL) continue;
        const bool any = fscanf(f, "%255s", list) == 1;
        fclose(f);
        if (!any) continue;
        snprintf(word, sizeof word, "%s%d:%s", text[0] ? " " : "", node, list);
        add(text, size, word);
    }
}

static void find_place(place *p, int threads)
{
    memset(p, 0, sizeof *p);
    snprintf(p->host, sizeof p->host, "%s", sf_comm_host());
    snprintf(p->isa, sizeof p->isa, "%s", sf_network_isa());
    numa_map(p->numa, sizeof p->numa);
    if (sched_getaffinity(0, sizeof p->cpus, &p->cpus) != 0) CPU_ZERO(&p->cpus);
    p->threads = threads;
}

/* Is rank r the first of its host? */
static bool first_of_host(void *const *all, int r)
{
    const place *mine = all[r];
    for (int q = 0; q < r; q++)
        if (strcmp(((const place *)all[q])->host, mine->host) == 0) return false;
    return true;
}

static void log_host(void *const *all, int ranks, int first)
{
    const place *host = all[first];
    char binding[LINE] = "", list[TEXT], word[TEXT + 32];
    int here = 0;
    for (int r = first; r < ranks; r++) {
        const place *p = all[r];
        if (strcmp(p->host, host->host) != 0) continue;
        cpu_list(list, sizeof list, &p->cpus);
        snprintf(word, sizeof word, "%sr%d:%s", here > 0 ? " " : "", r, list);
        add(binding, sizeof binding, word);
        here++;
    }
    sf_log(SF_LOG_INFO, "host", "name=%s ranks=%d threads=%d isa=%s numa=\"%s\" binding=\"%s\"",
           host->host, here, host->threads, host->isa, host->numa, binding);
}

sf_status sf_account_header(sf_comm *world, int threads, sf_dtype precision)
{
    place mine;
    void **all = NULL;
    size_t *sizes = NULL;
    const int ranks = sf_comm_size(world);
    int hosts = 0;
    find_place(&mine, threads);
    SF_TRY(sf_comm_allgather_bytes(world, &mine, sizeof mine, &all, &sizes));
    for (int r = 0; r < ranks; r++) hosts += first_of_host(all, r);
    sf_log(SF_LOG_INFO, "run", "ranks=%d hosts=%d threads=%d isa=%s precision=%s", ranks, hosts,
           threads, mine.isa, sf_precision_name(precision));
    for (int r = 0; r < ranks; r++)
        if (first_of_host(all, r)) log_host(all, ranks, r);
    sf_mem_free(all);
    return SF_OK;
}

void sf_account_idle(sf_prof *prof, double seconds)
{
    if (prof == NULL || !(seconds > 0)) return;
    prof->ev[SF_EV_IDLE].calls++;
    prof->ev[SF_EV_IDLE].seconds += seconds;
}

static bool is_beside(sf_event e) { return e == SF_EV_AUGMENT; }

static const char *meaning(sf_event e)
{
    switch (e) {
    case SF_EV_FORWARD:
    case SF_EV_LOSS:
    case SF_EV_BACKWARD:
    case SF_EV_OPTIMISER:
        return "computing: more cores make it faster";
    case SF_EV_WAIT:
        return "batches come too late: augmentation needs more threads";
    case SF_EV_REDUCE:
    case SF_EV_HALO:
        return "ranks wait for each other: smaller groups, or a faster network";
    case SF_EV_IDLE:
        return "fewer tasks than ranks: larger groups, or fewer ranks";
    case SF_EV_READ:
    case SF_EV_WRITE:
    case SF_EV_CHECKPOINT:
        return "files: a faster file system, or fewer checkpoints";
    case SF_EV_PREPROCESS:
        return "preparing cases, done once per work folder";
    default:
        return "inference and its evaluation";
    }
}

static void log_stage(const sf_prof_event_summary *s, sf_event e, double wall, double peak)
{
    const double percent = wall > 0 ? 100 * s->seconds_mean / wall : 0;
    char rate[64] = "-";
    if (s->flops > 0 && peak > 0 && s->seconds_mean > 0)
        snprintf(rate, sizeof rate, "%.0f", 100e-9 * s->flops / (s->seconds_mean * peak));
    sf_log(SF_LOG_INFO, "stage",
           "name=%-10s calls=%-7lld min=%-8.3f mean=%-8.3f max=%-8.3f slowest=r%-3d %s=%-5.1f "
           "percent_of_peak=%s",
           sf_prof_name(e), (long long)s->calls, s->seconds_min, s->seconds_mean, s->seconds_max,
           s->rank_max, is_beside(e) ? "beside" : "percent", percent, rate);
}

/* peak: GFlop/s of all ranks together. */
static void log_table(const sf_prof_summary *s, double wall, double peak)
{
    double named = 0;
    int worst = SF_EV_IDLE;
    for (int e = 0; e < SF_EV_COUNT; e++) {
        if (s->ev[e].calls == 0) continue;
        log_stage(&s->ev[e], (sf_event)e, wall, peak);
        if (is_beside((sf_event)e)) continue;
        named += s->ev[e].seconds_mean;
        if (s->ev[e].seconds_mean > s->ev[worst].seconds_mean) worst = e;
    }
    sf_log(SF_LOG_INFO, "stage", "name=other mean=%.3f percent=%.1f", wall - named,
           wall > 0 ? 100 * (wall - named) / wall : 0);
    sf_log(SF_LOG_INFO, "bottleneck", "stage=%s percent=%.1f wall=%.3f ranks=%d means=\"%s\"",
           sf_prof_name((sf_event)worst), wall > 0 ? 100 * s->ev[worst].seconds_mean / wall : 0,
           wall, s->ranks, meaning((sf_event)worst));
}

sf_status sf_account_stages(sf_comm *world, const sf_prof *prof, double wall, int threads)
{
    sf_prof_summary s;
    const char *isa;
    double all = wall;
    SF_TRY(sf_prof_reduce(&s, world, prof));
    SF_TRY(sf_comm_sum_f64(world, &all, 1));
    if (sf_comm_rank(world) != 0) return SF_OK;
    log_table(&s, all / s.ranks, s.ranks * threads * sf_peak_fma(0.05, &isa));
    return SF_OK;
}
