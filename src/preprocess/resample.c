#include "preprocess/resample.h"
#include "base/mem.h"
#include "preprocess/axis.h"
#include <math.h>
#include <string.h>

/** What is done to every channel: one map per axis, and the order in which the axes are taken. */
typedef struct {
    int64_t from[3], to[3], lo, hi; /* rows [lo, hi) of the first axis are wanted */
    int order, axis, threads;
    int in_plane[3], n_in_plane; /* axes resampled with `order`; all three when axis < 0 */
    sf_axis_map map[3];
} job;

void sf_resampled_shape(int64_t out[3], const int64_t shape[3], const double old_spacing[3],
                        const double new_spacing[3])
{
    for (int a = 0; a < 3; a++) {
        const double n = rint(old_spacing[a] / new_spacing[a] * (double)shape[a]);
        out[a] = n < 1.0 ? 1 : (int64_t)n;
    }
}

void sf_config_shape(int64_t out[3], const sf_config *cfg, const int64_t shape[3],
                     const double spacing[3])
{
    double next[3];
    for (int a = 0; a < 3; a++) {
        out[a] = shape[a];
        next[a] = cfg->dim == 2 && a == 0 ? spacing[0] : cfg->spacing[a];
    }
    if (cfg->data.fn != SF_RESAMPLE_NONE) sf_resampled_shape(out, shape, spacing, next);
}

static double max3(const double v[3]) { return fmax(v[0], fmax(v[1], v[2])); }

static double ratio3(const double v[3]) { return max3(v) / fmin(v[0], fmin(v[1], v[2])); }

int sf_resample_separate_axis(const sf_resampling *r, const double cur[3], const double next[3],
                              double threshold)
{
    const double *decides = NULL;
    if (r->threshold > 0) threshold = r->threshold;
    if (r->force_separate_z == 0) return -1;
    if (r->force_separate_z > 0 || ratio3(cur) > threshold)
        decides = cur;
    else if (ratio3(next) > threshold)
        decides = next;
    if (decides == NULL) return -1;
    int axis = -1, members = 0;
    for (int a = 0; a < 3; a++) {
        if (max3(decides) / decides[a] != 1.0) continue;
        if (axis < 0) axis = a;
        members++;
    }
    return members == 1 ? axis : -1;
}

static void job_free(job *j)
{
    for (int a = 0; a < 3; a++) sf_axis_map_free(&j->map[a]);
}

static sf_status job_make(job *j, const int64_t from[3], const int64_t to[3], int64_t lo,
                          int64_t hi, int order, int order_z, int axis, int threads)
{
    memset(j, 0, sizeof *j);
    for (int a = 0; a < 3; a++) {
        SF_CHECK(from[a] > 0 && to[a] > 0, SF_EINVAL,
                 "resampling needs at least one voxel per axis");
        j->from[a] = from[a];
        j->to[a] = to[a];
    }
    SF_CHECK(lo >= 0 && lo <= hi && hi <= to[0], SF_EINVAL, "rows %lld..%lld of %lld",
             (long long)lo, (long long)hi, (long long)to[0]);
    j->lo = lo;
    j->hi = hi;
    j->order = order;
    j->axis = axis;
    j->threads = threads;
    for (int a = 0; a < 3; a++) {
        const sf_status st = sf_axis_map_make(&j->map[a], from[a], to[a], a == 0 ? lo : 0,
                                              a == 0 ? hi : to[a], a == axis ? order_z : order);
        if (st != SF_OK) {
            job_free(j);
            return sf_trace_(st, __FILE__, __LINE__, "sf_axis_map_make");
        }
        if (a != axis) j->in_plane[j->n_in_plane++] = a;
    }
    return SF_OK;
}

static int64_t volume(const int64_t d[3]) { return d[0] * d[1] * d[2]; }

static bool same_shape(const job *j) { return memcmp(j->from, j->to, sizeof j->from) == 0; }

/** Shape of the input rows that the job reads. */
static void loaded_shape(const job *j, int64_t dims[3])
{
    dims[0] = j->map[0].last - j->map[0].first;
    dims[1] = j->from[1];
    dims[2] = j->from[2];
}

/** Two buffers that hold any volume on the way: the volume is in `now`, the next pass writes to
 * `next`. Made once for all channels or labels: fresh memory costs more than the arithmetic. */
typedef struct {
    double *now, *next;
} buffers;

/** The largest volume of the passes over `axes`, from shape `dims`; dims becomes their result. */
static int64_t largest(const job *j, const int *axes, int n_axes, int64_t dims[3])
{
    int64_t most = volume(dims);
    for (int i = 0; i < n_axes; i++) {
        dims[axes[i]] = j->map[axes[i]].count;
        if (volume(dims) > most) most = volume(dims);
    }
    return most;
}

static sf_status buffers_make(buffers *b, int64_t voxels)
{
    const sf_status st = sf_mem_alloc(&b->now, (size_t)voxels, sizeof *b->now, SF_MEM_SCRATCH);
    if (st != SF_OK) return st;
    return sf_mem_alloc(&b->next, (size_t)voxels, sizeof *b->next, SF_MEM_SCRATCH);
}

static void buffers_free(buffers *b)
{
    sf_mem_free(b->now);
    sf_mem_free(b->next);
}

/** Resample b->now (shape dims) along the axes; dims is updated. */
static sf_status run_passes(const job *j, const int *axes, int n_axes, buffers *b, int64_t dims[3])
{
    for (int i = 0; i < n_axes; i++) {
        const int a = axes[i];
        const sf_axis_map *m = &j->map[a];
        if (m->identity) continue;
        const int64_t outer = a == 0 ? 1 : a == 1 ? dims[0] : dims[0] * dims[1];
        const int64_t inner = a == 0 ? dims[1] * dims[2] : a == 1 ? dims[2] : 1;
        SF_TRY(sf_axis_apply(m, b->now, outer, inner, b->next, j->threads));
        double *const swap = b->now;
        b->now = b->next;
        b->next = swap;
        dims[a] = m->count;
    }
    return SF_OK;
}

/** Range of the input: of the whole channel (axis < 0, one entry) or of every slice along the axis.
 */
static void find_ranges(const job *j, const float *src, float *lo, float *hi)
{
    const int64_t slices = j->axis < 0 ? 1 : j->from[j->axis];
    for (int64_t s = 0; s < slices; s++) {
        lo[s] = INFINITY;
        hi[s] = -INFINITY;
    }
    for (int64_t z = 0; z < j->from[0]; z++)
        for (int64_t y = 0; y < j->from[1]; y++, src += j->from[2])
            for (int64_t x = 0; x < j->from[2]; x++) {
                const int64_t s = j->axis < 0 ? 0 : j->axis == 0 ? z : j->axis == 1 ? y : x;
                const float v = src[x];
                lo[s] = v < lo[s] ? v : lo[s];
                hi[s] = v > hi[s] ? v : hi[s];
            }
}

/** Clip to the ranges; the first slice in `v` along the axis is slice `first` of the input. */
static void clip(const job *j, double *v, const int64_t dims[3], const float *lo, const float *hi)
{
    const int64_t first = j->axis == 0 ? j->map[0].first : 0;
    for (int64_t z = 0; z < dims[0]; z++)
        for (int64_t y = 0; y < dims[1]; y++, v += dims[2])
            for (int64_t x = 0; x < dims[2]; x++) {
                const int64_t s = j->axis < 0 ? 0 : j->axis == 0 ? z + first : j->axis == 1 ? y : x;
                const double a = (double)lo[s], b = (double)hi[s];
                v[x] = v[x] < a ? a : v[x] > b ? b : v[x];
            }
}

static sf_status clip_to_input(const job *j, const float *src, double *v, const int64_t dims[3])
{
    const int64_t slices = j->axis < 0 ? 1 : j->from[j->axis];
    float *range;
    SF_TRY(sf_mem_alloc(&range, (size_t)(2 * slices), sizeof *range, SF_MEM_SCRATCH));
    find_ranges(j, src, range, range + slices);
    clip(j, v, dims, range, range + slices);
    sf_mem_free(range);
    return SF_OK;
}

/** `src` begins with row `first` of the channel. */
static sf_status resample_channel(const job *j, const float *src, int64_t first, float *dst,
                                  buffers *b)
{
    int64_t dims[3];
    loaded_shape(j, dims);
    const int64_t n = volume(dims), plane = j->from[1] * j->from[2];
    const float *rows = src + (j->map[0].first - first) * plane;
    double *const in = b->now;
#pragma omp parallel for num_threads(j->threads > 1 ? j->threads : 1) schedule(static)
    for (int64_t i = 0; i < n; i++) in[i] = (double)rows[i];
    SF_TRY(run_passes(j, j->in_plane, j->n_in_plane, b, dims));
    if (j->order == 3) SF_TRY(clip_to_input(j, src, b->now, dims));
    if (j->axis >= 0) SF_TRY(run_passes(j, &j->axis, 1, b, dims));
    const int64_t out = volume(dims);
    const double *const result = b->now;
#pragma omp parallel for num_threads(j->threads > 1 ? j->threads : 1) schedule(static)
    for (int64_t i = 0; i < out; i++) dst[i] = (float)result[i];
    return SF_OK;
}

/** Room for a channel in all its states. */
static sf_status channel_buffers(const job *j, buffers *b)
{
    int64_t dims[3];
    loaded_shape(j, dims);
    int64_t most = largest(j, j->in_plane, j->n_in_plane, dims);
    if (j->axis >= 0) {
        const int64_t then = largest(j, &j->axis, 1, dims);
        if (then > most) most = then;
    }
    return buffers_make(b, most);
}

sf_status sf_resample_data_part(const float *src, const int64_t from[3], int64_t first,
                                int64_t last, float *dst, const int64_t to[3], int64_t lo,
                                int64_t hi, int channels, int order, int order_z, int axis,
                                int threads)
{
    job j;
    SF_TRY(job_make(&j, from, to, lo, hi, order, order_z, axis, threads));
    const int64_t plane = from[1] * from[2], out = (hi - lo) * to[1] * to[2];
    const int64_t in = (last - first) * plane;
    const bool all = order == 3 && !same_shape(&j); /* the range of the whole channel clips */
    buffers b = { 0 };
    sf_status st = SF_OK;
    SF_CHECK_GOTO(done, st,
                  first <= (all ? 0 : j.map[0].first) && last >= (all ? from[0] : j.map[0].last),
                  SF_EINVAL, "resampling rows %lld..%lld needs other input than %lld..%lld",
                  (long long)lo, (long long)hi, (long long)first, (long long)last);
    if (!same_shape(&j) && out > 0) SF_GOTO(done, st, channel_buffers(&j, &b));
    for (int c = 0; c < channels && out > 0; c++) {
        const float *channel = src + c * in;
        if (same_shape(&j))
            memcpy(dst + c * out, channel + (lo - first) * plane, (size_t)out * sizeof *dst);
        else
            SF_GOTO(done, st, resample_channel(&j, channel, first, dst + c * out, &b));
    }
done:
    buffers_free(&b);
    job_free(&j);
    return st;
}

sf_status sf_resample_needs(const int64_t from[3], const int64_t to[3], int order, int order_z,
                            int axis, int64_t *first, int64_t *last)
{
    job j;
    SF_TRY(job_make(&j, from, to, 0, to[0], order, order_z, axis, 1));
    const sf_axis_map *m = &j.map[0];
    const bool all = !same_shape(&j) && (order == 3 || (m->order == 3 && !m->identity));
    for (int64_t k = 0; k < to[0]; k++) {
        const int64_t start = m->identity ? k : m->first + m->start[k];
        first[k] = all ? 0 : start;
        last[k] = all ? from[0] : start + (m->identity ? 1 : m->taps);
    }
    job_free(&j);
    return SF_OK;
}

sf_status sf_resample_data_slab(const float *src, const int64_t from[3], float *dst,
                                const int64_t to[3], int64_t lo, int64_t hi, int channels,
                                int order, int order_z, int axis, int threads)
{
    return sf_resample_data_part(src, from, 0, from[0], dst, to, lo, hi, channels, order, order_z,
                                 axis, threads);
}

sf_status sf_resample_data(const float *src, const int64_t from[3], float *dst, const int64_t to[3],
                           int channels, int order, int order_z, int axis, int threads)
{
    return sf_resample_data_slab(src, from, dst, to, 0, to[0], channels, order, order_z, axis,
                                 threads);
}

/* ---- labels ---- */

/** When a label is written over what is there (labels are taken in ascending order). */
typedef enum {
    RULE_HALF,  /* indicator >= 0.5 */
    RULE_MORE,  /* indicator > 0.5: what rounding half to even gives along a separate axis */
    RULE_ARGMAX /* the largest indicator; ties: the lowest label */
} rule;

/** Distinct values, ascending; caller frees. */
static sf_status distinct(const int16_t *v, int64_t n, int16_t **out, int *count)
{
    bool *seen;
    SF_TRY(sf_mem_calloc(&seen, 65536, sizeof *seen, SF_MEM_SCRATCH));
    for (int64_t i = 0; i < n; i++) seen[(int)v[i] + 32768] = true;
    *count = 0;
    for (int k = 0; k < 65536; k++) *count += seen[k];
    const sf_status st = sf_mem_alloc(out, (size_t)*count, sizeof **out, SF_MEM_SCRATCH);
    for (int k = 0, i = 0; st == SF_OK && k < 65536; k++)
        if (seen[k]) (*out)[i++] = (int16_t)(k - 32768);
    sf_mem_free(seen);
    return st;
}

static void merge(rule r, const double *v, int64_t n, int16_t label, int16_t *dst, double *best,
                  int threads)
{
#pragma omp parallel for num_threads(threads > 1 ? threads : 1) schedule(static)
    for (int64_t i = 0; i < n; i++) {
        if (r == RULE_HALF ? v[i] < 0.5 : r == RULE_MORE ? v[i] <= 0.5 : v[i] <= best[i]) continue;
        dst[i] = label;
        if (r == RULE_ARGMAX) best[i] = v[i];
    }
}

/** Nearest neighbour along one axis, on the labels themselves. */
static void nearest_labels(const sf_axis_map *m, const int16_t *src, int64_t outer, int64_t inner,
                           int16_t *dst)
{
    for (int64_t o = 0; o < outer; o++)
        for (int64_t k = 0; k < m->count; k++, dst += inner)
            memcpy(dst, src + (o * (m->last - m->first) + m->start[k]) * inner,
                   (size_t)inner * sizeof *dst);
}

/** One label's indicator along the axes, in b->now. */
static sf_status indicator(const job *j, const int *axes, int n_axes, const int16_t *src,
                           const int64_t in[3], int16_t label, buffers *b)
{
    int64_t dims[3] = { in[0], in[1], in[2] };
    const int64_t n = volume(in);
    double *const x = b->now;
#pragma omp parallel for num_threads(j->threads > 1 ? j->threads : 1) schedule(static)
    for (int64_t i = 0; i < n; i++) x[i] = src[i] == label ? 1.0 : 0.0;
    return run_passes(j, axes, n_axes, b, dims);
}

/** Labels along some of the axes; dst (shape `in` with those axes changed) is the caller's. */
static sf_status label_step(const job *j, const int *axes, int n_axes, rule r, const int16_t *src,
                            const int64_t in[3], int16_t *dst)
{
    int64_t out[3] = { in[0], in[1], in[2] };
    const int64_t most = largest(j, axes, n_axes, out), n = volume(out);
    int16_t *label = NULL;
    int labels = 0;
    double *best = NULL;
    buffers b = { 0 };
    sf_status st;
    SF_GOTO(done, st, distinct(src, volume(in), &label, &labels));
    SF_GOTO(done, st, buffers_make(&b, most));
    if (r == RULE_ARGMAX) SF_GOTO(done, st, sf_mem_alloc(&best, (size_t)n, 8, SF_MEM_SCRATCH));
    for (int64_t i = 0; r == RULE_ARGMAX && i < n; i++) best[i] = -1.0;
    memset(dst, 0, (size_t)n * sizeof *dst);
    for (int k = 0; k < labels; k++) {
        SF_GOTO(done, st, indicator(j, axes, n_axes, src, in, label[k], &b));
        merge(r, b.now, n, label[k], dst, best, j->threads);
    }
done:
    buffers_free(&b);
    sf_mem_free(best);
    sf_mem_free(label);
    return st;
}

/** The separate axis, after the slices: nearest on the labels, otherwise per label again. */
static sf_status label_separate(const job *j, int order_z, bool argmax, const int16_t *src,
                                const int64_t in[3], int16_t *dst)
{
    const int a = j->axis;
    const sf_axis_map *m = &j->map[a];
    if (m->identity) {
        memcpy(dst, src, (size_t)volume(in) * sizeof *dst);
        return SF_OK;
    }
    if (order_z > 0) return label_step(j, &a, 1, argmax ? RULE_ARGMAX : RULE_MORE, src, in, dst);
    nearest_labels(m, src,
                   a == 0   ? 1
                   : a == 1 ? in[0]
                            : in[0] * in[1],
                   a == 0   ? in[1] * in[2]
                   : a == 1 ? in[2]
                            : 1,
                   dst);
    return SF_OK;
}

static sf_status resample_label_volume(const job *j, const int16_t *src, int16_t *dst, int order_z,
                                       bool argmax)
{
    const rule r = argmax ? RULE_ARGMAX : RULE_HALF;
    int64_t in[3], mid[3];
    loaded_shape(j, in);
    src +=
        j->map[0].first * in[1] * in[2]; /* nearest along a separate first axis may skip slices */
    if (j->axis < 0) return label_step(j, j->in_plane, 3, r, src, in, dst);
    for (int a = 0; a < 3; a++) mid[a] = a == j->axis ? in[a] : j->map[a].count;
    int16_t *sliced;
    SF_TRY(sf_mem_alloc(&sliced, (size_t)volume(mid), sizeof *sliced, SF_MEM_SCRATCH));
    sf_status st;
    SF_GOTO(done, st, label_step(j, j->in_plane, j->n_in_plane, r, src, in, sliced));
    SF_GOTO(done, st, label_separate(j, order_z, argmax, sliced, mid, dst));
done:
    sf_mem_free(sliced);
    return st;
}

sf_status sf_resample_labels(const int16_t *src, const int64_t from[3], int16_t *dst,
                             const int64_t to[3], int order, int order_z, int axis, bool argmax,
                             int threads)
{
    job j;
    SF_TRY(job_make(&j, from, to, 0, to[0], order, order_z, axis, threads));
    sf_status st = SF_OK;
    if (same_shape(&j))
        memcpy(dst, src, (size_t)volume(from) * sizeof *dst);
    else
        st = resample_label_volume(&j, src, dst, order_z, argmax);
    job_free(&j);
    if (st != SF_OK) return sf_trace_(st, __FILE__, __LINE__, "resample_label_volume");
    return SF_OK;
}
