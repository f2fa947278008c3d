#include "kernels/cpu.h"
#include "base/log.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    unsigned isa;
} caps[] = { { "ref", 0 },
             { "avx2", SF_ISA_AVX2 },
             { "avx512", SF_ISA_AVX2 | SF_ISA_AVX512 },
             { "bf16", SF_ISA_AVX2 | SF_ISA_AVX512 | SF_ISA_BF16 } };
enum { N_CAPS = sizeof caps / sizeof caps[0] };

/* libgcc's feature test also asks the operating system (XGETBV), as it must. */
static unsigned detect(void)
{
    unsigned isa = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    const int fma = __builtin_cpu_supports("fma");
    if (fma && __builtin_cpu_supports("avx2")) isa |= SF_ISA_AVX2;
    if (isa && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"))
        isa |= SF_ISA_AVX512;
    if ((isa & SF_ISA_AVX512) && __builtin_cpu_supports("avx512bf16")) isa |= SF_ISA_BF16;
#endif
    return isa;
}

unsigned sf_cpu_isa(void)
{
    const char *cap = getenv("SEGFLEET_ISA");
    if (!cap || !*cap) return detect();
    for (int i = 0; i < N_CAPS; i++)
        if (!strcmp(cap, caps[i].name)) return detect() & caps[i].isa;
    sf_log(SF_LOG_WARN, "isa", "SEGFLEET_ISA=%s is unknown (ref, avx2, avx512, bf16): no cap", cap);
    return detect();
}

const char *sf_cpu_isa_name(unsigned isa)
{
    for (int i = N_CAPS - 1; i > 0; i--)
        if ((caps[i].isa & ~caps[i - 1].isa) & isa) return caps[i].name;
    return caps[0].name;
}

int64_t sf_cpu_l2_bytes(void)
{
    long bytes = 0;
#ifdef _SC_LEVEL2_CACHE_SIZE
    bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
    return bytes > 0 ? bytes : 1 << 20;
}
