#include "kernels/x86/vec_avx2.h"
#define SF_WINO_TEXT  "wino_avx2"
#define SF_WINO_ISA   SF_ISA_AVX2
#define SF_WINO_TYPES (c->dtype != SF_F64)
#define ROWS          6
#include "kernels/x86/wino_body.h"
