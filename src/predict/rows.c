#include "predict/rows.h"
#include "base/mem.h"
#include "preprocess/resample.h"
#include <string.h>

/* Bytes of results held at once. */
static const int64_t SLAB_BYTES = (int64_t)16 << 20;

struct sf_row_resampler {
    int heads, order, order_z, axis, threads;
    int64_t from[3], to[3];
    sf_row_sink next;
    int64_t *first, *last; /* [to[0]] rows of the source that a row needs */
    int64_t done;          /* rows handed on */
    float *held;           /* [heads][room][plane]: source rows [lo, hi) */
    int64_t room, lo, hi;
    const float *source; /* held, or the caller's rows when all came at once */
    int64_t source_room;
    float *slab; /* [heads][slab_rows][plane of to] */
    int64_t slab_rows;
};

static int64_t plane(const int64_t n[3]) { return n[1] * n[2]; }

static bool same_grid(const sf_row_resampler *r)
{
    return memcmp(r->from, r->to, sizeof r->from) == 0;
}

static sf_status set_up(sf_row_resampler *r)
{
    const int64_t row = r->heads * plane(r->to) * (int64_t)sizeof(float);
    SF_TRY(sf_mem_alloc(&r->first, (size_t)r->to[0], sizeof *r->first, SF_MEM_SCRATCH));
    SF_TRY(sf_mem_alloc(&r->last, (size_t)r->to[0], sizeof *r->last, SF_MEM_SCRATCH));
    SF_TRY(sf_resample_needs(r->from, r->to, r->order, r->order_z, r->axis, r->first, r->last));
    if (same_grid(r)) return SF_OK; /* rows are passed on as they are */
    r->slab_rows = SLAB_BYTES / row;
    if (r->slab_rows < 1) r->slab_rows = 1;
    if (r->slab_rows > r->to[0]) r->slab_rows = r->to[0];
    return sf_mem_alloc(&r->slab, (size_t)(r->heads * r->slab_rows * plane(r->to)), sizeof *r->slab,
                        SF_MEM_IMAGE);
}

sf_status sf_row_resampler_create(sf_row_resampler **out, int heads, const int64_t from[3],
                                  const int64_t to[3], const sf_resampling *how, int axis,
                                  int threads, sf_row_sink next)
{
    sf_row_resampler *r;
    *out = NULL;
    SF_TRY(sf_mem_calloc(&r, 1, sizeof *r, SF_MEM_MISC));
    r->heads = heads;
    r->order = how->order;
    r->order_z = how->order_z;
    r->axis = axis;
    r->threads = threads;
    r->next = next;
    memcpy(r->from, from, sizeof r->from);
    memcpy(r->to, to, sizeof r->to);
    const sf_status st = set_up(r);
    if (st != SF_OK) {
        sf_row_resampler_destroy(&r);
        return sf_trace_(st, __FILE__, __LINE__, "sf_row_resampler_create");
    }
    *out = r;
    return SF_OK;
}

void sf_row_resampler_destroy(sf_row_resampler **r)
{
    if (*r == NULL) return;
    sf_mem_free((*r)->first);
    sf_mem_free((*r)->last);
    sf_mem_free((*r)->held);
    sf_mem_free((*r)->slab);
    sf_mem_free(*r);
    *r = NULL;
}

/** Forget the rows that no later result needs. */
static void drop_rows(sf_row_resampler *r)
{
    const int64_t need = r->done < r->to[0] ? r->first[r->done] : r->hi;
    const int64_t lo = need < r->hi ? need : r->hi, n = plane(r->from);
    if (lo <= r->lo) return;
    for (int c = 0; c < r->heads; c++) {
        float *v = r->held + c * r->room * n;
        memmove(v, v + (lo - r->lo) * n, (size_t)((r->hi - lo) * n) * sizeof *v);
    }
    r->lo = lo;
}

static sf_status make_room(sf_row_resampler *r, int64_t rows)
{
    const int64_t n = plane(r->from), have = r->hi - r->lo;
    const bool all = r->last[0] == r->from[0] && r->first[r->to[0] - 1] == 0;
    const int64_t want = all ? r->from[0] : have + rows;
    if (want <= r->room) return SF_OK;
    float *more;
    SF_TRY(sf_mem_alloc(&more, (size_t)(r->heads * want * n), sizeof *more, SF_MEM_IMAGE));
    for (int c = 0; c < r->heads && have > 0; c++)
        memcpy(more + c * want * n, r->held + c * r->room * n, (size_t)(have * n) * sizeof *more);
    sf_mem_free(r->held);
    r->held = more;
    r->room = want;
    return SF_OK;
}

static sf_status hold(sf_row_resampler *r, int64_t lo, int64_t hi, const float *values)
{
    const int64_t n = plane(r->from);
    SF_TRY(make_room(r, hi - lo));
    for (int c = 0; c < r->heads; c++)
        memcpy(r->held + (c * r->room + r->hi - r->lo) * n, values + c * (hi - lo) * n,
               (size_t)((hi - lo) * n) * sizeof *values);
    r->hi = hi;
    r->source = r->held;
    r->source_room = r->room;
    return SF_OK;
}

static sf_status resample_head(const sf_row_resampler *r, int c, int64_t lo, int64_t hi,
                               int threads)
{
    return sf_resample_data_part(r->source + c * r->source_room * plane(r->from), r->from, r->lo,
                                 r->hi, r->slab + c * (hi - lo) * plane(r->to), r->to, lo, hi, 1,
                                 r->order, r->order_z, r->axis, threads);
}

/** Results [lo, hi): many heads are shared among the threads, few are shared out inside. */
static sf_status resample_rows(const sf_row_resampler *r, int64_t lo, int64_t hi)
{
    const bool shared = r->threads > 1 && r->heads >= 2 * r->threads;
    sf_error_state failed = { .status = SF_OK };
#pragma omp parallel for num_threads(shared ? r->threads : 1) schedule(static)
    for (int c = 0; c < r->heads; c++) {
        const sf_status st = resample_head(r, c, lo, hi, shared ? 1 : r->threads);
        if (st == SF_OK) continue;
#pragma omp critical(sf_rows_failure)
        sf_error_save(&failed, st);
    }
    return failed.status == SF_OK ? SF_OK : sf_error_restore(&failed);
}

static sf_status take(void *user, int64_t lo, int64_t hi, const float *values)
{
    sf_row_resampler *r = user;
    SF_CHECK(lo == r->hi, SF_EINTERNAL, "row %lld instead of %lld", (long long)lo,
             (long long)r->hi);
    if (same_grid(r)) {
        r->hi = hi;
        return r->next.take(r->next.user, lo, hi, values);
    }
    drop_rows(r);
    if (hi - lo < r->from[0]) {
        SF_TRY(hold(r, lo, hi, values));
    } else {
        r->source = values;
        r->source_room = r->hi = hi;
    }
    while (r->done < r->to[0] && r->last[r->done] <= r->hi) {
        int64_t end = r->done;
        while (end < r->to[0] && r->last[end] <= r->hi && end - r->done < r->slab_rows) end++;
        SF_TRY(resample_rows(r, r->done, end));
        SF_TRY(r->next.take(r->next.user, r->done, end, r->slab));
        r->done = end;
    }
    return SF_OK;
}

sf_row_sink sf_row_resampler_sink(sf_row_resampler *r)
{
    return (sf_row_sink){ .take = take, .user = r };
}
