/* bfloat16 for kernels/ref/norm_loops.inc, in eights, whatever the instruction set: GCC 12 makes
 * two halves of such a conversion. */
#include "kernels/x86/vec_avx2.h"

static inline void half_get8(const uint16_t *p, void *x) { v_store(x, v_widen(v_load_half(p))); }
static inline void half_put8(uint16_t *p, const void *x) { v_store_half(p, v_round(v_load(x))); }

#define STORED uint16_t
#define HALF
#define GET8 half_get8
#define PUT8 half_put8
