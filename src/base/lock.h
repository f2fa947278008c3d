/** Locks between processes, by a file: two programs that are given the same work folder must not
 *  write the same results. The system gives the lock back when the process ends, however it ends,
 *  so nothing has to be cleaned up after a kill. A file system without locks is no error: one
 *  warning, and the work goes on. Locks are advisory, and of the process: taking one twice in the
 *  same process succeeds. Not collective: one rank takes it for all. Not thread-safe. */
#ifndef SF_BASE_LOCK_H
#define SF_BASE_LOCK_H
#include "base/error.h"
#include <stdbool.h>

/** Never waits.
 *  @param file    made when missing, left in place and never written to
 *  @param shared  several processes may hold it so; else alone
 *  @param what    "the work folder W": subject of the message
 *  @param[out] lock  for sf_lock_release; -1: not held
 *  @return SF_EINVAL: another process holds it (names its number when it runs on this machine);
 *  SF_EIO: the file cannot be made */
sf_status sf_lock_take(int *lock, const char *file, bool shared, const char *what);
/** -1 is fine; sets -1. */
void sf_lock_release(int *lock);

#endif
