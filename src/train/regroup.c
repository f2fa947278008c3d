#include "train/regroup.h"
#include "base/log.h"
#include "base/mem.h"
#include <stdio.h>
#include <string.h>

enum { TEXT = 1500 };

typedef struct {
    char host[256];
    int rank;
} place;

static void add(char *text, const char *word)
{
    const size_t n = strlen(text);
    snprintf(text + n, TEXT - n, "%s", word);
}

/* Is rank r the first of its host? */
static bool first_of_host(void *const *all, int r)
{
    const place *own = all[r];
    for (int q = 0; q < r; q++)
        if (strcmp(((const place *)all[q])->host, own->host) == 0) return false;
    return true;
}

static void add_host(char *text, void *const *all, int ranks, int first)
{
    char word[300];
    const place *own = all[first];
    snprintf(word, sizeof word, "%s%s:", text[0] ? " " : "", own->host);
    add(text, word);
    for (int r = first; r < ranks; r++) {
        const place *p = all[r];
        if (strcmp(p->host, own->host) != 0) continue;
        snprintf(word, sizeof word, "%sr%d", r > first ? "," : "", p->rank);
        add(text, word);
    }
}

sf_status sf_train_tell_regroup(sf_comm *group, const sf_train_state *s, int before)
{
    place own = { .rank = sf_comm_rank(sf_comm_world()) };
    char hosts[TEXT] = "";
    void **all = NULL;
    size_t *sizes = NULL;
    const int ranks = sf_comm_size(group);
    SF_TRY(sf_comm_bcast(group, &before, sizeof before, 0));
    if (before == 0) return SF_OK;
    snprintf(own.host, sizeof own.host, "%s", sf_comm_host());
    SF_TRY(sf_comm_allgather_bytes(group, &own, sizeof own, &all, &sizes));
    for (int r = 0; r < ranks; r++)
        if (first_of_host(all, r)) add_host(hosts, all, ranks, r);
    sf_mem_free(all);
    sf_log(SF_LOG_INFO, "regroup", "cfg=%s fold=%d ranks=%d before=%d epoch=%lld hosts=\"%s\"",
           s->key.config, s->key.fold, ranks, before, (long long)s->epoch, hosts);
    return SF_OK;
}
