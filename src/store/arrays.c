/* arrays.h: /GROUP/NAME float32, in the order of creation; /attributes one JSON text; the seal of
 * trailer.h at the end. */
#include "store/arrays.h"
#include "base/mem.h"
#include "base/path.h"
#include "store/h5.h"
#include "store/trailer.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const char format_name[] = "segfleet arrays 1";

/* ---- writing ------------------------------------------------------------------------------ */

static sf_status check_array(const sf_array *a, const char *group)
{
    int64_t count = 1;
    SF_CHECK(a->ndim >= 0 && a->ndim <= SF_H5_MAX_DIMS, SF_EINTERNAL, "array '%s/%s' has %d axes",
             group, a->name, a->ndim);
    for (int i = 0; i < a->ndim; i++) {
        SF_CHECK(a->dim[i] >= 0 && (count == 0 || a->dim[i] <= INT64_MAX / 16 / count),
                 SF_EINTERNAL, "array '%s/%s' has an axis of length %lld", group, a->name,
                 (long long)a->dim[i]);
        count *= a->dim[i];
    }
    SF_CHECK(count == a->count, SF_EINTERNAL, "array '%s/%s': %lld values for a shape of %lld",
             group, a->name, (long long)a->count, (long long)count);
    SF_CHECK(memchr(a->name, '\0', sizeof a->name) && a->name[0] && strcmp(a->name, ".") != 0 &&
                 strchr(a->name, '/') == NULL,
             SF_EINTERNAL, "group '%s' has an array with an impossible name", group);
    return SF_OK;
}

static sf_status write_array(hid_t group, const sf_array *a, const char *group_name)
{
    hid_t dset = H5I_INVALID_HID;
    sf_h5_array info;
    SF_TRY(check_array(a, group_name));
    SF_TRY(sf_h5_create_array(&dset, &info, group, a->name, H5T_IEEE_F32LE, a->ndim, a->dim));
    sf_status st =
        sf_h5_write_rows(dset, &info, 0, a->ndim > 0 ? a->dim[0] : 1, H5T_NATIVE_FLOAT, a->data);
    H5Dclose(dset);
    return st;
}

static sf_status write_group(hid_t file, const sf_array_group *g)
{
    hid_t how = H5I_INVALID_HID, path = H5I_INVALID_HID, group = H5I_INVALID_HID;
    herr_t rc;
    sf_status st = SF_OK;
    H5_TRY(done, st, how, H5Pcreate(H5P_GROUP_CREATE));
    H5_TRY(done, st, rc,
           H5Pset_link_creation_order(how, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED));
    H5_TRY(done, st, rc, H5Pset_obj_track_times(how, 0));
    H5_TRY(done, st, path, H5Pcreate(H5P_LINK_CREATE));
    H5_TRY(done, st, rc, H5Pset_create_intermediate_group(path, 1));
    H5_TRY(done, st, group, H5Gcreate2(file, g->group, path, how, H5P_DEFAULT));
    for (int i = 0; i < g->count; i++)
        SF_GOTO(done, st, write_array(group, &g->array[i], g->group));
done:
    if (group >= 0) H5Gclose(group);
    if (path >= 0) H5Pclose(path);
    if (how >= 0) H5Pclose(how);
    return st;
}

/* As a dataset, not an attribute: those end at 64 KiB. */
static sf_status write_attributes(hid_t file, const json_t *attributes)
{
    hid_t type = H5I_INVALID_HID, space = H5I_INVALID_HID, dset = H5I_INVALID_HID;
    hid_t how = H5I_INVALID_HID;
    herr_t rc;
    char *text = NULL;
    sf_status st = SF_OK;
    if (attributes == NULL) return SF_OK;
    SF_TRY(sf_json_dump(&text, attributes, 0, false));
    H5_TRY(done, st, type, H5Tcopy(H5T_C_S1));
    H5_TRY(done, st, rc, H5Tset_size(type, strlen(text) + 1));
    H5_TRY(done, st, rc, H5Tset_cset(type, H5T_CSET_UTF8));
    H5_TRY(done, st, space, H5Screate(H5S_SCALAR));
    H5_TRY(done, st, how, H5Pcreate(H5P_DATASET_CREATE));
    H5_TRY(done, st, rc, H5Pset_obj_track_times(how, 0));
    H5_TRY(done, st, dset,
           H5Dcreate2(file, "attributes", type, space, H5P_DEFAULT, how, H5P_DEFAULT));
    H5_TRY(done, st, rc, H5Dwrite(dset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, text));
done:
    if (dset >= 0) H5Dclose(dset);
    if (how >= 0) H5Pclose(how);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    sf_mem_free(text);
    return st;
}

static sf_status write_file(const char *tmp, const sf_array_group *groups, int n_groups,
                            const json_t *attributes)
{
    hid_t file = H5I_INVALID_HID;
    sf_status st = sf_h5_create(&file, sf_comm_self(), tmp, 0);
    SF_GOTO(done, st, st);
    SF_GOTO(done, st, sf_h5_put_text(file, "format", format_name));
    SF_GOTO(done, st, write_attributes(file, attributes));
    for (int i = 0; i < n_groups; i++) SF_GOTO(done, st, write_group(file, &groups[i]));
done:
    if (file >= 0 && H5Fclose(file) < 0 && st == SF_OK)
        st = sf_h5_fail_(SF_EIO, "H5Fclose", __FILE__, __LINE__);
    return st;
}

sf_status sf_arrays_save(const char *path, const sf_array_group *groups, int n_groups,
                         const json_t *attributes)
{
    char tmp[SF_PATH_MAX];
    SF_TRY(sf_path_tmp_name(tmp, path));
    sf_status st = write_file(tmp, groups, n_groups, attributes);
    if (st == SF_OK) st = sf_trailer_append(tmp, NULL, 0);
    if (st == SF_OK) return sf_path_commit(tmp, path);
    unlink(tmp);
    return sf_h5_in_file(st, path, 0);
}

/* ---- reading ------------------------------------------------------------------------------ */

static sf_status verify(const char *path)
{
    int64_t bytes;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    SF_CHECK(fd >= 0, SF_EIO, "%s: cannot be read: %s", path, strerror(errno));
    sf_status st = sf_trailer_verify(fd, path, true, &bytes);
    close(fd);
    return st;
}

static sf_status check_format(hid_t file)
{
    char *text = NULL;
    SF_TRY(sf_h5_get_text(&text, file, "format"));
    const int same = strcmp(text, format_name) == 0;
    sf_mem_free(text);
    SF_CHECK(same, SF_EDATA, "this is not a file of '%s'", format_name);
    return SF_OK;
}

static sf_status read_text(char **text, hid_t dset, hid_t type)
{
    const size_t size = H5Tget_size(type);
    const haddr_t stored =
        H5Dget_storage_size(dset); /* also bounds what a wrong size may allocate */
    SF_CHECK(H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 && stored == size,
             SF_EDATA, "'attributes' is not one text");
    SF_TRY(sf_mem_calloc(text, size + 1, 1, SF_MEM_MISC));
    if (H5Dread(dset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, *text) < 0)
        return sf_h5_fail_(SF_EIO, "H5Dread", __FILE__, __LINE__);
    return SF_OK;
}

static sf_status read_attributes(json_t **out, hid_t file, const char *path)
{
    hid_t dset = H5I_INVALID_HID, type = H5I_INVALID_HID;
    htri_t there;
    char *text = NULL;
    sf_status st = SF_OK;
    H5_TRY(done, st, there, H5Lexists(file, "attributes", H5P_DEFAULT));
    if (!there) {
        *out = json_object();
        SF_CHECK_GOTO(done, st, *out != NULL, SF_ENOMEM, "out of memory");
        goto done;
    }
    H5_TRY(done, st, dset, H5Dopen2(file, "attributes", H5P_DEFAULT));
    H5_TRY(done, st, type, H5Dget_type(dset));
    SF_GOTO(done, st, read_text(&text, dset, type));
    SF_GOTO(done, st, sf_json_parse(out, text, path));
done:
    sf_mem_free(text);
    if (type >= 0) H5Tclose(type);
    if (dset >= 0) H5Dclose(dset);
    return st;
}

/* Name and shape of array i; with `data`, its values too. */
static sf_status read_array(sf_array *a, float *data, hid_t group, int64_t i)
{
    hid_t dset = H5I_INVALID_HID;
    sf_h5_array info;
    memset(a, 0, sizeof *a);
    SF_TRY(sf_h5_name(a->name, sizeof a->name, group, i, 1));
    SF_TRY(sf_h5_open_array(&dset, &info, group, a->name, H5T_IEEE_F32LE));
    a->ndim = info.ndim;
    a->count = info.count;
    memcpy(a->dim, info.dim, (size_t)info.ndim * sizeof *a->dim);
    a->data = data;
    sf_status st = SF_OK;
    if (data)
        st = sf_h5_read_rows(dset, &info, 0, info.ndim > 0 ? info.dim[0] : 1, H5T_NATIVE_FLOAT,
                             data);
    H5Dclose(dset);
    return st;
}

static size_t round64(size_t n) { return (n + 63) & ~(size_t)63; }

/* Two passes: sizes, then one block with the table and all values. */
static sf_status read_group(sf_array **out, int64_t n, hid_t group, hsize_t file_size)
{
    size_t total = round64((size_t)n * sizeof(sf_array));
    hsize_t values = 0;
    for (int64_t i = 0; i < n; i++) {
        sf_array a;
        SF_TRY(read_array(&a, NULL, group, i));
        values += (hsize_t)a.count; /* no overflow: the sum so far is below 2^61 and so is count */
        SF_CHECK(values <= file_size / sizeof(float), SF_EDATA,
                 "array '%s' does not fit into the file", a.name);
        total += round64((size_t)a.count * sizeof(float));
    }
    char *block = NULL;
    SF_TRY(sf_mem_calloc(&block, total, 1, SF_MEM_PARAMS));
    *out = (sf_array *)(void *)block;
    size_t at = round64((size_t)n * sizeof(sf_array));
    for (int64_t i = 0; i < n; i++) {
        float *data = (float *)(void *)(block + at);
        SF_TRY(read_array(&(*out)[i], data, group, i));
        at += round64((size_t)(*out)[i].count * sizeof(float));
    }
    return SF_OK;
}

static sf_status read_file(sf_array **out, int *count, json_t **attributes, const char *path,
                           const char *name)
{
    hid_t file = H5I_INVALID_HID, group = H5I_INVALID_HID;
    htri_t there;
    hsize_t size = 0;
    int64_t n = 0;
    herr_t rc;
    sf_status st = SF_OK;
    SF_GOTO(done, st, sf_h5_open_read(&file, path));
    SF_GOTO(done, st, check_format(file));
    H5_TRY(done, st, rc, H5Fget_filesize(file, &size));
    H5_TRY(done, st, there, H5Lexists(file, name, H5P_DEFAULT));
    SF_CHECK_GOTO(done, st, there > 0, SF_EDATA, "%s: has no group '%s'", path, name);
    H5_TRY(done, st, group, H5Gopen2(file, name, H5P_DEFAULT));
    SF_GOTO(done, st, sf_h5_count(&n, group));
    SF_CHECK_GOTO(done, st, n >= 0 && (hsize_t)n <= size, SF_EDATA, "too many arrays");
    SF_GOTO(done, st, read_group(out, n, group, size));
    *count = (int)n;
    if (attributes) SF_GOTO(done, st, read_attributes(attributes, file, path));
done:
    if (group >= 0) H5Gclose(group);
    if (file >= 0) H5Fclose(file);
    return st;
}

sf_status sf_arrays_load(sf_array **out, int *count, json_t **attributes, const char *path,
                         const char *group)
{
    *out = NULL;
    *count = 0;
    if (attributes) *attributes = NULL;
    SF_TRY(verify(path));
    sf_status st = read_file(out, count, attributes, path, group);
    if (st == SF_OK) return SF_OK;
    sf_arrays_free(out, 0);
    *count = 0;
    return sf_h5_in_file(st, path, 1);
}

void sf_arrays_free(sf_array **a, int count)
{
    (void)count;
    sf_mem_free(*a);
    *a = NULL;
}

void sf_store_library(char out[32])
{
    unsigned major = 0, minor = 0, release = 0;
    H5get_libversion(&major, &minor, &release);
    snprintf(out, 32, "HDF5 %u.%u.%u", major, minor, release);
}
