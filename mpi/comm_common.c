/* What both implementations of comm.h need: names, exit codes, the gather block. */
#include "base/mem.h"
#include "mpi/comm_private.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int sf_comm_rank(const sf_comm *c) { return c->rank; }

int sf_comm_size(const sf_comm *c) { return c->size; }

bool sf_comm_all_know(const sf_comm *c) { return c->size == 1 || c->failed; }

const char *sf_comm_host(void)
{
    static _Thread_local char host[SF_COMM_HOST_MAX];
    if (host[0] == '\0' && gethostname(host, sizeof host - 1) != 0)
        snprintf(host, sizeof host, "unknown");
    host[sizeof host - 1] = '\0';
    return host;
}

int sf_comm_exit_code_(sf_status st)
{
    if (st == SF_ESTOP) return 75;
    return st >= SF_OK && st < SF_ESTOP ? (st == SF_OK ? 0 : (int)st + 1) : 7;
}

void sf_comm_abort_line_(sf_status st, int rank)
{
    char line[1400];
    const char *text = sf_error_text();
    snprintf(line, sizeof line, "segfleet: rank %d on %s: %s: %s", rank, sf_comm_host(),
             sf_status_name(st), text[0] ? text : "no details");
    for (char *p = line; *p; p++) {
        if (*p == '\n' || *p == '\r') *p = ' ';
    }
    fprintf(stderr, "%s\n", line);
    fflush(stderr);
}

static size_t round64(size_t n) { return (n + 63) & ~(size_t)63; }

sf_status sf_comm_gather_block_(void ***all, size_t **sizes, const int64_t *bytes, int n)
{
    const size_t head = round64((size_t)n * (sizeof(void *) + sizeof(size_t)));
    size_t total = head;
    for (int r = 0; r < n; r++) {
        SF_CHECK(bytes[r] >= 0 && (size_t)bytes[r] < SIZE_MAX / 4 - total, SF_EINTERNAL,
                 "a rank wants to share %lld bytes", (long long)bytes[r]);
        total += round64((size_t)bytes[r]);
    }
    char *block = NULL;
    SF_TRY(sf_mem_alloc(&block, total, 1, SF_MEM_MISC));
    *all = (void **)(void *)block;
    *sizes = (size_t *)(void *)(block + (size_t)n * sizeof(void *));
    size_t at = head;
    for (int r = 0; r < n; r++) {
        (*all)[r] = block + at;
        (*sizes)[r] = (size_t)bytes[r];
        at += round64((size_t)bytes[r]);
    }
    return SF_OK;
}

sf_status sf_comm_gather_self_(const void *data, size_t bytes, void ***all, size_t **sizes)
{
    const int64_t n = (int64_t)bytes;
    SF_TRY(sf_comm_gather_block_(all, sizes, &n, 1));
    if (bytes > 0) memcpy((*all)[0], data, bytes);
    return SF_OK;
}
