#include "train/give_up.h"
#include "mpi/comm.h"

void sf_train_give_up(sf_status st, const char *stage, const char *fold_dir,
                      const sf_train_state *s)
{
    sf_error_state why;
    sf_error_save(&why, st);
    sf_mpi_abort(SF_FAIL(st, "%s of %s at epoch %lld, iteration %lld: %s", stage, fold_dir,
                         (long long)s->epoch, (long long)s->iteration, why.text));
}
