/** Complete state of a training in one HDF5 file, independent of ranks, threads and memory layout.
 * Atomic; carries (variant, seed, configuration, fold), program version, flags, library versions,
 * recipe and ISA; a checksum over all arrays. */
#ifndef SF_TRAIN_CHECKPOINT_H
#define SF_TRAIN_CHECKPOINT_H
#include "network/params.h"
#include "plan/work.h"
#include <stdbool.h>

typedef struct {
    sf_task_key key;
    int64_t epoch, iteration; /* next step: 0-based */
    int64_t epochs, iterations, batch;
    double best_ema, ema; /* NaN when none */
    double *loss_sum;     /* running sums inside an unfinished epoch, n_running entries */
    int n_running;
    char *extra_json; /* configuration, recipe, mirror axes, exact, precision: text; must agree on
                         resuming */
    char isa[16];     /* of the program that wrote the file; filled by load */
} sf_train_state;

/** Nothing here is collective. SF_EIO names the file; an older file of that name stays whole. */
sf_status sf_checkpoint_save(const char *path, const sf_train_state *s, const sf_params *p);
/** state NULL: parameters only; else it owns new texts (sf_train_state_free, also after a failure)
 * and key.config and key.variant are left as they were. SF_EDATA when damaged or of another
 * network; the parameters may then be partly overwritten. */
sf_status sf_checkpoint_load(const char *path, sf_train_state *s, sf_params *p, bool with_momentum);
void sf_train_state_free(sf_train_state *s);
/** May a run `mine` go on from the state `s` of the file `path`? Budget, seed, fold and extra_json
 *  must be equal. SF_EINVAL names the file and the first option that is not. */
sf_status sf_train_state_same_run(const sf_train_state *mine, const sf_train_state *s,
                                  const char *path);
/** Hash of the parameters in the file (decisions.md 4). */
sf_status sf_checkpoint_hash(const char *path, char hex[65]);

#endif
