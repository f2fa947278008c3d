#include "image/image.h"
#include "base/log.h"
#include "base/mem.h"
#include "image/io.h"
#include <math.h>
#include <string.h>

void sf_image_destroy(sf_image **img)
{
    if (!*img) return;
    sf_mem_free((*img)->data);
    sf_mem_free(*img);
    *img = NULL;
}

void sf_label_image_destroy(sf_label_image **img)
{
    if (!*img) return;
    sf_mem_free((*img)->data);
    sf_mem_free(*img);
    *img = NULL;
}

/* numpy's allclose with its default tolerances. */
static bool close_to(double a, double b) { return fabs(a - b) <= 1e-8 + 1e-5 * fabs(b); }

/* Shape and spacing must agree between the files of a case; position only earns a warning. */
static sf_status check_same_grid(sf_image *img, const char *first, const sf_image *other,
                                 const char *file)
{
    const sf_geometry *a = &img->geo, *b = &other->geo;
    for (int i = 0; i < 3; i++)
        SF_CHECK(a->shape[i] == b->shape[i], SF_EDATA,
                 "%s: shape %lld x %lld x %lld (z, y, x), but %s has %lld x %lld x %lld; all "
                 "channels of a case must share one grid",
                 file, (long long)b->shape[0], (long long)b->shape[1], (long long)b->shape[2],
                 first, (long long)a->shape[0], (long long)a->shape[1], (long long)a->shape[2]);
    for (int i = 0; i < 3; i++)
        SF_CHECK(close_to(b->spacing[i], a->spacing[i]), SF_EDATA,
                 "%s: spacing %g x %g x %g (z, y, x), but %s has %g x %g x %g; all channels of a "
                 "case must share one grid",
                 file, b->spacing[0], b->spacing[1], b->spacing[2], first, a->spacing[0],
                 a->spacing[1], a->spacing[2]);
    for (int i = 0; i < 16; i++)
        if (!close_to(b->affine[i / 4][i % 4], a->affine[i / 4][i % 4])) img->warned_affine = true;
    return SF_OK;
}

/* Appends the channels of `other`; room for `expected` channels is made at once. */
static sf_status append_channels(sf_image *img, const sf_image *other, int expected, int *room)
{
    const size_t voxels = (size_t)sf_geometry_voxels(&img->geo);
    const int channels = img->channels + other->channels;
    if (channels > *room) {
        *room = channels > expected ? channels : expected;
        SF_TRY(sf_mem_resize(&img->data, (size_t)*room * voxels, sizeof *img->data, SF_MEM_IMAGE));
    }
    memcpy(img->data + (size_t)img->channels * voxels, other->data,
           (size_t)other->channels * voxels * sizeof *img->data);
    img->channels = channels;
    return SF_OK;
}

static unsigned reader_flags(sf_image_reader reader)
{
    return reader == SF_READER_PLANE    ? SF_READ_PLANE
           : reader == SF_READER_VOLUME ? SF_READ_VOLUME
                                        : 0;
}

sf_status sf_image_read_as(sf_image **out, const char *const *files, int n_files,
                           sf_image_reader reader)
{
    const unsigned flags = reader_flags(reader);
    sf_image *img = NULL, *other = NULL;
    sf_status st = SF_OK;
    *out = NULL;
    SF_CHECK(n_files > 0, SF_EINVAL, "an image needs at least one file");
    SF_TRY(sf_image_read_file(&img, files[0], flags));
    const int expected = img->channels * n_files;
    int room = img->channels;
    for (int i = 1; i < n_files; i++) {
        SF_GOTO(done, st, sf_image_read_file(&other, files[i], flags));
        SF_GOTO(done, st, check_same_grid(img, files[0], other, files[i]));
        SF_GOTO(done, st, append_channels(img, other, expected, &room));
        sf_image_destroy(&other);
    }
    if (img->warned_affine)
        sf_log(SF_LOG_WARN, "image", "file=%s its channels differ in origin or direction",
               files[0]);
    *out = img;
    img = NULL;
done:
    sf_image_destroy(&img);
    sf_image_destroy(&other);
    return st;
}

sf_status sf_image_read(sf_image **out, const char *const *files, int n_files)
{
    SF_TRY(sf_image_read_as(out, files, n_files, SF_READER_AUTO));
    return SF_OK;
}

sf_status sf_image_probe_as(sf_geometry *geo, int *channels, const char *file,
                            sf_image_reader reader)
{
    sf_image *img = NULL;
    SF_TRY(sf_image_read_file(&img, file, SF_READ_HEADER | reader_flags(reader)));
    *geo = img->geo;
    *channels = img->channels;
    sf_image_destroy(&img);
    return SF_OK;
}

sf_status sf_image_probe(sf_geometry *geo, int *channels, const char *file)
{
    SF_TRY(sf_image_probe_as(geo, channels, file, SF_READER_AUTO));
    return SF_OK;
}

/* Rounds to integers; a value that is none, or too large for exact float32, is an error. */
static sf_status round_labels(int32_t *dst, const float *src, const sf_geometry *geo,
                              const char *file)
{
    const int64_t n = sf_geometry_voxels(geo);
    for (int64_t i = 0; i < n; i++) {
        const float nearest = rintf(src[i]);
        const int64_t w = geo->shape[2], h = geo->shape[1];
        SF_CHECK(fabsf(src[i] - nearest) <= 1e-3f && fabsf(nearest) < 16777216.0f, SF_EDATA,
                 "%s: voxel (x %lld, y %lld, z %lld) is %g; labels must be whole numbers", file,
                 (long long)(i % w), (long long)(i / w % h), (long long)(i / w / h),
                 (double)src[i]);
        dst[i] = (int32_t)nearest;
    }
    return SF_OK;
}

sf_status sf_label_image_read(sf_label_image **out, const char *file)
{
    sf_image *img = NULL;
    sf_label_image *label = NULL;
    sf_status st = SF_OK;
    *out = NULL;
    SF_TRY(sf_image_read_file(&img, file, SF_READ_LABEL | SF_READ_ANY_VALUE));
    SF_CHECK_GOTO(done, st, img->channels == 1, SF_EDATA,
                  "%s: a label file must have one channel, but this one has %d (colours or time "
                  "points); store the label numbers as grey values",
                  file, img->channels);
    SF_GOTO(done, st, sf_mem_calloc(&label, 1, sizeof *label, SF_MEM_IMAGE));
    label->geo = img->geo;
    SF_GOTO(done, st,
            sf_mem_alloc(&label->data, (size_t)sf_geometry_voxels(&img->geo), sizeof *label->data,
                         SF_MEM_IMAGE));
    SF_GOTO(done, st, round_labels(label->data, img->data, &img->geo, file));
    *out = label;
    label = NULL;
done:
    sf_image_destroy(&img);
    sf_label_image_destroy(&label);
    return st;
}

sf_status sf_label_write(const char *path, const sf_geometry *geo, const int32_t *labels,
                         int max_label)
{
    const sf_format_row *row = NULL;
    const sf_voxels v = { .labels = labels, .wide = max_label >= 255 };
    const int32_t limit = v.wide ? 65535 : 255;
    const int64_t n = sf_geometry_voxels(geo);
    SF_TRY(sf_format_find(&row, path));
    for (int64_t i = 0; i < n; i++)
        SF_CHECK(labels[i] >= 0 && labels[i] <= limit, SF_EINVAL,
                 "%s: label %d cannot be stored (highest declared label: %d)", path, labels[i],
                 max_label);
    SF_TRY(row->write(path, geo, &v));
    return SF_OK;
}

sf_status sf_image_write(const char *path, const sf_geometry *geo, const float *voxels)
{
    const sf_format_row *row = NULL;
    const sf_voxels v = { .values = voxels };
    SF_TRY(sf_format_find(&row, path));
    SF_TRY(row->write(path, geo, &v));
    return SF_OK;
}

sf_status sf_image_copy(const char *from, const char *to)
{
    char a[SF_PATH_MAX], b[SF_PATH_MAX];
    SF_TRY(sf_format_companion(a, from));
    SF_TRY(sf_format_companion(b, to));
    if (a[0] && b[0] && sf_path_is_file(a)) SF_TRY(sf_path_copy(a, b));
    SF_TRY(sf_path_copy(from, to));
    return SF_OK;
}

void sf_geometry_make(sf_geometry *geo, sf_image_format format, const int64_t shape[3],
                      const double spacing[3])
{
    memset(geo, 0, sizeof *geo);
    geo->format = format;
    geo->is_2d = format == SF_FORMAT_PNG || (format == SF_FORMAT_TIFF && shape[0] == 1);
    for (int a = 0; a < 3; a++) {
        geo->shape[a] = shape[a];
        geo->spacing[a] = spacing[a];
        geo->affine[a][a] = spacing[2 - a];
    }
    geo->affine[3][3] = 1.0;
}
