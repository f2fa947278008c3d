/* Oracle files: whole datasets and attributes, converted by HDF5. */
#include "tests/support/support.h"
#include <hdf5.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tst_h5 {
    hid_t file;
    char path[1024];
};

static void die(const tst_h5 *f, const char *what, const char *name)
{
    fprintf(stderr, "%s: %s: %s\n", f->path, what, name);
    exit(1);
}

static hid_t must(const tst_h5 *f, hid_t id, const char *what, const char *name)
{
    if (id < 0) die(f, what, name);
    return id;
}

static void *must_alloc(size_t n)
{
    void *p = calloc(n > 0 ? n : 1, 1);
    if (p == NULL) {
        fprintf(stderr, "no memory\n");
        exit(1);
    }
    return p;
}

tst_h5 *tst_h5_open(const char *path)
{
    tst_h5 *f = must_alloc(sizeof *f);
    snprintf(f->path, sizeof f->path, "%s", path);
    f->file = must(f, H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT), "cannot open", "file");
    return f;
}

void tst_h5_close(tst_h5 *f)
{
    if (f == NULL) return;
    H5Fclose(f->file);
    free(f);
}

/* H5Lexists wants every part of the path to exist; ask part by part. */
bool tst_h5_has(tst_h5 *f, const char *name)
{
    char part[1024];
    while (*name == '/') name++;
    snprintf(part, sizeof part, "%s", name);
    for (char *p = part; *p != 0; p++) {
        if (*p != '/') continue;
        *p = 0;
        if (H5Lexists(f->file, part, H5P_DEFAULT) <= 0) return false;
        *p = '/';
    }
    return part[0] == 0 || H5Lexists(f->file, part, H5P_DEFAULT) > 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **tst_h5_list(tst_h5 *f, const char *group, int *count)
{
    const hid_t g = must(f, H5Gopen2(f->file, group, H5P_DEFAULT), "cannot open group", group);
    H5G_info_t info;
    if (H5Gget_info(g, &info) < 0) die(f, "cannot list", group);
    char **names = must_alloc((size_t)info.nlinks * sizeof *names);
    for (hsize_t i = 0; i < info.nlinks; i++) {
        const ssize_t n =
            H5Lget_name_by_idx(g, ".", H5_INDEX_NAME, H5_ITER_INC, i, NULL, 0, H5P_DEFAULT);
        if (n < 0) die(f, "cannot list", group);
        names[i] = must_alloc((size_t)n + 1);
        H5Lget_name_by_idx(g, ".", H5_INDEX_NAME, H5_ITER_INC, i, names[i], (size_t)n + 1,
                           H5P_DEFAULT);
    }
    H5Gclose(g);
    *count = (int)info.nlinks;
    qsort(names, (size_t)*count, sizeof *names, compare_names);
    return names;
}

/* Numbers in memory have type `mem`; HDF5 converts, also from the enums that h5py makes of bool. */
static void *read_dataset(tst_h5 *f, const char *name, hid_t mem, int *ndim, int64_t dims[8])
{
    hsize_t h[H5S_MAX_RANK];
    int64_t n = 1;
    const hid_t d = must(f, H5Dopen2(f->file, name, H5P_DEFAULT), "no dataset", name);
    const hid_t s = must(f, H5Dget_space(d), "no dataspace", name);
    const int rank = H5Sget_simple_extent_dims(s, h, NULL);
    if (rank < 0 || rank > 8) die(f, "not an array of at most 8 dimensions", name);
    for (int i = 0; i < rank; i++) n *= (int64_t)h[i];
    if (ndim != NULL) *ndim = rank;
    for (int i = 0; dims != NULL && i < rank; i++) dims[i] = (int64_t)h[i];
    void *data = must_alloc((size_t)n * H5Tget_size(mem));
    if (n > 0 && H5Dread(d, mem, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        die(f, "cannot read", name);
    H5Sclose(s);
    H5Dclose(d);
    return data;
}

float *tst_h5_f32(tst_h5 *f, const char *name, int *ndim, int64_t dims[8])
{
    return read_dataset(f, name, H5T_NATIVE_FLOAT, ndim, dims);
}

double *tst_h5_f64(tst_h5 *f, const char *name, int *ndim, int64_t dims[8])
{
    return read_dataset(f, name, H5T_NATIVE_DOUBLE, ndim, dims);
}

int32_t *tst_h5_i32(tst_h5 *f, const char *name, int *ndim, int64_t dims[8])
{
    return read_dataset(f, name, H5T_NATIVE_INT32, ndim, dims);
}

int16_t *tst_h5_i16(tst_h5 *f, const char *name, int *ndim, int64_t dims[8])
{
    return read_dataset(f, name, H5T_NATIVE_INT16, ndim, dims);
}

bool tst_h5_has_attr(tst_h5 *f, const char *object, const char *attr)
{
    return H5Aexists_by_name(f->file, object, attr, H5P_DEFAULT) > 0;
}

static hid_t open_attr(tst_h5 *f, const char *object, const char *attr, hsize_t *n)
{
    const hid_t a = must(f, H5Aopen_by_name(f->file, object, attr, H5P_DEFAULT, H5P_DEFAULT),
                         "no attribute", attr);
    const hid_t s = must(f, H5Aget_space(a), "no dataspace", attr);
    const hssize_t points = H5Sget_simple_extent_npoints(s);
    H5Sclose(s);
    if (points < 0) die(f, "no size", attr);
    *n = (hsize_t)points;
    return a;
}

static char *read_variable(tst_h5 *f, hid_t a, hid_t type, const char *attr)
{
    char *text = NULL;
    const hid_t mem = H5Tcopy(H5T_C_S1);
    H5Tset_size(mem, H5T_VARIABLE);
    H5Tset_cset(mem, H5Tget_cset(type));
    if (H5Aread(a, mem, &text) < 0) die(f, "cannot read text", attr);
    char *copy = must_alloc(text != NULL ? strlen(text) + 1 : 1);
    if (text != NULL) strcpy(copy, text);
    H5free_memory(text);
    H5Tclose(mem);
    return copy;
}

char *tst_h5_attr_str(tst_h5 *f, const char *object, const char *attr)
{
    hsize_t n = 0;
    char *text = NULL;
    const hid_t a = open_attr(f, object, attr, &n), type = H5Aget_type(a);
    if (n != 1 || H5Tget_class(type) != H5T_STRING) die(f, "not one text", attr);
    if (H5Tis_variable_str(type) > 0) {
        text = read_variable(f, a, type, attr);
    } else {
        text = must_alloc(H5Tget_size(type) + 1);
        if (H5Aread(a, type, text) < 0) die(f, "cannot read text", attr);
    }
    H5Tclose(type);
    H5Aclose(a);
    return text;
}

double *tst_h5_attr_nums(tst_h5 *f, const char *object, const char *attr, int *count)
{
    hsize_t n = 0;
    const hid_t a = open_attr(f, object, attr, &n);
    double *v = must_alloc((size_t)n * sizeof *v);
    if (n > 0 && H5Aread(a, H5T_NATIVE_DOUBLE, v) < 0) die(f, "not numbers", attr);
    H5Aclose(a);
    *count = (int)n;
    return v;
}

double tst_h5_attr_num(tst_h5 *f, const char *object, const char *attr)
{
    int n = 0;
    double *v = tst_h5_attr_nums(f, object, attr, &n);
    if (n < 1) die(f, "empty attribute", attr);
    const double x = v[0];
    free(v);
    return x;
}
