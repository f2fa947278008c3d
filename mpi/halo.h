/** Slices of arrays that neighbouring ranks share: each rank of a comm holds the slices
 *  [border[rank], border[rank+1]) of an array and gets what it needs of the others.
 *
 *  An array is `outer` runs of border[size] slices of `bytes` bytes, dense; every rank has memory
 *  for all of it. Plain copies, so bits do not change. Bytes sent by rank r: with a halo of k
 *  slices, outer x bytes x k per neighbour (at most two); of all slices, outer x bytes x its own
 *  slices x (ranks - 1). Collective; main thread only. */
#ifndef SF_MPI_HALO_H
#define SF_MPI_HALO_H
#include "mpi/comm.h"

typedef struct sf_halo sf_halo;

/** Not collective; caller destroys. The comm must outlive it; in it the ranks stand in the order of
 *  their slices. SF_ENOMEM. */
sf_status sf_halo_create(sf_halo **out, sf_comm *c);
void sf_halo_destroy(sf_halo **h);
/** Collective, with the same outer, bytes, border and halo on all ranks; waits until the data are
 *  there. border [size + 1] rises from 0. halo >= 1: the first and last `halo` own slices go to the
 * neighbours (no rank holds fewer); 0: all slices to all ranks. SF_ENOMEM, SF_ECOMM. */
sf_status sf_halo_share(sf_halo *h, void *data, int64_t outer, int64_t bytes, const int64_t *border,
                        int64_t halo);
/** The formula above for one such call on a rank, not collective; and what was really sent so far.
 */
int64_t sf_halo_bytes(int rank, int ranks, int64_t outer, int64_t bytes, const int64_t *border,
                      int64_t halo);
int64_t sf_halo_sent(const sf_halo *h);

#endif
