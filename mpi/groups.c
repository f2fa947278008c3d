#include "mpi/groups.h"
#include "base/mem.h"
#include <string.h>

/* --- placing ------------------------------------------------------------------------------------
 */

static sf_status check_sizes(const int *sizes, int n, int ranks)
{
    int64_t sum = 0;
    for (int i = 0; i < n; i++) {
        SF_CHECK(sizes[i] >= 1, SF_EINVAL, "a group of %d ranks", sizes[i]);
        sum += sizes[i];
    }
    SF_CHECK(sum == ranks, SF_EINVAL, "groups for %lld ranks, but there are %d", (long long)sum,
             ranks);
    return SF_OK;
}

/* The node with the fewest free ranks >= wanted; else the one with the most. */
static int choose_node(const int *free_on, int nodes, int wanted)
{
    int fit = -1, most = 0;
    for (int i = 0; i < nodes; i++) {
        if (free_on[i] >= wanted && (fit < 0 || free_on[i] < free_on[fit])) fit = i;
        if (free_on[i] > free_on[most]) most = i;
    }
    return fit >= 0 ? fit : most;
}

/* The lowest free ranks of the node join the group; @return how many of those wanted are missing */
static int take(int *group_of, const int *node_of, int ranks, int *free_on, int node, int group,
                int wanted)
{
    for (int r = 0; r < ranks && wanted > 0; r++) {
        if (node_of[r] != node || group_of[r] >= 0) continue;
        group_of[r] = group;
        free_on[node]--;
        wanted--;
    }
    return wanted;
}

/* The largest group that is not placed; placed groups are marked in `done`. */
static int next_group(const int *sizes, int n, const int *done)
{
    int best = -1;
    for (int i = 0; i < n; i++)
        if (!done[i] && (best < 0 || sizes[i] > sizes[best])) best = i;
    return best;
}

sf_status sf_groups_place(int *group_of, const int *node_of, int ranks, const int *sizes, int n)
{
    int nodes = 0, *free_on = NULL;
    SF_TRY(check_sizes(sizes, n, ranks));
    for (int r = 0; r < ranks; r++)
        if (node_of[r] >= nodes) nodes = node_of[r] + 1;
    SF_TRY(sf_mem_calloc(&free_on, (size_t)(nodes + n), sizeof *free_on, SF_MEM_MISC));
    int *done = free_on + nodes;
    for (int r = 0; r < ranks; r++) {
        free_on[node_of[r]]++;
        group_of[r] = -1;
    }
    for (int k = 0; k < n; k++) {
        const int g = next_group(sizes, n, done);
        for (int wanted = sizes[g]; wanted > 0;)
            wanted = take(group_of, node_of, ranks, free_on, choose_node(free_on, nodes, wanted), g,
                          wanted);
        done[g] = 1;
    }
    sf_mem_free(free_on);
    return SF_OK;
}

/* --- splitting
 * ------------------------------------------------------------------------------------
 */

/* Nodes are numbered by their first rank. */
static sf_status find_nodes(int *node_of, sf_comm *world)
{
    void **host = NULL;
    size_t *size = NULL;
    int nodes = 0;
    SF_TRY(
        sf_comm_allgather_bytes(world, sf_comm_host(), strlen(sf_comm_host()) + 1, &host, &size));
    for (int r = 0; r < sf_comm_size(world); r++) {
        int same = 0;
        while (same < r && strcmp(host[same], host[r]) != 0) same++;
        node_of[r] = same < r ? node_of[same] : nodes++;
    }
    sf_mem_free(host);
    return SF_OK;
}

sf_status sf_groups_create(sf_groups **out, sf_comm *world, const int *sizes, int n)
{
    const int ranks = sf_comm_size(world), rank = sf_comm_rank(world);
    sf_groups *g = NULL;
    int *node_of = NULL;
    *out = NULL;
    sf_status st = sf_mem_calloc(&g, 1, sizeof *g, SF_MEM_MISC);
    if (st == SF_OK) st = sf_mem_alloc(&node_of, 2 * (size_t)ranks, sizeof *node_of, SF_MEM_MISC);
    SF_GOTO(done, st, sf_comm_agree(world, st));
    SF_GOTO(done, st, find_nodes(node_of, world));
    int *group_of = node_of + ranks;
    st = sf_groups_place(group_of, node_of, ranks, sizes, n);
    SF_GOTO(done, st, sf_comm_agree(world, st));
    g->index = group_of[rank];
    g->n = n;
    SF_GOTO(done, st, sf_comm_split(&g->comm, world, g->index, rank));
    *out = g;
    g = NULL;
done:
    sf_groups_destroy(&g);
    sf_mem_free(node_of);
    return st;
}

void sf_groups_destroy(sf_groups **g)
{
    if (*g && (*g)->comm) sf_comm_destroy(&(*g)->comm);
    sf_mem_free(*g);
    *g = NULL;
}
