#include "batch/spatial.h"
#include "batch/spline.h"
#include "kernels/voxels.h"
#include <math.h>
#include <string.h>

/* BEFORE, AFTER: samples before and after the box that the taps may touch. MARGIN: a spline
 * coefficient feels a sample at this distance by a factor of 0.268^16 = 7e-10, a tenth of float's
 * precision; so the recursions may begin there. */
enum { BEFORE = 1, AFTER = 2, BORDER = BEFORE + AFTER, MARGIN = 16, CHUNK = 256 };

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

/* ---- which part of the box a map reads ---- */

/* Extremes of the source positions of a whole patch along one axis: they lie at its corners. */
static void reach(double *lo, double *hi, const sf_affine *map, const int64_t patch[3], int axis)
{
    if (map->planar && axis == 0) {
        *lo = 0;
        *hi = (double)(patch[0] - 1);
        return;
    }
    *lo = *hi = map->to[axis];
    for (int b = map->planar ? 1 : 0; b < 3; b++) {
        const double half = fabs(map->factor * map->m[axis][b]) * (double)(patch[b] - 1) / 2.0;
        *lo -= half;
        *hi += half;
    }
}

/* The part of the box that samples `before` and `after` the positions lie in, at least one sample;
 * false: nothing of the patch falls into the box. */
static bool needed_part(sf_box *part, const sf_box *box, const sf_affine *map,
                        const int64_t patch[3], int64_t before, int64_t after)
{
    *part = *box;
    for (int a = 0; a < 3; a++) {
        double lo, hi;
        reach(&lo, &hi, map, patch, a);
        if (!(hi > -1 && lo < (double)box->size[a])) return false;
        int64_t first = (int64_t)floor(fmax(lo, 0)) - before;
        int64_t end = (int64_t)floor(fmin(hi, (double)box->size[a])) + 1 + after;
        if (first < 0) first = 0;
        if (end > box->size[a]) end = box->size[a];
        if (first > end - 1) first = end - 1;
        part->lo[a] = box->lo[a] + first;
        part->size[a] = end - first;
    }
    return true;
}

/* Row (i, j) of the patch: voxel k reads at start + k * step in the box. */
static void row_of(sf_voxel_row *r, const sf_affine *map, int64_t i, int64_t j)
{
    const double u0 = (double)i - map->from[0], u1 = (double)j - map->from[1];
    for (int a = 0; a < 3; a++) {
        const double at = map->m[a][0] * u0 + map->m[a][1] * u1 - map->m[a][2] * map->from[2];
        r->start[a] = at * map->factor + map->to[a];
        r->step[a] = map->m[a][2] * map->factor;
    }
    if (!map->planar) return;
    r->start[0] = (double)i;
    r->step[0] = 0;
}

static double at_voxel(const sf_voxel_row *r, int axis, int64_t k)
{
    return r->start[axis] + r->step[axis] * (double)k;
}

/* Cut [*first, *end) to the voxels with lo <= position <= hi along an axis. Positions are monotone
 * in k, in floating point too; the division finds the place, the comparisons decide. */
static void cut_row(int64_t *first, int64_t *end, const sf_voxel_row *r, int axis, double lo,
                    double hi)
{
    const double step = r->step[axis];
    const double from = step > 0 ? lo : hi, until = step > 0 ? hi : lo;
    if (step != 0) {
        const double a = fmin(fmax((from - r->start[axis]) / step, 0), (double)*end);
        const double b = fmin(fmax((until - r->start[axis]) / step + 1, 0), (double)*end);
        *first = *first > (int64_t)a - 1 ? *first : (int64_t)a - 1;
        *end = *end < (int64_t)b + 1 ? *end : (int64_t)b + 1;
    }
    while (*first < *end && !(at_voxel(r, axis, *first) >= lo && at_voxel(r, axis, *first) <= hi))
        ++*first;
    while (*first < *end &&
           !(at_voxel(r, axis, *end - 1) >= lo && at_voxel(r, axis, *end - 1) <= hi))
        --*end;
}

/* The voxels of a row that lie inside the box, and the row from the first of them on, counted from
 * the part's corner less `shift` samples. outside: how far a position may be out (less than that,
 * when it is 1). @return number of voxels; *first: the first of them. */
static int64_t inside_row(sf_voxel_row *r, int64_t *first, const sf_box *box, const sf_box *part,
                          int64_t count, bool outside, const int64_t shift[3])
{
    int64_t end = count;
    *first = 0;
    for (int a = 0; a < 3; a++) {
        const double size = (double)box->size[a];
        cut_row(first, &end, r, a, outside ? nextafter(-1, 0) : 0,
                outside ? nextafter(size, 0) : size - 1);
    }
    if (*first >= end) return 0;
    for (int a = 0; a < 3; a++) {
        const double origin = (double)(part->lo[a] - box->lo[a] - shift[a]);
        r->start[a] = at_voxel(r, a, *first) - origin;
    }
    return end - *first;
}

/* ---- images ---- */

/* A box with a border of BEFORE and AFTER samples; a planar volume has none on axis 0. */
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
    const int64_t count = b->n[0] * b->stride0;
    SF_CHECK(count < INT32_MAX, SF_EUNSUPPORTED, "a patch that reads %lld voxels is too large",
             (long long)count);
    SF_TRY(sf_workspace_get(ws, SF_WS_CUT, (size_t)count, sizeof(float), &b->x));
    memset(b->x, 0, (size_t)count * sizeof(float));
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

static sf_status filter_part(bordered *b, const sf_box *part, bool planar, sf_workspace *ws)
{
    float *inner = b->x + b->lead[0] * b->stride0 + b->lead[1] * b->stride1 + b->lead[2];
    SF_TRY(sf_spline_filter_box(inner, part->size, b->stride0, b->stride1, planar ? 1 : 0, ws));
    mirror_border(b, part->size);
    return SF_OK;
}

sf_status sf_spatial_image(float *dst, const int64_t patch[3], const float *image,
                           const sf_box *box, const sf_affine *map, sf_image_rule rule,
                           sf_workspace *ws)
{
    static const int64_t none[3] = { 0, 0, 0 };
    const bool cubic = rule == SF_IMAGE_CUBIC;
    const sf_voxel_ops *ops = sf_voxel_ops_pick();
    const int64_t far = cubic ? MARGIN + AFTER : AFTER;
    sf_box part;
    bordered b;
    if (!needed_part(&part, box, map, patch, far, far)) {
        memset(dst, 0, (size_t)(patch[0] * patch[1] * patch[2]) * sizeof *dst);
        return SF_OK;
    }
    SF_TRY(bordered_cut(&b, image, &part, map->planar, ws));
    if (cubic) SF_TRY(filter_part(&b, &part, map->planar, ws));
    const sf_voxel_grid grid = { b.x, b.stride0, b.stride1, map->planar };
    for (int64_t r = 0; r < patch[0] * patch[1]; r++, dst += patch[2]) {
        sf_voxel_row row;
        int64_t first;
        row_of(&row, map, r / patch[1], r % patch[1]);
        const int64_t count =
            inside_row(&row, &first, box, &part, patch[2], !cubic, cubic ? none : b.lead);
        memset(dst, 0, (size_t)first * sizeof *dst);
        (cubic ? ops->cubic_row : ops->linear_row)(dst + first, count, &grid, &row);
        memset(dst + first + count, 0, (size_t)(patch[2] - first - count) * sizeof *dst);
    }
    return SF_OK;
}

/* ---- labels ---- */

/* The labels around a position that differ, and the weights of their corners, summed in the
 * corners' order (axis 2 fastest). */
typedef struct {
    int count;
    int16_t label[8];
    double weight[8]; /* rule threshold */
    float share[8];   /* rule argmax: weights times 1000, in float */
} tally;

static void tally_add(tally *t, int16_t label, double weight)
{
    int k = 0;
    while (k < t->count && t->label[k] != label) k++;
    if (k == t->count) {
        t->label[k] = label;
        t->weight[k] = 0;
        t->share[k] = 0;
        t->count++;
    }
    t->weight[k] += weight;
    t->share[k] += (float)weight * 1000.0f;
}

/* Two labels, without branches; false when there are more. Adding zeros changes no sum. */
static bool tally_pair(tally *t, const int16_t *label, const double *weight, int n)
{
    const int16_t a = label[0];
    int16_t b = a;
    for (int i = 1; i < n; i++) b = label[i] != a ? label[i] : b;
    int others = 0;
    double sum[2] = { 0, 0 };
    float share[2] = { 0, 0 };
    for (int i = 0; i < n; i++) {
        const double wa = label[i] == a ? weight[i] : 0.0, wb = label[i] == b ? weight[i] : 0.0;
        others += label[i] != a && label[i] != b;
        sum[0] += wa;
        sum[1] += wb;
        share[0] += (float)wa * 1000.0f;
        share[1] += (float)wb * 1000.0f;
    }
    t->count = 2;
    t->label[0] = a;
    t->label[1] = b;
    for (int k = 0; k < 2; k++) {
        t->weight[k] = sum[k];
        t->share[k] = share[k];
    }
    return others == 0;
}

static int16_t by_threshold(const tally *t)
{
    int best = INT16_MIN;
    for (int k = 0; k < t->count; k++)
        if (t->weight[k] >= 0.5 && t->label[k] > best) best = t->label[k];
    return best == INT16_MIN ? 0 : (int16_t)best;
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

static int16_t by_argmax(const tally *t)
{
    int16_t best = t->label[0];
    float best_value = -1.0f;
    for (int k = 0; k < t->count; k++) {
        const float value = to_half(t->share[k]);
        if (value > best_value || (value == best_value && t->label[k] < best)) {
            best = t->label[k];
            best_value = value;
        }
    }
    return best;
}

/* A part of the labels with one more sample at the end of every axis (its weight is always 0), and
 * the same with every cell of 2 x 2 x 2 samples reduced to their label, or MIXED. */
enum { MIXED = INT16_MIN };
typedef struct {
    int16_t *x, *cell;
    int64_t n[3], stride0, stride1;
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
    int16_t label[8];
    double weight[8];
    const int n = w[0][1] > 0 ? 8 : 4; /* planar: no second slice */
    for (int i = 0; i < n; i++) {
        const int z = i >> 2, y = (i >> 1) & 1, c = i & 1;
        label[i] = at[z * b->stride0 + y * b->stride1 + c];
        weight[i] = w[0][z] * w[1][y] * w[2][c];
    }
    tally t;
    if (!tally_pair(&t, label, weight, n)) {
        t.count = 0;
        for (int i = 0; i < n; i++) tally_add(&t, label[i], weight[i]);
    }
    return rule == SF_LABEL_ARGMAX ? by_argmax(&t) : by_threshold(&t);
}

static void reduce_cells(label_box *b)
{
    const int64_t s0 = b->stride0, s1 = b->stride1;
    for (int64_t i = 0; i < b->n[0]; i++) {
        for (int64_t j = 0; j < b->n[1]; j++) {
            const int16_t *restrict x = b->x + i * s0 + j * s1;
            int16_t *restrict cell = b->cell + i * s0 + j * s1;
            for (int64_t k = 0; k < b->n[2]; k++) {
                const int16_t v = x[k];
                const int differ = (x[k + 1] ^ v) | (x[k + s1] ^ v) | (x[k + s1 + 1] ^ v) |
                                   (x[k + s0] ^ v) | (x[k + s0 + 1] ^ v) | (x[k + s0 + s1] ^ v) |
                                   (x[k + s0 + s1 + 1] ^ v);
                cell[k] = (int16_t)(differ == 0 ? v : MIXED);
            }
        }
    }
}

static sf_status label_box_cut(label_box *b, const int16_t *seg, const sf_box *box,
                               sf_workspace *ws)
{
    memcpy(b->n, box->size, sizeof b->n);
    b->stride1 = box->size[2] + 1;
    b->stride0 = (box->size[1] + 1) * b->stride1;
    const int64_t count = (box->size[0] + 1) * b->stride0;
    SF_CHECK(count < INT32_MAX, SF_EUNSUPPORTED, "a patch that reads %lld voxels is too large",
             (long long)count);
    SF_TRY(sf_workspace_get(ws, SF_WS_CUT_SEG, (size_t)(2 * count), sizeof(int16_t), &b->x));
    b->cell = b->x + count;
    memset(b->x, 0xff, (size_t)count * sizeof(int16_t));
    cut(b->x, b->stride0, b->stride1, seg, box, sizeof(int16_t), 0xff);
    reduce_cells(b);
    return SF_OK;
}

static void label_row(int16_t *dst, const label_box *b, const sf_voxel_row *row,
                      const int32_t *offset, sf_label_rule rule, int64_t count)
{
    for (int64_t k = 0; k < count; k++) {
        dst[k] = b->cell[offset[k]];
        if (dst[k] != MIXED) continue;
        const double x[3] = { at_voxel(row, 0, k), at_voxel(row, 1, k), at_voxel(row, 2, k) };
        dst[k] = label_at(b, x, rule);
    }
}

static void fill_labels(int16_t *dst, int64_t count, int16_t value)
{
    for (int64_t k = 0; k < count; k++) dst[k] = value;
}

/* One row of the patch, `count` voxels of it inside the box. */
static void inside_labels(int16_t *dst, const label_box *b, const sf_voxel_row *row,
                          sf_label_rule rule, int64_t count, const sf_voxel_ops *ops)
{
    int32_t offset[CHUNK];
    for (int64_t k = 0; k < count; k += CHUNK) {
        const int64_t n = count - k < CHUNK ? count - k : CHUNK;
        sf_voxel_row part = *row;
        for (int a = 0; a < 3; a++) part.start[a] = at_voxel(row, a, k);
        ops->offset_row(offset, n, b->stride0, b->stride1, &part);
        label_row(dst + k, b, &part, offset, rule, n);
    }
}

sf_status sf_spatial_labels(int16_t *dst, const int64_t patch[3], const int16_t *seg,
                            const sf_box *box, const sf_affine *map, sf_label_rule rule,
                            sf_workspace *ws)
{
    static const int64_t none[3] = { 0, 0, 0 };
    const int16_t outside = rule == SF_LABEL_ARGMAX ? -1 : 0;
    const sf_voxel_ops *ops = sf_voxel_ops_pick();
    sf_box part;
    label_box b;
    if (!needed_part(&part, box, map, patch, 1, 2)) {
        fill_labels(dst, patch[0] * patch[1] * patch[2], outside);
        return SF_OK;
    }
    SF_TRY(label_box_cut(&b, seg, &part, ws));
    for (int64_t r = 0; r < patch[0] * patch[1]; r++, dst += patch[2]) {
        sf_voxel_row row;
        int64_t first;
        row_of(&row, map, r / patch[1], r % patch[1]);
        const int64_t count = inside_row(&row, &first, box, &part, patch[2], false, none);
        fill_labels(dst, first, outside);
        inside_labels(dst + first, &b, &row, rule, count, ops);
        fill_labels(dst + first + count, patch[2] - first - count, outside);
    }
    return SF_OK;
}
