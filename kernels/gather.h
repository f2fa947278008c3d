/** The two sums behind every convolution, so that each fast variant is written once.
 *
 *  Gather (convolution, its data gradient, transposed convolution, its data gradient):
 *      out[co][j*ostep + phase] (+)= bias[co] + sum_{ci, t} w[co][ci][tap(t)] * in[ci][j*istep +
 * first + t] per axis, j over the whole volume. A data gradient of stride 2 and a transposed
 * convolution are one gather per phase (parity) of the written coordinate. Scatter's transpose
 * (weight gradients): dw[a][d][tap(t)] = sum_{j in box} A[a][j*istep + first + t] * D[d][j] For a
 * convolution A is the input and D the output gradient; for a transposed one the reverse.
 *
 *  Internal to kernels/; sums in float, views of float or bfloat16. Shapes and strides in elements,
 * axes z,y,x. A run function gets a filled problem, neither allocates nor fails, and gives the same
 * bits for any `threads`. Source: conv-study section 5.1 (tap lists). */
#ifndef SF_KERNELS_GATHER_H
#define SF_KERNELS_GATHER_H
#include "kernels/conv.h"
#include "kernels/convt.h"

/** Most input blocks of one convolution (two in a U-Net; more only costs scratch). */
enum { SF_MAX_INPUTS = 8 };

typedef struct {
    int n;          /* taps: 0 (nothing reaches this phase) .. 3 */
    int tap[3];     /* weight index of each tap, by rising offset */
    int64_t first;  /* offset of tap 0; tap t has offset first + t */
    int64_t istep;  /* step of the read coordinate */
    int64_t ostep;  /* step of the written coordinate */
    int64_t phase;  /* its remainder */
    int64_t extent; /* number of j in the whole volume */
} sf_gather_axis;

typedef struct {
    sf_gather_axis axis[3];
    const sf_input *in; /* blocks of input channels */
    int n_in;
    const sf_view *out; /* blocks of output channels, all with the same box */
    int n_out;
    const bool *accumulate; /* per output block, NULL = none */
    const float *weight, *bias;
    double *stats;                 /* of the one output, as sf_norm_stats has them, or NULL */
    int64_t w_out, w_in, w_tap[3]; /* weight strides of output channel, input channel, taps */
    int threads;
} sf_gather;

typedef struct {
    sf_gather_axis axis[3]; /* ostep 1, phase 0 */
    const sf_input *a;
    int n_a;
    sf_input d;
    int64_t n, lo[3], hi[3]; /* sample and box of j */
    float *dweight;
    float *dbias;    /* sums of the output gradient's channels over the box, or NULL */
    bool dbias_of_a; /* the output gradient is A and all its elements lie under the box; else it is
                        D */
    int64_t w_a, w_d, w_tap[3];
    int threads;
} sf_wgrad;

/** Run functions of a variant; scratch has the bytes that its size functions ask for. The gathers
 * of one call differ in `phase`, `tap` and nothing else, so that what they read is loaded once. */
enum { SF_MAX_PHASES = 8 };
typedef void sf_gather_run(const sf_gather *g, int n, void *scratch);
typedef void sf_wgrad_run(const sf_wgrad *g, void *scratch);

/** Box [lo, hi) of j that belongs to the part that the output views hold. */
void sf_gather_box(const sf_gather *g, int64_t lo[3], int64_t hi[3]);
/** Total channels of a list of input or output blocks, and total 16-channel blocks. */
int64_t sf_inputs_channels(const sf_input *in, int n);
int64_t sf_inputs_blocks(const sf_input *in, int n);
int64_t sf_views_blocks(const sf_view *v, int n);

/** The 16-channel block number `i` of a list, counted through all blocks. */
typedef struct {
    int entry;     /* index in the list */
    int64_t cb;    /* block within that entry */
    int64_t lanes; /* its channels */
    int64_t first; /* weight channel of lane 0 */
} sf_block_at;
sf_block_at sf_inputs_block(const sf_input *in, int n, int64_t i);
sf_block_at sf_views_block(const sf_view *v, int n, int64_t i);

/** Loaded values (load rule applied, 0 outside the volume) of `count` voxels from global (z,y,x) on
 *  along x, of channel block b: dst[count][lanes]. */
void sf_gather_row(const sf_input *in, const sf_block_at *b, int64_t n, const int64_t g[3],
                   int64_t count, float *dst);

/** The gradient of the bias, for run functions that do not sum it from the elements that they read:
 *  runs of a few voxels in float, then in double. */
void sf_gather_bias(const sf_wgrad *g);

/** Weight gradients of a few blocks are summed in at most this many parts of the voxels. */
enum { SF_MAX_PARTS = 8 };
/** out = sum of `parts` rows of 16 floats, `stride` apart, by a fixed tree. */
void sf_parts_sum16(const float *rows, int64_t stride, int64_t parts, float out[SF_CBLOCK]);
/** The size of even tiles: at most limit, all about equally large. */
int64_t sf_even_size(int64_t extent, int64_t limit);

/** Axes of the gathers behind each operation. Phases are numbered (pz*sy + py)*sx + px; false: the
 *  number is past the last phase. */
void sf_gather_conv_axes(const sf_conv *c,
                         sf_gather_axis axis[3]); /* forward and weight gradient */
bool sf_gather_conv_data_axes(const sf_conv *c, int phase, sf_gather_axis axis[3]);
void sf_gather_convt_axes(const sf_convt *c, sf_gather_axis axis[3]); /* both gradients */
bool sf_gather_convt_phase_axes(const sf_convt *c, int phase, sf_gather_axis axis[3]); /* forward */
/** SF_EINVAL for more than SF_MAX_INPUTS blocks. */
sf_status sf_gather_check(int n_in);

/** Map the public operations on run functions: 1 to 8 gathers, statistics by sf_norm_stats, bias
 *  gradient in double. */
void sf_gather_conv_forward(const sf_conv *c, const sf_conv_fwd *a, sf_gather_run *run,
                            void *scratch);
void sf_gather_conv_data(const sf_conv *c, const sf_conv_bwd_data *a, sf_gather_run *run,
                         void *scratch);
void sf_gather_conv_weight(const sf_conv *c, const sf_conv_bwd_weight *a, sf_wgrad_run *run,
                           void *scratch);
void sf_gather_convt_forward(const sf_convt *c, const sf_convt_fwd *a, sf_gather_run *run,
                             void *scratch);
void sf_gather_convt_data(const sf_convt *c, const sf_convt_bwd_data *a, sf_gather_run *run,
                          void *scratch);
void sf_gather_convt_weight(const sf_convt *c, const sf_convt_bwd_weight *a, sf_wgrad_run *run,
                            void *scratch);

#endif
