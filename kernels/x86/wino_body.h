/* Winograd convolution, 3 taps per axis at stride 1 or 2, or 1 tap (that axis has tiles of 1),
 * in float32; views may be stored in bfloat16, which the transforms widen on load and round on
 * store. Included by wino_avx2.c, wino_avx512.c and wino_bf16.c after their vec_*.h, with ROWS =
 * tiles of a register tile of the products.
 *
 * Work per sample: tiles of m outputs and t = m+2 inputs per axis; V = transformed inputs, U =
 * transformed weights; per coordinate one small matrix product; back-transform. All tile grids are
 * anchored to the whole volume, every sum runs in one order that depends on the shape alone: the
 * same bits for any number of threads and for any cut into slabs. conv-study sections 5.2 and 7. */
#include "base/error.h"
#include "kernels/conv.h"
#include "kernels/cpu.h"
#include "kernels/gather.h"
#include "kernels/norm.h"
#include "kernels/view.h"
#include "kernels/x86/wino_math.h"
#include <omp.h>
#include <string.h>

enum {
    MAX_COORDS = 216,
    MAX_OUTPUTS = 4,        /* of a tile along an axis, forward */
    CG = 32,                /* output channels of a group */
    OB = CG / SF_CBLOCK,    /* the same in blocks */
    COLS = CG / (2 * VLEN), /* register tiles are two vectors wide */
    MAX_BLOCK = 72,         /* tiles of a block */
    UNIT = 12,              /* statistics are summed over so many tiles; blocks have whole units */
    AHEAD = 24 * CG,        /* floats of U fetched before they are used */
    PAD = 32,               /* floats between coordinates: no multiple of 4 KiB */
    CUBE = MAX_COORDS * SF_CBLOCK,
    NEAR_ROWS = 24, /* rows of M between two transforms */
    NEAR_PITCH = NEAR_ROWS * CG + SF_CBLOCK,
    NEAR = 6 * NEAR_PITCH,
    TAPS = 16 * 27 * SF_CBLOCK /* floats: the taps of 16 inputs */
};

typedef struct {
    wino_kind kind[3];
    int m[3], t[3], coords;       /* outputs and points of a tile */
    int inner;                    /* axis whose points follow each other among the coordinates */
    int64_t step[3];              /* coordinates from point to point of an axis */
    int64_t grid[3], tiles;       /* per sample */
    int64_t source[3], extent[3]; /* of what is read and of what is written */
    int64_t ib, ob, groups;       /* input and output blocks of 16, output groups */
    int64_t block;                /* tiles per block of a pass */
} wino_geo;

static wino_kind kind_of(int kernel, int stride, int64_t extent, bool gradient)
{
    if (kernel == 1) return K1;
    if (stride == 2) return gradient ? KD : KS;
    return extent > 6 ? K4 : K2;
}

/* A second-level cache of 2 MiB stands before a slow third level: there what is worked on must fit.
 * Smaller ones stand before a fast one. Sizes of blocks change the speed alone, never a bit. */
static bool is_large(int64_t l2) { return l2 >= 3 << 19; }
static bool fits(int64_t bytes, int64_t l2) { return bytes <= l2 * 7 / 8; }

/* Tiles whose V and M stay about in L2, with U where that is possible. */
static int64_t block_tiles(const wino_geo *g)
{
    const int64_t l2 = sf_cpu_l2_bytes(), tile = g->coords * (g->ib * SF_CBLOCK + CG) * 4;
    const int64_t u = g->coords * g->ib * SF_CBLOCK * g->groups * CG * 4;
    const int64_t kept = u > l2 / 2 ? 0 : u; /* what is larger is read anew for every block */
    const bool small = is_large(l2) && u < 2 * l2 && !fits(2 * UNIT * tile + kept, l2) &&
                       fits(UNIT * tile + kept, l2);
    const int64_t least = small ? UNIT : 2 * UNIT;
    const int64_t n = (400 << 10) / tile / UNIT * UNIT;
    return n < least ? least : n > MAX_BLOCK ? MAX_BLOCK : n;
}

/* gradient: of the input, from the output's gradient */
static wino_geo make_geo(const sf_conv *c, int64_t in_blocks, int64_t out_blocks, bool gradient)
{
    wino_geo g = { .coords = 1, .tiles = 1, .ib = in_blocks, .ob = out_blocks };
    const sf_shape from = gradient ? c->out : c->in, to = gradient ? c->in : c->out;
    const int64_t source[3] = { from.d, from.h, from.w }, extent[3] = { to.d, to.h, to.w };
    for (int a = 0; a < 3; a++) {
        g.kind[a] = kind_of(c->kernel[a], c->stride[a], extent[a], gradient);
        g.m[a] = kind_outputs(g.kind[a]);
        g.t[a] = kind_points(g.kind[a]);
        g.source[a] = source[a];
        g.extent[a] = extent[a];
        g.grid[a] = (extent[a] + g.m[a] - 1) / g.m[a];
        g.coords *= g.t[a];
        g.tiles *= g.grid[a];
    }
    g.inner = g.kind[0] == K1 ? 1 : 0;
    g.step[g.inner] = 1;
    g.step[2] = g.t[g.inner];
    g.step[1 - g.inner] = g.inner == 0 ? g.t[0] * g.t[2] : 0;
    g.groups = (out_blocks + OB - 1) / OB;
    g.block = block_tiles(&g);
    return g;
}

static void tile_origin(const wino_geo *g, int64_t tile, int64_t o[3])
{
    o[2] = tile % g->grid[2] * g->m[2];
    o[1] = tile / g->grid[2] % g->grid[1] * g->m[1];
    o[0] = tile / g->grid[2] / g->grid[1] * g->m[0];
}

/* Global voxels. */
typedef struct {
    int64_t lo[3], hi[3];
} limits;

static limits whole_source(const wino_geo *g)
{
    return (limits){ { 0 }, { g->source[0], g->source[1], g->source[2] } };
}

static limits held(const sf_view *v)
{
    const int64_t *o = v->origin;
    return (limits){ { o[0], o[1], o[2] },
                     { o[0] + v->shape.d, o[1] + v->shape.h, o[2] + v->shape.w } };
}

/* A tile: its number, its first output, where its statistics are summed (wino_pass.h). */
typedef struct {
    int64_t tile, o[3];
    double *sums;
} spot;

/* Tiles of [first, end) that meet the box. */
static int64_t list_tiles(const wino_geo *g, int64_t first, int64_t end, const limits *l,
                          spot *list)
{
    int64_t n = 0;
    for (int64_t t = first; t < end; t++) {
        spot *s = &list[n];
        s->tile = t;
        tile_origin(g, t, s->o);
        bool meets = true;
        for (int a = 0; a < 3; a++)
            meets = meets && s->o[a] < l->hi[a] && s->o[a] + g->m[a] > l->lo[a];
        n += meets;
    }
    return n;
}

/* Lane 0 of global voxel (0,0,0) of a channel block, wherever the part that is held begins. */
static void *view_base(const sf_view *v, int64_t n, int64_t cb)
{
    return (char *)v->data + sf_view_offset(v, n, cb, -v->origin[0], -v->origin[1], -v->origin[2]) *
                                 (int64_t)sf_dtype_size(v->dtype);
}

/* --- loading -------------------------------------------------------------------------------- */

typedef struct {
    const void *data;
    bool half; /* bfloat16, not float */
    int64_t sd, sh;
    const float *scale, *shift; /* NULL: raw */
    float slope;                /* 0 <= slope <= 1 */
} source;

static source open_source(const sf_input *in, int64_t n, int64_t cb)
{
    const int64_t at = n * sf_cpad(in->x.shape.c) + cb * SF_CBLOCK;
    return (source){ .data = view_base(&in->x, n, cb),
                     .half = in->x.dtype == SF_BF16,
                     .sd = in->x.stride_d,
                     .sh = in->x.stride_h,
                     .scale = in->scale ? (const float *)in->scale + at : NULL,
                     .shift = in->scale ? (const float *)in->shift + at : NULL,
                     .slope = (float)in->slope };
}

/* A tile's window from `from`: nx x nz lines along y, each transformed along y into the cube, whose
 * planes are those of x. `sum`: the values of the window are added up there (gradients of the
 * bias), or NULL. */
typedef struct {
    const source *s;
    int64_t from[3];
    int nx, nz;
    limits l;        /* what lies outside reads as zero */
    int64_t next[3]; /* the first column that the next tile loads: fetched ahead */
    int64_t plane, line;
    float *cube, *sum;
} window;

FLAT void load_lines(const window *w, const wino_op op, const wino_kind k, const bool rule,
                     const bool half, const bool border)
{
    const source *s = w->s;
    const int n = op_reads(op, k);
    int64_t at[6];
    V keep[6], sum[BLOCK_V];
    for (int i = 0; i < BLOCK_V; i++) sum[i] = v_zero();
#pragma GCC unroll 6
    for (int i = 0; i < n; i++) {
        int64_t y = w->from[1] + i;
        keep[i] = v_mask(y >= w->l.lo[1] && y < w->l.hi[1]);
        if (border && y < w->l.lo[1]) y = w->l.lo[1];
        if (border && y >= w->l.hi[1]) y = w->l.hi[1] - 1;
        at[i] = y * s->sh;
    }
    const int64_t ahead = (w->next[0] - w->from[0]) * s->sd + w->next[1] * s->sh +
                          (w->next[2] - w->from[2]) * SF_CBLOCK;
    const V slope = v_set1(s->slope);
    V scale[BLOCK_V], shift[BLOCK_V];
    for (int h = 0; h < BLOCK_V && rule; h++) {
        scale[h] = v_load(s->scale + h * VLEN);
        shift[h] = v_load(s->shift + h * VLEN);
    }
    for (int z = 0; z < w->nz; z++)
        for (int x = 0; x < w->nx; x++) {
            const int64_t gz = w->from[0] + z, gx = w->from[2] + x;
            const bool in = !border || (gz >= w->l.lo[0] && gz < w->l.hi[0] && gx >= w->l.lo[2] &&
                                        gx < w->l.hi[2]);
            const void *p = v_address(s->data, gz * s->sd + gx * SF_CBLOCK, half);
            float *to = w->cube + x * w->plane + z * w->line;
#pragma GCC unroll 2
            for (int h = 0; h < BLOCK_V; h++) {
                V v[6];
#pragma GCC unroll 6
                for (int i = 0; i < 6; i++) v[i] = v_zero();
                if (in) {
#pragma GCC unroll 6
                    for (int i = 0; i < n; i++) {
                        v[i] = v_get(p, at[i] + h * VLEN, half);
                        if (rule) {
                            const V t = v_fma(scale[h], v[i], shift[h]);
                            v[i] = v_max(t, v_mul(slope, t));
                        }
                        if (border) v[i] = v_and(v[i], keep[i]);
                        if (op == ADJ) sum[h] = v_add(sum[h], v[i]);
                    }
                    op_apply(op, k, v);
                }
#pragma GCC unroll 6
                for (int i = 0; i < op_writes(op, k); i++)
                    v_store(to + i * SF_CBLOCK + h * VLEN, v[i]);
            }
            if (half && x % 2) continue; /* a line of 64 bytes holds two columns */
#pragma GCC unroll 6
            for (int i = 0; i < n; i++)
                _mm_prefetch(v_address(p, ahead + i * s->sh, half), _MM_HINT_T1);
        }
    if (op == ADJ && w->sum)
        for (int h = 0; h < BLOCK_V; h++) v_store(w->sum + h * VLEN, sum[h]);
}

FLAT void load_stored(const window *w, const wino_op op, const wino_kind k, const bool half,
                      bool border)
{
    if (op == IN && w->s->scale && border)
        load_lines(w, op, k, op == IN, half, true);
    else if (op == IN && w->s->scale)
        load_lines(w, op, k, op == IN, half, false);
    else if (border)
        load_lines(w, op, k, false, half, true);
    else
        load_lines(w, op, k, false, half, false);
}

#define LOAD(NAME, op, k)                                                                          \
    static void NAME(const window *w, bool border)                                                 \
    {                                                                                              \
        if (w->s->half)                                                                            \
            load_stored(w, op, k, true, border);                                                   \
        else                                                                                       \
            load_stored(w, op, k, false, border);                                                  \
    }
LOAD(load_in1, IN, K1)
LOAD(load_in2, IN, K2)
LOAD(load_in4, IN, K4)
LOAD(load_in_s, IN, KS)
LOAD(load_in_d, IN, KD)
LOAD(load_adj1, ADJ, K1)
LOAD(load_adj2, ADJ, K2)
LOAD(load_adj4, ADJ, K4)
LOAD(load_adj_s, ADJ, KS)
#undef LOAD

typedef void load_fn(const window *w, bool border);
static load_fn *const load_in[] = { load_in1, load_in2, load_in4, load_in_s, load_in_d };
static load_fn *const load_adj[] = { load_adj1, load_adj2, load_adj4, load_adj_s };

static bool follows(const spot *s, const spot *before)
{
    return s->tile == before->tile + 1 && s->o[2] != 0;
}

/* The window of a tile, its first `skip` columns left out. */
static void window_from(const wino_geo *g, wino_op op, const spot *s, int64_t skip, int64_t from[3])
{
    for (int a = 0; a < 3; a++) from[a] = op == IN ? kind_first(g->kind[a], s->o[a]) : s->o[a];
    from[2] += skip;
}

/* V of `count` tiles is [register tile of `group` rows][block][row][16], so that one product reads
 * it from end to end: float offset of tile i, block b. */
static int64_t row_at(int64_t group, int64_t blocks, int64_t count, int64_t b, int64_t i)
{
    const int64_t r0 = i / group * group, rows = count - r0 < group ? count - r0 : group;
    return (r0 * blocks + b * rows + i - r0) * SF_CBLOCK;
}

/* Where the coordinates of the tiles of block b go, from row `first` of `rows`. */
typedef struct {
    float *to;
    int64_t group, blocks, rows, b, first, pitch;
} places;

/* One channel block of the tiles of a list: windows -> all coordinates. op is IN (inputs under a
 * tile) or ADJ (output gradients of a tile). Neighbours along x share planes of the cube. `sums`:
 * 16 floats per tile, see window. */
static void transform_tiles(const wino_geo *g, wino_op op, const source *s, const spot *list,
                            int64_t count, const limits *l, const places *at, float *cube,
                            float *sums)
{
    const bool in = op == IN;
    const wino_kind *k = g->kind;
    const int n[3] = { op_reads(op, k[0]), op_reads(op, k[1]), op_reads(op, k[2]) };
    const int shared = in ? kind_window(k[2]) - kind_step(k[2]) : 0;
    const int64_t line = g->t[1] * SF_CBLOCK, plane = (n[0] < g->t[0] ? g->t[0] : n[0]) * line;
    const wino_walk z = { plane, SF_CBLOCK, line }, x = { line, SF_CBLOCK, plane };
    const wino_walk out = { g->step[0] * at->pitch, g->step[1] * at->pitch,
                            g->step[2] * at->pitch };
    window w = { .s = s, .nz = n[0], .l = *l, .line = line, .plane = plane };
    int64_t held = 0;
    for (int64_t i = 0; i < count; i++) {
        const int64_t next = i + 1 < count ? i + 1 : i;
        const int64_t then = follows(&list[next], &list[i]) ? shared : 0;
        w.nx = n[2] - (int)held;
        w.cube = cube + held * plane;
        w.sum = sums ? sums + i * SF_CBLOCK : NULL;
        window_from(g, op, &list[i], held, w.from);
        window_from(g, op, &list[next], then, w.next);
        const int64_t size[3] = { n[0], n[1], w.nx };
        bool border = false;
        for (int a = 0; a < 3; a++)
            border = border || w.from[a] < l->lo[a] || w.from[a] + size[a] > l->hi[a];
        if (held > 0)
            memcpy(cube, cube + (n[2] - held) * plane, (size_t)(held * plane) * sizeof *cube);
        (in ? load_in : load_adj)[k[1]](&w, border);
        (in ? sweep_in : sweep_adj)(k[0], w.nx, g->t[1], w.cube, z, w.cube, z);
        (in ? sweep_in : sweep_adj)(
            k[2], g->t[0], g->t[1], cube, x,
            at->to + row_at(at->group, at->blocks, at->rows, at->b, at->first + i), out);
        held = then;
    }
}

#include "kernels/x86/wino_weights.h"

/* --- products ------------------------------------------------------------------------------- */

/* M[rows][2 vectors] (+)= V[rows x 16 blocks] * U[16 blocks x CG]; V is [block][row][16], `step`
 * floats between blocks. What is fetched ahead: U, or in a deep pass, where U stays near, `next`,
 * the V of the following call. */
FLAT void product(const int rows, int64_t blocks, const float *v, int64_t step, const float *u,
                  const bool add, const bool deep, float *m, const float *next)
{
    V acc[ROWS][2];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) acc[r][j] = add ? v_load(m + r * CG + j * VLEN) : v_zero();
    for (int64_t b = 0; b < blocks; b++, v += step)
        for (int k = 0; k < SF_CBLOCK; k++, u += CG, next += SF_CBLOCK) {
            const V w0 = v_load(u), w1 = v_load(u + VLEN);
            if (deep && rows == ROWS) _mm_prefetch((const char *)next, _MM_HINT_T0);
            if (!deep) _mm_prefetch((const char *)(u + AHEAD), _MM_HINT_T0);
            if (!deep && BLOCK_V == 1)
                _mm_prefetch((const char *)(u + AHEAD + SF_CBLOCK), _MM_HINT_T0);
#pragma GCC unroll 16
            for (int r = 0; r < rows; r++) {
                const V x = v_set1(v[r * SF_CBLOCK + k]);
                acc[r][0] = v_fma(x, w0, acc[r][0]);
                acc[r][1] = v_fma(x, w1, acc[r][1]);
            }
        }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) v_store(m + r * CG + j * VLEN, acc[r][j]);
}

/* Rows [first, end) of `count` for blocks [b0, b1) of the input; `first` on a register tile. */
FLAT void products_sized(const wino_geo *g, int64_t count, int64_t first, int64_t end, int64_t b0,
                         int64_t b1, const float *v, const float *u, const bool add,
                         const bool deep, float *m)
{
    for (int64_t r0 = first; r0 < end; r0 += ROWS) {
        const int64_t rows = count - r0 < ROWS ? count - r0 : ROWS, step = rows * SF_CBLOCK;
        const float *x = v + row_at(ROWS, g->ib, count, b0, r0);
        for (int c = 0; c < CG; c += 2 * VLEN) {
            float *to = m + (r0 - first) * CG + c;
            int64_t r = 0;
            if (rows == ROWS)
                product(ROWS, b1 - b0, x, step, u + c, add, deep, to,
                        v + row_at(ROWS, g->ib, count, b0, r0 + ROWS < count ? r0 + ROWS : 0));
            if (rows == ROWS) continue;
            for (; r + ROWS / 3 <= rows; r += ROWS / 3)
                product(ROWS / 3, b1 - b0, x + r * SF_CBLOCK, step, u + c, add, deep, to + r * CG,
                        x);
            for (; r < rows; r++)
                product(1, b1 - b0, x + r * SF_CBLOCK, step, u + c, add, deep, to + r * CG, x);
        }
    }
}

/* Points of one coordinate along the inner axis: products of some rows, then their transform, as
 * long as they lie in the nearest cache; of M stay the outputs of that axis. */
static void products_out(const wino_geo *g, int64_t count, const float *v, int64_t vp,
                         const float *u, int64_t up, float *m, int64_t mp, float *near)
{
    const int points = g->t[g->inner];
    const wino_walk from = { CG, SF_CBLOCK, NEAR_PITCH }, to = { CG, SF_CBLOCK, mp };
    for (int64_t r = 0; r < count; r += NEAR_ROWS) {
        const int64_t end = r + NEAR_ROWS < count ? r + NEAR_ROWS : count;
        for (int k = 0; k < points; k++)
            products_sized(g, count, r, end, 0, g->ib, v + k * vp, u + k * up, false, false,
                           near + k * NEAR_PITCH);
        sweep_out(g->kind[g->inner], (int)(end - r), OB, near, from, m + r * CG, to);
    }
}

/* Blocks [b0, b1) of the inputs; the first start the sums. */
static void products_part(const wino_geo *g, int64_t count, int64_t b0, int64_t b1, const float *v,
                          const float *u, float *m)
{
    if (b0 == 0)
        products_sized(g, count, 0, count, b0, b1, v, u, false, true, m);
    else
        products_sized(g, count, 0, count, b0, b1, v, u, true, true, m);
}

/* --- storing -------------------------------------------------------------------------------- */

typedef struct {
    void *data; /* global voxel (0,0,0) of the channel block */
    bool half;  /* bfloat16, not float */
    int64_t sd, sh;
    limits l;
    bool add, stream;
    float bias[SF_CBLOCK];
    double *sums; /* [slice of the tile][sum, squares][sums_row], this block's lanes; or NULL */
    int64_t sums_row;
    bool deep; /* slices along z */
} target;

/* Past the caches when `stream`. Returns what memory holds then. */
FLAT V store_one(void *data, int64_t at, V x, const bool half, bool stream)
{
    if (half) {
        const H r = v_round(x);
        if (stream)
            v_stream_half((uint16_t *)data + at, r);
        else
            v_store_half((uint16_t *)data + at, r);
        return v_widen(r);
    }
    if (stream)
        v_stream((float *)data + at, x);
    else
        v_store((float *)data + at, x);
    return x;
}

/* The last transform, along x; `from`: planes, rows, points. */
FLAT void store_rows(const wino_geo *g, const target *t, const wino_kind k, const bool half,
                     const int64_t o[3], const float *data, wino_walk from)
{
    const int m = kind_outputs(k);
    const int64_t x0 = o[2] < t->l.lo[2] ? t->l.lo[2] - o[2] : 0;
    const int64_t x1 = o[2] + m > t->l.hi[2] ? t->l.hi[2] - o[2] : m;
    for (int z = 0; z < g->m[0]; z++) {
        if (o[0] + z < t->l.lo[0] || o[0] + z >= t->l.hi[0]) continue;
#pragma GCC unroll 2
        for (int h = 0; h < SF_CBLOCK; h += VLEN) {
            const V bias = v_load(t->bias + h);
            V sum = v_zero(), square = v_zero();
            for (int y = 0; y < g->m[1]; y++) {
                if (o[1] + y < t->l.lo[1] || o[1] + y >= t->l.hi[1]) continue;
                const float *c = data + z * from.a + y * from.b + h;
                const int64_t at = (o[0] + z) * t->sd + (o[1] + y) * t->sh + o[2] * SF_CBLOCK + h;
                V v[6];
#pragma GCC unroll 6
                for (int i = 0; i < op_reads(OUT, k); i++) v[i] = v_load(c + i * from.step);
                op_apply(OUT, k, v);
#pragma GCC unroll 4
                for (int i = 0; i < m; i++) {
                    if (i < x0 || i >= x1) continue;
                    const V was = t->add ? v_get(t->data, at + i * SF_CBLOCK, half) : bias;
                    const V out =
                        store_one(t->data, at + i * SF_CBLOCK, v_add(was, v[i]), half, t->stream);
                    sum = v_add(sum, out);
                    square = v_fma(out, out, square);
                }
                if (t->sums && (!t->deep || y + 1 == g->m[1] || o[1] + y + 1 == t->l.hi[1])) {
                    double *to = t->sums + (t->deep ? z : y) * 2 * t->sums_row + h;
                    v_add_double(to, sum);
                    v_add_double(to + t->sums_row, square);
                    sum = square = v_zero();
                }
            }
        }
    }
}

FLAT void store_by_kind(const wino_geo *g, const target *t, const bool half, const int64_t o[3],
                        const float *data, wino_walk from)
{
    switch (g->kind[2]) {
    case K1:
        store_rows(g, t, K1, half, o, data, from);
        break;
    case K2:
        store_rows(g, t, K2, half, o, data, from);
        break;
    case K4:
        store_rows(g, t, K4, half, o, data, from);
        break;
    case KS:
        store_rows(g, t, KS, half, o, data, from);
        break;
    case KD:
        store_rows(g, t, KD, half, o, data, from);
        break;
    }
}

/* One tile, 16 outputs -> the view. M after the transform along the inner axis: `m` has the steps
 * of its axes. */
static void store_tile(const wino_geo *g, const target *t, const spot *s, const float *m,
                       const int64_t step[3], float *cube)
{
    wino_walk from = { step[0], step[1], step[2] };
    if (g->inner == 0) {
        const int64_t row = g->t[2] * SF_CBLOCK, plane = g->m[1] * row;
        const wino_walk y = { step[0], step[2], step[1] }, to = { plane, SF_CBLOCK, row };
        sweep_out(g->kind[1], g->m[0], g->t[2], m, y, cube, to);
        from = (wino_walk){ plane, row, SF_CBLOCK };
        m = cube;
    }
    if (t->half)
        store_by_kind(g, t, true, s->o, m, from);
    else
        store_by_kind(g, t, false, s->o, m, from);
}

/* Rounds up to whole cache lines. */
static size_t lines16(int64_t floats) { return (size_t)((floats + 15) / 16 * 16); }
static float *align64(void *p) { return (float *)(((uintptr_t)p + 63) / 64 * 64); }

#include "kernels/x86/wino_pass.h"
#include "kernels/x86/wino_wgrad.h"

/* --- the variant ---------------------------------------------------------------------------- */

static bool accepts(const sf_conv *c)
{
    bool any = false;
    for (int a = 0; a < 3; a++) {
        if (c->kernel[a] == 1 && c->stride[a] != 1) return false;
        any = any || c->kernel[a] == 3;
    }
    return any && !c->exact && SF_WINO_TYPES && c->in.c >= 16 && c->out.c >= 16 &&
           c->out.h * c->out.w >= 4;
}

static size_t scratch(const sf_conv *c, int threads)
{
    const int64_t in = c->in_blocks, out = sf_blocks(c->out.c);
    const wino_geo f = make_geo(c, in, out, false), b = make_geo(c, out, in, true);
    size_t n = pass_floats(&f, c->in.n, threads);
    const size_t back = pass_floats(&b, c->in.n, threads), grad = wgrad_floats(&f, threads);
    if (back > n) n = back;
    if (grad > n) n = grad;
    return n * sizeof(float) + 64;
}

const sf_conv_impl SF_ISA_NAME(sf_conv_wino) = { .name = SF_WINO_TEXT,
                                                 .isa = SF_WINO_ISA,
                                                 .accepts = accepts,
                                                 .scratch = scratch,
                                                 .forward = forward,
                                                 .backward_data = backward_data,
                                                 .backward_weight = backward_weight };
