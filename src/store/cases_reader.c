/* Reading the container of cases.h: check the seal, map the file, let HDF5 tell where the arrays
 * lie, close HDF5. */
#include "base/hash.h"
#include "base/mem.h"
#include "store/cases.h"
#include "store/cases_format.h"
#include "store/h5.h"
#include "store/trailer.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    char *id;
    sf_case_props props;
    int channels;
    const void *array[SF_CASE_ARRAYS]; /* into the map, or to `copy` */
    void *copy[SF_CASE_ARRAYS];        /* of arrays that are not aligned in the file */
    sf_locations loc;                  /* its rows are views into array[SF_CASE_LOC] */
} entry;

struct sf_cases {
    int fd;
    const char *map;
    bool mapped;  /* by us; else borrowed memory */
    int64_t size; /* mapped bytes = HDF5 part of the file */
    bool check;
    entry *e;
    int n;
    json_t *meta;
};

static const char *const array_name[SF_CASE_ARRAYS] = SF_CASE_ARRAY_NAMES;

/* ---- arrays ------------------------------------------------------------------------------- */

static sf_status point_to(sf_cases *c, entry *e, const sf_h5_array *a, sf_case_array which)
{
    static const size_t unit[SF_CASE_ARRAYS] = { sizeof(float), sizeof(int16_t), sizeof(int32_t) };
    SF_CHECK(a->offset >= 0 && a->bytes > 0 && a->offset <= c->size &&
                 a->bytes <= c->size - a->offset,
             SF_EDATA, "case '%s': %s lies outside the file", e->id, array_name[which]);
    const char *at = c->map + a->offset;
    e->array[which] = at;
    if ((uintptr_t)at % unit[which] == 0) return SF_OK;
    SF_TRY(sf_mem_alloc(&e->copy[which], (size_t)a->bytes, 1, SF_MEM_BATCH));
    memcpy(e->copy[which], at, (size_t)a->bytes);
    e->array[which] = e->copy[which];
    return SF_OK;
}

static bool same_shape(const sf_h5_array *a, int ndim, const int64_t *dim)
{
    return a->ndim == ndim && memcmp(a->dim, dim, (size_t)ndim * sizeof *dim) == 0;
}

static sf_status map_array(sf_cases *c, entry *e, hid_t group, sf_case_array which, int ndim,
                           const int64_t *dim)
{
    hid_t dset = H5I_INVALID_HID;
    const hid_t type = which == SF_CASE_DATA  ? H5T_IEEE_F32LE
                       : which == SF_CASE_SEG ? H5T_STD_I16LE
                                              : H5T_STD_I32LE;
    sf_h5_array a;
    int64_t crc = 0;
    SF_TRY(sf_h5_open_array(&dset, &a, group, array_name[which], type));
    sf_status st = sf_h5_get_i64(&crc, 1, dset, "crc32");
    H5Dclose(dset);
    SF_TRY(st);
    SF_CHECK(same_shape(&a, ndim, dim), SF_EDATA, "case '%s': %s has another shape than the case",
             e->id, array_name[which]);
    SF_TRY(point_to(c, e, &a, which));
    if (c->check || which == SF_CASE_LOC)
        SF_CHECK(sf_crc32(e->array[which], (size_t)a.bytes) == crc, SF_EDATA,
                 "case '%s': %s is damaged (CRC-32)", e->id, array_name[which]);
    return SF_OK;
}

/* ---- locations ---------------------------------------------------------------------------- */

static sf_status check_rows(const entry *e, int64_t rows)
{
    const int32_t(*v)[3] = e->array[SF_CASE_LOC];
    for (int64_t i = 0; i < rows; i++) {
        for (int k = 0; k < 3; k++)
            SF_CHECK(v[i][k] >= 0 && v[i][k] < e->props.shape[k], SF_EDATA,
                     "case '%s': a class location lies outside the image", e->id);
    }
    return SF_OK;
}

static sf_status read_counts(entry *e, hid_t group, int64_t *rows)
{
    int64_t n = 0;
    *rows = 0;
    SF_TRY(sf_h5_get_i64(&n, 1, group, "n_location_entries"));
    SF_CHECK(n >= 0 && n <= SF_CASE_MAX_ENTRIES, SF_EDATA, "case '%s': %lld location classes",
             e->id, (long long)n);
    if (n == 0) return SF_OK;
    SF_TRY(sf_mem_calloc(&e->loc.count, (size_t)n, sizeof *e->loc.count, SF_MEM_BATCH));
    SF_TRY(sf_mem_calloc(&e->loc.row, (size_t)n, sizeof *e->loc.row, SF_MEM_BATCH));
    SF_TRY(sf_h5_get_i64(e->loc.count, (int)n, group, "location_counts"));
    e->loc.n_entries = (int)n;
    for (int64_t i = 0; i < n; i++) {
        SF_CHECK(e->loc.count[i] >= 0 && e->loc.count[i] <= INT64_MAX / SF_CASE_MAX_ENTRIES / 16,
                 SF_EDATA, "case '%s': broken location counts", e->id);
        *rows += e->loc.count[i];
    }
    return SF_OK;
}

static sf_status read_locations(sf_cases *c, entry *e, hid_t group)
{
    int64_t rows = 0, at = 0;
    SF_TRY(read_counts(e, group, &rows));
    if (rows == 0) return SF_OK;
    const int64_t dim[2] = { rows, 3 };
    SF_TRY(map_array(c, e, group, SF_CASE_LOC, 2, dim));
    SF_TRY(check_rows(e, rows));
    for (int i = 0; i < e->loc.n_entries; i++) {
        /* the rows are read-only: sf_cases_get gives them out behind a const pointer */
        const int32_t(*v)[3] = (const int32_t(*)[3])e->array[SF_CASE_LOC] + at;
        e->loc.row[i] = e->loc.count[i] > 0 ? (int32_t(*)[3])(uintptr_t)v : NULL;
        at += e->loc.count[i];
    }
    return SF_OK;
}

/* ---- cases -------------------------------------------------------------------------------- */

static sf_status read_props(entry *e, int64_t *has_seg, hid_t group)
{
    sf_case_props *p = &e->props;
    int64_t channels = 0;
    SF_TRY(sf_h5_get_f64(p->spacing_file, 3, group, "spacing_file"));
    SF_TRY(sf_h5_get_f64(p->spacing, 3, group, "spacing"));
    SF_TRY(sf_h5_get_i64(p->shape_before_crop, 3, group, "shape_before_crop"));
    SF_TRY(sf_h5_get_i64(p->bbox_lo, 3, group, "bbox_lo"));
    SF_TRY(sf_h5_get_i64(p->bbox_hi, 3, group, "bbox_hi"));
    SF_TRY(sf_h5_get_i64(p->shape_after_crop, 3, group, "shape_after_crop"));
    SF_TRY(sf_h5_get_i64(p->shape, 3, group, "shape"));
    SF_TRY(sf_h5_get_i64(&channels, 1, group, "channels"));
    SF_TRY(sf_h5_get_i64(has_seg, 1, group, "has_seg"));
    SF_CHECK(channels >= (*has_seg ? 0 : 1) && channels <= SF_CASE_MAX_CHANNELS, SF_EDATA,
             "case '%s' has %lld channels", e->id, (long long)channels);
    for (int k = 0; k < 3; k++)
        SF_CHECK(p->shape[k] >= 1 && p->shape[k] <= INT32_MAX, SF_EDATA,
                 "case '%s' has an axis of %lld voxels", e->id, (long long)p->shape[k]);
    e->channels = (int)channels;
    return SF_OK;
}

static sf_status read_case(sf_cases *c, entry *e, hid_t cases, int64_t i)
{
    char id[SF_CASE_ID_MAX];
    int64_t has_seg = 0;
    sf_status st = SF_OK;
    hid_t group = H5I_INVALID_HID;
    SF_TRY(sf_h5_name(id, sizeof id, cases, i, 0));
    SF_TRY(sf_mem_strdup(&e->id, id));
    H5_TRY(done, st, group, H5Gopen2(cases, id, H5P_DEFAULT));
    SF_GOTO(done, st, read_props(e, &has_seg, group));
    const int64_t *s = e->props.shape, image[4] = { e->channels, s[0], s[1], s[2] };
    if (e->channels > 0) SF_GOTO(done, st, map_array(c, e, group, SF_CASE_DATA, 4, image));
    if (has_seg) SF_GOTO(done, st, map_array(c, e, group, SF_CASE_SEG, 3, s));
    SF_GOTO(done, st, read_locations(c, e, group));
done:
    if (group >= 0) H5Gclose(group);
    return st;
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->id, ((const entry *)b)->id);
}

static sf_status read_cases(sf_cases *c, hid_t file)
{
    int64_t n = 0;
    sf_status st = SF_OK;
    hid_t cases = H5I_INVALID_HID;
    H5_TRY(done, st, cases, H5Gopen2(file, "cases", H5P_DEFAULT));
    SF_GOTO(done, st, sf_h5_count(&n, cases));
    SF_CHECK_GOTO(done, st, n >= 0 && n <= INT32_MAX && n <= c->size, SF_EDATA, "%lld cases",
                  (long long)n);
    SF_GOTO(done, st, sf_mem_calloc(&c->e, (size_t)n, sizeof *c->e, SF_MEM_BATCH));
    for (c->n = 0; c->n < n;) {
        const int i = c->n++; /* counted first: sf_cases_close frees what a failed one has */
        SF_GOTO(done, st, read_case(c, &c->e[i], cases, i));
    }
    if (n > 0) qsort(c->e, (size_t)n, sizeof *c->e, by_id);
done:
    if (cases >= 0) H5Gclose(cases);
    return st;
}

/* ---- the file ----------------------------------------------------------------------------- */

static sf_status add_meta(json_t *meta, hid_t group, const char *name)
{
    char *text = NULL;
    SF_TRY(sf_h5_get_text(&text, group, name));
    json_t *v = json_string(text);
    sf_mem_free(text);
    SF_CHECK(v != NULL, SF_EDATA, "attribute '%s' is not UTF-8", name);
    SF_CHECK(json_object_set_new(meta, name, v) == 0, SF_ENOMEM, "out of memory");
    return SF_OK;
}

static sf_status read_meta(sf_cases *c, hid_t file)
{
    char name[256];
    int n;
    sf_status st = SF_OK;
    ssize_t length;
    hid_t group = H5I_INVALID_HID;
    c->meta = json_object();
    SF_CHECK(c->meta != NULL, SF_ENOMEM, "out of memory");
    H5_TRY(done, st, group, H5Gopen2(file, "meta", H5P_DEFAULT));
    H5_TRY(done, st, n, H5Aget_num_attrs(group));
    for (int i = 0; i < n; i++) {
        H5_TRY(done, st, length,
               H5Aget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, (hsize_t)i, name,
                                  sizeof name, H5P_DEFAULT));
        SF_CHECK_GOTO(done, st, (size_t)length < sizeof name, SF_EDATA,
                      "an attribute's name is too long");
        SF_GOTO(done, st, add_meta(c->meta, group, name));
    }
done:
    if (group >= 0) H5Gclose(group);
    return st;
}

static sf_status check_head(hid_t file)
{
    char *text = NULL;
    int64_t complete = 0;
    SF_TRY(sf_h5_get_text(&text, file, "format"));
    const bool same = strcmp(text, SF_CASES_FORMAT) == 0;
    sf_mem_free(text);
    SF_CHECK(same, SF_EDATA, "this is not a file of '%s'", SF_CASES_FORMAT);
    SF_TRY(sf_h5_get_i64(&complete, 1, file, "complete"));
    SF_CHECK(complete == 1, SF_EDATA, "incomplete: run preprocess again");
    return SF_OK;
}

static sf_status read_file(sf_cases *c, const char *path)
{
    hid_t file = H5I_INVALID_HID;
    SF_TRY(sf_h5_open_read(&file, path));
    sf_status st = check_head(file);
    if (st == SF_OK) st = read_meta(c, file);
    if (st == SF_OK) st = read_cases(c, file);
    H5Fclose(file);
    return st;
}

/* HDF5 opened the file by name: it must still be the one that was checked and mapped. */
static sf_status check_same_file(const sf_cases *c, const char *path)
{
    struct stat a, b;
    SF_CHECK(fstat(c->fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino &&
                 a.st_dev == b.st_dev,
             SF_EIO, "%s: was replaced while it was being opened: try again", path);
    return SF_OK;
}

static sf_status map_file(sf_cases *c, const char *path)
{
    void *map = mmap(NULL, (size_t)c->size, PROT_READ, MAP_SHARED, c->fd, 0);
    SF_CHECK(map != MAP_FAILED, SF_EIO, "%s: cannot be mapped: %s", path, strerror(errno));
    c->map = map;
    c->mapped = true;
    return SF_OK;
}

static sf_status open_checked(sf_cases *c, const char *path, const void *image, int64_t bytes)
{
    c->fd = open(path, O_RDONLY | O_CLOEXEC);
    SF_CHECK(c->fd >= 0, SF_EIO, "%s: cannot be read: %s", path, strerror(errno));
    SF_TRY(sf_trailer_verify(c->fd, path, c->check, &c->size));
    SF_CHECK(c->size > 0, SF_EDATA, "%s: is empty", path);
    SF_CHECK(!image || bytes >= c->size, SF_EINTERNAL, "%s: longer than its copy in memory", path);
    c->map = image;
    if (!image) SF_TRY(map_file(c, path));
    SF_TRY(sf_h5_in_file(read_file(c, path), path, 1));
    return check_same_file(c, path);
}

sf_status sf_cases_open(sf_cases **out, const char *path, bool check)
{
    return sf_cases_open_image(out, path, check, NULL, 0);
}

sf_status sf_cases_open_image(sf_cases **out, const char *path, bool check, const void *image,
                              int64_t bytes)
{
    sf_cases *c = NULL;
    *out = NULL;
    SF_TRY(sf_mem_calloc(&c, 1, sizeof *c, SF_MEM_BATCH));
    c->fd = -1;
    c->check = check;
    sf_status st = open_checked(c, path, image, bytes);
    if (c->fd >= 0) close(c->fd); /* the map stays */
    c->fd = -1;
    if (st != SF_OK) sf_cases_close(&c);
    *out = c;
    return st;
}

void sf_cases_close(sf_cases **c)
{
    if (*c == NULL) return;
    for (int i = 0; i < (*c)->n; i++) {
        entry *e = &(*c)->e[i];
        for (int k = 0; k < SF_CASE_ARRAYS; k++) sf_mem_free(e->copy[k]);
        sf_mem_free(e->loc.count);
        sf_mem_free(e->loc.row); /* the rows are views */
        sf_mem_free(e->id);
    }
    sf_mem_free((*c)->e);
    json_decref((*c)->meta);
    if ((*c)->mapped) munmap((void *)(uintptr_t)(*c)->map, (size_t)(*c)->size);
    sf_mem_free(*c);
    *c = NULL;
}

/* ---- access ------------------------------------------------------------------------------- */

int sf_cases_count(const sf_cases *c) { return c->n; }

const char *sf_cases_meta(const sf_cases *c, const char *key)
{
    return json_string_value(json_object_get(c->meta, key));
}

int sf_cases_index(const sf_cases *c, const char *id)
{
    int lo = 0, hi = c->n;
    while (lo < hi) {
        const int mid = lo + (hi - lo) / 2, order = strcmp(c->e[mid].id, id);
        if (order == 0) return mid;
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return -1;
}

sf_status sf_cases_get(const sf_cases *c, int index, sf_case_view *out)
{
    SF_CHECK(index >= 0 && index < c->n, SF_EINTERNAL, "case %d of %d", index, c->n);
    const entry *e = &c->e[index];
    *out = (sf_case_view){ .id = e->id,
                           .props = e->props,
                           .channels = e->channels,
                           .data = e->array[SF_CASE_DATA],
                           .seg = e->array[SF_CASE_SEG],
                           .loc = &e->loc };
    return SF_OK;
}
