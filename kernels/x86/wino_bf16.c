#include "kernels/x86/vec_avx512.h"
#define SF_WINO_TEXT  "wino_bf16"
#define SF_WINO_ISA   SF_ISA_BF16
#define SF_WINO_TYPES (c->dtype == SF_BF16)
#define ROWS          12
#include "kernels/x86/wino_body.h"
