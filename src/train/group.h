/** One training on a group of ranks: the samples of every batch are spread over the ranks, the
 *  weights after each step are those of one rank, bit for bit (decisions.md "Numbers and bits" 2).
 *
 *  Up to as many ranks as samples, rank r computes the samples [batch*r/ranks, batch*(r+1)/ranks).
 *  Of more ranks, sample s has the ranks [ranks*s/batch, ranks*(s+1)/batch), which cut its volume
 *  into slabs (network/slabs.h) and exchange halos (mpi/halo.h). Partial gradients go to the
 *  owners of the weights while the backward pass runs, owners step their pieces, all get the new
 *  weights (mpi/grad.h). Sums over samples of the loss and of the gradient's norm are made from
 *  gathered rows, in the same tree on every rank. With one rank nothing is copied or sent.
 *
 *  Bytes sent by a rank in one step: sf_grad_bytes, sf_halo_bytes of each exchange, and (ranks - 1)
 *  x 8 x (its samples x the loss terms of all levels + its blocks of SF_GRAD_UNIT weights). The
 *  first rank of a sample counts it. `sf_group_step_bytes`.
 *  A group belongs to one network of one training; its state between two steps is that network's
 *  parameters alone (after sf_group_collect, rank 0's), so that a training can go on with any other
 *  group. Collective where said; main thread only. */
#ifndef SF_TRAIN_GROUP_H
#define SF_TRAIN_GROUP_H
#include "base/prof.h"
#include "mpi/comm.h"
#include "network/network.h"
#include "network/optim.h"

typedef struct sf_group sf_group;

/** The most ranks that can share a training. */
int64_t sf_group_most(const int64_t patch[3], int64_t batch);
/** Collective. SF_EINVAL: more ranks than sf_group_most. c is borrowed. */
sf_status sf_group_create(sf_group **out, sf_comm *c, const sf_arch *arch, const int64_t patch[3],
                          int64_t batch);
/** Collective. NULL inside is allowed when it is so on all ranks. */
void sf_group_destroy(sf_group **g);
/** Fill in this rank's share: batch, first, whole, slab, slabs. */
void sf_group_share(const sf_group *g, sf_network_options *o);
/** Collective. Take the network, which was made with this share. bucket_bytes: see sf_grad_create;
 *  0 = the usual size. prof (may be NULL) gets SF_EV_REDUCE, what is waited for and added after the
 *  backward pass and to send the new weights, with the bytes of both, and SF_EV_HALO. */
sf_status sf_group_attach(sf_group *g, sf_network *net, int64_t bucket_bytes, sf_prof *prof);

/** sf_gather_fn for the loss (user: the group); NULL where the group has one rank. Collective. */
sf_status sf_group_gather(void *group, double *rows, int64_t width);
/** Collective: sf_network_backward, with the sums over the group under way meanwhile. A failure of
 * a rank that shares a sample is returned on that rank alone, while its mates still wait for it:
 * end the job (train/give_up.h). */
sf_status sf_group_backward(sf_group *g);
/** Collective: as sf_optim_step, for the whole group's gradient. */
sf_status sf_group_step(sf_group *g, const sf_optim *o, double lr, int threads, double *norm);
/** Collective: rank 0's momentum becomes complete, as a checkpoint needs it. */
sf_status sf_group_collect(sf_group *g);

/** One rank's part of a step, known without any other rank and without computing. */
typedef struct {
    double flops;                   /* sf_network_step_flops */
    int64_t memory;                 /* bytes: sf_network_bytes and room for messages */
    int64_t bytes;                  /* sent: what sf_group_step_bytes will say; of these ... */
    int64_t grad_bytes, halo_bytes; /* ... gradients and weights; slices of the volume */
    int64_t exchanges, messages;    /* calls of sf_halo_share; messages sent, of all kinds */
    int64_t parameters;
} sf_group_forecast;
/** Not collective. `whole`: the network of one rank alone (batch = all samples). SF_EINVAL: more
 *  ranks than sf_group_most. */
sf_status sf_group_foresee(sf_group_forecast *out, const sf_network_options *whole, int rank,
                           int ranks);

/** By the formula (the exchanges are those of the last step), and as counted since sf_group_attach.
 *  Sums gathered for an online validation and
 *  sf_group_collect count in the latter alone. */
int64_t sf_group_step_bytes(const sf_group *g);
int64_t sf_group_sent(const sf_group *g);

#endif
