#include "predict/sums.h"
#include "base/mem.h"
#include "predict/scratch.h"
#include <omp.h>
#include <string.h>

/* A *block* is what one line (z, y) of the image has of the sums of a fold: [heads][width]. Row z
 * of the image lies in slot z mod rows. */
struct sf_sums {
    const sf_sliding *t;
    sf_sums_options o;
    int team;
    int64_t block; /* floats of a block */
    float *memory; /* [folds][rows][height][block], or NULL: in the file */
    sf_scratch *file;
    float *weight; /* [rows][height][width] */
    float *window; /* [heads][patch]: sum over the mirrorings; NULL with one mirroring */
    float *work;   /* [team][work_size]: a block, then the answer's line [heads][patch width] */
    int64_t work_size;
};

/** The first failure of a team. */
typedef struct {
    sf_error_state e;
} failure;

static void note(failure *f, sf_status st)
{
#pragma omp critical(sf_sums_failure)
    if (f->e.status == SF_OK) sf_error_save(&f->e, st);
}

static sf_status raise(const failure *f)
{
    return f->e.status == SF_OK ? SF_OK : sf_error_restore(&f->e);
}

int64_t sf_sums_bytes(const sf_sliding *t, const sf_sums_options *o)
{
    return o->folds * o->rows * t->shape[1] * t->shape[2] * o->heads * (int64_t)sizeof(float);
}

static sf_status allocate(sf_sums *s)
{
    const sf_sliding *t = s->t;
    const sf_sums_options *o = &s->o;
    const int64_t bytes = sf_sums_bytes(t, o), plane = t->shape[1] * t->shape[2];
    const int64_t patch = t->patch[0] * t->patch[1] * t->patch[2];
    const bool fits = o->memory <= 0 || o->scratch_dir == NULL || bytes <= o->memory;
    if (fits)
        SF_TRY(sf_mem_calloc(&s->memory, (size_t)bytes, 1, SF_MEM_BATCH));
    else
        SF_TRY(sf_scratch_open(&s->file, o->scratch_dir, bytes));
    SF_TRY(sf_mem_calloc(&s->weight, (size_t)(o->rows * plane), sizeof(float), SF_MEM_BATCH));
    if (t->n_mirrors > 1)
        SF_TRY(sf_mem_alloc(&s->window, (size_t)(o->heads * patch), sizeof(float), SF_MEM_BATCH));
    s->work_size = s->block + o->heads * t->patch[2];
    return sf_mem_alloc(&s->work, (size_t)(s->team * s->work_size), sizeof(float), SF_MEM_BATCH);
}

sf_status sf_sums_create(sf_sums **out, const sf_sliding *t, const sf_sums_options *o)
{
    sf_sums *s;
    *out = NULL;
    SF_TRY(sf_mem_calloc(&s, 1, sizeof *s, SF_MEM_MISC));
    s->t = t;
    s->o = *o;
    if (s->o.rows > t->shape[0]) s->o.rows = t->shape[0];
    s->team = o->threads > 1 ? o->threads : 1;
    s->block = o->heads * t->shape[2];
    const sf_status st = allocate(s);
    if (st != SF_OK) {
        sf_sums_destroy(&s);
        return sf_trace_(st, __FILE__, __LINE__, "sf_sums_create");
    }
    *out = s;
    return SF_OK;
}

void sf_sums_destroy(sf_sums **s)
{
    if (*s == NULL) return;
    sf_mem_free((*s)->memory);
    sf_scratch_close(&(*s)->file);
    sf_mem_free((*s)->weight);
    sf_mem_free((*s)->window);
    sf_mem_free((*s)->work);
    sf_mem_free(*s);
    *s = NULL;
}

static float *own_work(const sf_sums *s) { return s->work + omp_get_thread_num() * s->work_size; }

static int64_t block_at(const sf_sums *s, int fold, int64_t z, int64_t y)
{
    return ((fold * s->o.rows + z % s->o.rows) * s->t->shape[1] + y) * s->block;
}

/** The block for reading and changing: in place, or read into `own`. */
static sf_status get_block(const sf_sums *s, int64_t at, float *own, float **block)
{
    *block = s->memory != NULL ? s->memory + at : own;
    if (s->memory != NULL) return SF_OK;
    return sf_scratch_read(s->file, at * (int64_t)sizeof(float), own,
                           (size_t)s->block * sizeof(float));
}

static sf_status put_block(const sf_sums *s, int64_t at, const float *block)
{
    if (s->memory != NULL) return SF_OK;
    return sf_scratch_write(s->file, at * (int64_t)sizeof(float), block,
                            (size_t)s->block * sizeof(float));
}

/** Line (z, y) of the window from the network's answer, mirrored back, as it is averaged:
 * [heads][width]. */
static void answer_line(const sf_sums *s, const bool flip[3], const float *logits, int64_t z,
                        int64_t y, float *line)
{
    const int64_t d = s->t->patch[0], h = s->t->patch[1], w = s->t->patch[2];
    const int64_t from = (flip[0] ? d - 1 - z : z) * h + (flip[1] ? h - 1 - y : y);
    for (int c = 0; c < s->o.heads; c++) {
        const float *in = logits + (c * d * h + from) * w;
        if (!flip[2]) memcpy(line + c * w, in, (size_t)w * sizeof *line);
        for (int64_t x = 0; flip[2] && x < w; x++) line[c * w + x] = in[w - 1 - x];
    }
    if (s->o.average != SF_AVERAGE_LOGITS)
        sf_to_probabilities(line, s->o.heads, w, s->o.average == SF_AVERAGE_SIGMOID, 1);
}

/** a += b; floats commute, so it does not matter which is which. */
static void add_into(float *restrict a, const float *restrict b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) a[i] += b[i];
}

/** The line's sum over the mirrorings so far, in place of `line` when it is the last of several. */
static void sum_mirrorings(const sf_sums *s, int64_t mirror, int64_t z, int64_t y, float *line)
{
    const int64_t d = s->t->patch[0], h = s->t->patch[1], w = s->t->patch[2];
    const bool first = mirror == 0, last = mirror == s->t->n_mirrors - 1;
    for (int c = 0; c < s->o.heads; c++) {
        float *sum = s->window + ((c * d + z) * h + y) * w, *v = line + c * w;
        if (first)
            memcpy(sum, v, (size_t)w * sizeof *sum);
        else
            add_into(last ? v : sum, last ? sum : v, w);
    }
}

/** What one line of a window adds to line (sz, sy) of the image. */
typedef struct {
    int64_t sz, sy, x0, x1, corner; /* x0, x1: part of the window inside the image */
    const float *map;               /* [width], or NULL */
} target;

/** out += in * share * map */
static void add_weighted(float *restrict out, const float *restrict in, float share,
                         const float *restrict map, int64_t n)
{
    if (map == NULL)
        for (int64_t i = 0; i < n; i++) out[i] += in[i] * share;
    else
        for (int64_t i = 0; i < n; i++) out[i] += in[i] * share * map[i];
}

/** Mean over the mirrorings, times the importance, into the sums. */
static sf_status add_line(sf_sums *s, int fold, const target *g, const float *line, float *own)
{
    const int64_t w = s->t->patch[2], width = s->t->shape[2];
    const int64_t at = block_at(s, fold, g->sz, g->sy);
    const float share = 1.0f / (float)s->t->n_mirrors; /* a power of two: exact */
    float *block;
    SF_TRY(get_block(s, at, own, &block));
    const float *map = g->map != NULL ? g->map + g->x0 : NULL;
    for (int c = 0; c < s->o.heads; c++)
        add_weighted(block + c * width + g->corner + g->x0, line + c * w + g->x0, share, map,
                     g->x1 - g->x0);
    if (fold == 0) { /* the same for all folds */
        float *weight =
            s->weight + (g->sz % s->o.rows * s->t->shape[1] + g->sy) * width + g->corner;
        for (int64_t x = g->x0; x < g->x1; x++) weight[x] += g->map != NULL ? g->map[x] : 1.0f;
    }
    return put_block(s, at, block);
}

sf_status sf_sums_add(sf_sums *s, int fold, int64_t index, const float *logits)
{
    const sf_sliding *t = s->t;
    int64_t corner[3];
    const bool *flip = sf_sliding_locate(t, index, corner);
    const int64_t mirror = index % t->n_mirrors, h = t->patch[1], w = t->patch[2];
    failure failed = { .e.status = SF_OK };
#pragma omp parallel for num_threads(s->team) schedule(static)
    for (int64_t l = 0; l < t->patch[0] * h; l++) {
        const int64_t z = l / h, y = l % h;
        target g = { .sz = corner[0] + z, .sy = corner[1] + y, .corner = corner[2], .x1 = w };
        if (g.sz < 0 || g.sz >= t->shape[0] || g.sy < 0 || g.sy >= t->shape[1]) continue;
        if (g.corner < 0) g.x0 = -g.corner;
        if (g.corner + w > t->shape[2]) g.x1 = t->shape[2] - g.corner;
        g.map = s->o.map != NULL ? s->o.map + l * w : NULL;
        float *own = own_work(s), *line = own + s->block;
        answer_line(s, flip, logits, z, y, line);
        if (s->window != NULL) sum_mirrorings(s, mirror, z, y, line);
        if (mirror < t->n_mirrors - 1) continue;
        const sf_status st = add_line(s, fold, &g, line, own);
        if (st != SF_OK) note(&failed, st);
    }
    return raise(&failed);
}

/** Line (z, y), all folds, into out [heads][step]; what was summed becomes zero again. */
static sf_status take_line(sf_sums *s, int64_t z, int64_t y, int64_t step, float *out, float *own)
{
    const int64_t width = s->t->shape[2];
    float *weight = s->weight + (z % s->o.rows * s->t->shape[1] + y) * width;
    const float part = 1.0f / (float)s->o.folds;
    for (int f = 0; f < s->o.folds; f++) {
        const int64_t at = block_at(s, f, z, y);
        float *block;
        SF_TRY(get_block(s, at, own, &block));
        for (int c = 0; c < s->o.heads; c++)
            for (int64_t x = 0; x < width; x++) {
                const float v = block[c * width + x] / weight[x];
                const float sum = f == 0 ? v : out[c * step + x] + v;
                out[c * step + x] = f == s->o.folds - 1 && f > 0 ? sum * part : sum;
            }
        memset(block, 0, (size_t)s->block * sizeof *block);
        SF_TRY(put_block(s, at, block));
    }
    memset(weight, 0, (size_t)width * sizeof *weight);
    return SF_OK;
}

sf_status sf_sums_take(sf_sums *s, int64_t lo, int64_t hi, float *out)
{
    const int64_t height = s->t->shape[1], width = s->t->shape[2];
    const int64_t step = (hi - lo) * height * width;
    failure failed = { .e.status = SF_OK };
#pragma omp parallel for num_threads(s->team) schedule(static)
    for (int64_t l = 0; l < (hi - lo) * height; l++) {
        const sf_status st =
            take_line(s, lo + l / height, l % height, step, out + l * width, own_work(s));
        if (st != SF_OK) note(&failed, st);
    }
    return raise(&failed);
}

/* Voxels that are treated together, so that the heads' values stay in the cache. */
enum { GROUP = 256 };

/** v[i] = exp(v[i]) for v[i] <= 0, to 2 units in the last place; below -87: 0. In loops that a
 *  compiler turns into vectors, which the library's function is not, and the same everywhere: x =
 *  n log 2 + r, a polynomial of r (Cephes, expf), times 2^n. */
static void exp_group(float *v, int n)
{
    static const float to_int = 12582912.0f; /* 1.5 * 2^23: adding it rounds to whole numbers */
    float p[GROUP], scale[GROUP];
    int32_t bits[GROUP];
    for (int i = 0; i < n; i++) {
        const float x = v[i] < -87.0f ? -87.0f : v[i];
        const float k = (x * 1.44269504088896341f + to_int) - to_int;
        const float r = (x - k * 0.693359375f) + k * 2.12194440e-4f;
        float q = 1.9875691500e-4f;
        q = q * r + 1.3981999507e-3f;
        q = q * r + 8.3334519073e-3f;
        q = q * r + 4.1665795894e-2f;
        q = q * r + 1.6666665459e-1f;
        q = q * r + 5.0000001201e-1f;
        p[i] = q * r * r + r + 1.0f;
        bits[i] = ((int32_t)k + 127) << 23;
    }
    memcpy(scale, bits, (size_t)n * sizeof *bits);
    for (int i = 0; i < n; i++) v[i] = v[i] < -87.0f ? 0.0f : p[i] * scale[i];
}

static void softmax(float *v, int heads, int64_t stride, int n)
{
    float top[GROUP], sum[GROUP];
    for (int i = 0; i < n; i++) top[i] = v[i];
    for (int c = 1; c < heads; c++)
        for (int i = 0; i < n; i++) {
            const float x = v[c * stride + i];
            top[i] = x > top[i] ? x : top[i];
        }
    for (int i = 0; i < n; i++) sum[i] = 0.0f;
    for (int c = 0; c < heads; c++) {
        float *p = v + c * stride;
        for (int i = 0; i < n; i++) p[i] -= top[i];
        exp_group(p, n);
        for (int i = 0; i < n; i++) sum[i] += p[i];
    }
    for (int c = 0; c < heads; c++)
        for (int i = 0; i < n; i++) v[c * stride + i] /= sum[i];
}

/** exp(-|v|) never overflows. */
static void sigmoid_group(float *v, int n)
{
    float e[GROUP];
    for (int i = 0; i < n; i++) e[i] = v[i] > 0.0f ? -v[i] : v[i];
    exp_group(e, n);
    for (int i = 0; i < n; i++) v[i] = (v[i] > 0.0f ? 1.0f : e[i]) / (1.0f + e[i]);
}

void sf_to_probabilities(float *v, int heads, int64_t voxels, bool sigmoid, int threads)
{
#pragma omp parallel for num_threads(threads > 1 ? threads : 1) schedule(static)
    for (int64_t at = 0; at < voxels; at += GROUP) {
        const int n = voxels - at < GROUP ? (int)(voxels - at) : GROUP;
        if (!sigmoid) softmax(v + at, heads, voxels, n);
        for (int c = 0; sigmoid && c < heads; c++) sigmoid_group(v + c * voxels + at, n);
    }
}
