#include "image/rewrite.h"
#include "base/mem.h"
#include "image/gz.h"
#include "image/io.h"
#include "image/nifti_header.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a folder of planes ---- */

/* "z2.png" before "z10.png". */
static int by_number(const void *a, const void *b)
{
    return strverscmp(*(const char *const *)a, *(const char *const *)b);
}

static sf_status check_plane(const sf_image *volume, const sf_image *plane, const char *file)
{
    const int64_t *a = volume->geo.shape, *b = plane->geo.shape;
    SF_CHECK(b[0] == 1, SF_EDATA, "%s: not a plane; a stack is made of planes", file);
    SF_CHECK(a[1] == b[1] && a[2] == b[2] && volume->channels == plane->channels, SF_EDATA,
             "%s: %lld x %lld pixels in %d channel(s), but the first plane has %lld x %lld in %d",
             file, (long long)b[1], (long long)b[2], plane->channels, (long long)a[1],
             (long long)a[2], volume->channels);
    return SF_OK;
}

static sf_status stack_planes(sf_image *volume, const char *dir, char **names, int64_t n)
{
    char path[SF_PATH_MAX];
    for (int64_t z = 0; z < n; z++) {
        sf_image *plane = NULL;
        SF_TRY(sf_path_join(path, dir, names[z], NULL));
        SF_TRY(sf_image_read_file(&plane, path, 0));
        const int64_t size = sf_geometry_voxels(&plane->geo);
        sf_status st = SF_OK;
        if (z == 0) {
            const int64_t shape[3] = { n, plane->geo.shape[1], plane->geo.shape[2] };
            const double unit[3] = { 1.0, 1.0, 1.0 };
            volume->channels = plane->channels;
            sf_geometry_make(&volume->geo, SF_FORMAT_NIFTI, shape, unit);
            st = sf_mem_alloc(&volume->data, (size_t)(n * size * plane->channels),
                              sizeof *volume->data, SF_MEM_IMAGE);
        }
        if (st == SF_OK) st = check_plane(volume, plane, path);
        for (int c = 0; c < volume->channels && st == SF_OK; c++)
            memcpy(volume->data + (c * n + z) * size, plane->data + c * size,
                   (size_t)size * sizeof *plane->data);
        sf_image_destroy(&plane);
        SF_TRY(st);
    }
    return SF_OK;
}

/* Keeps the names of images, in the order of their numbers; the others move behind. */
static int64_t image_names(char **names, size_t count)
{
    const sf_format_row *row = NULL;
    int64_t n = 0;
    for (size_t i = 0; i < count; i++) {
        char *name = names[i];
        if (name[0] == '.' || sf_format_find(&row, name) != SF_OK) continue;
        names[i] = names[n];
        names[n++] = name;
    }
    sf_error_clear();
    if (n > 0) qsort(names, (size_t)n, sizeof *names, by_number);
    return n;
}

static sf_status read_folder(sf_image **out, const char *dir)
{
    char **names = NULL;
    size_t count = 0;
    sf_image *volume = NULL;
    sf_status st = SF_OK;
    SF_CHECK(!sf_image_is_dicom(dir), SF_EUNSUPPORTED, "%s: %s", dir, sf_image_dicom_advice());
    SF_TRY(sf_path_list(&names, &count, dir));
    const int64_t n = image_names(names, count);
    SF_CHECK_GOTO(done, st, n > 0, SF_EDATA,
                  "%s: neither a dataset (no dataset.json) nor a stack of planes", dir);
    SF_GOTO(done, st, sf_mem_calloc(&volume, 1, sizeof *volume, SF_MEM_IMAGE));
    SF_GOTO(done, st, stack_planes(volume, dir, names, n));
    *out = volume;
    volume = NULL;
done:
    sf_image_destroy(&volume);
    sf_path_free_list(&names, count);
    return st;
}

/* ---- writing ---- */

static sf_status check_new(const char *path)
{
    SF_CHECK(!sf_path_is_file(path), SF_EINVAL, "%s is there already: remove it, or name another",
             path);
    return SF_OK;
}

/* Largest value when all are whole and fit into 16 bits, else -1. */
static int highest_label(const float *v, int64_t n)
{
    float high = 0.0f;
    for (int64_t i = 0; i < n; i++) {
        if (!(v[i] >= 0.0f && v[i] <= 65535.0f) || v[i] != rintf(v[i])) return -1;
        if (v[i] > high) high = v[i];
    }
    return (int)high;
}

static sf_status write_channel(const char *path, const sf_geometry *geo, const float *v)
{
    const int64_t n = sf_geometry_voxels(geo);
    const int high = highest_label(v, n);
    int32_t *whole = NULL;
    SF_TRY(check_new(path));
    if (high < 0) return sf_image_write(path, geo, v);
    SF_TRY(sf_mem_alloc(&whole, (size_t)n, sizeof *whole, SF_MEM_IMAGE));
    for (int64_t i = 0; i < n; i++) whole[i] = (int32_t)v[i];
    const sf_status st = sf_label_write(path, geo, whole, high);
    sf_mem_free(whole);
    return st;
}

static void set_spacing(sf_geometry *geo, const double spacing[3])
{
    for (int a = 0; a < 3; a++) {
        const int axis = 2 - a; /* affine columns: x first */
        const double factor = spacing[a] / geo->spacing[a];
        geo->spacing[a] = spacing[a];
        for (int w = 0; w < 3; w++) geo->affine[w][axis] *= factor;
    }
    geo->nifti_header_size = 0; /* its own position fields would contradict */
}

static sf_status write_all(int *written, const sf_image *img, const char *out)
{
    char path[SF_PATH_MAX];
    const sf_format_row *row = NULL;
    const int64_t n = sf_geometry_voxels(&img->geo);
    SF_TRY(sf_format_find(&row, out));
    const int stem = (int)(strlen(out) - strlen(row->ending));
    for (int c = 0; c < img->channels; c++) {
        if (img->channels == 1)
            SF_TRY(sf_path_format(path, "%s", out));
        else
            SF_TRY(sf_path_format(path, "%.*s_%04d%s", stem, out, c, out + stem));
        SF_TRY(write_channel(path, &img->geo, img->data + c * n));
        ++*written;
    }
    return SF_OK;
}

sf_status sf_image_rewrite(int *written, const char *in, const char *out, const double *spacing)
{
    const sf_format_row *row = NULL;
    sf_image *img = NULL;
    *written = 0;
    SF_TRY(sf_format_find(&row, out));
    if (sf_path_is_dir(in))
        SF_TRY(read_folder(&img, in));
    else
        SF_TRY(sf_image_read_file(&img, in, 0));
    if (spacing) set_spacing(&img->geo, spacing);
    const sf_status st = write_all(written, img, out);
    sf_image_destroy(&img);
    return st;
}

/* ---- 4-D NIfTI ---- */

static sf_status write_series(int *written, sf_stream *s, const sf_nifti_info *h,
                              unsigned char head[544], int at, const char *stem)
{
    char path[SF_PATH_MAX];
    void *volume = NULL;
    sf_status st = SF_OK;
    const int bytes = sf_scalar_bytes(h->values.type);
    const int64_t n = h->dim[1] * h->dim[2] * h->dim[3] * h->values.components;
    SF_CHECK(n * bytes <= sf_stream_file_bytes(s) * SF_DEFLATE_RATIO, SF_EDATA,
             "%s: the file is too short for what its header promises", stem);
    SF_TRY(sf_mem_alloc(&volume, (size_t)n, (size_t)bytes, SF_MEM_IMAGE));
    const sf_piece piece[2] = { { head, (size_t)at }, { volume, (size_t)(n * bytes) } };
    for (int64_t t = 0; t < h->dim[4]; t++) {
        SF_GOTO(done, st, sf_path_format(path, "%s_%04d.nii.gz", stem, (int)t));
        SF_GOTO(done, st, check_new(path));
        SF_GOTO(done, st, sf_stream_read(s, volume, piece[1].size));
        if (h->swapped) sf_values_swap(volume, n, bytes);
        SF_GOTO(done, st, sf_stream_save(path, piece, 2, 6));
        ++*written;
    }
    SF_GOTO(done, st, sf_stream_finish(s));
done:
    sf_mem_free(volume);
    return st;
}

static sf_status split_stream(int *written, sf_stream *s, const char *file, const char *stem)
{
    unsigned char raw[544] = { 0 };
    char path[SF_PATH_MAX];
    sf_nifti_info h;
    SF_TRY(sf_nifti_read_header(&h, raw, s, file));
    SF_CHECK((h.ndim == 3 || h.ndim == 4) && !h.pair, SF_EUNSUPPORTED,
             "%s: %d dimensions; files of 3 or 4 (channels) can be converted", file, h.ndim);
    if (h.ndim == 3) {
        SF_TRY(sf_path_format(path, "%s_0000.nii.gz", stem));
        SF_TRY(check_new(path));
        SF_TRY(sf_path_copy(file, path));
        *written = 1;
        return SF_OK;
    }
    const int size = h.version == 1 ? 348 : 540;
    SF_TRY(sf_stream_skip(s, h.voxels_at - size));
    const int at = sf_nifti_make_single(raw, size);
    SF_TRY(write_series(written, s, &h, raw, at, stem));
    return SF_OK;
}

sf_status sf_nifti_split(int *written, const char *file, const char *stem)
{
    sf_stream *s = NULL;
    *written = 0;
    SF_TRY(sf_stream_open(&s, file));
    const sf_status st = split_stream(written, s, file, stem);
    sf_stream_close(&s);
    return st;
}
