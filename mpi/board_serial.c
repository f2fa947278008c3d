/* board.h for one rank without MPI. */
#include "base/mem.h"
#include "mpi/board.h"
#include <string.h>

struct sf_board {
    int n;
    int64_t word[];
};

sf_status sf_board_create(sf_board **out, sf_comm *c, int n, const int64_t *first)
{
    (void)c;
    SF_TRY(sf_mem_alloc(out, 1, sizeof **out + (size_t)n * sizeof(int64_t), SF_MEM_MISC));
    (*out)->n = n;
    memcpy((*out)->word, first, (size_t)n * sizeof *first);
    return SF_OK;
}

void sf_board_destroy(sf_board **b)
{
    sf_mem_free(*b);
    *b = NULL;
}

sf_status sf_board_read(sf_board *b, int64_t *words)
{
    memcpy(words, b->word, (size_t)b->n * sizeof *words);
    return SF_OK;
}

sf_status sf_board_swap(sf_board *b, int i, int64_t expect, int64_t wanted, int64_t *found)
{
    *found = b->word[i];
    if (*found == expect) b->word[i] = wanted;
    return SF_OK;
}
