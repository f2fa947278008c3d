/** An image in memory: voxels + geometry. Axis order is the file's, slowest first: [c][z][y][x]
 *  (a 2-D image has z = 1 and spacing[0] = 999). Values are float32, scaled as the file says.
 *  Source: nnunet-planning.md 1.5, 1.6. Not collective; thread-safe on different images. */
#ifndef SF_IMAGE_IMAGE_H
#define SF_IMAGE_IMAGE_H
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum { SF_FORMAT_NIFTI, SF_FORMAT_PNG, SF_FORMAT_TIFF, SF_FORMAT_COUNT } sf_image_format;

/** What is needed to write a segmentation with the source's geometry. Plain value. */
typedef struct {
    sf_image_format format;
    int64_t shape[3];          /* z,y,x */
    double spacing[3];         /* z,y,x, > 0; mm, or 1 where the file has none */
    double affine[4][4];       /* voxel (x,y,z,1) -> world RAS mm */
    bool is_2d;
    unsigned char nifti_header[540]; /* NIfTI: header of the first channel file as read, in native byte order; else 0 */
    int nifti_header_size;     /* 348, 540 or 0 */
} sf_geometry;

typedef struct {
    sf_geometry geo;
    int channels;
    float *data;               /* [channels][z][y][x], owned */
    bool warned_affine;        /* channels or label disagree in origin/direction (a warning, not an error) */
} sf_image;

/** Read the channel files of one case and check that shapes and spacings agree (|a-b| <= 1e-8+1e-5|b|).
 *  RGB(A) PNG/TIFF and 4-D NIfTI give several channels from one file. NaN or infinite voxels: SF_EDATA.
 *  Errors name the file. Caller destroys. */
sf_status sf_image_read(sf_image **out, const char *const *files, int n_files);
/** Shape, spacing and channel count without the voxels (header only where the format allows). */
sf_status sf_image_probe(sf_geometry *geo, int *channels, const char *file);
void sf_image_destroy(sf_image **img);

typedef struct {
    sf_geometry geo;
    int32_t *data;             /* [z][y][x], owned */
} sf_label_image;
/** Read one label file; values must be integers within 1e-3 (rounded), else SF_EDATA with the value and voxel. */
sf_status sf_label_image_read(sf_label_image **out, const char *file);
void sf_label_image_destroy(sf_label_image **img);

/** Write labels with the geometry's format, by extension of `path`: uint8 when max_label < 255, else uint16.
 *  Gzip output has mtime 0. Temp file + fsync + rename. */
sf_status sf_label_write(const char *path, const sf_geometry *geo, const int32_t *labels, int max_label);
/** Write a float image (phantoms, tests): one file per channel; png: 8 or 16 bit by value range. */
sf_status sf_image_write(const char *path, const sf_geometry *geo, const float *voxels);
/** Geometry for new data: identity directions, given spacing (z,y,x). */
void sf_geometry_make(sf_geometry *geo, sf_image_format format, const int64_t shape[3], const double spacing[3]);

#endif
