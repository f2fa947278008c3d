/** What this CPU and operating system can run, cut by the environment.
 *
 *  A bit is set when all features that the matching compiler flags turn on are there and saved by
 *  the operating system. SEGFLEET_ISA=ref|avx2|avx512|bf16 is an upper cap (ref = no bit at all);
 *  all ranks of a job must use the same bits (decisions.md, "Numbers and bits" 9).
 *  Thread-safe, not collective, cannot fail: an unknown cap is named in a warning and ignored. */
#ifndef SF_KERNELS_CPU_H
#define SF_KERNELS_CPU_H
#include <stdint.h>

enum {
    SF_ISA_AVX2 = 1,   /* AVX2 and FMA */
    SF_ISA_AVX512 = 2, /* AVX-512 F, VL, BW, DQ and FMA */
    SF_ISA_BF16 = 4    /* AVX512_BF16 */
};

/** Usable SF_ISA_* bits. */
unsigned sf_cpu_isa(void);
/** Name of the highest bit: "bf16", "avx512", "avx2" or "ref"; for logs and checkpoints. */
const char *sf_cpu_isa_name(unsigned isa);
/** Second-level cache of a core, bytes; 1 MiB where the system does not say. For the sizes of
 * blocks alone: no result may depend on it. */
int64_t sf_cpu_l2_bytes(void);

#endif
