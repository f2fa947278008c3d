#include "kernels/peak.h"
#include "base/log.h"
#include "base/mem.h"
#include "kernels/cpu.h"
#include <string.h>

/* Multiply-adds of one round, of any instruction set: 12 chains. */
enum { CHAINS = 12 };

static double loop_ref(long rounds)
{
    float acc[CHAINS];
    for (int i = 0; i < CHAINS; i++) acc[i] = (float)i;
    for (long r = 0; r < rounds; r++)
        for (int i = 0; i < CHAINS; i++) acc[i] = acc[i] * 0.999f + 1e-3f;
    double sum = 0;
    for (int i = 0; i < CHAINS; i++) sum += acc[i];
    return sum;
}

#ifdef SEGFLEET_HAVE_X86
double sf_peak_loop_avx512(long rounds);
double sf_peak_loop_avx2(long rounds);
#endif

double sf_peak_fma(double seconds, const char **isa)
{
    double (*loop)(long) = loop_ref;
    int lanes = 1;
    *isa = "ref";
#ifdef SEGFLEET_HAVE_X86
    if (sf_cpu_isa() & SF_ISA_AVX512) {
        loop = sf_peak_loop_avx512;
        lanes = 16;
        *isa = "avx512";
    } else if (sf_cpu_isa() & SF_ISA_AVX2) {
        loop = sf_peak_loop_avx2;
        lanes = 8;
        *isa = "avx2";
    }
#endif
    const long rounds = 1000000;
    volatile double keep = 0;
    double best = 0;
    for (const double end = sf_now() + seconds; sf_now() < end;) {
        const double begin = sf_cpu_seconds();
        keep = keep + loop(rounds);
        const double rate =
            2.0 * CHAINS * lanes * (double)rounds / (sf_cpu_seconds() - begin) / 1e9;
        if (rate > best) best = rate;
    }
    return best;
}

void sf_peak_memory(size_t bytes, double seconds, double *read, double *copy)
{
    const size_t n = bytes / sizeof(float);
    float *a = NULL, *b = NULL;
    volatile double keep = 0;
    *read = *copy = 0;
    if (sf_mem_calloc(&a, n, sizeof *a, SF_MEM_SCRATCH) != SF_OK) return;
    if (sf_mem_calloc(&b, n, sizeof *b, SF_MEM_SCRATCH) == SF_OK) {
        for (const double end = sf_now() + seconds; sf_now() < end;) {
            double begin = sf_cpu_seconds();
            float part[64] = { 0 };
            for (size_t i = 0; i + 64 <= n; i += 64)
                for (size_t l = 0; l < 64; l++) part[l] += a[i + l];
            keep = keep + part[0];
            double rate = (double)bytes / (sf_cpu_seconds() - begin) / 1e9;
            if (rate > *read) *read = rate;
            begin = sf_cpu_seconds();
            memcpy(b, a, n * sizeof *a);
            rate = 2 * (double)bytes / (sf_cpu_seconds() - begin) / 1e9;
            if (rate > *copy) *copy = rate;
            keep = keep + b[n / 2];
        }
    }
    sf_mem_free(a);
    sf_mem_free(b);
}
