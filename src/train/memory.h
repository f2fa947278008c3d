/** Memory of one training: what it will take, known before the first step, and what it took.
 *  Bytes of the process since sf_train_memory_begin, largest rank of the group; libraries' own
 *  buffers (MPI, OpenBLAS) are not foreseen. Source: docs/commands.md, log lines `memory`. */
#ifndef SF_TRAIN_MEMORY_H
#define SF_TRAIN_MEMORY_H
#include "base/mem.h"
#include "store/cases.h"
#include "train/trainer.h"

typedef struct {
    sf_mem_process at_start;
    int64_t live_at_start; /* counted by base/mem.h */
    int64_t foretold;      /* 0: not foretold, nothing was left to train */
} sf_train_memory;

/** Before anything of the training is allocated. Not collective. */
void sf_train_memory_begin(sf_train_memory *m);
/** Once network and loaders exist: the larger of training and final validation, beside the mapped
 *  cases; fills m->foretold and logs it. Collective over `group`.
 *  @param[in] scratch     bytes that the loaders' workers will take besides (batch/loader.h)
 *  @param[in] parameters  of the network, all of them
 *  @return errors of reading a case, on all ranks together */
sf_status sf_train_memory_foretell(sf_train_memory *m, sf_comm *group, const sf_train_options *opt,
                                   const sf_cases *cases, int64_t scratch, int64_t parameters);
/** Log the high-water mark beside what was foretold; silent where nothing was foretold or the
 *  process had taken more before it began. Collective over `group`. */
sf_status sf_train_memory_measure(const sf_train_memory *m, sf_comm *group);

#endif
