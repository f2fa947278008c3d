/* comm.h for a program without MPI: every comm has one rank. */
#include "base/mem.h"
#include "mpi/comm_private.h"
#include <unistd.h>

static sf_comm the_only = { .rank = 0, .size = 1, .world_rank = 0 };

sf_status sf_mpi_start(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    return SF_OK;
}

void sf_mpi_stop(void) {}

void sf_mpi_abort(sf_status st)
{
    sf_comm_abort_line_(st, 0);
    _exit(sf_comm_exit_code_(st));
}

sf_comm *sf_comm_world(void) { return &the_only; }

sf_comm *sf_comm_self(void) { return &the_only; }

void sf_comm_poll(void) {}

sf_status sf_comm_split(sf_comm **out, sf_comm *c, int color, int key)
{
    (void)key;
    *out = NULL;
    if (color < 0) return SF_OK;
    SF_TRY(sf_mem_calloc(out, 1, sizeof **out, SF_MEM_MISC));
    **out = *c;
    return SF_OK;
}

sf_status sf_comm_of(sf_comm **out, sf_comm *c, const int *ranks, int n)
{
    *out = NULL;
    SF_CHECK(n == 1 && ranks[0] == 0, SF_EINTERNAL, "a comm of %d ranks without MPI", n);
    return sf_comm_split(out, c, 0, 0);
}

void sf_comm_destroy(sf_comm **c)
{
    if (*c != &the_only) sf_mem_free(*c);
    *c = NULL;
}

sf_status sf_comm_agree(sf_comm *c, sf_status mine)
{
    (void)c;
    return mine;
}

sf_status sf_comm_barrier(sf_comm *c)
{
    (void)c;
    return SF_OK;
}

sf_status sf_comm_bcast(sf_comm *c, void *data, size_t bytes, int root)
{
    (void)data;
    (void)bytes;
    SF_CHECK(root >= 0 && root < c->size, SF_EINTERNAL, "broadcast from rank %d of %d", root,
             c->size);
    return SF_OK;
}

sf_status sf_comm_sum_f64(sf_comm *c, double *v, int64_t n)
{
    (void)c;
    (void)v;
    (void)n;
    return SF_OK;
}

sf_status sf_comm_max_i64(sf_comm *c, int64_t *v, int64_t n)
{
    (void)c;
    (void)v;
    (void)n;
    return SF_OK;
}

sf_status sf_comm_min_i64(sf_comm *c, int64_t *v, int64_t n) { return sf_comm_max_i64(c, v, n); }

sf_status sf_comm_allgather_f64(sf_comm *c, double *v, const int64_t *first)
{
    (void)c;
    (void)v;
    (void)first;
    return SF_OK;
}

sf_status sf_comm_allgather_bytes(sf_comm *c, const void *data, size_t bytes, void ***all,
                                  size_t **sizes)
{
    (void)c;
    *all = NULL;
    *sizes = NULL;
    return sf_comm_gather_self_(data, bytes, all, sizes);
}

sf_status sf_comm_send(sf_comm *c, const void *data, size_t bytes, int to, int tag)
{
    (void)c;
    (void)data;
    (void)bytes;
    return SF_FAIL(SF_EINTERNAL, "message to rank %d (tag %d), but there is one rank", to, tag);
}

sf_status sf_comm_recv(sf_comm *c, void *data, size_t bytes, int from, int tag)
{
    (void)c;
    (void)data;
    (void)bytes;
    return SF_FAIL(SF_EINTERNAL, "message from rank %d (tag %d), but there is one rank", from, tag);
}

sf_status sf_comm_probe(sf_comm *c, int *from, int tag, bool *waiting, size_t *bytes)
{
    (void)c;
    (void)tag;
    if (from) *from = -1;
    if (bytes) *bytes = 0;
    *waiting = false;
    return SF_OK;
}
