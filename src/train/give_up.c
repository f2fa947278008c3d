#include "train/give_up.h"
#include "mpi/comm.h"
#include <stdio.h>

sf_status sf_train_name_stage(sf_status st, const char *stage, const char *fold_dir,
                              const sf_train_state *s)
{
    sf_error_state was, named;
    if (st == SF_OK || st == SF_ESTOP || !stage) return st;
    sf_error_save(&was, st);
    named = was;
    snprintf(named.text, sizeof named.text, "%s of %s at epoch %lld, iteration %lld: %.700s", stage,
             fold_dir, (long long)s->epoch, (long long)s->iteration, was.text);
    return sf_error_restore(&named);
}

void sf_train_give_up(sf_status st, const char *stage, const char *fold_dir,
                      const sf_train_state *s)
{
    (void)sf_train_name_stage(st, stage ? stage : "start", fold_dir, s);
    sf_mpi_abort(SF_FAIL(st, "%s; run the same command again: it goes on from the last checkpoint",
                         sf_error_text()));
}
