#include "evaluate/instances.h"
#include "base/mem.h"
#include "evaluate/components.h"
#include <math.h>
#include <string.h>

enum { MAX_RADIUS = 64 };

/* --- the element ------------------------------------------------------------------------------ */

/** A digital ball of radius `r` around voxel (r, r, r); a flat one has one slice. */
typedef struct {
    int64_t r;
    bool flat;
} ball;

static double ball_at(const ball *b, int64_t z, int64_t y, int64_t x)
{
    const int64_t side = 2 * b->r + 1, dz = b->flat ? 0 : z - b->r, dy = y - b->r, dx = x - b->r;
    const bool in = z >= 0 && y >= 0 && x >= 0 && z < (b->flat ? 1 : side) && y < side && x < side;
    return in && dz * dz + dy * dy + dx * dx <= b->r * b->r ? 1 : 0;
}

/** Trilinear, nothing outside. */
static double ball_sample(const ball *b, const double at[3])
{
    double sum = 0;
    for (int corner = 0; corner < 8; corner++) {
        int64_t v[3];
        double w = 1;
        for (int a = 0; a < 3; a++) {
            const double low = floor(at[a]), t = at[a] - low;
            const int up = corner >> a & 1;
            v[a] = (int64_t)low + up;
            w *= up ? t : 1 - t;
        }
        if (w > 0) sum += w * ball_at(b, v[0], v[1], v[2]);
    }
    return sum;
}

static sf_status fill_element(sf_border_element *e, const int64_t radius[3], const ball *b)
{
    const int64_t *n = e->edge;
    const double side = (double)(2 * b->r + 1);
    SF_TRY(sf_mem_alloc(&e->offset, (size_t)(n[0] * n[1] * n[2]), sizeof *e->offset, SF_MEM_MISC));
    for (int64_t i = 0; i < n[0] * n[1] * n[2]; i++) {
        const int64_t v[3] = { i / (n[1] * n[2]), i / n[2] % n[1], i % n[2] };
        double at[3];
        for (int a = 0; a < 3; a++)
            at[a] = a == 0 && b->flat ? 0 : ((double)v[a] + 0.5) * side / (double)n[a] - 0.5;
        if (!(ball_sample(b, at) > 0.5)) continue;
        for (int a = 0; a < 3; a++) e->offset[e->count][a] = (int32_t)(v[a] - radius[a]);
        e->count++;
    }
    return SF_OK;
}

sf_status sf_border_element_make(sf_border_element *out, const int64_t shape[3],
                                 const double spacing[3], double thickness)
{
    int64_t radius[3], largest = 0;
    memset(out, 0, sizeof *out);
    for (int a = 0; a < 3; a++) {
        radius[a] = shape[a] == 1 ? 0 : (int64_t)rint(fmin(thickness / spacing[a], 1e6));
        SF_CHECK(radius[a] <= MAX_RADIUS, SF_EINVAL,
                 "a border of %g is %lld voxels wide along axis %d (spacing %g); at most %d are "
                 "possible",
                 thickness, (long long)radius[a], a, spacing[a], (int)MAX_RADIUS);
        out->edge[a] = 2 * radius[a] + 1;
        if (out->edge[a] > largest) largest = out->edge[a];
    }
    SF_CHECK(largest > 1, SF_EINVAL,
             "a border of %g is less than half a voxel (spacing %g x %g x %g): nothing would "
             "separate the instances",
             thickness, spacing[0], spacing[1], spacing[2]);
    const ball b = { 2 * largest, shape[0] == 1 };
    const sf_status st = fill_element(out, radius, &b);
    if (st != SF_OK) sf_border_element_free(out);
    return st;
}

void sf_border_element_free(sf_border_element *e)
{
    sf_mem_free(e->offset);
    memset(e, 0, sizeof *e);
}

/* --- instances to classes --------------------------------------------------------------------- */

static bool is_inner(const int32_t *x, const int64_t n[3], const int64_t at[3], int32_t own,
                     const sf_border_element *e)
{
    for (int k = 0; k < e->count; k++) {
        int64_t v[3];
        bool inside = true;
        for (int a = 0; a < 3; a++) {
            v[a] = at[a] + e->offset[k][a];
            inside = inside && v[a] >= 0 && v[a] < n[a];
        }
        if (inside && x[(v[0] * n[1] + v[1]) * n[2] + v[2]] != own) return false;
    }
    return true;
}

sf_status sf_instances_to_classes(int32_t *classes, const int32_t *instances,
                                  const int64_t shape[3], const sf_border_element *element,
                                  int threads)
{
    const int64_t rows = shape[0] * shape[1], voxels = rows * shape[2];
    uint8_t *out = NULL;
    SF_TRY(sf_mem_calloc(&out, (size_t)voxels, 1, SF_MEM_IMAGE));
#pragma omp parallel for schedule(static) num_threads(threads > 0 ? threads : 1)
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t x = 0; x < shape[2]; x++) {
            const int64_t i = row * shape[2] + x;
            const int64_t at[3] = { row / shape[1], row % shape[1], x };
            if (instances[i] == 0) continue;
            out[i] = is_inner(instances, shape, at, instances[i], element) ? SF_INSTANCE_CORE
                                                                           : SF_INSTANCE_BORDER;
        }
    }
    for (int64_t i = 0; i < voxels; i++) classes[i] = out[i];
    sf_mem_free(out);
    return SF_OK;
}

/* --- classes to instances --------------------------------------------------------------------- */

typedef struct {
    const int64_t *n;
    int64_t voxels, remaining;
    uint8_t *mask;
    int32_t *part;          /* components */
    int32_t *now, *dilated; /* the growing instances, over everything */
    uint8_t *arr;           /* core, border */
    int32_t *final;
} splitter;

static sf_status find_parts(splitter *s, bool cores_alone, int32_t *count)
{
    for (int64_t i = 0; i < s->voxels; i++)
        s->mask[i] = cores_alone ? s->arr[i] == SF_INSTANCE_CORE : s->arr[i] != 0;
    return sf_components_label(s->mask, s->n, true, s->part, count);
}

/** size[1..count]: voxels of each component, of those that are cores only with `cores`. */
static sf_status part_sizes(const splitter *s, int32_t count, bool cores, int64_t **size)
{
    SF_TRY(sf_mem_calloc(size, (size_t)count + 1, sizeof **size, SF_MEM_MISC));
    for (int64_t i = 0; i < s->voxels; i++)
        if (s->part[i] && (!cores || s->arr[i] == SF_INSTANCE_CORE)) (*size)[s->part[i]]++;
    return SF_OK;
}

static sf_status drop_small_cores(splitter *s, int64_t min_core)
{
    int32_t count;
    int64_t *size = NULL;
    SF_TRY(find_parts(s, true, &count));
    SF_TRY(part_sizes(s, count, false, &size));
    for (int64_t i = 0; i < s->voxels; i++)
        if (s->part[i] && size[s->part[i]] <= min_core) s->arr[i] = SF_INSTANCE_BORDER;
    sf_mem_free(size);
    return SF_OK;
}

/** The largest label of each voxel and its neighbours across faces, along the given axes. */
static void dilate(const splitter *s, const bool grows[3])
{
    const int64_t *n = s->n, step[3] = { n[1] * n[2], n[2], 1 };
    memcpy(s->dilated, s->now, (size_t)s->voxels * sizeof *s->now);
    for (int a = 0; a < 3; a++) {
        if (!grows[a]) continue;
        for (int64_t i = 0; i < s->voxels; i++) {
            const int64_t at = i / step[a] % n[a];
            int32_t best = s->dilated[i];
            if (at > 0 && s->now[i - step[a]] > best) best = s->now[i - step[a]];
            if (at + 1 < n[a] && s->now[i + step[a]] > best) best = s->now[i + step[a]];
            s->dilated[i] = best;
        }
    }
}

static void grow_once(splitter *s, const bool grows[3])
{
    dilate(s, grows);
    for (int64_t i = 0; i < s->voxels; i++) {
        if (s->now[i] != 0 || s->dilated[i] == 0 || s->final[i] != 0) continue;
        if (s->arr[i] != SF_INSTANCE_BORDER) continue;
        s->final[i] = s->dilated[i];
        s->remaining--;
    }
    int32_t *swap = s->now;
    s->now = s->dilated;
    s->dilated = swap;
}

/** Coarse axes wait until the fine ones are more than half a voxel of theirs ahead. */
static void grow(splitter *s, const double spacing[3])
{
    const double finest = fmin(spacing[0], fmin(spacing[1], spacing[2]));
    double grown[3] = { 0, 0, 0 };
    while (s->remaining > 0) {
        const double ahead = fmax(grown[0], fmax(grown[1], grown[2]));
        bool grows[3];
        for (int a = 0; a < 3; a++)
            grows[a] = spacing[a] == finest || grown[a] + spacing[a] / 2 < ahead;
        grow_once(s, grows);
        for (int a = 0; a < 3; a++) grown[a] += grows[a] ? spacing[a] : 0;
    }
}

/** Border that touches no core is what is left of an instance too small to have one. */
static sf_status keep_lone_borders(splitter *s, int64_t min_border, int32_t *count)
{
    int32_t parts, next = 0;
    int64_t *size = NULL, *core = NULL;
    int32_t *name = NULL;
    sf_status st;
    SF_GOTO(done, st, find_parts(s, false, &parts));
    SF_GOTO(done, st, part_sizes(s, parts, false, &size));
    SF_GOTO(done, st, part_sizes(s, parts, true, &core));
    SF_GOTO(done, st, sf_mem_calloc(&name, (size_t)parts + 1, sizeof *name, SF_MEM_MISC));
    for (int32_t p = 1; p <= parts; p++)
        if (core[p] == 0 && min_border > 0 && size[p] >= min_border) name[p] = *count + ++next;
    for (int64_t i = 0; i < s->voxels; i++)
        if (name[s->part[i]]) s->final[i] = name[s->part[i]];
    *count += next;
done:
    sf_mem_free(size);
    sf_mem_free(core);
    sf_mem_free(name);
    return st;
}

static sf_status allocate(splitter *s, const int32_t *classes)
{
    const size_t v = (size_t)s->voxels;
    SF_TRY(sf_mem_alloc(&s->mask, v, 1, SF_MEM_IMAGE));
    SF_TRY(sf_mem_alloc(&s->arr, v, 1, SF_MEM_IMAGE));
    SF_TRY(sf_mem_alloc(&s->part, v, sizeof *s->part, SF_MEM_IMAGE));
    SF_TRY(sf_mem_alloc(&s->now, v, sizeof *s->now, SF_MEM_IMAGE));
    SF_TRY(sf_mem_alloc(&s->dilated, v, sizeof *s->dilated, SF_MEM_IMAGE));
    SF_TRY(sf_mem_alloc(&s->final, v, sizeof *s->final, SF_MEM_IMAGE));
    for (int64_t i = 0; i < s->voxels; i++) {
        SF_CHECK(classes[i] >= 0 && classes[i] <= SF_INSTANCE_BORDER, SF_EDATA,
                 "label %d: only 0, 1 = core and 2 = border can be made instances",
                 (int)classes[i]);
        s->arr[i] = (uint8_t)classes[i];
    }
    return SF_OK;
}

static sf_status split(splitter *s, const double spacing[3], const sf_instances_rule *rule,
                       int32_t *count)
{
    SF_TRY(drop_small_cores(s, rule->min_core));
    SF_TRY(find_parts(s, true, count));
    memcpy(s->final, s->part, (size_t)s->voxels * sizeof *s->final);
    memcpy(s->now, s->part, (size_t)s->voxels * sizeof *s->now);
    for (int64_t i = 0; i < s->voxels; i++) s->remaining += s->arr[i] == SF_INSTANCE_BORDER;
    if (*count > 0) grow(s, spacing);
    return keep_lone_borders(s, rule->min_border, count);
}

sf_status sf_classes_to_instances(int32_t *instances, int *count, const int32_t *classes,
                                  const int64_t shape[3], const double spacing[3],
                                  const sf_instances_rule *rule)
{
    splitter s = { .n = shape, .voxels = shape[0] * shape[1] * shape[2] };
    int32_t n = 0;
    sf_status st;
    SF_GOTO(done, st, allocate(&s, classes));
    SF_GOTO(done, st, split(&s, spacing, rule, &n));
    memcpy(instances, s.final, (size_t)s.voxels * sizeof *instances);
    *count = n;
done:
    sf_mem_free(s.mask);
    sf_mem_free(s.arr);
    sf_mem_free(s.part);
    sf_mem_free(s.now);
    sf_mem_free(s.dilated);
    sf_mem_free(s.final);
    return st;
}
