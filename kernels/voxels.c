#include "kernels/voxels.h"
#include "kernels/cpu.h"

extern const sf_voxel_ops sf_voxel_ops_ref, sf_voxel_ops_avx2, sf_voxel_ops_avx512;

const sf_voxel_ops *const sf_voxel_ops_all[] = {
#ifdef SEGFLEET_HAVE_X86
    &sf_voxel_ops_avx512, &sf_voxel_ops_avx2,
#endif
    &sf_voxel_ops_ref
};

const sf_voxel_ops *sf_voxel_ops_pick(void)
{
    const unsigned have = sf_cpu_isa();
    const sf_voxel_ops *const *op = sf_voxel_ops_all;
    while ((*op)->isa & ~have) op++;
    return *op;
}
