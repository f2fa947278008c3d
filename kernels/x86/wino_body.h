/* Winograd convolution, 3 taps per axis (or 1: that axis has tiles of 1), stride 1, float32.
 * Included by wino_avx2.c and wino_avx512.c, which define SF_ISA_NAME, ROWS (tiles per register
 * tile) and COLS (vectors of 16 output channels).
 *
 * Work per sample: tiles of m outputs and t = m+2 inputs per axis; V = transformed inputs, U =
 * transformed weights; per coordinate one small matrix product; back-transform. All tile grids are
 * anchored to the whole volume, every sum runs in one order that depends on the shape alone: the
 * same bits for any number of threads. conv-study sections 5.2 and 7. */
#include "base/error.h"
#include "kernels/conv.h"
#include "kernels/cpu.h"
#include "kernels/norm.h"
#include <omp.h>
#include <stdint.h>
#include <string.h>

typedef float v16 __attribute__((vector_size(64)));
typedef int32_t i16 __attribute__((vector_size(64)));
typedef float v16u
    __attribute__((vector_size(64), aligned(4))); /* the same in memory of any alignment */

enum { MAX_COORDS = 216, CG = 16 * COLS, MAX_INPUTS = 8, LEAF_TILES = 256 };

typedef struct {
    int m[3], t[3], coords, outputs;
    int64_t grid[3], tiles; /* per sample */
    int64_t extent[3];      /* of the output = of the input */
    int64_t ci, co;         /* padded to 16 and to CG */
    int64_t block;          /* tiles per block of the forward pass */
} wino_geo;

#include "kernels/x86/wino_math.h"

static int tile_size(int kernel, int64_t extent) { return kernel == 1 ? 1 : extent > 4 ? 4 : 2; }

static void make_geo(wino_geo *g, const sf_conv *c, bool swap)
{
    const int64_t extent[3] = { c->out.d, c->out.h, c->out.w };
    g->coords = g->outputs = 1;
    g->tiles = 1;
    for (int a = 0; a < 3; a++) {
        g->m[a] = tile_size(c->kernel[a], extent[a]);
        g->t[a] = c->kernel[a] == 1 ? 1 : g->m[a] + 2;
        g->extent[a] = extent[a];
        g->grid[a] = (extent[a] + g->m[a] - 1) / g->m[a];
        g->coords *= g->t[a];
        g->outputs *= g->m[a];
        g->tiles *= g->grid[a];
    }
    const int64_t from = swap ? c->out.c : c->in.c, to = swap ? c->in.c : c->out.c;
    g->ci = sf_cpad(from);
    g->co = (to + CG - 1) / CG * CG;
    g->block = ROWS * (g->ci <= 32 ? 2 : 1) * (g->coords <= 36 ? 6 : 1);
    if (g->block > g->tiles) g->block = g->tiles;
}

/* Floats of the parts of the workspace; every part starts on a cache line. */
static int64_t u_pitch(const wino_geo *g)
{
    return g->ci * CG + 32;
} /* no multiple of 4 KiB between coordinates */
static size_t u_size(const wino_geo *g) { return (size_t)(g->coords * u_pitch(g) * (g->co / CG)); }
enum { DU_PITCH = 16 * CG + 16 };
static size_t du_size(const wino_geo *g) { return (size_t)(g->coords * DU_PITCH); }
static size_t v_size(const wino_geo *g, int64_t tiles)
{
    return (size_t)(g->coords * (g->ci * tiles + 32));
}
static size_t thread_size(const wino_geo *g)
{
    return v_size(g, g->block) + (size_t)(g->coords * g->block * CG) +
           (size_t)(2 * MAX_COORDS * 16);
}
static int64_t leaf_tiles(const wino_geo *g)
{
    return g->tiles < LEAF_TILES ? g->tiles : LEAF_TILES;
}
static size_t wgrad_size(const wino_geo *g, int threads)
{
    const int64_t n = leaf_tiles(g);
    const size_t du = g->tiles > LEAF_TILES ? du_size(g) * (size_t)(g->ci / 16 * (g->co / CG)) : 0;
    return v_size(g, n) + (size_t)(g->coords * (g->co * n + 32)) + du +
           (size_t)threads * (du_size(g) + 2 * MAX_COORDS * 16);
}

static bool accepts(const sf_conv *c)
{
    bool any = false;
    for (int a = 0; a < 3; a++) {
        if (c->stride[a] != 1) return false;
        any = any || c->kernel[a] == 3;
    }
    return any && !c->exact && c->dtype == SF_F32 && c->in.c >= 16 && c->out.c >= 16 &&
           c->out.h * c->out.w >= 4;
}

/* The vector path wants whole volumes and channel blocks that are multiples of 16; anything else is
 * left to sgemm. */
static bool whole(const sf_view *v)
{
    for (int a = 0; a < 3; a++) {
        if (v->origin[a] || v->halo[a][0] || v->halo[a][1]) return false;
    }
    return v->extent[0] == v->shape.d && v->extent[1] == v->shape.h && v->extent[2] == v->shape.w;
}

static bool simple_inputs(const sf_input *in, int n)
{
    for (int i = 0; i < n; i++) {
        if (!whole(&in[i].x) || (i + 1 < n && in[i].x.shape.c % 16)) return false;
    }
    return n <= MAX_INPUTS;
}

static void tile_origin(const wino_geo *g, int64_t tile, int64_t o[3])
{
    o[2] = tile % g->grid[2] * g->m[2];
    o[1] = tile / g->grid[2] % g->grid[1] * g->m[1];
    o[0] = tile / g->grid[2] / g->grid[1] * g->m[0];
}

/* --- loading ------------------------------------------------------------------------------------
 */

typedef struct {
    const float *data; /* channel block of sample n */
    int64_t sd, sh;
    bool rule;
    v16 scale, shift;
    float slope;
} source;

static void open_source(source *s, const sf_input *in, int64_t n, int64_t block)
{
    const sf_view *x = &in->x;
    s->data = (const float *)x->data + n * x->stride_n + block * x->stride_c;
    s->sd = x->stride_d;
    s->sh = x->stride_h;
    s->rule = in->scale != NULL;
    s->slope = (float)in->slope;
    if (!s->rule) return;
    const int64_t at = n * sf_cpad(x->shape.c) + block * 16;
    s->scale = *(const v16u *)((const float *)in->scale + at);
    s->shift = *(const v16u *)((const float *)in->shift + at);
}

/* 0 <= slope <= 1 */
static inline v16 apply(const source *s, v16 x)
{
    const v16 t = s->scale * x + s->shift, low = s->slope * t;
    const i16 pos = t > 0.0f;
    return (v16)(((i16)t & pos) | ((i16)low & ~pos));
}

static inline v16 load(const source *s, const float *p)
{
    const v16 x = *(const v16u *)p;
    return s->rule ? apply(s, x) : x;
}

/* A tile's window of `size` points per axis from `from`, zero outside [lo, hi). */
typedef struct {
    int64_t lo[3], hi[3];
} limits;

static inline bool inside(const limits *l, const int64_t from[3], const int size[3])
{
    for (int a = 0; a < 3; a++) {
        if (from[a] < l->lo[a] || from[a] + size[a] > l->hi[a]) return false;
    }
    return true;
}

static inline __attribute__((always_inline)) void gather_inside(const source *s,
                                                                const int64_t from[3], int n0,
                                                                int n1, int n2, int t1, int t2,
                                                                v16 *d)
{
    for (int z = 0; z < n0; z++) {
        for (int y = 0; y < n1; y++) {
            const float *p = s->data + (from[0] + z) * s->sd + (from[1] + y) * s->sh + from[2] * 16;
            v16 *row = d + (z * t1 + y) * t2;
            if (s->rule) {
                for (int x = 0; x < n2; x++) row[x] = apply(s, *(const v16u *)(p + x * 16));
            } else {
                for (int x = 0; x < n2; x++) row[x] = *(const v16u *)(p + x * 16);
            }
        }
    }
}

static inline void gather_border(const wino_geo *g, const source *s, const int64_t from[3],
                                 const int size[3], const limits *l, v16 *d)
{
    for (int z = 0; z < size[0]; z++) {
        for (int y = 0; y < size[1]; y++) {
            v16 *row = d + (z * g->t[1] + y) * g->t[2];
            const int64_t pz = from[0] + z, py = from[1] + y;
            const bool in = pz >= l->lo[0] && pz < l->hi[0] && py >= l->lo[1] && py < l->hi[1];
            const float *p = s->data + pz * s->sd + py * s->sh;
            for (int x = 0; x < size[2]; x++) {
                const int64_t px = from[2] + x;
                row[x] = in && px >= l->lo[2] && px < l->hi[2] ? load(s, p + px * 16) : (v16){ 0 };
            }
        }
    }
}

static void gather(const wino_geo *g, const source *s, const int64_t from[3], const int size[3],
                   const limits *l, v16 *d)
{
    if (!inside(l, from, size))
        gather_border(g, s, from, size, l, d);
    else if (size[0] == 6 && size[1] == 6 && size[2] == 6)
        gather_inside(s, from, 6, 6, 6, 6, 6, d);
    else if (size[0] == 1 && size[1] == 6 && size[2] == 6)
        gather_inside(s, from, 1, 6, 6, 6, 6, d);
    else
        gather_inside(s, from, size[0], size[1], size[2], g->t[1], g->t[2], d);
}

static limits whole_volume(const wino_geo *g)
{
    return (limits){ { 0 }, { g->extent[0], g->extent[1], g->extent[2] } };
}

/* V[coordinate][channel block][tile][16] of `count` tiles from tile `first`, one channel block. */
static void fill_v(const wino_geo *g, const source *s, int64_t first, int64_t count, int64_t block,
                   float *v, v16 *cube)
{
    const int64_t pitch = g->ci * count + 32;
    const limits l = whole_volume(g);
    for (int64_t i = 0; i < count; i++) {
        int64_t o[3];
        tile_origin(g, first + i, o);
        for (int a = 0; a < 3; a++) o[a] -= (g->t[a] - g->m[a]) / 2;
        gather(g, s, o, g->t, &l, cube);
        input_transform(cube, g);
        float *to = v + (block * count + i) * 16;
        for (int k = 0; k < g->coords; k++) *(v16u *)(to + k * pitch) = cube[k];
    }
}

/* --- weights ------------------------------------------------------------------------------------
 */

/* CG outputs of one input, `pitch` floats between coordinates. `swap`: gradient of the input = the
 * same convolution with the taps reversed and the roles of the channels exchanged. */
static void fill_u(const wino_geo *g, const sf_conv *c, const float *w, bool swap, int64_t group,
                   int64_t in, float *to, int64_t pitch, v16 *cube)
{
    const int taps[3] = { c->kernel[0], c->kernel[1], c->kernel[2] };
    const int count = taps[0] * taps[1] * taps[2];
    const int64_t ni = swap ? c->out.c : c->in.c, no = swap ? c->in.c : c->out.c;
    for (int64_t col = 0; col < COLS; col++) {
        float *taps_of = (float *)cube;
        memset(cube, 0, sizeof(v16) * (size_t)g->coords);
        for (int lane = 0; lane < 16; lane++) {
            const int64_t out = group * CG + col * 16 + lane;
            if (in >= ni || out >= no) continue;
            const float *k = w + (swap ? in * c->in.c + out : out * c->in.c + in) * count;
            for (int i = 0; i < count; i++) {
                const int from = swap ? count - 1 - i : i, x = i % taps[2],
                          y = i / taps[2] % taps[1], z = i / taps[2] / taps[1];
                taps_of[((z * g->t[1] + y) * g->t[2] + x) * 16 + lane] = k[from];
            }
        }
        weight_transform(cube, g);
        for (int i = 0; i < g->coords; i++) *(v16u *)(to + i * pitch + col * 16) = cube[i];
    }
}

/* --- products -----------------------------------------------------------------------------------
 */

/* M[rows][CG] (+)= V[rows x ci] * U[ci x CG]; V is [ci/16][tiles][16]. */
static inline __attribute__((always_inline)) void
product(int rows, int64_t ci, int64_t tiles, const float *v, const float *u, bool add, float *m)
{
    v16 acc[ROWS][COLS];
    for (int r = 0; r < rows; r++) {
        for (int j = 0; j < COLS; j++)
            acc[r][j] = add ? *(const v16u *)(m + r * CG + j * 16) : (v16){ 0 };
    }
    for (int64_t b = 0; b < ci / 16; b++) {
        const float *row = v + b * tiles * 16;
        for (int k = 0; k < 16; k++, u += CG) {
            v16 w[COLS];
            for (int j = 0; j < COLS; j++) w[j] = *(const v16u *)(u + j * 16);
            for (int r = 0; r < rows; r++) {
                const v16 x = row[r * 16 + k] - (v16){ 0 };
                for (int j = 0; j < COLS; j++) acc[r][j] += x * w[j];
            }
        }
    }
    for (int r = 0; r < rows; r++) {
        for (int j = 0; j < COLS; j++) *(v16u *)(m + r * CG + j * 16) = acc[r][j];
    }
}

/* `count` rows of M from tiles that lie `tiles` apart between channel blocks. */
static void product_tiles(int64_t count, int64_t tiles, int64_t ci, const float *v, const float *u,
                          bool add, float *m)
{
    int64_t r = 0;
    for (; r + ROWS <= count; r += ROWS) product(ROWS, ci, tiles, v + r * 16, u, add, m + r * CG);
    for (; r + ROWS / 3 <= count; r += ROWS / 3)
        product(ROWS / 3, ci, tiles, v + r * 16, u, add, m + r * CG);
    for (; r < count; r++) product(1, ci, tiles, v + r * 16, u, add, m + r * CG);
}

/* --- storing ------------------------------------------------------------------------------------
 */

typedef struct {
    const sf_view *view;
    const bool *accumulate;
    int n;
    const float *bias; /* NULL = none */
    int64_t channels;
} target;

/* The outputs of one tile, 16 channels from `channel`, into the view that holds them. */
static void store_tile(const wino_geo *g, const target *t, int64_t n, int64_t tile, int64_t channel,
                       const v16 *cube)
{
    int64_t first = 0, o[3];
    int i = 0;
    while (i + 1 < t->n && channel >= first + t->view[i].shape.c) first += t->view[i++].shape.c;
    const sf_view *y = &t->view[i];
    if (channel >= t->channels) return;
    const bool add = t->accumulate && t->accumulate[i];
    tile_origin(g, tile, o);
    float *base = (float *)y->data + n * y->stride_n + (channel - first) / 16 * y->stride_c;
    v16 bias = { 0 };
    for (int lane = 0; t->bias && lane < 16 && channel + lane < t->channels; lane++)
        bias[lane] = t->bias[channel + lane];
    for (int z = 0; z < g->m[0] && o[0] + z < g->extent[0]; z++) {
        for (int yy = 0; yy < g->m[1] && o[1] + yy < g->extent[1]; yy++) {
            float *p = base + (o[0] + z) * y->stride_d + (o[1] + yy) * y->stride_h + o[2] * 16;
            const v16 *row = cube + (z * g->t[1] + yy) * g->t[2];
            for (int x = 0; x < g->m[2] && o[2] + x < g->extent[2]; x++, p += 16) {
                *(v16u *)p = add ? *(v16u *)p + row[x] : row[x] + bias;
            }
        }
    }
}

/* --- forward and gradient of the input ----------------------------------------------------------
 */

typedef struct {
    wino_geo g;
    const sf_conv *c;
    const sf_input *in;
    int n_in;
    target to;
    float *u, *threads; /* workspace */
} pass;

static void load_block(const pass *p, int64_t n, int64_t first, int64_t count, float *v, v16 *cube)
{
    int64_t block = 0;
    for (int i = 0; i < p->n_in; i++) {
        for (int64_t b = 0; b < sf_cpad(p->in[i].x.shape.c) / 16; b++, block++) {
            source s;
            open_source(&s, &p->in[i], n, b);
            fill_v(&p->g, &s, first, count, block, v, cube);
        }
    }
}

/* Back-transform of one tile and 16 outputs; m = its row in M[coordinate][count][CG]. */
static void store_product(const pass *p, int64_t n, int64_t tile, int64_t group, int64_t col,
                          const float *m, int64_t count, v16 *cube)
{
    for (int k = 0; k < p->g.coords; k++) cube[k] = *(const v16u *)(m + k * count * CG + col * 16);
    output_transform(cube, &p->g);
    store_tile(&p->g, &p->to, n, tile, group * CG + col * 16, cube);
}

static void run_block(const pass *p, int64_t n, int64_t first, float *work)
{
    const wino_geo *g = &p->g;
    const int64_t count = first + g->block <= g->tiles ? g->block : g->tiles - first,
                  pitch = g->ci * count + 32;
    v16 *cube = (v16 *)work;
    float *v = work + 2 * MAX_COORDS * 16, *m = v + v_size(g, g->block);
    load_block(p, n, first, count, v, cube);
    for (int64_t group = 0; group < g->co / CG; group++) {
        const float *u = p->u + group * g->coords * u_pitch(g);
        for (int k = 0; k < g->coords; k++) {
            product_tiles(count, count, g->ci, v + k * pitch, u + k * u_pitch(g), false,
                          m + k * count * CG);
        }
        for (int64_t i = 0; i < count * COLS; i++)
            store_product(p, n, first + i / COLS, group, i % COLS, m + i / COLS * CG, count, cube);
    }
}

/* Few tiles, many channels: U of 16 inputs x CG outputs is made in the cache and used at once for
 * the tiles of all samples. */
enum { DEEP_TILES = 48 };
static bool is_deep(const wino_geo *g, int64_t samples)
{
    return samples * g->tiles <= DEEP_TILES && g->ci * g->co >= 96 * 96;
}

static size_t deep_size(const wino_geo *g, int64_t samples, int threads)
{
    const size_t own =
        du_size(g) + (size_t)(g->coords * samples * g->tiles * CG) + 2 * MAX_COORDS * 16;
    return (size_t)samples * v_size(g, g->tiles) + (size_t)threads * own;
}

static void deep_group(const pass *p, const float *weight, bool swap, int64_t group, float *work)
{
    const wino_geo *g = &p->g;
    const int64_t samples = p->c->in.n, tiles = g->tiles, pitch = g->ci * tiles + 32,
                  rows = samples * tiles;
    v16 *cube = (v16 *)work;
    float *u = work + 2 * MAX_COORDS * 16, *m = u + du_size(g);
    for (int64_t b = 0; b < g->ci / 16; b++) {
        for (int64_t i = 0; i < 16; i++)
            fill_u(g, p->c, weight, swap, group, b * 16 + i, u + i * CG, DU_PITCH, cube);
        for (int k = 0; k < g->coords; k++) {
            for (int64_t n = 0; n < samples; n++) {
                const float *v = p->u + (size_t)n * v_size(g, tiles) + k * pitch + b * tiles * 16;
                product_tiles(tiles, tiles, 16, v, u + k * DU_PITCH, b > 0,
                              m + (k * rows + n * tiles) * CG);
            }
        }
    }
    for (int64_t i = 0; i < rows * COLS; i++) {
        const int64_t row = i / COLS;
        store_product(p, row / tiles, row % tiles, group, i % COLS, m + row * CG, rows, cube);
    }
}

static void deep_channel(const pass *p, int64_t n, int64_t block, float *work)
{
    int64_t b = block;
    int i = 0;
    while (i + 1 < p->n_in && b >= sf_cpad(p->in[i].x.shape.c) / 16)
        b -= sf_cpad(p->in[i++].x.shape.c) / 16;
    source s;
    open_source(&s, &p->in[i], n, b);
    fill_v(&p->g, &s, 0, p->g.tiles, block, p->u + (size_t)n * v_size(&p->g, p->g.tiles),
           (v16 *)work);
}

static void run_deep(pass *p, const float *weight, bool swap, int threads)
{
    const wino_geo *g = &p->g;
    const int64_t samples = p->c->in.n, blocks = g->ci / 16;
    const size_t own =
        du_size(g) + (size_t)(g->coords * samples * g->tiles * CG) + 2 * MAX_COORDS * 16;
    p->threads = p->u + (size_t)samples * v_size(g, g->tiles);
#pragma omp parallel num_threads(threads)
    {
        float *work = p->threads + (size_t)omp_get_thread_num() * own;
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < samples * blocks; i++)
            deep_channel(p, i / blocks, i % blocks, work);
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < g->co / CG; i++) deep_group(p, weight, swap, i, work);
    }
}

static float *align64(void *p) { return (float *)(((uintptr_t)p + 63) / 64 * 64); }

static void run_pass(pass *p, const float *weight, bool swap, void *space, int threads)
{
    const wino_geo *g = &p->g;
    p->u = align64(space);
    if (is_deep(g, p->c->in.n)) {
        run_deep(p, weight, swap, threads);
        return;
    }
    p->threads = p->u + u_size(g);
    const int64_t groups = g->co / CG, blocks = (g->tiles + g->block - 1) / g->block;
    const int64_t samples = p->c->in.n;
#pragma omp parallel num_threads(threads)
    {
        float *work = p->threads + (size_t)omp_get_thread_num() * thread_size(g);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < groups * g->ci; i++) {
            const int64_t group = i / g->ci, in = i % g->ci;
            fill_u(g, p->c, weight, swap, group, in,
                   p->u + group * g->coords * u_pitch(g) + in * CG, u_pitch(g), (v16 *)work);
        }
#pragma omp for schedule(dynamic, 1)
        for (int64_t i = 0; i < samples * blocks; i++)
            run_block(p, i / blocks, i % blocks * g->block, work);
    }
}

static size_t pass_size(const wino_geo *g, int64_t samples, int threads)
{
    return is_deep(g, samples) ? deep_size(g, samples, threads)
                               : u_size(g) + (size_t)threads * thread_size(g);
}

static size_t scratch(const sf_conv *c, int threads)
{
    wino_geo f, b;
    make_geo(&f, c, false);
    make_geo(&b, c, true);
    size_t n = pass_size(&f, c->in.n, threads);
    const size_t back = pass_size(&b, c->in.n, threads), grad = wgrad_size(&f, threads);
    if (back > n) n = back;
    if (grad > n) n = grad;
    n = n * sizeof(float) + 64;
    const size_t other = sf_conv_gemm.scratch(c, threads);
    return n > other ? n : other;
}

static sf_status forward(const sf_conv *c, const sf_conv_fwd *a, void *space)
{
    if (!simple_inputs(a->in, a->n_in) || !whole(&a->out)) return sf_conv_gemm.forward(c, a, space);
    pass p = {
        .c = c, .in = a->in, .n_in = a->n_in, .to = { &a->out, NULL, 1, a->bias, c->out.c }
    };
    make_geo(&p.g, c, false);
    run_pass(&p, a->weight, false, space, a->threads);
    if (a->stats) sf_norm_stats(&a->out, a->stats, a->threads);
    return SF_OK;
}

static sf_status backward_data(const sf_conv *c, const sf_conv_bwd_data *a, void *space)
{
    const sf_input in = { .x = a->dout };
    bool simple = whole(&a->dout);
    for (int i = 0; i < a->n_in; i++)
        simple = simple && whole(&a->din[i]) && (i + 1 == a->n_in || a->din[i].shape.c % 16 == 0);
    if (!simple) return sf_conv_gemm.backward_data(c, a, space);
    pass p = {
        .c = c, .in = &in, .n_in = 1, .to = { a->din, a->accumulate, a->n_in, NULL, c->in.c }
    };
    make_geo(&p.g, c, true);
    run_pass(&p, a->weight, true, space, a->threads);
    return SF_OK;
}

#include "kernels/x86/wino_wgrad.h"

const sf_conv_impl SF_ISA_NAME(sf_conv_wino) = { .name = SF_WINO_TEXT,
                                                 .isa = SF_WINO_ISA,
                                                 .accepts = accepts,
                                                 .scratch = scratch,
                                                 .forward = forward,
                                                 .backward_data = backward_data,
                                                 .backward_weight = backward_weight };
