#include "interop/npz.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/path.h"
#include "interop/half.h"
#include "interop/zip.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the header of an array ---------------------------------------------------------------- */

typedef struct {
    char type; /* 2, 4, 8: bytes of a float */
    bool fortran;
    int ndim;
    int64_t dim[SF_NPZ_MAX_DIMS], count;
} array_head;

/** Text after 'key': in the dictionary, blanks skipped; NULL when the key is missing. */
static const char *value_of(const char *text, const char *key)
{
    char quoted[32];
    snprintf(quoted, sizeof quoted, "'%s':", key);
    const char *at = strstr(text, quoted);
    if (at == NULL) return NULL;
    at += strlen(quoted);
    return at + strspn(at, " ");
}

static sf_status parse_type(array_head *h, const char *text, const char *where)
{
    const char *v = value_of(text, "descr");
    SF_CHECK(v != NULL, SF_EDATA, "%s: the array's header names no element type", where);
    SF_CHECK(v[0] == '\'' && v[1] == '<' && v[2] == 'f' && strchr("248", v[3]) && v[4] == '\'',
             SF_EUNSUPPORTED, "%s: elements of type %.8s; only '<f2', '<f4' and '<f8' are read",
             where, v);
    h->type = (char)(v[3] - '0');
    return SF_OK;
}

static sf_status parse_shape(array_head *h, const char *text, const char *where)
{
    const char *v = value_of(text, "shape");
    h->count = 1;
    SF_CHECK(v != NULL && *v == '(', SF_EDATA, "%s: the array's header has no shape", where);
    for (v++; *v != ')'; v += strspn(v, ", ")) {
        char *end;
        const long long d = strtoll(v, &end, 10);
        SF_CHECK(end != v && d >= 0 && h->ndim < SF_NPZ_MAX_DIMS && strchr(",)", *end) && *end,
                 SF_EDATA, "%s: the array's header has a broken shape", where);
        SF_CHECK(d == 0 || h->count <= INT64_MAX / 8 / d, SF_EDATA, "%s: shape is too large",
                 where);
        h->dim[h->ndim++] = d;
        h->count *= d;
        v = end;
    }
    return SF_OK;
}

/** Header -> *h; *at = where the elements begin. */
static sf_status parse_head(array_head *h, size_t *at, const unsigned char *npy, size_t size,
                            const char *where)
{
    static const char magic[] = "\x93NUMPY";
    const size_t fixed = size > 6 && npy[6] == 1 ? 10 : 12;
    char *text = NULL;
    SF_CHECK(size >= fixed && memcmp(npy, magic, 6) == 0 && npy[6] >= 1 && npy[6] <= 3, SF_EDATA,
             "%s: not a NumPy array", where);
    size_t length = npy[8] | (size_t)npy[9] << 8;
    if (fixed == 12) length |= (size_t)npy[10] << 16 | (size_t)npy[11] << 24;
    SF_CHECK(length <= size - fixed, SF_EDATA, "%s: the array's header is cut off", where);
    SF_TRY(sf_mem_calloc(&text, length + 1, 1, SF_MEM_MISC));
    memcpy(text, npy + fixed, length);
    *h = (array_head){ 0 };
    sf_status st = parse_type(h, text, where);
    if (st == SF_OK) st = parse_shape(h, text, where);
    const char *order = value_of(text, "fortran_order");
    h->fortran = order != NULL && strncmp(order, "True", 4) == 0;
    sf_mem_free(text);
    *at = fixed + length;
    return st;
}

/* ---- reading -------------------------------------------------------------------------------- */

static float element(const unsigned char *b, int bytes)
{
    uint64_t v = 0;
    float f;
    double d;
    for (int i = bytes; i-- > 0;) v = v << 8 | b[i];
    if (bytes == 2) return sf_half_to_float((uint16_t)v);
    memcpy(&d, &v, sizeof d);
    const uint32_t low = (uint32_t)v;
    memcpy(&f, &low, sizeof f);
    return bytes == 4 ? f : (float)d;
}

/** Where element i of C order lies in Fortran order. */
static int64_t fortran_index(const array_head *h, int64_t i)
{
    int64_t at = 0, stride[SF_NPZ_MAX_DIMS], s = 1;
    for (int a = 0; a < h->ndim; a++) {
        stride[a] = s;
        s *= h->dim[a];
    }
    for (int a = h->ndim; a-- > 0; i /= h->dim[a]) at += i % h->dim[a] * stride[a];
    return at;
}

static sf_status decode(float **data, array_head *h, const unsigned char *npy, size_t size,
                        const char *where)
{
    size_t at = 0;
    SF_TRY(parse_head(h, &at, npy, size, where));
    SF_CHECK((uint64_t)h->count * (uint64_t)h->type == size - at, SF_EDATA,
             "%s: %zu bytes of elements do not fit the shape", where, size - at);
    SF_TRY(sf_mem_alloc(data, (size_t)h->count, sizeof **data, SF_MEM_IMAGE));
    for (int64_t i = 0; i < h->count; i++) {
        const int64_t from = h->fortran ? fortran_index(h, i) : i;
        (*data)[i] = element(npy + at + from * h->type, h->type);
    }
    return SF_OK;
}

sf_status sf_npz_load(float **data, int *ndim, int64_t dim[SF_NPZ_MAX_DIMS], const char *path,
                      const char *const *names, int n_names)
{
    char member[128], where[SF_PATH_MAX + 128];
    sf_zip *zip = NULL;
    unsigned char *npy = NULL;
    size_t size = 0;
    array_head head = { 0 };
    int found = -1;
    sf_status st = SF_OK;
    *data = NULL;
    SF_TRY(sf_zip_open(&zip, path));
    for (int i = 0; i < n_names && found < 0; i++) {
        snprintf(member, sizeof member, "%s.npy", names[i]);
        found = sf_zip_find(zip, member, strlen(member));
    }
    SF_CHECK_GOTO(done, st, found >= 0, SF_EDATA, "%s: has no array \"%s\"", path, names[0]);
    snprintf(where, sizeof where, "%s: %s", path, member);
    SF_GOTO(done, st, sf_zip_unpack(zip, found, &npy, &size));
    SF_GOTO(done, st, decode(data, &head, npy, size, where));
    *ndim = head.ndim;
    memcpy(dim, head.dim, sizeof head.dim);
done:
    sf_mem_free(npy);
    sf_zip_destroy(&zip);
    return st;
}

/* ---- writing -------------------------------------------------------------------------------- */

/** A whole header in text; returns its length, a multiple of 64. */
static size_t write_head(char text[512], int ndim, const int64_t *dim)
{
    size_t n = 10;
    n += (size_t)snprintf(text + n, 512 - n, "{'descr': '<f4', 'fortran_order': False, 'shape': (");
    for (int a = 0; a < ndim; a++)
        n += (size_t)snprintf(text + n, 512 - n, "%s%lld", a ? ", " : "", (long long)dim[a]);
    n += (size_t)snprintf(text + n, 512 - n, "%s), }", ndim == 1 ? "," : "");
    while (n % 64 != 63) text[n++] = ' ';
    text[n++] = '\n';
    memcpy(text, "\x93NUMPY\x01\x00", 8);
    text[8] = (char)((n - 10) & 255);
    text[9] = (char)((n - 10) >> 8);
    return n;
}

sf_status sf_npz_save(const char *path, const char *name, const float *data, int ndim,
                      const int64_t *dim)
{
    char head[512], member[128];
    size_t count = 1;
    SF_CHECK(ndim >= 1 && ndim <= SF_NPZ_MAX_DIMS, SF_EINTERNAL, "%s: %d axes", path, ndim);
    for (int a = 0; a < ndim; a++) count *= (size_t)dim[a];
    snprintf(member, sizeof member, "%s.npy", name);
    const sf_zip_part part[2] = { { head, write_head(head, ndim, dim) },
                                  { data, count * sizeof *data } };
    return sf_zip_save(path, member, part, 2);
}
