#include "image/runs.h"
#include "base/mem.h"
#include <string.h>

/* Root of run i; halves the path on the way. */
static int64_t find_root(int64_t *parent, int64_t i)
{
    while (parent[i] != i) {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    return i;
}

/* The lower index becomes the root, so a root is the first run of its component in raster order. */
static void join(int64_t *parent, int64_t a, int64_t b)
{
    const int64_t ra = find_root(parent, a), rb = find_root(parent, b);
    if (ra < rb)
        parent[rb] = ra;
    else
        parent[ra] = rb;
}

/* Joins the runs of two rows that touch; reach = 1 counts diagonal neighbours, 0 does not. */
static void join_rows(sf_runs *r, int64_t row_a, int64_t row_b, int32_t reach)
{
    int64_t a = r->row[row_a], b = r->row[row_b];
    const int64_t end_a = r->row[row_a + 1], end_b = r->row[row_b + 1];
    while (a < end_a && b < end_b) {
        const sf_run *p = &r->run[a], *q = &r->run[b];
        if (p->begin < q->end + reach && q->begin < p->end + reach) join(r->parent, a, b);
        if (p->end < q->end)
            a++;
        else
            b++;
    }
}

static int64_t count_runs(const uint8_t *mask, const int64_t shape[3], int value)
{
    const int64_t rows = shape[0] * shape[1], width = shape[2];
    int64_t n = 0;
    for (int64_t i = 0; i < rows && width > 0; i++) {
        const uint8_t *m = mask + i * width;
        int32_t begins = (m[0] != 0) == value;
        for (int64_t x = 1; x < width; x++)
            begins += ((m[x] != 0) == value) & ((m[x - 1] != 0) != value);
        n += begins;
    }
    return n;
}

/* First x >= from with (m[x] != 0) == value, or width; eight bytes at a time where none can be. */
static int32_t next_of(const uint8_t *m, int32_t from, int32_t width, int value)
{
    const uint64_t ones = 0x0101010101010101u;
    int32_t x = from;
    for (uint64_t word; x + 8 <= width; x += 8) {
        memcpy(&word, m + x, sizeof word);
        const bool has_zero = ((word - ones) & ~word & (ones << 7)) != 0;
        if (value ? word != 0 : has_zero) break;
    }
    while (x < width && (m[x] != 0) != value) x++;
    return x;
}

static void fill_runs(sf_runs *r, const uint8_t *mask, int value)
{
    const int64_t rows = r->shape[0] * r->shape[1];
    const int32_t width = (int32_t)r->shape[2];
    int64_t n = 0;
    for (int64_t i = 0; i < rows; i++) {
        const uint8_t *m = mask + i * width;
        r->row[i] = n;
        for (int32_t x = next_of(m, 0, width, value); x < width; n++) {
            r->run[n].begin = x;
            x = r->run[n].end = next_of(m, x, width, !value);
            r->parent[n] = n;
            x = next_of(m, x, width, value);
        }
    }
    r->row[rows] = n;
}

static void join_all(sf_runs *r, bool full)
{
    const int64_t depth = r->shape[0], height = r->shape[1];
    const int32_t reach = full ? 1 : 0;
    for (int64_t z = 0; z < depth; z++) {
        for (int64_t y = 0; y < height; y++) {
            const int64_t i = z * height + y;
            if (y > 0) join_rows(r, i, i - 1, reach);
            if (z == 0) continue;
            join_rows(r, i, i - height, reach);
            if (full && y > 0) join_rows(r, i, i - height - 1, reach);
            if (full && y + 1 < height) join_rows(r, i, i - height + 1, reach);
        }
    }
    for (int64_t i = 0; i < r->count; i++) r->parent[i] = r->parent[r->parent[i]];
}

sf_status sf_runs_create(sf_runs **out, const uint8_t *mask, const int64_t shape[3], int value,
                         bool full)
{
    sf_runs *r = NULL;
    sf_status st = SF_OK;
    *out = NULL;
    SF_CHECK(shape[2] < INT32_MAX, SF_EINVAL, "an image row of %lld voxels is too long",
             (long long)shape[2]);
    value = value != 0;
    SF_TRY(sf_mem_calloc(&r, 1, sizeof *r, SF_MEM_SCRATCH));
    for (int a = 0; a < 3; a++) r->shape[a] = shape[a];
    r->count = count_runs(mask, shape, value);
    SF_GOTO(done, st, sf_mem_alloc(&r->run, (size_t)r->count, sizeof *r->run, SF_MEM_SCRATCH));
    SF_GOTO(done, st,
            sf_mem_alloc(&r->parent, (size_t)r->count, sizeof *r->parent, SF_MEM_SCRATCH));
    SF_GOTO(
        done, st,
        sf_mem_alloc(&r->row, (size_t)(shape[0] * shape[1] + 1), sizeof *r->row, SF_MEM_SCRATCH));
    fill_runs(r, mask, value);
    join_all(r, full);
    *out = r;
    r = NULL;
done:
    sf_runs_destroy(&r);
    return st;
}

void sf_runs_destroy(sf_runs **runs)
{
    sf_runs *r = *runs;
    if (!r) return;
    sf_mem_free(r->run);
    sf_mem_free(r->parent);
    sf_mem_free(r->row);
    sf_mem_free(r);
    *runs = NULL;
}
