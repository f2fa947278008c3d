#include "kernels/voxels.h"

#define NAME(x) x##_ref
#define ISA     0
#define VBYTES  16
#include "kernels/ref/voxels.inc"
