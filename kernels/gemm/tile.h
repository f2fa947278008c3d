/** Tiles of the GEMM path: a box of j of about TILE_VOXELS voxels, the patch of loaded input values
 *  under it (one channel block), and the column matrix [voxel][tap][lane] made from the patch.
 *  The grid depends on the whole volume alone. Internal to kernels/gemm. */
#ifndef SF_KERNELS_GEMM_TILE_H
#define SF_KERNELS_GEMM_TILE_H
#include "kernels/gather.h"

typedef struct {
    int64_t size[3];  /* of a full tile */
    int64_t patch[3]; /* of its patch */
    int64_t taps, max_voxels;
} sf_tiling;

/** Tiling of boxes of at most extent[] j. */
sf_tiling sf_tiling_make(const sf_gather_axis axis[3], const int64_t extent[3]);
/** Floats of the largest patch and column matrix. */
int64_t sf_tiling_patch_floats(const sf_tiling *t);
int64_t sf_tiling_column_floats(const sf_tiling *t);

typedef struct {
    int64_t lo[3], hi[3];
    int64_t voxels;
} sf_tile;

/** Column matrix of channel block b over the tile: [voxels][taps * b->lanes]. */
void sf_tile_columns(const sf_tiling *t, const sf_gather_axis axis[3], const sf_tile *tile,
                     const sf_input *in, const sf_block_at *b, int64_t n, float *patch, float *col);

#endif
