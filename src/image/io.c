#include "image/io.h"
#include "base/mem.h"
#include "base/path.h"
#include <errno.h>
#include <math.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

/* Longer endings first where one is the end of another. */
static const sf_format_row formats[] = {
    { ".nii.gz", SF_FORMAT_NIFTI, sf_nifti_read, sf_nifti_write },
    { ".nii", SF_FORMAT_NIFTI, sf_nifti_read, sf_nifti_write },
    { ".hdr.gz", SF_FORMAT_NIFTI, sf_nifti_read, sf_nifti_write },
    { ".hdr", SF_FORMAT_NIFTI, sf_nifti_read, sf_nifti_write },
    { ".img.gz", SF_FORMAT_NIFTI, sf_nifti_read, sf_nifti_write },
    { ".img", SF_FORMAT_NIFTI, sf_nifti_read, sf_nifti_write },
    { ".png", SF_FORMAT_PNG, sf_png_read, sf_png_write },
    { ".tiff", SF_FORMAT_TIFF, sf_tiff_read, sf_tiff_write },
    { ".tif", SF_FORMAT_TIFF, sf_tiff_read, sf_tiff_write },
};

sf_status sf_format_find(const sf_format_row **out, const char *file)
{
    const size_t n = strlen(file);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        const size_t m = strlen(formats[i].ending);
        if (n > m && strcasecmp(file + n - m, formats[i].ending) == 0) {
            *out = &formats[i];
            return SF_OK;
        }
    }
    *out = NULL;
    return SF_FAIL(
        SF_EUNSUPPORTED,
        "%s: this file type is not supported; convert it to .nii.gz, .nii, .png, .tif or "
        ".tiff",
        file);
}

int64_t sf_geometry_voxels(const sf_geometry *geo)
{
    return geo->shape[0] * geo->shape[1] * geo->shape[2];
}

sf_status sf_file_size(int64_t *bytes, const char *file)
{
    struct stat info;
    *bytes = 0;
    SF_CHECK(stat(file, &info) == 0, SF_EIO, "%s: cannot open: %s", file, strerror(errno));
    SF_CHECK(S_ISREG(info.st_mode), SF_EIO, "%s: not a regular file", file);
    SF_CHECK(info.st_size > 0, SF_EDATA, "%s: the file is empty (0 bytes)", file);
    *bytes = info.st_size;
    return SF_OK;
}

sf_status sf_image_reserve(sf_image *img, const char *file, int64_t bytes_per_voxel,
                           int64_t file_bytes, int64_t ratio)
{
    /* in double: the sizes are still unchecked, and their product may overflow an integer */
    const double need = (double)img->geo.shape[0] * (double)img->geo.shape[1] *
                        (double)img->geo.shape[2] * img->channels * (double)bytes_per_voxel;
    const double have = ((double)file_bytes + (ratio > 1 ? 64.0 : 0.0)) * (double)ratio;
    SF_CHECK(need <= have, SF_EDATA,
             "%s: the header promises %lld x %lld x %lld voxels in %d channel(s), %.0f bytes, but "
             "the file is too short for that; copy the file again",
             file, (long long)img->geo.shape[2], (long long)img->geo.shape[1],
             (long long)img->geo.shape[0], img->channels, need);
    SF_TRY(sf_mem_alloc(&img->data, (size_t)(sf_geometry_voxels(&img->geo) * img->channels),
                        sizeof *img->data, SF_MEM_IMAGE));
    return SF_OK;
}

/* Index of the first value that is NaN or infinite; n when there is none. */
static int64_t first_not_finite(const float *x, int64_t n)
{
    for (int64_t block = 0; block < n; block += 4096) {
        const int64_t end = n - block < 4096 ? n : block + 4096;
        int bad = 0;
        for (int64_t i = block; i < end; i++) bad |= !isfinite(x[i]);
        if (!bad) continue;
        int64_t i = block;
        while (isfinite(x[i])) i++;
        return i;
    }
    return n;
}

/* NaN and infinity are refused where they enter: later they would silently spoil every mean. */
static sf_status check_finite(const sf_image *img, const char *file)
{
    const int64_t voxels = sf_geometry_voxels(&img->geo), n = voxels * img->channels;
    const int64_t width = img->geo.shape[2], height = img->geo.shape[1];
    const int64_t i = first_not_finite(img->data, n), v = i % voxels;
    SF_CHECK(i == n, SF_EDATA,
             "%s: voxel (x %lld, y %lld, z %lld) of channel %lld is %s; replace such voxels before "
             "use",
             file, (long long)(v % width), (long long)(v / width % height),
             (long long)(v / width / height), (long long)(i / voxels),
             isnan(img->data[i]) ? "not a number (NaN)" : "infinite");
    return SF_OK;
}

sf_status sf_image_read_file(sf_image **out, const char *file, unsigned flags)
{
    const sf_format_row *row = NULL;
    sf_image *img = NULL;
    sf_status st = SF_OK;
    *out = NULL;
    SF_TRY(sf_format_find(&row, file));
    SF_TRY(sf_mem_calloc(&img, 1, sizeof *img, SF_MEM_IMAGE));
    SF_GOTO(done, st, row->read(img, file, flags));
    if (!(flags & (SF_READ_HEADER | SF_READ_ANY_VALUE))) SF_GOTO(done, st, check_finite(img, file));
    *out = img;
    img = NULL;
done:
    sf_image_destroy(&img);
    return st;
}

sf_status sf_voxels_need_wide(bool *wide, const char *path, const sf_voxels *v, int64_t count)
{
    double lo = 0.0, hi = 0.0;
    for (int64_t i = 0; i < count; i++) {
        const double x = v->labels ? (double)v->labels[i] : rint((double)v->values[i]);
        lo = x < lo ? x : lo;
        hi = x > hi ? x : hi;
    }
    SF_CHECK(lo >= 0.0 && hi <= 65535.0, SF_EINVAL,
             "%s: values from %g to %g do not fit into 16 bits; use a NIfTI file", path, lo, hi);
    *wide = hi > 255.0;
    return SF_OK;
}

void sf_voxels_store(void *dst, const sf_voxels *v, bool wide, int64_t first, int64_t n)
{
    uint8_t *b = dst;
    uint16_t *w = dst;
    for (int64_t i = 0; i < n; i++) {
        const int32_t x =
            v->labels ? v->labels[first + i] : (int32_t)rint((double)v->values[first + i]);
        if (wide)
            w[i] = (uint16_t)x;
        else
            b[i] = (uint8_t)x;
    }
}
