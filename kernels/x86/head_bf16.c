#include "kernels/x86/vec_avx512.h"
#define SF_HEAD_TEXT  "head_bf16"
#define SF_HEAD_ISA   SF_ISA_BF16
#define SF_HEAD_TYPES (c->dtype == SF_BF16)
#include "kernels/x86/head_body.h"
