#include "preprocess/axis.h"
#include "base/mem.h"
#include <math.h>
#include <omp.h>
#include <string.h>

/* LANES neighbouring lines are filtered together, so that the recursive filter runs in vectors. */
enum { PAD = 12, LANES = 16 };

void sf_axis_map_free(sf_axis_map *m)
{
    sf_mem_free(m->start);
    sf_mem_free(m->weight);
    memset(m, 0, sizeof *m);
}

static double clamp(double x, double lo, double hi) { return x < lo ? lo : x > hi ? hi : x; }

/** First tap (input index) and weights of one output at position x. */
static int64_t taps_at(int order, int64_t n, double x, double *w)
{
    if (order < 3) x = clamp(x, 0.0, (double)(n - 1));
    if (order == 0) {
        w[0] = 1.0;
        return (int64_t)floor(x + 0.5);
    }
    const double f = floor(x), t = x - f, u = 1.0 - t;
    if (order == 1) {
        const bool end = (int64_t)f >= n - 1; /* x = n-1: the second tap would lie outside */
        w[0] = end && n > 1 ? 0.0 : u;
        w[1] = end && n > 1 ? 1.0 : t;
        return end && n > 1 ? n - 2 : (int64_t)f;
    }
    w[0] = u * u * u / 6.0;
    w[1] = (4.0 + 3.0 * t * t * (t - 2.0)) / 6.0;
    w[2] = (4.0 + 3.0 * u * u * (u - 2.0)) / 6.0;
    w[3] = 1.0 - w[0] - w[1] - w[2];
    return (int64_t)f - 1 + PAD;
}

/** Which inputs the outputs need; starts become relative to the first of them. */
static void set_range(sf_axis_map *m)
{
    m->first = 0;
    m->last = m->n;
    if (m->order == 3 || m->count == 0) return; /* the spline's filter runs over the whole line */
    m->first = m->start[0];
    m->last = m->start[m->count - 1] + m->taps;
    for (int64_t k = 0; k < m->count; k++) m->start[k] -= m->first;
}

sf_status sf_axis_map_make(sf_axis_map *m, int64_t n, int64_t to, int64_t lo, int64_t hi, int order)
{
    memset(m, 0, sizeof *m);
    SF_CHECK(order == 0 || order == 1 || order == 3, SF_EINVAL,
             "interpolation of order %d is not supported: the plan must say 0, 1 or 3", order);
    m->order = order;
    m->n = n;
    m->count = hi - lo;
    m->taps = order == 3 ? 4 : order == 1 && n > 1 ? 2 : 1;
    if (n == to) { /* every order reproduces the samples */
        m->identity = true;
        m->first = lo;
        m->last = hi;
        return SF_OK;
    }
    SF_TRY(sf_mem_alloc(&m->start, (size_t)m->count, sizeof *m->start, SF_MEM_SCRATCH));
    sf_status st =
        sf_mem_alloc(&m->weight, (size_t)(m->count * m->taps), sizeof *m->weight, SF_MEM_SCRATCH);
    if (st != SF_OK) {
        sf_axis_map_free(m);
        return st;
    }
    const double ratio = (double)n / (double)to;
    for (int64_t k = lo; k < hi; k++) {
        double w[4] = { 1.0, 0.0, 0.0, 0.0 };
        m->start[k - lo] = taps_at(order, n, ratio * ((double)k + 0.5) - 0.5, w);
        if (m->taps == 1) w[0] = 1.0;
        memcpy(m->weight + (k - lo) * m->taps, w, (size_t)m->taps * sizeof *w);
    }
    set_range(m);
    return SF_OK;
}

/** Where LANES lines lie: line l starts at base[b] = offset of (outer, inner) of line l. */
typedef struct {
    int64_t src[LANES], dst[LANES];
    int lanes;
    bool adjacent; /* lines b and b+1 are neighbours in memory */
} lines;

static void find_lines(lines *g, int64_t group, int64_t outer, int64_t inner, int64_t rows,
                       int64_t count)
{
    const int64_t total = outer * inner, begin = group * LANES;
    g->lanes = (int)(total - begin < LANES ? total - begin : LANES);
    for (int b = 0; b < g->lanes; b++) {
        const int64_t o = (begin + b) / inner, i = (begin + b) % inner;
        g->src[b] = o * rows * inner + i;
        g->dst[b] = o * count * inner + i;
    }
    g->adjacent = g->lanes == LANES && begin / inner == (begin + LANES - 1) / inner;
}

/** buf[row][lane] = line values; lanes beyond the last line repeat line 0, so that the filter has
 * no special case. */
static void gather(const lines *g, const double *src, int64_t rows, int64_t inner, double *buf)
{
    if (g->adjacent) {
        for (int64_t r = 0; r < rows; r++)
            memcpy(buf + r * LANES, src + g->src[0] + r * inner, LANES * sizeof *buf);
        return;
    }
    for (int b = 0; b < LANES; b++) {
        const double *s = src + g->src[b < g->lanes ? b : 0];
        for (int64_t r = 0; r < rows; r++) buf[r * LANES + b] = s[r * inner];
    }
}

/** Values of one line (LANES at once) -> B-spline coefficients, in place. Half-sample symmetric
 * ends. */
static void prefilter(double *c, int64_t n)
{
    const double z = sqrt(3.0) - 2.0, gain = (1.0 - z) * (1.0 - 1.0 / z);
    for (int64_t i = 0; i < n * LANES; i++) c[i] *= gain;
    double sum[LANES], zi = z;
    const double zn = pow(z, (double)n);
    const int64_t terms = n < 64 ? n : 64; /* |z|^64 = 2e-37: nothing is left to add */
    for (int b = 0; b < LANES; b++) sum[b] = c[b] + zn * c[(n - 1) * LANES + b];
    for (int64_t i = 1; i < terms; i++, zi *= z)
        for (int b = 0; b < LANES; b++)
            sum[b] += zi * (c[i * LANES + b] + zn * c[(n - 1 - i) * LANES + b]);
    for (int b = 0; b < LANES; b++) c[b] += z / (1.0 - zn * zn) * sum[b];
    for (int64_t i = 1; i < n; i++)
        for (int b = 0; b < LANES; b++) c[i * LANES + b] += z * c[(i - 1) * LANES + b];
    for (int b = 0; b < LANES; b++) c[(n - 1) * LANES + b] *= z / (z - 1.0);
    for (int64_t i = n - 2; i >= 0; i--)
        for (int b = 0; b < LANES; b++)
            c[i * LANES + b] = z * (c[(i + 1) * LANES + b] - c[i * LANES + b]);
}

/** Extend the line by PAD copies of its ends (the line lies at buf[PAD]) and filter it. */
static void extend_and_filter(double *buf, int64_t n)
{
    for (int64_t p = 0; p < PAD; p++) {
        memcpy(buf + p * LANES, buf + PAD * LANES, LANES * sizeof *buf);
        memcpy(buf + (n + PAD + p) * LANES, buf + (n + PAD - 1) * LANES, LANES * sizeof *buf);
    }
    prefilter(buf, n + 2 * PAD);
}

static void evaluate(const sf_axis_map *m, const lines *g, const double *buf, int64_t inner,
                     double *dst)
{
    for (int64_t k = 0; k < m->count; k++) {
        const double *w = m->weight + k * m->taps, *in = buf + m->start[k] * LANES;
        double v[LANES];
        for (int b = 0; b < LANES; b++) v[b] = w[0] * in[b];
        for (int t = 1; t < m->taps; t++)
            for (int b = 0; b < LANES; b++) v[b] += w[t] * in[t * LANES + b];
        if (g->adjacent)
            memcpy(dst + g->dst[0] + k * inner, v, sizeof v);
        else
            for (int b = 0; b < g->lanes; b++) dst[g->dst[b] + k * inner] = v[b];
    }
}

sf_status sf_axis_apply(const sf_axis_map *m, const double *src, int64_t outer, int64_t inner,
                        double *dst, int threads)
{
    const int64_t rows = m->last - m->first, groups = (outer * inner + LANES - 1) / LANES;
    if (m->identity) {
        memcpy(dst, src, (size_t)(outer * rows * inner) * sizeof *dst);
        return SF_OK;
    }
    const int64_t pad = m->order == 3 ? PAD : 0, length = (rows + 2 * pad) * LANES;
    const int team = threads > 1 ? threads : 1;
    double *scratch;
    SF_TRY(sf_mem_alloc(&scratch, (size_t)(length * team), sizeof *scratch, SF_MEM_SCRATCH));
#pragma omp parallel for num_threads(team) schedule(static)
    for (int64_t group = 0; group < groups; group++) {
        double *buf = scratch + omp_get_thread_num() * length;
        lines g;
        find_lines(&g, group, outer, inner, rows, m->count);
        gather(&g, src, rows, inner, buf + pad * LANES);
        if (m->order == 3) extend_and_filter(buf, rows);
        evaluate(m, &g, buf, inner, dst);
    }
    sf_mem_free(scratch);
    return SF_OK;
}
