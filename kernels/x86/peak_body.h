/* Independent fused multiply-adds in registers; SF_ISA_NAME and LANES are set by the includer.
 * Returns a value that depends on all of them, so that nothing is dropped. */
typedef float vec __attribute__((vector_size(LANES * 4)));

double SF_ISA_NAME(sf_peak_loop)(long rounds);

double SF_ISA_NAME(sf_peak_loop)(long rounds)
{
    enum { CHAINS = 12 };
    vec acc[CHAINS], a, b;
    for (int l = 0; l < LANES; l++) {
        a[l] = 0.999f;
        b[l] = 1e-3f * (float)(l + 1);
        for (int i = 0; i < CHAINS; i++) acc[i][l] = (float)i;
    }
    for (long r = 0; r < rounds; r++) {
        for (int i = 0; i < CHAINS; i++) acc[i] = acc[i] * a + b;
        __asm__ volatile("" : "+v"(a));
    }
    double sum = 0;
    for (int i = 0; i < CHAINS; i++)
        for (int l = 0; l < LANES; l++) sum += acc[i][l];
    return sum;
}
