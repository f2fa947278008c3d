#include "kernels/x86/vec_avx512.h"

#include "kernels/x86/direct_body.h"

#include "kernels/x86/wgrad_body.h"
