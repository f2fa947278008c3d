#include "kernels/cpu.h"
#include "kernels/voxels.h"

#define NAME(x) x##_avx2
#define ISA     SF_ISA_AVX2
#define VBYTES  32
#include "kernels/ref/voxels.inc"
