#include "kernels/cpu.h"
#include "kernels/voxels.h"

#define NAME(x) x##_avx512
#define ISA     SF_ISA_AVX512
#define VBYTES  64
#include "kernels/ref/voxels.inc"
