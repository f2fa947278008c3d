#include "batch/spatial.h"
#include "batch/spline.h"
#include <math.h>
#include <string.h>

/* Samples before and after the box that the taps may touch. */
enum { BEFORE = 1, AFTER = 2, BORDER = BEFORE + AFTER, CHUNK = 64 };

static void multiply(double out[3][3], double a[3][3], double b[3][3])
{
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) {
            out[i][j] = a[i][0] * b[0][j] + a[i][1] * b[1][j] + a[i][2] * b[2][j];
        }
    }
}

/* The rotation that maps column vectors. v1 multiplies rows by Rx Ry Rz, which is its transpose. */
static void rotation(double m[3][3], const double angle[3], bool planar, sf_formulas formulas)
{
    const double c0 = cos(angle[0]), s0 = sin(angle[0]);
    if (planar) {
        const double s = formulas == SF_FORMULAS_V2 ? s0 : -s0;
        double flat[3][3] = { { 1, 0, 0 }, { 0, c0, -s }, { 0, s, c0 } };
        memcpy(m, flat, sizeof flat);
        return;
    }
    const double c1 = cos(angle[1]), s1 = sin(angle[1]), c2 = cos(angle[2]), s2 = sin(angle[2]);
    double rx[3][3] = { { 1, 0, 0 }, { 0, c0, -s0 }, { 0, s0, c0 } };
    double ry[3][3] = { { c1, 0, s1 }, { 0, 1, 0 }, { -s1, 0, c1 } };
    double rz[3][3] = { { c2, -s2, 0 }, { s2, c2, 0 }, { 0, 0, 1 } };
    double part[3][3], all[3][3];
    if (formulas == SF_FORMULAS_V2) {
        multiply(part, rz, ry);
        multiply(m, part, rx);
        return;
    }
    multiply(part, rx, ry);
    multiply(all, part, rz);
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) m[i][j] = all[j][i];
    }
}

void sf_spatial_affine(sf_affine *out, const sf_spatial_draw *draw, bool planar,
                       sf_formulas formulas, const int64_t box[3], const int64_t patch[3])
{
    static const double none[3] = { 0, 0, 0 };
    rotation(out->m, draw->rotate ? draw->angle : none, planar, formulas);
    out->factor = draw->scale ? draw->factor : 1.0;
    out->planar = planar;
    for (int a = 0; a < 3; a++) {
        out->from[a] = (double)(patch[a] - 1) / 2.0;
        out->to[a] = (double)(box[a] - 1) / 2.0;
    }
}

void sf_spatial_crop_start(int64_t start[3], sf_formulas formulas, const int64_t box[3],
                           const int64_t patch[3])
{
    for (int a = 0; a < 3; a++) {
        const int64_t room = box[a] - patch[a];
        const int64_t floor_half = room >= 0 ? room / 2 : -((1 - room) / 2);
        start[a] = formulas == SF_FORMULAS_V2 ? box[a] / 2 - patch[a] / 2 : floor_half;
    }
}

/* Copy the box to a volume with the given strides (in elements); `fill` is a byte value. */
static void cut(void *dst, int64_t stride0, int64_t stride1, const void *image, const sf_box *box,
                size_t element, int fill)
{
    const int64_t begin = box->lo[2] < 0 ? -box->lo[2] : 0;
    int64_t end = box->image[2] - box->lo[2];
    if (end > box->size[2]) end = box->size[2];
    for (int64_t i = 0; i < box->size[0]; i++) {
        const int64_t z = box->lo[0] + i;
        for (int64_t j = 0; j < box->size[1]; j++) {
            const int64_t y = box->lo[1] + j;
            char *row = (char *)dst + (size_t)(i * stride0 + j * stride1) * element;
            const bool in = z >= 0 && z < box->image[0] && y >= 0 && y < box->image[1];
            if (!in || begin >= end) {
                memset(row, fill, (size_t)box->size[2] * element);
                continue;
            }
            const int64_t from = (z * box->image[1] + y) * box->image[2] + box->lo[2] + begin;
            memset(row, fill, (size_t)begin * element);
            memcpy(row + (size_t)begin * element, (const char *)image + (size_t)from * element,
                   (size_t)(end - begin) * element);
            memset(row + (size_t)end * element, fill, (size_t)(box->size[2] - end) * element);
        }
    }
}

void sf_cut_image(float *dst, const float *image, const sf_box *box)
{
    cut(dst, box->size[1] * box->size[2], box->size[2], image, box, sizeof *dst, 0);
}

void sf_cut_labels(int16_t *dst, const int16_t *seg, const sf_box *box)
{
    cut(dst, box->size[1] * box->size[2], box->size[2], seg, box, sizeof *dst, 0xff);
}

/* The box with a border of BEFORE and AFTER samples; a planar volume has none on axis 0. */
typedef struct {
    float *x;
    int64_t n[3], lead[3], stride0, stride1;
} bordered;

static sf_status bordered_cut(bordered *b, const float *image, const sf_box *box, bool planar,
                              sf_workspace *ws)
{
    for (int a = 0; a < 3; a++) {
        const bool none = planar && a == 0;
        b->lead[a] = none ? 0 : BEFORE;
        b->n[a] = box->size[a] + (none ? 0 : BORDER);
    }
    b->stride1 = b->n[2];
    b->stride0 = b->n[1] * b->n[2];
    const size_t count = (size_t)(b->n[0] * b->stride0);
    SF_TRY(sf_workspace_get(ws, SF_WS_CUT, count, sizeof(float), &b->x));
    memset(b->x, 0, count * sizeof(float));
    cut(b->x + b->lead[0] * b->stride0 + b->lead[1] * b->stride1 + b->lead[2], b->stride0,
        b->stride1, image, box, sizeof(float), 0);
    return SF_OK;
}

static int64_t mirrored(int64_t i, int64_t n)
{
    if (n == 1) return 0;
    i %= 2 * n - 2;
    if (i < 0) i += 2 * n - 2;
    return i < n ? i : 2 * n - 2 - i;
}

/* The border's index `k` of BORDER along an axis with n inner samples, and what it mirrors. */
static int64_t border_index(int k, int64_t n, int64_t *source)
{
    const int64_t at = k < BEFORE ? k - BEFORE : n + k - BEFORE;
    *source = mirrored(at, n) + BEFORE;
    return at + BEFORE;
}

/* Spline coefficients continue as the mirror image of the line. */
static void mirror_border(bordered *b, const int64_t size[3])
{
    int64_t source;
    for (int64_t r = 0; r < b->n[0] * b->n[1]; r++) {
        float *row = b->x + r * b->stride1;
        for (int k = 0; k < BORDER; k++) {
            const int64_t at = border_index(k, size[2], &source);
            row[at] = row[source];
        }
    }
    for (int64_t i = 0; i < b->n[0]; i++) {
        float *slice = b->x + i * b->stride0;
        for (int k = 0; k < BORDER; k++) {
            const int64_t at = border_index(k, size[1], &source);
            memcpy(slice + at * b->stride1, slice + source * b->stride1,
                   (size_t)b->stride1 * sizeof(float));
        }
    }
    for (int k = 0; b->lead[0] > 0 && k < BORDER; k++) {
        const int64_t at = border_index(k, size[0], &source);
        memcpy(b->x + at * b->stride0, b->x + source * b->stride0,
               (size_t)b->stride0 * sizeof(float));
    }
}

/* Positions of up to CHUNK neighbours of one output row. */
typedef struct {
    double x[3][CHUNK];
} chunk;

static void chunk_positions(chunk *c, const sf_affine *map, int64_t i, int64_t j, int64_t k,
                            int64_t count)
{
    const double u0 = (double)i - map->from[0], u1 = (double)j - map->from[1];
    for (int a = 0; a < 3; a++) {
        const double m0 = map->m[a][0] * u0, m1 = map->m[a][1] * u1, m2 = map->m[a][2];
        for (int64_t l = 0; l < count; l++) {
            const double u2 = (double)(k + l) - map->from[2];
            c->x[a][l] = ((m0 + m1) + m2 * u2) * map->factor + map->to[a];
        }
    }
    for (int64_t l = 0; map->planar && l < count; l++) c->x[0][l] = (double)i;
}

/* 4 x 4 x 4 taps (planar: 4 x 4); `at` is the lowest tap. */
static inline float cubic_at(const float *at, const bordered *b, int taps0, const double f[3])
{
    double w0[4] = { 1, 0, 0, 0 }, w1[4], w2[4];
    if (taps0 > 1) sf_spline_weights(w0, f[0]);
    sf_spline_weights(w1, f[1]);
    sf_spline_weights(w2, f[2]);
    float acc[4] = { 0, 0, 0, 0 };
    for (int p = 0; p < taps0; p++) {
        for (int q = 0; q < 4; q++) {
            const float *row = at + p * b->stride0 + q * b->stride1;
            const float w = (float)(w0[p] * w1[q]);
            for (int r = 0; r < 4; r++) acc[r] += w * row[r];
        }
    }
    return (acc[0] * (float)w2[0] + acc[1] * (float)w2[1]) +
           (acc[2] * (float)w2[2] + acc[3] * (float)w2[3]);
}

static void cubic_chunk(float *dst, const bordered *b, const int64_t size[3], const chunk *c,
                        bool planar, int64_t count)
{
    for (int64_t l = 0; l < count; l++) {
        int64_t base[3];
        double f[3];
        bool in = true;
        for (int a = 0; a < 3; a++) {
            const double x = c->x[a][l];
            if (!(x >= 0 && x <= (double)(size[a] - 1))) {
                in = false;
                break;
            }
            base[a] = (int64_t)x;
            f[a] = x - (double)base[a];
        }
        dst[l] = in ? cubic_at(b->x + base[0] * b->stride0 + base[1] * b->stride1 + base[2], b,
                               planar ? 1 : 4, f)
                    : 0.0f;
    }
}

static inline float lerp_row(const float *row, float t) { return row[0] * (1.0f - t) + row[1] * t; }

static inline float lerp_plane(const float *at, int64_t stride1, float t1, float t2)
{
    return lerp_row(at, t2) * (1.0f - t1) + lerp_row(at + stride1, t2) * t1;
}

/* 2 x 2 x 2 corners; those outside the box are the border's zeros. */
static void linear_chunk(float *dst, const bordered *b, const int64_t size[3], const chunk *c,
                         bool planar, int64_t count)
{
    for (int64_t l = 0; l < count; l++) {
        int64_t base[3];
        float t[3];
        bool in = true;
        for (int a = 0; a < 3; a++) {
            const double x = c->x[a][l];
            if (!(x > -1 && x < (double)size[a])) {
                in = false;
                break;
            }
            const double low = floor(x);
            base[a] = (int64_t)low + b->lead[a];
            t[a] = (float)(x - low);
        }
        if (!in) {
            dst[l] = 0.0f;
            continue;
        }
        const float *at = b->x + base[0] * b->stride0 + base[1] * b->stride1 + base[2];
        const float low = lerp_plane(at, b->stride1, t[1], t[2]);
        dst[l] = planar ? low
                        : low * (1.0f - t[0]) +
                              lerp_plane(at + b->stride0, b->stride1, t[1], t[2]) * t[0];
    }
}

sf_status sf_spatial_image(float *dst, const int64_t patch[3], const float *image,
                           const sf_box *box, const sf_affine *map, sf_image_rule rule,
                           sf_workspace *ws)
{
    bordered b;
    SF_TRY(bordered_cut(&b, image, box, map->planar, ws));
    if (rule == SF_IMAGE_CUBIC) {
        float *inner = b.x + b.lead[0] * b.stride0 + b.lead[1] * b.stride1 + b.lead[2];
        SF_TRY(
            sf_spline_filter_box(inner, box->size, b.stride0, b.stride1, map->planar ? 1 : 0, ws));
        mirror_border(&b, box->size);
    }
    chunk c;
    for (int64_t i = 0; i < patch[0]; i++) {
        for (int64_t j = 0; j < patch[1]; j++) {
            float *row = dst + (i * patch[1] + j) * patch[2];
            for (int64_t k = 0; k < patch[2]; k += CHUNK) {
                const int64_t count = patch[2] - k < CHUNK ? patch[2] - k : CHUNK;
                chunk_positions(&c, map, i, j, k, count);
                if (rule == SF_IMAGE_CUBIC) {
                    cubic_chunk(row + k, &b, box->size, &c, map->planar, count);
                } else {
                    linear_chunk(row + k, &b, box->size, &c, map->planar, count);
                }
            }
        }
    }
    return SF_OK;
}

/* Eight corners, their labels and weights (axis 2 fastest). */
typedef struct {
    int16_t label[8];
    double weight[8];
} corners;

static int16_t by_threshold(const corners *c)
{
    int best = -32768;
    for (int i = 0; i < 8; i++) {
        double sum = 0;
        if (c->label[i] <= best) continue;
        for (int j = 0; j < 8; j++) sum += c->label[j] == c->label[i] ? c->weight[j] : 0.0;
        if (sum >= 0.5) best = c->label[i];
    }
    return best == -32768 ? 0 : (int16_t)best;
}

/* Round a normal positive float to the 11 significant bits of half precision, ties to even. */
static float to_half(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    u += 0xfffu + ((u >> 13) & 1u);
    u &= ~0x1fffu;
    memcpy(&x, &u, sizeof u);
    return x;
}

static int16_t by_argmax(const corners *c)
{
    int16_t best = c->label[0];
    float best_value = -1.0f;
    for (int i = 0; i < 8; i++) {
        float sum = 0;
        for (int j = 0; j < 8; j++) {
            if (c->label[j] == c->label[i]) sum += (float)c->weight[j] * 1000.0f;
        }
        const float value = to_half(sum);
        if (value > best_value || (value == best_value && c->label[i] < best)) {
            best = c->label[i];
            best_value = value;
        }
    }
    return best;
}

/* The box of labels with one more sample at the end of every axis (its weight is always 0). */
typedef struct {
    int16_t *x;
    int64_t stride0, stride1;
} label_box;

static int16_t label_at(const label_box *b, const double x[3], sf_label_rule rule)
{
    int64_t base[3];
    double w[3][2];
    for (int a = 0; a < 3; a++) {
        base[a] = (int64_t)x[a];
        w[a][0] = 1.0 - (x[a] - (double)base[a]);
        w[a][1] = 1.0 - w[a][0];
    }
    const int16_t *at = b->x + base[0] * b->stride0 + base[1] * b->stride1 + base[2];
    corners c;
    bool same = true;
    for (int i = 0; i < 8; i++) {
        c.label[i] = at[(i >> 2) * b->stride0 + ((i >> 1) & 1) * b->stride1 + (i & 1)];
        same = same && c.label[i] == c.label[0];
    }
    if (same) return c.label[0];
    for (int i = 0; i < 8; i++) c.weight[i] = w[0][i >> 2] * w[1][(i >> 1) & 1] * w[2][i & 1];
    return rule == SF_LABEL_ARGMAX ? by_argmax(&c) : by_threshold(&c);
}

static sf_status label_box_cut(label_box *b, const int16_t *seg, const sf_box *box,
                               sf_workspace *ws)
{
    b->stride1 = box->size[2] + 1;
    b->stride0 = (box->size[1] + 1) * b->stride1;
    const size_t count = (size_t)((box->size[0] + 1) * b->stride0);
    SF_TRY(sf_workspace_get(ws, SF_WS_CUT_SEG, count, sizeof(int16_t), &b->x));
    memset(b->x, 0xff, count * sizeof(int16_t));
    cut(b->x, b->stride0, b->stride1, seg, box, sizeof(int16_t), 0xff);
    return SF_OK;
}

static void label_chunk(int16_t *dst, const label_box *b, const int64_t size[3], const chunk *c,
                        sf_label_rule rule, int64_t count)
{
    for (int64_t l = 0; l < count; l++) {
        const double x[3] = { c->x[0][l], c->x[1][l], c->x[2][l] };
        bool in = true;
        for (int a = 0; a < 3; a++) in = in && x[a] >= 0 && x[a] <= (double)(size[a] - 1);
        dst[l] = in ? label_at(b, x, rule) : rule == SF_LABEL_ARGMAX ? -1 : 0;
    }
}

sf_status sf_spatial_labels(int16_t *dst, const int64_t patch[3], const int16_t *seg,
                            const sf_box *box, const sf_affine *map, sf_label_rule rule,
                            sf_workspace *ws)
{
    label_box b;
    SF_TRY(label_box_cut(&b, seg, box, ws));
    chunk c;
    for (int64_t i = 0; i < patch[0]; i++) {
        for (int64_t j = 0; j < patch[1]; j++) {
            for (int64_t k = 0; k < patch[2]; k += CHUNK) {
                const int64_t count = patch[2] - k < CHUNK ? patch[2] - k : CHUNK;
                chunk_positions(&c, map, i, j, k, count);
                label_chunk(dst + (i * patch[1] + j) * patch[2] + k, &b, box->size, &c, rule,
                            count);
            }
        }
    }
    return SF_OK;
}
