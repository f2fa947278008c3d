/* transfers.h for a program without MPI: there is nobody to send to. */
#include "base/mem.h"
#include "mpi/transfers.h"

struct sf_transfers {
    int64_t sent; /* always 0 */
};

sf_status sf_transfers_create(sf_transfers **out, sf_comm *c)
{
    (void)c;
    return sf_mem_calloc(out, 1, sizeof **out, SF_MEM_MISC);
}

void sf_transfers_destroy(sf_transfers **t)
{
    sf_mem_free(*t);
    *t = NULL;
}

sf_status sf_transfers_send(sf_transfers *t, const void *data, int64_t bytes, int to, int tag)
{
    (void)t;
    return sf_comm_send(sf_comm_self(), data, (size_t)bytes, to, tag);
}

sf_status sf_transfers_recv(sf_transfers *t, void *data, int64_t bytes, int from, int tag)
{
    (void)t;
    return sf_comm_recv(sf_comm_self(), data, (size_t)bytes, from, tag);
}

sf_status sf_transfers_poll(sf_transfers *t, bool *done)
{
    (void)t;
    if (done) *done = true;
    return SF_OK;
}

sf_status sf_transfers_wait(sf_transfers *t) { return sf_transfers_poll(t, NULL); }

int64_t sf_transfers_sent(const sf_transfers *t) { return t->sent; }
