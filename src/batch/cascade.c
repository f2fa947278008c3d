#include "batch/cascade.h"
#include <math.h>
#include <string.h>

static const char *const WHERE = "recipe: augment";

void sf_one_hot(float *out, const int16_t *prev, int64_t count, const int *labels, int classes)
{
    for (int k = 0; k < classes; k++) {
        for (int64_t i = 0; i < count; i++) out[k * count + i] = prev[i] == labels[k] ? 1.0f : 0.0f;
    }
}

sf_status sf_ball_make(sf_ball *out, double radius)
{
    SF_CHECK(radius >= 0.5 && radius <= 16, SF_EINVAL, "a ball of radius %g voxels", radius);
    const int m = (int)floor(2.0 * radius + 1.0);
    const double step = 2.0 * radius / (double)(m - 1), limit = radius * radius;
    out->size = m;
    out->set = 0;
    for (int i = 0; i < m; i++) {
        const double z = -radius + i * step;
        for (int j = 0; j < m; j++) {
            const double y = -radius + j * step;
            int first = 1, last = 0;
            for (int k = 0; k < m; k++) {
                const double x = -radius + k * step;
                if (!((x * x + y * y) + z * z <= limit)) continue;
                if (last < first) first = k;
                last = k;
                out->set++;
            }
            out->first[i][j] = (int8_t)first;
            out->last[i][j] = (int8_t)last;
        }
    }
    return SF_OK;
}

/* Where point j of an element lies relative to the centre: sign * j + shift. */
typedef struct {
    int sign, shift;
} placement;

static placement place(const sf_ball *ball, sf_formulas formulas, bool dilate)
{
    if (formulas == SF_FORMULAS_V2) return (placement){ 1, -((ball->size - 1) / 2) };
    return dilate ? (placement){ -1, ball->size / 2 } : (placement){ 1, -(ball->size / 2) };
}

/* prefix[row][i] = number of set voxels before i in the row. */
static void row_prefix(int32_t *prefix, const uint8_t *x, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++) {
        int32_t *p = prefix + r * (n + 1);
        p[0] = 0;
        for (int64_t i = 0; i < n; i++) p[i + 1] = p[i] + x[r * n + i];
    }
}

/* out[i] |= any set voxel of the source row in [i + a, i + b]. */
static void spread_row(uint8_t *out, const int32_t *prefix, int64_t n, int64_t a, int64_t b)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t from = i + a, to = i + b + 1;
        from = from < 0 ? 0 : from > n ? n : from;
        to = to < 0 ? 0 : to > n ? n : to;
        out[i] |= prefix[to] > prefix[from];
    }
}

/* out = x spread over the element; everything outside the volume is not set. */
static void spread(uint8_t *out, const uint8_t *x, int32_t *prefix, const int64_t n[3],
                   const sf_ball *ball, placement at)
{
    row_prefix(prefix, x, n[0] * n[1], n[2]);
    memset(out, 0, (size_t)(n[0] * n[1] * n[2]));
    for (int e = 0; e < ball->size * ball->size; e++) {
        const int i = e / ball->size, j = e % ball->size;
        if (ball->first[i][j] > ball->last[i][j]) continue;
        const int64_t dz = at.sign * i + at.shift, dy = at.sign * j + at.shift;
        int64_t a = at.sign * ball->first[i][j] + at.shift,
                b = at.sign * ball->last[i][j] + at.shift;
        if (a > b) {
            const int64_t swap = a;
            a = b;
            b = swap;
        }
        for (int64_t z = 0; z < n[0]; z++) {
            if (z + dz < 0 || z + dz >= n[0]) continue;
            for (int64_t y = 0; y < n[1]; y++) {
                if (y + dy < 0 || y + dy >= n[1]) continue;
                spread_row(out + (z * n[1] + y) * n[2],
                           prefix + ((z + dz) * n[1] + y + dy) * (n[2] + 1), n[2], a, b);
            }
        }
    }
}

static void invert(uint8_t *x, int64_t count)
{
    for (int64_t i = 0; i < count; i++) x[i] = !x[i];
}

typedef struct {
    uint8_t *x, *other;
    int32_t *prefix;
    const int64_t *n;
    const sf_ball *ball;
    sf_formulas formulas;
} morphology;

/* x = dilated or eroded x. Erosion is the complement of the spread complement. */
static void step(morphology *m, bool dilate)
{
    const int64_t count = m->n[0] * m->n[1] * m->n[2];
    if (!dilate) invert(m->x, count);
    spread(m->other, m->x, m->prefix, m->n, m->ball, place(m->ball, m->formulas, dilate));
    uint8_t *swap = m->x;
    m->x = m->other;
    m->other = swap;
    if (!dilate) invert(m->x, count);
}

sf_status sf_binary_operator(float *one_hot, int classes, int channel, const int64_t n[3],
                             sf_binary_operation op, const sf_ball *ball, sf_formulas formulas,
                             sf_workspace *ws)
{
    const int64_t count = n[0] * n[1] * n[2];
    morphology m = { .n = n, .ball = ball, .formulas = formulas };
    SF_TRY(sf_workspace_get(ws, SF_WS_VOLUME_A, (size_t)count, 1, &m.x));
    SF_TRY(sf_workspace_get(ws, SF_WS_VOLUME_B, (size_t)count, 1, &m.other));
    SF_TRY(sf_workspace_get(ws, SF_WS_LINES, (size_t)(n[0] * n[1] * (n[2] + 1)), sizeof *m.prefix,
                            &m.prefix));
    float *mine = one_hot + channel * count;
    for (int64_t i = 0; i < count; i++) m.x[i] = mine[i] > 0.0f;
    const bool dilate_first = op == SF_DILATION || op == SF_CLOSING;
    step(&m, dilate_first);
    if (op == SF_CLOSING || op == SF_OPENING) step(&m, !dilate_first);
    for (int k = 0; k < classes; k++) {
        float *other = one_hot + k * count;
        if (k == channel) continue;
        for (int64_t i = 0; i < count; i++) other[i] = m.x[i] && mine[i] <= 0.0f ? 0.0f : other[i];
    }
    for (int64_t i = 0; i < count; i++) mine[i] = m.x[i] ? 1.0f : 0.0f;
    return SF_OK;
}

/* Put the unlabelled set neighbours of voxel `at` on the stack. @return the new stack height. */
static int64_t push_neighbours(int64_t *stack, int64_t height, int32_t *label, int32_t id,
                               const float *x, const int64_t n[3], int64_t at)
{
    const int64_t z = at / (n[1] * n[2]), y = at / n[2] % n[1], c = at % n[2];
    for (int d = 0; d < 27; d++) {
        const int64_t p = z + d / 9 - 1, q = y + d / 3 % 3 - 1, r = c + d % 3 - 1;
        if (p < 0 || p >= n[0] || q < 0 || q >= n[1] || r < 0 || r >= n[2]) continue;
        const int64_t to = (p * n[1] + q) * n[2] + r;
        if (label[to] != 0 || !(x[to] > 0.0f)) continue;
        label[to] = id;
        stack[height++] = to;
    }
    return height;
}

sf_status sf_components_find(int32_t *label, int64_t **size, int *count, const float *x,
                             const int64_t n[3], sf_workspace *ws)
{
    const int64_t voxels = n[0] * n[1] * n[2];
    int64_t *stack = NULL, *sizes = NULL;
    SF_TRY(sf_workspace_get(ws, SF_WS_VOLUME_A, (size_t)voxels, sizeof *stack, &stack));
    SF_TRY(sf_workspace_get(ws, SF_WS_VOLUME_B, (size_t)voxels, sizeof *sizes, &sizes));
    memset(label, 0, (size_t)voxels * sizeof *label);
    int32_t found = 0;
    for (int64_t i = 0; i < voxels; i++) {
        if (label[i] != 0 || !(x[i] > 0.0f)) continue;
        int64_t height = 1;
        stack[0] = i;
        label[i] = ++found;
        sizes[found - 1] = 0;
        while (height > 0) {
            const int64_t at = stack[--height];
            sizes[found - 1]++;
            height = push_neighbours(stack, height, label, found, x, n, at);
        }
    }
    *size = sizes;
    *count = found;
    return SF_OK;
}

static sf_status get_probability(double *out, const json_t *obj, const char *key)
{
    SF_TRY(sf_json_get_num(out, obj, key, WHERE));
    SF_CHECK(*out >= 0 && *out <= 1, SF_EDATA, "%s: \"%s\" is %g, not a probability", WHERE, key,
             *out);
    return SF_OK;
}

sf_status sf_cascade_parse(sf_cascade *out, const json_t *augment)
{
    json_t *obj;
    const char *formulas;
    SF_TRY(sf_json_get_str(&formulas, augment, "formulas", WHERE));
    out->formulas = strcmp(formulas, "v1") == 0 ? SF_FORMULAS_V1 : SF_FORMULAS_V2;
    SF_TRY(sf_json_get(&obj, augment, "binary_operator", WHERE));
    SF_TRY(get_probability(&out->p_operator, obj, "p"));
    SF_TRY(get_probability(&out->p_operator_label, obj, "p_label"));
    SF_TRY(sf_json_get_nums(out->radius, 2, obj, "radius", WHERE));
    SF_CHECK(out->radius[0] >= 0.5 && out->radius[0] <= out->radius[1] && out->radius[1] <= 16,
             SF_EDATA, "%s: binary_operator.radius must be ascending within 0.5 and 16", WHERE);
    SF_TRY(sf_json_get(&obj, augment, "remove_component", WHERE));
    SF_TRY(get_probability(&out->p_component, obj, "p"));
    SF_TRY(get_probability(&out->p_component_label, obj, "p_label"));
    return get_probability(&out->max_fraction, obj, "max_fraction");
}

/* A random order of the classes: repeatedly one of the remaining ones, kept as ranks. */
static int next_class(sf_rng *rng, bool *used, int classes, int remaining)
{
    int64_t pick = sf_rng_below(rng, remaining);
    for (int k = 0; k < classes; k++) {
        if (!used[k] && pick-- == 0) {
            used[k] = true;
            return k;
        }
    }
    return -1;
}

static sf_status disturb_shapes(const sf_cascade *c, sf_rng *rng, float *one_hot, int classes,
                                const int64_t n[3], sf_workspace *ws)
{
    bool *used = NULL;
    SF_TRY(sf_workspace_get(ws, SF_WS_DRAW, (size_t)classes, sizeof *used, &used));
    memset(used, 0, (size_t)classes * sizeof *used);
    for (int left = classes; left > 0; left--) {
        const int k = next_class(rng, used, classes, left);
        const bool on = sf_rng_u01(rng) < c->p_operator_label;
        const sf_binary_operation op = (sf_binary_operation)sf_rng_below(rng, 4);
        const double radius = sf_rng_uniform(rng, c->radius[0], c->radius[1]);
        if (!on) continue;
        sf_ball ball;
        SF_TRY(sf_ball_make(&ball, radius));
        SF_TRY(sf_binary_operator(one_hot, classes, k, n, op, &ball, c->formulas, ws));
    }
    return SF_OK;
}

/* Zero one of the components that are smaller than `limit` voxels, if there is any. */
static sf_status remove_one(sf_rng *rng, float *x, const int64_t n[3], double limit,
                            sf_workspace *ws)
{
    const int64_t voxels = n[0] * n[1] * n[2];
    int32_t *label = NULL;
    int64_t *size = NULL;
    int count, small = 0;
    SF_TRY(sf_workspace_get(ws, SF_WS_CUT_SEG, (size_t)voxels, sizeof *label, &label));
    SF_TRY(sf_components_find(label, &size, &count, x, n, ws));
    for (int i = 0; i < count; i++) small += (double)size[i] < limit;
    if (small == 0) return SF_OK;
    int64_t pick = sf_rng_below(rng, small);
    int32_t chosen = 0;
    for (int i = 0; i < count && chosen == 0; i++) {
        if ((double)size[i] < limit && pick-- == 0) chosen = i + 1;
    }
    for (int64_t i = 0; i < voxels; i++) x[i] = label[i] == chosen ? 0.0f : x[i];
    return SF_OK;
}

sf_status sf_cascade_disturb(const sf_cascade *c, const sf_sample_key *key, float *one_hot,
                             int classes, const int64_t n[3], sf_workspace *ws)
{
    const int64_t voxels = n[0] * n[1] * n[2];
    sf_rng rng;
    sf_augment_stream(&rng, key, "binary_operator");
    if (sf_rng_u01(&rng) < c->p_operator) {
        SF_TRY(disturb_shapes(c, &rng, one_hot, classes, n, ws));
    }
    sf_augment_stream(&rng, key, "remove_component");
    const bool remove = sf_rng_u01(&rng) < c->p_component;
    for (int k = 0; remove && k < classes; k++) {
        if (!(sf_rng_u01(&rng) < c->p_component_label)) continue;
        SF_TRY(remove_one(&rng, one_hot + k * voxels, n, c->max_fraction * (double)voxels, ws));
    }
    return SF_OK;
}
