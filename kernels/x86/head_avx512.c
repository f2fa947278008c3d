#include "kernels/x86/vec_avx512.h"
#define SF_HEAD_TEXT  "head_avx512"
#define SF_HEAD_ISA   SF_ISA_AVX512
#define SF_HEAD_TYPES (c->dtype != SF_F64)
#include "kernels/x86/head_body.h"
