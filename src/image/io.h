/** Reading and writing one file, whatever its format: the table of formats and the steps that the
 *  formats share. Private to src/image and its tests; the rest of the program uses image.h.
 *  Not collective; thread-safe on different files. */
#ifndef SF_IMAGE_IO_H
#define SF_IMAGE_IO_H
#include "base/path.h"
#include "image/image.h"

/** How a file is read. */
enum {
    SF_READ_HEADER = 1,    /* geometry and channel count only, data stays NULL */
    SF_READ_ANY_VALUE = 2, /* NaN and infinity are let through */
    SF_READ_LABEL = 4,     /* a label file: decides the name of a TIFF's sidecar */
    SF_READ_PLANE = 8,     /* SF_READER_PLANE */
    SF_READ_VOLUME = 16    /* SF_READER_VOLUME */
};

/** Voxels to be written, [z][y][x]: exactly one of the two pointers is set (borrowed). */
typedef struct {
    const int32_t *labels; /* stored as uint8, or uint16 when `wide` */
    const float *values;
    bool wide;
} sf_voxels;

/** One row per file ending. `write` is NULL where we only read. */
typedef struct {
    const char *ending;
    sf_image_format format;
    sf_status (*read)(sf_image *img, const char *file, unsigned flags);
    sf_status (*write)(const char *path, const sf_geometry *geo, const sf_voxels *voxels);
} sf_format_row;

/** Row for a file name (letter case does not matter); SF_EUNSUPPORTED names the endings we know, or
 *  for DICOM the way out. */
sf_status sf_format_find(const sf_format_row **out, const char *file);

/** The file that belongs to `file` and must be copied with it (it may be absent); "" = none. */
sf_status sf_format_companion(char out[SF_PATH_MAX], const char *file);

/** Read one file as image. On success the caller destroys *out. */
sf_status sf_image_read_file(sf_image **out, const char *file, unsigned flags);

/* What the formats implement. `img` is zeroed on entry; on failure its data may be set, the caller
 * destroys it. A writer replaces the file atomically. */
sf_status sf_nifti_read(sf_image *img, const char *file, unsigned flags);
sf_status sf_nifti_write(const char *path, const sf_geometry *geo, const sf_voxels *voxels);
sf_status sf_meta_read(sf_image *img, const char *file, unsigned flags);
sf_status sf_meta_write(const char *path, const sf_geometry *geo, const sf_voxels *voxels);
sf_status sf_nrrd_read(sf_image *img, const char *file, unsigned flags);
sf_status sf_nrrd_write(const char *path, const sf_geometry *geo, const sf_voxels *voxels);
sf_status sf_png_read(sf_image *img, const char *file, unsigned flags);
sf_status sf_png_write(const char *path, const sf_geometry *geo, const sf_voxels *voxels);
sf_status sf_tiff_read(sf_image *img, const char *file, unsigned flags);
sf_status sf_tiff_write(const char *path, const sf_geometry *geo, const sf_voxels *voxels);

/** Allocate img->data for geo.shape and channels after a check that `file_bytes` can hold
 *  `bytes_per_voxel` for each value at an expansion of `ratio` at most: a hostile header must not
 *  make us reserve memory. SF_EDATA names the file. */
sf_status sf_image_reserve(sf_image *img, const char *file, int64_t bytes_per_voxel,
                           int64_t file_bytes, int64_t ratio);
/** Log a warning for a sheared affine, and for one that contradicts the spacing. */
void sf_geometry_warn(const sf_geometry *geo, const char *file);
/** Number of voxels of one channel. */
int64_t sf_geometry_voxels(const sf_geometry *geo);
/** Size of a file in bytes; SF_EIO when it cannot be opened, SF_EDATA when it is empty. */
sf_status sf_file_size(int64_t *bytes, const char *file);
/** Value range of what is to be written as integers; SF_EINVAL outside 0..65535. */
sf_status sf_voxels_need_wide(bool *wide, const char *path, const sf_voxels *v, int64_t count);
/** Store row of `n` integers as uint8 or uint16 (native order). */
void sf_voxels_store(void *dst, const sf_voxels *v, bool wide, int64_t first, int64_t n);

#endif
