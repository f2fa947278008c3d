#include "train/share.h"

sf_status sf_state_share(sf_comm *group, sf_train_state *s, sf_params *p)
{
    struct {
        int64_t epoch, iteration;
        double best_ema, ema;
    } now = { s->epoch, s->iteration, s->best_ema, s->ema };
    SF_TRY(sf_comm_bcast(group, &now, sizeof now, 0));
    s->epoch = now.epoch;
    s->iteration = now.iteration;
    s->best_ema = now.best_ema;
    s->ema = now.ema;
    SF_TRY(sf_comm_bcast(group, s->loss_sum, (size_t)s->n_running * sizeof *s->loss_sum, 0));
    for (int i = 0; i < p->count; i++) {
        sf_param *q = &p->item[i];
        const size_t bytes = (size_t)q->count * sizeof(float);
        SF_TRY(sf_comm_bcast(group, q->value, bytes, 0));
        SF_TRY(sf_comm_bcast(group, &q->has_velocity, sizeof q->has_velocity, 0));
        if (q->has_velocity) SF_TRY(sf_comm_bcast(group, q->velocity, bytes, 0));
    }
    return SF_OK;
}
