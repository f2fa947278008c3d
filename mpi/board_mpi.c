/* board.h: an array with one rank, shared memory on one node, else messages to rank 0. */
#include "base/mem.h"
#include "mpi/board.h"
#include "mpi/comm_private.h"
#include <stdatomic.h>
#include <string.h>

/* Tests compile this file once more with 1: messages also on one node. */
#ifndef SF_BOARD_MESSAGES
#define SF_BOARD_MESSAGES 0
#endif

typedef enum { ALONE, SHARED, MESSAGES } board_kind;
enum { TAG_ASK = 1, TAG_ANSWER = 2 };

typedef struct {
    int64_t word; /* -1: read all */
    int64_t expect, wanted;
} question;

struct sf_board {
    board_kind kind;
    int n, rank;
    MPI_Comm mpi;            /* MESSAGES: of its own, so that no other traffic mixes in */
    MPI_Win window;          /* SHARED */
    _Atomic int64_t *shared; /* SHARED: the table, in the memory of the node */
    int64_t *own;            /* ALONE, MESSAGES on rank 0: the table */
    sf_comm *parent;
};

/* ---- rank 0 answers ----------------------------------------------------------------------- */

static int64_t swap_own(sf_board *b, int64_t i, int64_t expect, int64_t wanted)
{
    const int64_t found = b->own[i];
    if (found == expect) b->own[i] = wanted;
    return found;
}

/* Called by sf_comm_poll_hook_: answer everybody who has asked. Errors show on the side of who
 * asked. */
static void serve(void *user)
{
    sf_board *b = user;
    for (;;) {
        int waiting = 0;
        MPI_Status status;
        question q;
        if (MPI_Iprobe(MPI_ANY_SOURCE, TAG_ASK, b->mpi, &waiting, &status) != MPI_SUCCESS ||
            !waiting)
            return;
        const int to = status.MPI_SOURCE;
        if (MPI_Recv(&q, (int)sizeof q, MPI_BYTE, to, TAG_ASK, b->mpi, &status) != MPI_SUCCESS)
            return;
        if (q.word < 0) {
            MPI_Send(b->own, b->n, MPI_INT64_T, to, TAG_ANSWER, b->mpi);
        } else {
            int64_t found = swap_own(b, q.word, q.expect, q.wanted);
            MPI_Send(&found, 1, MPI_INT64_T, to, TAG_ANSWER, b->mpi);
        }
    }
}

static sf_status ask(sf_board *b, const question *q, int64_t *answer, int n)
{
    MPI_Request request, reply;
    SF_MPI_TRY(MPI_Irecv(answer, n, MPI_INT64_T, 0, TAG_ANSWER, b->mpi, &reply));
    SF_MPI_WAIT(MPI_Isend(q, (int)sizeof *q, MPI_BYTE, 0, TAG_ASK, b->mpi, &request));
    SF_MPI_CODE(sf_comm_wait_(&reply, MPI_STATUS_IGNORE), "MPI_Irecv");
    return SF_OK;
}

/* ---- create and destroy ------------------------------------------------------------------- */

static sf_status choose_kind(sf_board *b, sf_comm *c)
{
    MPI_Comm node;
    int on_node = 0;
    b->kind = c->size == 1 ? ALONE : MESSAGES;
    if (b->kind == ALONE || SF_BOARD_MESSAGES) return SF_OK;
    SF_MPI_TRY(MPI_Comm_split_type(c->mpi, MPI_COMM_TYPE_SHARED, c->rank, MPI_INFO_NULL, &node));
    MPI_Comm_size(node, &on_node);
    MPI_Comm_free(&node);
    int64_t least = on_node;
    SF_TRY(sf_comm_min_i64(c, &least, 1));
    if (least == c->size) b->kind = SHARED;
    return SF_OK;
}

static sf_status open_shared(sf_board *b, sf_comm *c, const int64_t *first)
{
    MPI_Aint bytes = c->rank == 0 ? (MPI_Aint)b->n * (MPI_Aint)sizeof *b->shared : 0;
    void *base = NULL;
    int unit = 0;
    SF_MPI_TRY(MPI_Win_allocate_shared(bytes, 1, MPI_INFO_NULL, c->mpi, &base, &b->window));
    SF_MPI_TRY(MPI_Win_shared_query(b->window, 0, &bytes, &unit, &base));
    b->shared = base;
    for (int i = 0; c->rank == 0 && i < b->n; i++) atomic_init(&b->shared[i], first[i]);
    atomic_thread_fence(memory_order_seq_cst);
    return sf_comm_barrier(c);
}

static sf_status open_own(sf_board *b, const int64_t *first)
{
    if (b->rank != 0) return SF_OK;
    SF_TRY(sf_mem_alloc(&b->own, (size_t)b->n, sizeof *b->own, SF_MEM_MISC));
    memcpy(b->own, first, (size_t)b->n * sizeof *first);
    return SF_OK;
}

static sf_status open_table(sf_board *b, sf_comm *c, const int64_t *first)
{
    SF_TRY(sf_comm_agree(c, choose_kind(b, c)));
    if (b->kind == SHARED) return open_shared(b, c, first);
    SF_TRY(sf_comm_agree(c, open_own(b, first)));
    if (b->kind == ALONE) return SF_OK;
    SF_MPI_TRY(MPI_Comm_dup(c->mpi, &b->mpi));
    if (c->rank == 0) sf_comm_poll_hook_(serve, b);
    return SF_OK;
}

sf_status sf_board_create(sf_board **out, sf_comm *c, int n, const int64_t *first)
{
    *out = NULL;
    sf_board *b = NULL;
    sf_status st = sf_mem_calloc(&b, 1, sizeof *b, SF_MEM_MISC);
    SF_GOTO(fail, st, sf_comm_agree(c, st));
    *b = (sf_board){ .n = n, .rank = c->rank, .mpi = MPI_COMM_NULL, .parent = c };
    b->window = MPI_WIN_NULL;
    st = open_table(b, c, first);
    SF_GOTO(fail, st, sf_comm_agree(c, st));
    *out = b;
    return SF_OK;
fail: /* a window or communicator that only some ranks got is left to the end of MPI: freeing is
         collective */
    sf_comm_poll_hook_(NULL, NULL);
    if (b) sf_mem_free(b->own);
    sf_mem_free(b);
    return st;
}

void sf_board_destroy(sf_board **b)
{
    if (*b == NULL) return;
    (void)sf_comm_barrier((*b)->parent); /* rank 0 goes on answering until nobody asks any more */
    if ((*b)->kind == MESSAGES) {
        if ((*b)->rank == 0) sf_comm_poll_hook_(NULL, NULL);
        MPI_Comm_free(&(*b)->mpi);
    }
    if ((*b)->window != MPI_WIN_NULL) MPI_Win_free(&(*b)->window);
    sf_mem_free((*b)->own);
    sf_mem_free(*b);
    *b = NULL;
}

/* ---- use ---------------------------------------------------------------------------------- */

sf_status sf_board_read(sf_board *b, int64_t *words)
{
    if (b->kind == SHARED) {
        for (int i = 0; i < b->n; i++) words[i] = atomic_load(&b->shared[i]);
    } else if (b->rank == 0) {
        sf_comm_poll(); /* the others first: whoever asked earlier waits longer */
        memcpy(words, b->own, (size_t)b->n * sizeof *words);
    } else {
        SF_TRY(ask(b, &(question){ .word = -1 }, words, b->n));
    }
    return SF_OK;
}

sf_status sf_board_swap(sf_board *b, int i, int64_t expect, int64_t wanted, int64_t *found)
{
    if (b->kind == SHARED) {
        *found = expect;
        atomic_compare_exchange_strong(&b->shared[i], found, wanted);
    } else if (b->rank == 0) {
        *found = swap_own(b, i, expect, wanted);
    } else {
        SF_TRY(ask(b, &(question){ i, expect, wanted }, found, 1));
    }
    return SF_OK;
}
