#include "mpi/halo.h"
#include "base/mem.h"
#include "mpi/transfers.h"
#include <string.h>

enum { TAG = 4 };

struct sf_halo {
    int rank, size;
    sf_transfers *move;
    char *buffer;
    int64_t room;
};

/* The array of one call. */
typedef struct {
    char *data;
    int64_t outer, bytes, slices;
} array;

sf_status sf_halo_create(sf_halo **out, sf_comm *c)
{
    *out = NULL;
    sf_halo *h = NULL;
    SF_TRY(sf_mem_calloc(&h, 1, sizeof *h, SF_MEM_MISC));
    h->rank = sf_comm_rank(c);
    h->size = sf_comm_size(c);
    const sf_status st = sf_transfers_create(&h->move, c);
    if (st != SF_OK) sf_halo_destroy(&h);
    *out = h;
    return st;
}

void sf_halo_destroy(sf_halo **h)
{
    if (*h) {
        sf_transfers_destroy(&(*h)->move);
        sf_mem_free((*h)->buffer);
    }
    sf_mem_free(*h);
    *h = NULL;
}

/* Slices [lo, hi) of every run, one behind the other, to or from a message. */
static void copy(const array *a, int64_t lo, int64_t hi, char *message, bool back)
{
    const int64_t size = (hi - lo) * a->bytes;
    for (int64_t i = 0; i < a->outer; i++, message += size) {
        char *own = a->data + (i * a->slices + lo) * a->bytes;
        if (back)
            memcpy(own, message, (size_t)size);
        else
            memcpy(message, own, (size_t)size);
    }
}

/* What rank `from` sends to rank `to`. */
static void range(const int64_t *border, int64_t halo, int from, int to, int64_t *lo, int64_t *hi)
{
    *lo = border[from];
    *hi = border[from + 1];
    if (from == to || (halo > 0 && from + 1 != to && to + 1 != from))
        *hi = *lo;
    else if (halo > 0 && to < from)
        *hi = *lo + halo;
    else if (halo > 0)
        *lo = *hi - halo;
}

static sf_status make_room(sf_halo *h, int64_t bytes)
{
    if (bytes <= h->room) return SF_OK;
    sf_mem_free(h->buffer);
    h->buffer = NULL;
    h->room = 0;
    SF_TRY(sf_mem_alloc(&h->buffer, (size_t)bytes, 1, SF_MEM_SCRATCH));
    h->room = bytes;
    return SF_OK;
}

sf_status sf_halo_share(sf_halo *h, void *data, int64_t outer, int64_t bytes, const int64_t *border,
                        int64_t halo)
{
    const array a = { data, outer, bytes, border[h->size] };
    int64_t lo, hi, need = 0;
    for (int r = 0; r < h->size; r++) {
        range(border, halo, r, h->rank, &lo, &hi);
        need += (hi - lo) * bytes * outer;
        range(border, halo, h->rank, r, &lo, &hi);
        need += (hi - lo) * bytes * outer;
    }
    SF_TRY(make_room(h, need));
    char *at = h->buffer;
    for (int r = 0; r < h->size; r++) {
        range(border, halo, r, h->rank, &lo, &hi);
        SF_TRY(hi > lo ? sf_transfers_recv(h->move, at, (hi - lo) * bytes * outer, r, TAG) : SF_OK);
        at += (hi - lo) * bytes * outer;
    }
    for (int r = 0; r < h->size; r++) {
        range(border, halo, h->rank, r, &lo, &hi);
        copy(&a, lo, hi, at, false);
        SF_TRY(hi > lo ? sf_transfers_send(h->move, at, (hi - lo) * bytes * outer, r, TAG) : SF_OK);
        at += (hi - lo) * bytes * outer;
    }
    SF_TRY(sf_transfers_wait(h->move));
    at = h->buffer;
    for (int r = 0; r < h->size; r++) {
        range(border, halo, r, h->rank, &lo, &hi);
        copy(&a, lo, hi, at, true);
        at += (hi - lo) * bytes * outer;
    }
    return SF_OK;
}

int64_t sf_halo_bytes(int rank, int ranks, int64_t outer, int64_t bytes, const int64_t *border,
                      int64_t halo)
{
    const int neighbours = (rank > 0) + (rank + 1 < ranks);
    const int64_t own = border[rank + 1] - border[rank];
    return outer * bytes * (halo > 0 ? neighbours * halo : own * (ranks - 1));
}

int64_t sf_halo_sent(const sf_halo *h) { return sf_transfers_sent(h->move); }
