/** What one core can do at most: the denominator of every benchmark. Not collective; one call uses
 *  one thread and takes about `seconds`. Source: conv-study section 1. */
#ifndef SF_KERNELS_PEAK_H
#define SF_KERNELS_PEAK_H
#include <stddef.h>

/** Highest rate of float32 fused multiply-adds of the best usable instruction set, in GFLOP/s of
 *  CPU time (2 per multiply-add); `isa` gets its name ("avx512", "avx2", "ref"). */
double sf_peak_fma(double seconds, const char **isa);
/** GB/s of reading (sum) and of copying (read + write bytes) a buffer of `bytes`, best of several.
 */
void sf_peak_memory(size_t bytes, double seconds, double *read, double *copy);

#endif
