/** Messages that travel while the program computes: started, polled now and then, waited for in the
 *  end. MPI libraries move data only inside calls, hence sf_transfers_poll between layers.
 *
 *  One set serves one comm; a message may be of any length. Messages between two ranks with the
 *  same tag arrive in the order in which they were started. Only the main thread calls in here.
 *  The comm must outlive the set; buffers must stay until sf_transfers_wait. */
#ifndef SF_MPI_TRANSFERS_H
#define SF_MPI_TRANSFERS_H
#include "mpi/comm.h"

typedef struct sf_transfers sf_transfers;

/** An empty set. Not collective; caller destroys. SF_ENOMEM. */
sf_status sf_transfers_create(sf_transfers **out, sf_comm *c);
/** What is still under way, after a failure, is given up. NULL inside is allowed. */
void sf_transfers_destroy(sf_transfers **t);
/** Start one; `to`/`from` is another rank of the comm, 0 <= tag < 32768; bytes 0: nothing is sent.
 *  SF_ENOMEM, SF_ECOMM. */
sf_status sf_transfers_send(sf_transfers *t, const void *data, int64_t bytes, int to, int tag);
sf_status sf_transfers_recv(sf_transfers *t, void *data, int64_t bytes, int from, int tag);
/** Let what is under way move on; never waits, so it may be called as often as one likes; *done
 * (may be NULL): nothing is left. */
sf_status sf_transfers_poll(sf_transfers *t, bool *done);
/** Until nothing is left; sleeps while it waits, and answers what else this folder must answer
 *  meanwhile (mpi/board.h). All buffers belong to the caller again. SF_ECOMM. */
sf_status sf_transfers_wait(sf_transfers *t);
/** Bytes sent since the set was made: payload, own rank's messages alone. What the models of
 *  traffic in grad.h and halo.h are checked against. */
int64_t sf_transfers_sent(const sf_transfers *t);

#endif
