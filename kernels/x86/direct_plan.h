/** What the direct kernels of all instruction sets share: tiles, packed weights, scratch layout.
 *  A tile is a box of j; under it lies a patch of loaded input values [z][y][x][16] per channel
 * block with the zero halo written out. Nothing here depends on threads; tiles and groups do not
 * change a bit of a gather, because each output is summed in one order: channel block, tap, lane.
 *  Internal to kernels/x86; compiled without flags of its own. */
#ifndef SF_KERNELS_X86_DIRECT_PLAN_H
#define SF_KERNELS_X86_DIRECT_PLAN_H
#include "kernels/gather.h"

enum {
    SF_MOST_CHUNK = 16, /* input blocks per pass over a tile */
    SF_MAX_TAPS = 27,
    SF_D_GROUP = 8 /* D blocks per unit of a weight gradient */
};

typedef struct {
    int64_t size[3], grid[3], tiles; /* tile and number of tiles per axis */
    int64_t patch[3];                /* of a full tile, in voxels */
    int64_t patch_floats;            /* of one channel block */
    int taps;
} sf_direct_tiles;

typedef struct {
    int64_t lo[3], hi[3], patch[3];
} sf_direct_tile;

/** Tiles whose patches hold about `voxels` voxels. */
sf_direct_tiles sf_direct_tiles_make(const sf_gather_axis axis[3], const int64_t extent[3],
                                     int64_t voxels);
/** Tile i of the grid that starts at `base`, cut to [lo, hi); false when nothing is left. */
bool sf_direct_tile_at(const sf_direct_tiles *t, const sf_gather_axis axis[3], int64_t i,
                       const int64_t base[3], const int64_t lo[3], const int64_t hi[3],
                       sf_direct_tile *out);

/** Where the values under a tile lie: those of channel block b from block[b] on, a row or a plane
 * of voxels further by y or z floats. A patch, or the input itself where its elements are the
 * values. */
typedef struct {
    const float *block[SF_MOST_CHUNK];
    int64_t z, y;
} sf_direct_values;
/** Values of a patch at `patch`, its blocks `block_floats` apart. */
sf_direct_values sf_direct_in_patch(const sf_direct_tile *t, const float *patch,
                                    int64_t block_floats, int64_t blocks);
/** Values of blocks [cb, cb+blocks) of sample n in place: false for an input that has a load rule
 * or keeps less than a float, and under tiles that reach over the border of the volume. */
bool sf_direct_in_place(const sf_gather_axis axis[3], const sf_direct_tile *t, const sf_input *in,
                        int64_t n, int64_t cb, int64_t blocks, sf_direct_values *v);
/** Offsets of all taps in the values under a tile, in floats. */
void sf_direct_offsets(const sf_gather_axis axis[3], const sf_direct_values *v, int64_t *offset);

/** Gathers: units are (sample, tile, group of output blocks). width = output blocks per register
 *  tile (2 for AVX-512, 1 for AVX2). rounded: gathers of the call whose
 *  outputs keep less than a float. */
typedef struct {
    sf_direct_tiles t;
    int64_t out_blocks, in_blocks, in_channels;
    int64_t unit_blocks, groups, chunk;
    int64_t weights, per_thread; /* floats; weights of one phase */
    /* Sums that take several passes and are rounded once are made in a stage of floats behind the
       patches: `stage_blocks` output blocks of each gather (0: no stage). */
    int64_t patches, stage_blocks;
    int64_t tile_stats; /* doubles: statistics of one tile, [slice][2][out_blocks][16] */
} sf_direct_plan;
sf_direct_plan sf_direct_plan_make(const sf_gather_axis axis[3], int64_t n, int64_t in_channels,
                                   int64_t in_blocks, int64_t out_blocks, int rounded);
/** Do the outputs of the gather keep less than a float? (All of them do, or none.) */
bool sf_gather_rounds(const sf_gather *g);
/** Statistics come from the tiles where the outputs are whole slices that are not rounded later. */
bool sf_direct_fuses_stats(const sf_gather *g, const sf_direct_plan *p);
/** g->stats of the slices in [lo, hi) from those of the tiles, [sample][tile], in their order. */
void sf_direct_stats(const sf_gather *g, const sf_direct_plan *p, const int64_t lo[3],
                     const int64_t hi[3], const double *tiles);
/** Pack the weights of output blocks [o, o+count) for input block `in`: [tap][lane][count*16]. */
void sf_direct_pack(const sf_gather *g, int64_t in, int64_t o, int64_t count, float *packed);

/** Weight gradients: units are (A block, group of D blocks, part of the tiles); sums are
 *  [part]{[A block][tap][16][d_pad], bias}. */
typedef struct {
    sf_direct_tiles t;
    int64_t a_blocks, d_blocks, d_pad, groups, parts;
    int64_t bias, sums,
        per_thread; /* floats; from a part's sums to those of the bias; all of them */
} sf_direct_wplan;
sf_direct_wplan sf_direct_wplan_make(const sf_gather_axis axis[3], const int64_t extent[3],
                                     int64_t a_blocks, int64_t a_channels, int64_t d_channels);
/** Combine the parts and write 16 D channels in the order of the weights. */
void sf_direct_write(const sf_wgrad *g, const sf_direct_wplan *p, int64_t d_block,
                     const float *sums);
/** Combine the parts of the bias gradient to g->dbias; nothing where that is NULL. */
void sf_direct_write_bias(const sf_wgrad *g, const sf_direct_wplan *p, const float *sums);

/** Bytes for every pass of a convolution. */
size_t sf_direct_conv_scratch(const sf_conv *c, int threads);
size_t sf_direct_convt_scratch(const sf_convt *c, int threads);

/** The run functions of each instruction set. */
sf_gather_run sf_gather_direct_bf16, sf_gather_direct_avx512, sf_gather_direct_avx2;
sf_wgrad_run sf_wgrad_direct_bf16, sf_wgrad_direct_avx512, sf_wgrad_direct_avx2;

#endif
