#include "store/h5.h"
#include "base/mem.h"
#include <string.h>

sf_status sf_h5_in_file(sf_status st, const char *path, int reading)
{
    sf_error_state e;
    if (st == SF_OK) return SF_OK;
    if (st == SF_EIO && reading) st = SF_EDATA;
    sf_error_save(&e, st);
    if (strncmp(e.text, path, strlen(path)) == 0) return st;
    return SF_FAIL(st, "%s: %s", path, e.text);
}

/* ---- attributes --------------------------------------------------------------------------- */

/* Takes over `type` and `space`. */
static sf_status put(hid_t at, const char *name, hid_t type, hid_t space, const void *data)
{
    hid_t attr = H5I_INVALID_HID;
    herr_t rc;
    sf_status st = SF_OK;
    if (type < 0 || space < 0) {
        st = sf_h5_fail_(SF_EIO, "type of attribute", __FILE__, __LINE__);
        goto done;
    }
    H5_TRY(done, st, attr, H5Acreate2(at, name, type, space, H5P_DEFAULT, H5P_DEFAULT));
    H5_TRY(done, st, rc, H5Awrite(attr, type, data));
done:
    if (attr >= 0) H5Aclose(attr);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    return st;
}

static hid_t text_type(size_t size)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type < 0) return type;
    if (H5Tset_size(type, size) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0) return type;
    H5Tclose(type);
    return H5I_INVALID_HID;
}

sf_status sf_h5_put_text(hid_t at, const char *name, const char *text)
{
    const size_t size = strlen(text) + 1;
    SF_CHECK(size <= SF_H5_MAX_TEXT, SF_EINVAL, "attribute '%s' is too long: %zu bytes", name,
             size);
    return put(at, name, text_type(size), H5Screate(H5S_SCALAR), text);
}

static hid_t line_space(int n)
{
    const hsize_t dim = (hsize_t)n;
    return n == 1 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &dim, NULL);
}

sf_status sf_h5_put_i64(hid_t at, const char *name, const int64_t *v, int n)
{
    return put(at, name, H5Tcopy(H5T_STD_I64LE), line_space(n), v);
}

sf_status sf_h5_put_f64(hid_t at, const char *name, const double *v, int n)
{
    return put(at, name, H5Tcopy(H5T_IEEE_F64LE), line_space(n), v);
}

static sf_status get_numbers(void *out, int n, hid_t at, const char *name, hid_t memory)
{
    hid_t attr = H5I_INVALID_HID, space = H5I_INVALID_HID, type = H5I_INVALID_HID;
    herr_t rc;
    hssize_t have;
    sf_status st = SF_OK;
    H5_TRY(done, st, attr, H5Aopen(at, name, H5P_DEFAULT));
    H5_TRY(done, st, space, H5Aget_space(attr));
    H5_TRY(done, st, type, H5Aget_type(attr));
    H5_TRY(done, st, have, H5Sget_simple_extent_npoints(space));
    SF_CHECK_GOTO(done, st, have == n && H5Tequal(type, memory) > 0, SF_EDATA,
                  "attribute '%s' does not hold %d numbers of the right kind", name, n);
    H5_TRY(done, st, rc, H5Aread(attr, memory, out));
done:
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    if (attr >= 0) H5Aclose(attr);
    return st;
}

sf_status sf_h5_get_i64(int64_t *out, int n, hid_t at, const char *name)
{
    return get_numbers(out, n, at, name, H5T_STD_I64LE);
}

sf_status sf_h5_get_f64(double *out, int n, hid_t at, const char *name)
{
    return get_numbers(out, n, at, name, H5T_IEEE_F64LE);
}

sf_status sf_h5_get_text(char **out, hid_t at, const char *name)
{
    hid_t attr = H5I_INVALID_HID, type = H5I_INVALID_HID, space = H5I_INVALID_HID;
    herr_t rc;
    hssize_t have;
    sf_status st = SF_OK;
    *out = NULL;
    H5_TRY(done, st, attr, H5Aopen(at, name, H5P_DEFAULT));
    H5_TRY(done, st, type, H5Aget_type(attr));
    H5_TRY(done, st, space, H5Aget_space(attr));
    H5_TRY(done, st, have, H5Sget_simple_extent_npoints(space));
    const size_t size = H5Tget_size(type);
    SF_CHECK_GOTO(done, st,
                  have == 1 && H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 &&
                      size > 0 && size <= SF_H5_MAX_TEXT,
                  SF_EDATA, "attribute '%s' is not a short text", name);
    SF_GOTO(done, st, sf_mem_calloc(out, size + 1, 1, SF_MEM_MISC));
    H5_TRY(done, st, rc, H5Aread(attr, type, *out));
done:
    if (st != SF_OK) {
        sf_mem_free(*out);
        *out = NULL;
    }
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (attr >= 0) H5Aclose(attr);
    return st;
}

/* ---- arrays ------------------------------------------------------------------------------- */

static sf_status describe(sf_h5_array *a, int ndim, const hsize_t *dim, size_t element)
{
    a->ndim = ndim;
    a->count = 1;
    for (int i = 0; i < ndim; i++) {
        const int64_t limit = INT64_MAX / 16 / (a->count > 0 ? a->count : 1);
        SF_CHECK(dim[i] <= (hsize_t)limit, SF_EDATA, "an array is too large");
        a->dim[i] = (int64_t)dim[i];
        a->count *= (int64_t)dim[i];
    }
    a->bytes = a->count * (int64_t)element;
    a->offset = -1;
    return SF_OK;
}

static sf_status find_offset(sf_h5_array *a, hid_t dset)
{
    const haddr_t at = H5Dget_offset(dset);
    if (a->count == 0) return SF_OK;
    if (at == HADDR_UNDEF) H5Eclear2(H5E_DEFAULT);
    SF_CHECK(at != HADDR_UNDEF && at < (haddr_t)INT64_MAX / 2, SF_EDATA,
             "an array has no place in the file");
    a->offset = (int64_t)at;
    return SF_OK;
}

static hid_t array_space(const sf_h5_array *a)
{
    hsize_t dim[SF_H5_MAX_DIMS];
    for (int i = 0; i < a->ndim; i++) dim[i] = (hsize_t)a->dim[i];
    return a->ndim == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(a->ndim, dim, NULL);
}

sf_status sf_h5_create_array(hid_t *dset, sf_h5_array *info, hid_t at, const char *name, hid_t type,
                             int ndim, const int64_t *dim)
{
    hid_t space = H5I_INVALID_HID, how = H5I_INVALID_HID;
    hsize_t size[SF_H5_MAX_DIMS];
    herr_t rc;
    sf_status st = SF_OK;
    *dset = H5I_INVALID_HID;
    SF_CHECK(ndim >= 0 && ndim <= SF_H5_MAX_DIMS, SF_EINVAL, "array '%s' has %d axes", name, ndim);
    for (int i = 0; i < ndim; i++) {
        SF_CHECK(dim[i] >= 0, SF_EINVAL, "array '%s' has an axis of length %lld", name,
                 (long long)dim[i]);
        size[i] = (hsize_t)dim[i];
    }
    SF_TRY(describe(info, ndim, size, H5Tget_size(type)));
    H5_TRY(done, st, space, array_space(info));
    H5_TRY(done, st, how, H5Pcreate(H5P_DATASET_CREATE));
    H5_TRY(done, st, rc, H5Pset_layout(how, H5D_CONTIGUOUS));
    const H5D_alloc_time_t when = info->count > 0 ? H5D_ALLOC_TIME_EARLY : H5D_ALLOC_TIME_LATE;
    H5_TRY(done, st, rc, H5Pset_alloc_time(how, when));
    H5_TRY(done, st, rc, H5Pset_fill_time(how, H5D_FILL_TIME_NEVER));
    H5_TRY(done, st, rc, H5Pset_obj_track_times(how, 0)); /* same content, same metadata */
    H5_TRY(done, st, *dset, H5Dcreate2(at, name, type, space, H5P_DEFAULT, how, H5P_DEFAULT));
    SF_GOTO(done, st, find_offset(info, *dset));
done:
    if (st != SF_OK && *dset >= 0) {
        H5Dclose(*dset);
        *dset = H5I_INVALID_HID;
    }
    if (how >= 0) H5Pclose(how);
    if (space >= 0) H5Sclose(space);
    return st;
}

/* Type, layout and shape of an open dataset. */
static sf_status examine(sf_h5_array *info, hid_t dset, const char *name, hid_t want)
{
    hid_t space = H5I_INVALID_HID, how = H5I_INVALID_HID, type = H5I_INVALID_HID;
    hsize_t dim[SF_H5_MAX_DIMS];
    int ndim, rc;
    sf_status st = SF_OK;
    H5_TRY(done, st, type, H5Dget_type(dset));
    H5_TRY(done, st, how, H5Dget_create_plist(dset));
    H5_TRY(done, st, space, H5Dget_space(dset));
    H5_TRY(done, st, ndim, H5Sget_simple_extent_ndims(space));
    SF_CHECK_GOTO(done, st,
                  H5Tequal(type, want) > 0 && H5Pget_layout(how) == H5D_CONTIGUOUS &&
                      H5Pget_external_count(how) == 0 && ndim <= SF_H5_MAX_DIMS &&
                      H5Sget_simple_extent_type(space) != H5S_NULL,
                  SF_EDATA, "array '%s' has another type or layout than ours", name);
    H5_TRY(done, st, rc, H5Sget_simple_extent_dims(space, dim, NULL));
    SF_GOTO(done, st, describe(info, ndim, dim, H5Tget_size(want)));
    SF_GOTO(done, st, find_offset(info, dset));
done:
    if (space >= 0) H5Sclose(space);
    if (how >= 0) H5Pclose(how);
    if (type >= 0) H5Tclose(type);
    return st;
}

sf_status sf_h5_open_array(hid_t *dset, sf_h5_array *info, hid_t at, const char *name, hid_t type)
{
    sf_status st = SF_OK;
    H5_TRY(fail, st, *dset, H5Dopen2(at, name, H5P_DEFAULT));
    SF_GOTO(fail, st, examine(info, *dset, name, type));
    return SF_OK;
fail:
    if (*dset >= 0) H5Dclose(*dset);
    *dset = H5I_INVALID_HID;
    return st;
}

/* One piece: rows first..first+count-1. `to` is NULL when reading, `from` when writing. */
static sf_status move_piece(hid_t dset, const sf_h5_array *info, int64_t first, int64_t count,
                            hid_t type, const void *to_file, void *from_file)
{
    hid_t space = H5I_INVALID_HID, memory = H5I_INVALID_HID;
    hsize_t start[SF_H5_MAX_DIMS] = { 0 }, size[SF_H5_MAX_DIMS];
    sf_h5_array part = *info;
    herr_t rc;
    sf_status st = SF_OK;
    H5_TRY(done, st, space, array_space(info));
    if (info->ndim > 0) {
        part.dim[0] = count;
        start[0] = (hsize_t)first;
        for (int i = 0; i < info->ndim; i++) size[i] = (hsize_t)part.dim[i];
        H5_TRY(done, st, rc, H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, size, NULL));
    }
    H5_TRY(done, st, memory, array_space(&part));
    if (to_file)
        H5_TRY(done, st, rc, H5Dwrite(dset, type, memory, space, H5P_DEFAULT, to_file));
    else
        H5_TRY(done, st, rc, H5Dread(dset, type, memory, space, H5P_DEFAULT, from_file));
done:
    if (memory >= 0) H5Sclose(memory);
    if (space >= 0) H5Sclose(space);
    return st;
}

static sf_status move_rows(hid_t dset, const sf_h5_array *info, int64_t first, int64_t count,
                           hid_t type, const char *to_file, char *from_file)
{
    const int64_t rows = info->ndim == 0 ? 1 : info->dim[0];
    SF_CHECK(first >= 0 && count >= 0 && first <= rows - count, SF_EINTERNAL,
             "rows %lld+%lld of %lld", (long long)first, (long long)count, (long long)rows);
    if (info->count == 0 || count == 0) return SF_OK;
    const int64_t row = info->count / rows * (int64_t)H5Tget_size(type);
    const int64_t most = ((int64_t)1 << 29) / row > 0 ? ((int64_t)1 << 29) / row : 1;
    for (int64_t at = 0; at < count; at += most) {
        const int64_t n = count - at < most ? count - at : most;
        SF_TRY(move_piece(dset, info, first + at, n, type, to_file ? to_file + at * row : NULL,
                          from_file ? from_file + at * row : NULL));
    }
    return SF_OK;
}

sf_status sf_h5_write_rows(hid_t dset, const sf_h5_array *info, int64_t first, int64_t count,
                           hid_t type, const void *data)
{
    return move_rows(dset, info, first, count, type, data, NULL);
}

sf_status sf_h5_read_rows(hid_t dset, const sf_h5_array *info, int64_t first, int64_t count,
                          hid_t type, void *data)
{
    return move_rows(dset, info, first, count, type, NULL, data);
}

/* ---- groups ------------------------------------------------------------------------------- */

sf_status sf_h5_count(int64_t *out, hid_t group)
{
    H5G_info_t info;
    if (H5Gget_info(group, &info) < 0)
        return sf_h5_fail_(SF_EIO, "H5Gget_info", __FILE__, __LINE__);
    *out = (int64_t)info.nlinks;
    return SF_OK;
}

sf_status sf_h5_name(char *out, size_t size, hid_t group, int64_t i, int by_creation)
{
    const H5_index_t order = by_creation ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME;
    const ssize_t n =
        H5Lget_name_by_idx(group, ".", order, H5_ITER_INC, (hsize_t)i, out, size, H5P_DEFAULT);
    if (n < 0) return sf_h5_fail_(SF_EIO, "H5Lget_name_by_idx", __FILE__, __LINE__);
    SF_CHECK((size_t)n < size, SF_EDATA, "a name is longer than %zu bytes", size - 1);
    return SF_OK;
}
