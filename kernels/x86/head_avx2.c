#include "kernels/x86/vec_avx2.h"
#define SF_HEAD_TEXT  "head_avx2"
#define SF_HEAD_ISA   SF_ISA_AVX2
#define SF_HEAD_TYPES (c->dtype != SF_F64)
#include "kernels/x86/head_body.h"
