/** What a run ran on, in the first lines of its log, and where its time went, in the last.
 *  Both write log lines of rank 0 (base/log.h) of the form event key=value and change nothing. */
#ifndef SF_FLEET_ACCOUNT_H
#define SF_FLEET_ACCOUNT_H
#include "base/prof.h"
#include "mpi/comm.h"
#include "network/network.h"

/** Collective. A line `run` (ranks, hosts, threads, instruction set, precision of the networks),
 * then for each host a line `host` with its ranks, the processors that each may use (binding; "0-7"
 * as Linux writes it) and the processors of each NUMA node (from /sys; none where it does not
 * tell). */
sf_status sf_account_header(sf_comm *world, int threads, sf_dtype precision);

/** Seconds in which this rank had no task. prof may be NULL. */
void sf_account_idle(sf_prof *prof, double seconds);

/** Collective. One line `stage` for each event that happened, in the order of the enum: calls of
 * all ranks, seconds (min, mean, max over the ranks, the slowest), percent of the rank-seconds of
 * the run, and percent of the cores' peak where operations are counted (kernels/peak.h, measured
 * now). The stages exclude each other, `other` is what is left, so that the means add up to `wall`;
 * but `augment` is the work of the loader's threads beside them, in thread-seconds. Reading of
 *  preprocessed voxels is part of it: they are mapped, and come when they are touched.
 *  Then one line `bottleneck`: the longest stage and what it means.
 *  @param prof     of this rank, no event open
 *  @param wall     seconds of this rank from start to now
 *  @param threads  of one rank, to which the peak is scaled */
sf_status sf_account_stages(sf_comm *world, const sf_prof *prof, double wall, int threads);

#endif
