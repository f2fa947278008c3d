/** Containers of preprocessed cases near the processors that train with them: a copy on a disk of
 *  the node, a copy in memory that the node's ranks share (mpi/node_cache.h), or, when neither is
 *  asked for or fits, the file itself, memory-mapped. Patches have the same bits in each.
 *  Docs: docs/work-folder.md, "Where training reads the data". */
#ifndef SF_TRAIN_NEAR_H
#define SF_TRAIN_NEAR_H
#include "mpi/comm.h"
#include "store/cases.h"

typedef enum {
    SF_CACHE_AUTO,   /* in memory when the file lies on a network file system and memory allows */
    SF_CACHE_SHARED, /* in memory, or it is an error */
    SF_CACHE_MAP     /* never */
} sf_cache_kind;
/** "auto", "shared", "map"; NULL: auto. SF_EINVAL for another word. */
sf_status sf_cache_parse(sf_cache_kind *k, const char *word);

typedef struct sf_near sf_near;
/** Collective. Nothing is held yet.
 *  @param[in] stage  folder on a disk of each node, made when missing; the word "tmpdir": $TMPDIR;
 *                    NULL: none
 *  @return SF_EINVAL: $TMPDIR is not set; SF_EIO: the folder cannot be made. Caller destroys. */
sf_status sf_near_create(sf_near **out, sf_comm *world, sf_cache_kind cache, const char *stage);
/** Collective. Bring a container near. One rank per node copies it to the staging folder: under a
 *  temporary name, all hashes verified, then renamed; a complete copy that a stopped run left is
 *  verified and kept.
 *  @return SF_EIO: no room (says how much is needed), or not readable; SF_EDATA: damaged;
 *  SF_ENOMEM: SF_CACHE_SHARED and no memory */
sf_status sf_near_add(sf_near *n, const char *container);
/** Not collective: sf_cases_open of what is nearest. near NULL: the file itself. Close the cases
 *  before sf_near_destroy. */
sf_status sf_near_open(sf_cases **out, const sf_near *n, const char *container);
/** Collective: removes the copies. NULL inside is allowed when it is so on all ranks. */
void sf_near_destroy(sf_near **n);

#endif
