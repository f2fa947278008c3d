#define SF_ISA_NAME(x) x##_avx512
#define LANES          16
#include "kernels/x86/peak_body.h"
