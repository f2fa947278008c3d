/** Files that the ranks of a node hold together in memory: an MPI-3 shared window per file and
 *  node, filled once by large reads of all its ranks. On a network file system that turns the page
 *  faults of a memory map, each a small remote read, into a few large ones. Main thread only; the
 *  bytes may be read by any thread. Without MPI, and alone on a node, the memory is the process's.
 */
#ifndef SF_MPI_NODE_CACHE_H
#define SF_MPI_NODE_CACHE_H
#include "mpi/comm.h"

typedef struct sf_node_cache sf_node_cache;

/** Collective. An empty cache for the nodes of `world` (ranks that can share memory). Caller
 * destroys. SF_ENOMEM, SF_ECOMM. */
sf_status sf_node_cache_create(sf_node_cache **out, sf_comm *world);
/** Collective: gives the memory back. NULL inside is allowed when it is so on all ranks. */
void sf_node_cache_destroy(sf_node_cache **c);
/** Bytes that may still be taken on this rank's node: half of what the system has to give, the
 *  limits of control groups (version 2 and 1) and the space of /dev/shm, where MPI libraries keep
 *  shared windows, included. Not collective. */
int64_t sf_node_cache_room(void);
/** This rank's number on its node: 0 does what is to be done once. */
int sf_node_cache_node_rank(const sf_node_cache *c);
/** Collective. Hold the first `bytes` of `path`, the same on all ranks. SF_EIO names the file;
 * SF_ENOMEM: no window of that size. After a failure the cache is as before. */
sf_status sf_node_cache_add(sf_node_cache *c, const char *path, int64_t bytes);
/** What was added for `path`, borrowed until destroy, or NULL. Not collective. */
const void *sf_node_cache_find(const sf_node_cache *c, const char *path, int64_t *bytes);

#endif
