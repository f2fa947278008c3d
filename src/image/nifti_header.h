/** The header of NIfTI-1 and NIfTI-2: decoded, checked, and turned into our geometry.
 *  Private to src/image. Not collective; pure functions. Rules: nnunet-planning.md 1.5, 1.6, 13. */
#ifndef SF_IMAGE_NIFTI_HEADER_H
#define SF_IMAGE_NIFTI_HEADER_H
#include "image/image.h"

enum {
    SF_NIFTI_UINT8 = 2,
    SF_NIFTI_INT16 = 4,
    SF_NIFTI_INT32 = 8,
    SF_NIFTI_FLOAT32 = 16,
    SF_NIFTI_FLOAT64 = 64,
    SF_NIFTI_RGB24 = 128,
    SF_NIFTI_INT8 = 256,
    SF_NIFTI_UINT16 = 512,
    SF_NIFTI_UINT32 = 768,
    SF_NIFTI_INT64 = 1024,
    SF_NIFTI_UINT64 = 1280,
    SF_NIFTI_RGBA32 = 2304
};

typedef struct {
    int version;    /* 1 or 2 */
    bool swapped;   /* the file has the other byte order than this machine */
    bool pair;      /* voxels are in a separate .img file */
    int ndim;       /* 2..7 */
    int64_t dim[8]; /* dim[1..7], x first, all >= 1 (1 beyond ndim) */
    double pixdim[8];
    int datatype;
    int components;      /* values per voxel: 3 for RGB24, 4 for RGBA32, else 1 */
    int value_bytes;     /* bytes per value on disk */
    int64_t voxels_at;   /* offset of the first voxel in its file */
    double slope, inter; /* 1 and 0 where the file sets none */
    int qform_code, sform_code;
    double quaternion[3], offset[3], srow[3][4];
} sf_nifti_info;

/** Size of the header that starts with these 4 bytes: 348, 540, or 0 when it is no NIfTI. */
int sf_nifti_header_size(const unsigned char first[4], bool *swapped);
/** Decode and check `raw` (sf_nifti_header_size bytes), which is brought into native byte order.
 *  SF_EDATA or SF_EUNSUPPORTED with one text that names the file. */
sf_status sf_nifti_parse(sf_nifti_info *info, unsigned char *raw, const char *file);
/** Shape, spacing and affine (sform if its code > 0, else qform if > 0, else pixdim, centred, x
 *  flipped). geo->nifti_header is filled from raw. Zero or non-finite spacing: SF_EDATA.
 *  @param warn  log when the affine is sheared or contradicts pixdim */
sf_status sf_nifti_geometry(sf_geometry *geo, const sf_nifti_info *info, const unsigned char *raw,
                            const char *file, bool warn);
/** Channels that the file gives: 4-D time points, 5-D vector components, or colours.
 * SF_EUNSUPPORTED when several of these are combined. */
sf_status sf_nifti_channels(int *channels, const sf_nifti_info *info, const char *file);
/** Header for writing `datatype` voxels: the source's header where there is one (NIfTI-1 else),
 *  cleared of what described the source's values. @return its size, 348 or 540. */
int sf_nifti_make_header(unsigned char raw[544], const sf_geometry *geo, int datatype);

#endif
