#define SF_ISA_NAME(x) x##_avx2
#define LANES          8
#include "kernels/x86/peak_body.h"
