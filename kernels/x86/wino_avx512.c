#define SF_ISA_NAME(x) x##_avx512
#define SF_WINO_TEXT   "wino_avx512"
#define SF_WINO_ISA    SF_ISA_AVX512
#define ROWS           12
#define COLS           2
#include "kernels/x86/wino_body.h"
