/* transfers.h on MPI 3: a list of requests. */
#include "base/mem.h"
#include "mpi/comm_private.h"
#include "mpi/transfers.h"
#include <string.h>

/* Longest single message in bytes; tests compile this file once more with a small one. */
#ifndef SF_TRANSFER_CHUNK
#define SF_TRANSFER_CHUNK ((int64_t)1 << 30)
#endif

struct sf_transfers {
    sf_comm *comm;
    MPI_Request *request;
    int n, room;
    int64_t sent;
};

sf_status sf_transfers_create(sf_transfers **out, sf_comm *c)
{
    *out = NULL;
    sf_transfers *t = NULL;
    SF_TRY(sf_mem_calloc(&t, 1, sizeof *t, SF_MEM_MISC));
    t->comm = c;
    *out = t;
    return SF_OK;
}

void sf_transfers_destroy(sf_transfers **t)
{
    for (int i = 0; *t && i < (*t)->n; i++) { /* after a failure: given up */
        if ((*t)->request[i] == MPI_REQUEST_NULL) continue;
        MPI_Cancel(&(*t)->request[i]);
        MPI_Request_free(&(*t)->request[i]);
    }
    if (*t) sf_mem_free((*t)->request);
    sf_mem_free(*t);
    *t = NULL;
}

static sf_status make_room(sf_transfers *t)
{
    if (t->n < t->room) return SF_OK;
    const int room = t->room > 0 ? 2 * t->room : 64;
    SF_TRY(sf_mem_resize(&t->request, (size_t)room, sizeof *t->request, SF_MEM_MISC));
    t->room = room;
    return SF_OK;
}

static sf_status check(const sf_transfers *t, int peer, int tag)
{
    SF_CHECK(peer >= 0 && peer < t->comm->size && peer != t->comm->rank && tag >= 0 &&
                 tag <= SF_COMM_TAG_MAX,
             SF_EINTERNAL, "rank %d of %d exchanges a message (tag %d) with rank %d", t->comm->rank,
             t->comm->size, tag, peer);
    return SF_OK;
}

/* Long messages go in pieces; both sides cut alike. */
sf_status sf_transfers_send(sf_transfers *t, const void *data, int64_t bytes, int to, int tag)
{
    SF_TRY(check(t, to, tag));
    for (int64_t at = 0; at < bytes; at += SF_TRANSFER_CHUNK) {
        const int64_t n = bytes - at < SF_TRANSFER_CHUNK ? bytes - at : SF_TRANSFER_CHUNK;
        SF_TRY(make_room(t));
        SF_MPI_TRY(MPI_Isend((const char *)data + at, (int)n, MPI_BYTE, to, tag, t->comm->mpi,
                             &t->request[t->n]));
        t->n++;
        t->sent += n;
    }
    return SF_OK;
}

sf_status sf_transfers_recv(sf_transfers *t, void *data, int64_t bytes, int from, int tag)
{
    SF_TRY(check(t, from, tag));
    for (int64_t at = 0; at < bytes; at += SF_TRANSFER_CHUNK) {
        const int64_t n = bytes - at < SF_TRANSFER_CHUNK ? bytes - at : SF_TRANSFER_CHUNK;
        SF_TRY(make_room(t));
        SF_MPI_TRY(MPI_Irecv((char *)data + at, (int)n, MPI_BYTE, from, tag, t->comm->mpi,
                             &t->request[t->n]));
        t->n++;
    }
    return SF_OK;
}

sf_status sf_transfers_poll(sf_transfers *t, bool *done)
{
    int all = 1;
    if (t->n > 0) SF_MPI_TRY(MPI_Testall(t->n, t->request, &all, MPI_STATUSES_IGNORE));
    if (all) t->n = 0;
    if (done) *done = all != 0;
    return SF_OK;
}

sf_status sf_transfers_wait(sf_transfers *t)
{
    while (t->n > 0) {
        const int code = sf_comm_wait_(&t->request[t->n - 1], MPI_STATUS_IGNORE);
        if (code == MPI_SUCCESS) t->n--;
        SF_MPI_CODE(code, "MPI_Test");
    }
    return SF_OK;
}

int64_t sf_transfers_sent(const sf_transfers *t) { return t->sent; }
