#include "image/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/path.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
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
    { ".mha", SF_FORMAT_META, sf_meta_read, sf_meta_write },
    { ".mhd", SF_FORMAT_META, sf_meta_read, sf_meta_write },
    { ".nrrd", SF_FORMAT_NRRD, sf_nrrd_read, sf_nrrd_write },
    { ".nhdr", SF_FORMAT_NRRD, sf_nrrd_read, sf_nrrd_write },
    { ".png", SF_FORMAT_PNG, sf_png_read, sf_png_write },
    { ".tiff", SF_FORMAT_TIFF, sf_tiff_read, sf_tiff_write },
    { ".tif", SF_FORMAT_TIFF, sf_tiff_read, sf_tiff_write },
};

static bool ends_with(const char *name, const char *ending)
{
    const size_t n = strlen(name), m = strlen(ending);
    return n > m && strcasecmp(name + n - m, ending) == 0;
}

sf_status sf_format_find(const sf_format_row **out, const char *file)
{
    *out = NULL;
    for (size_t i = 0; i < sizeof formats / sizeof *formats && !*out; i++)
        if (ends_with(file, formats[i].ending)) *out = &formats[i];
    if (*out) return SF_OK;
    SF_CHECK(!sf_image_is_dicom(file), SF_EUNSUPPORTED, "%s: %s", file, sf_image_dicom_advice());
    return SF_FAIL(SF_EUNSUPPORTED,
                   "%s: this file type is not supported; convert it to .nii.gz, .mha, .nrrd, .png "
                   "or .tif",
                   file);
}

sf_status sf_image_check_ending(const char *ending, const char *where)
{
    const sf_format_row *row = NULL;
    char name[64];
    snprintf(name, sizeof name, "x%.60s", ending);
    if (sf_format_find(&row, name) == SF_OK) return SF_OK;
    const bool dicom = sf_image_is_dicom(name);
    return SF_FAIL(
        SF_EUNSUPPORTED, "%s: files ending in \"%.60s\" cannot be read; %s", where, ending,
        dicom ? sf_image_dicom_advice() : "convert them to .nii.gz, .mha, .nrrd, .png or .tif");
}

sf_status sf_image_ending(const char **ending, const char *file)
{
    const sf_format_row *row = NULL;
    SF_TRY(sf_format_find(&row, file));
    *ending = row->ending;
    return SF_OK;
}

sf_status sf_format_companion(char out[SF_PATH_MAX], const char *file)
{
    static const struct {
        const char *ending, *companion;
    } pairs[] = {
        { ".tif", ".json" }, { ".tiff", ".json" }, { ".mhd", ".zraw" }, { ".nhdr", ".raw.gz" }
    };
    out[0] = '\0';
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (!ends_with(file, pairs[i].ending)) continue;
        const size_t stem = strlen(file) - strlen(pairs[i].ending);
        SF_TRY(sf_path_format(out, "%.*s%s", (int)stem, file, pairs[i].companion));
    }
    return SF_OK;
}

int64_t sf_geometry_voxels(const sf_geometry *geo)
{
    return geo->shape[0] * geo->shape[1] * geo->shape[2];
}

void sf_geometry_warn(const sf_geometry *geo, const char *file)
{
    const double(*m)[4] = (const double(*)[4])geo->affine;
    double length[3], shear = 0.0, stretch = 0.0;
    if (geo->is_2d) return;
    for (int j = 0; j < 3; j++)
        length[j] = sqrt(m[0][j] * m[0][j] + m[1][j] * m[1][j] + m[2][j] * m[2][j]);
    for (int j = 0; j < 3; j++) {
        const int k = (j + 1) % 3;
        const double dot = m[0][j] * m[0][k] + m[1][j] * m[1][k] + m[2][j] * m[2][k];
        if (length[j] > 0.0 && length[k] > 0.0)
            shear = fmax(shear, fabs(dot) / (length[j] * length[k]));
        stretch = fmax(stretch, fabs(length[j] / geo->spacing[2 - j] - 1.0));
    }
    if (shear > 1e-4)
        sf_log(SF_LOG_WARN, "image",
               "file=%s sheared axes (cosine %.4f): the header's voxel size (pixdim) is used as "
               "spacing",
               file, shear);
    if (stretch > 1e-3)
        sf_log(SF_LOG_WARN, "image",
               "file=%s voxel size (pixdim) and affine disagree by %.1f %%: the voxel size is used",
               file, 100.0 * stretch);
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
