#define SF_ISA_NAME(x) x##_avx2
#define SF_WINO_TEXT   "wino_avx2"
#define SF_WINO_ISA    SF_ISA_AVX2
#define ROWS           6
#define COLS           1
#include "kernels/x86/wino_body.h"
