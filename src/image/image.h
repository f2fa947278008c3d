/** An image in memory: voxels + geometry. Axis order is the file's, slowest first: [c][z][y][x].
 *  Nothing is ever reoriented. Values are float32, scaled as the file says.
 *
 *  A 2-D image has z = 1; its spacing[0] is 999 (PNG, TIFF) or 999 times the larger pixel side
 *  (NIfTI, MetaImage, NRRD), so that z is always the coarse axis.
 *  Source: nnunet-planning.md 1.5, 1.6 and 13. Formats: .nii, .nii.gz, .hdr/.img (reading), .mha,
 *  .mhd, .nrrd, .nhdr, .png, .tif, .tiff. Not collective; thread-safe on different images. */
#ifndef SF_IMAGE_IMAGE_H
#define SF_IMAGE_IMAGE_H
#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    SF_FORMAT_NIFTI,
    SF_FORMAT_META, /* MetaImage */
    SF_FORMAT_NRRD,
    SF_FORMAT_PNG,
    SF_FORMAT_TIFF,
    SF_FORMAT_COUNT
} sf_image_format;

/** What is needed to write a segmentation with the source's geometry. Plain value. */
typedef struct {
    sf_image_format format;
    int64_t shape[3];    /* z,y,x */
    double spacing[3];   /* z,y,x, > 0; mm, or 1 where the file has none; NIfTI: |pixdim| */
    double affine[4][4]; /* voxel (x,y,z,1) -> world RAS mm */
    bool is_2d;
    /* NIfTI: header of the first channel's file, in native byte order; zero for other formats */
    unsigned char nifti_header[540];
    int nifti_header_size; /* 348, 540 or 0 */
} sf_geometry;

typedef struct {
    sf_geometry geo; /* of the first file */
    int channels;
    float *data;        /* [channels][z][y][x], owned */
    bool warned_affine; /* channels differ in origin or direction: a warning, no error */
} sf_image;

/** How a TIFF is understood where its shape leaves a choice; no other format does. */
typedef enum {
    SF_READER_AUTO,  /* one page: a plane; several: a volume, unless 3 or 4 of them, or rows of 3 or
                        4 pixels, could be colours: then a spacing file must say that it is one */
    SF_READER_PLANE, /* nnU-Net's NaturalImage2DIO: always a plane, 3 or 4 grey pages are colours */
    SF_READER_VOLUME /* nnU-Net's Tiff3DIO: always a volume, a single page has depth 1 */
} sf_image_reader;

/** Read the channel files of one case, in channel order. RGB(A) PNG and TIFF, RGB24 and 4-D NIfTI,
 *  vectors and 4-D files of MetaImage and NRRD give several channels from one file.
 *  @return SF_EDATA when shapes or spacings of the files differ (|a-b| > 1e-8 + 1e-5 |b|), a voxel
 *          is NaN or infinite, or a file is broken; SF_EUNSUPPORTED for a type that we do not read;
 *          SF_EIO when a file cannot be opened. Errors name the file. Caller destroys *out. */
sf_status sf_image_read_as(sf_image **out, const char *const *files, int n_files,
                           sf_image_reader reader);
/** The same with SF_READER_AUTO. */
sf_status sf_image_read(sf_image **out, const char *const *files, int n_files);
/** Shape, spacing and channel count without the voxels (reads the header only). */
sf_status sf_image_probe_as(sf_geometry *geo, int *channels, const char *file,
                            sf_image_reader reader);
sf_status sf_image_probe(sf_geometry *geo, int *channels, const char *file);
/** NULL is allowed; sets *img = NULL. */
void sf_image_destroy(sf_image **img);

typedef struct {
    sf_geometry geo;
    int32_t *data; /* [z][y][x], owned */
} sf_label_image;

/** Read one label file. Values must be whole numbers within 1e-3 (they are rounded), else SF_EDATA
 *  with value and voxel. Which values are allowed is not checked here. Caller destroys *out. */
sf_status sf_label_image_read(sf_label_image **out, const char *file);
void sf_label_image_destroy(sf_label_image **img);

/** Write labels [z][y][x] in the format of path's extension: uint8 when max_label < 255, else
 *  uint16. Equal input gives equal bytes (gzip time 0, no name). Temp file + fsync + rename.
 *  NIfTI: the header of geo is kept but for what described the source's values (scaling, intent,
 *  display range, extensions). A TIFF volume gets its spacing file beside it.
 *  @return SF_EINVAL for a label outside 0..max_label's type; SF_EUNSUPPORTED where the format
 * cannot hold the shape. */
sf_status sf_label_write(const char *path, const sf_geometry *geo, const int32_t *labels,
                         int max_label);
/** Write one channel of a float image (phantoms, tests). NIfTI and TIFF: float32; PNG: rounded to 8
 *  or 16 bits by value range. */
sf_status sf_image_write(const char *path, const sf_geometry *geo, const float *voxels);
/** Copy an image or label file together with the file that belongs to it: the spacing file of a
 *  TIFF, the voxels of a .mhd or .nhdr that this program wrote. The image's file comes last. */
sf_status sf_image_copy(const char *from, const char *to);
/** Is there a format for files of this ending (".nii.gz")? SF_EUNSUPPORTED names `where` and says
 *  what to convert to; for DICOM also with what. */
sf_status sf_image_check_ending(const char *ending, const char *where);
/** The ending by which a file is read, ".nii.gz" of "case_001.nii.gz"; SF_EUNSUPPORTED as above. */
sf_status sf_image_ending(const char **ending, const char *file);
/** Is this file DICOM (by its ending, or "DICM" at byte 128), or a folder that begins with such? */
bool sf_image_is_dicom(const char *path);
/** The advice for DICOM, without a file name in front. */
const char *sf_image_dicom_advice(void);

/** Geometry for new data: identity directions, origin 0, given shape and spacing (z,y,x). */
void sf_geometry_make(sf_geometry *geo, sf_image_format format, const int64_t shape[3],
                      const double spacing[3]);

#endif
