/** The header of NIfTI-1 and NIfTI-2: decoded, checked, and turned into our geometry.
 *  Private to src/image. Not collective; pure functions. Rules: nnunet-planning.md 1.5, 1.6, 13. */
#ifndef SF_IMAGE_NIFTI_HEADER_H
#define SF_IMAGE_NIFTI_HEADER_H
#include "image/gz.h"
#include "image/values.h"

typedef struct {
    int version;    /* 1 or 2 */
    bool swapped;   /* the file has the other byte order than this machine */
    bool pair;      /* voxels are in a separate .img file */
    int ndim;       /* 2..7 */
    int64_t dim[8]; /* dim[1..7], x first, all >= 1 (1 beyond ndim) */
    double pixdim[8];
    int datatype;           /* NIfTI's code */
    sf_value_format values; /* components: 3 for RGB24, 4 for RGBA32, else 1 */
    int64_t voxels_at;      /* offset of the first voxel in its file */
    int qform_code, sform_code;
    double quaternion[3], offset[3], srow[3][4];
} sf_nifti_info;

/** Size of the header that starts with these 4 bytes: 348, 540, or 0 when it is no NIfTI. */
int sf_nifti_header_size(const unsigned char first[4], bool *swapped);
/** Decode and check `raw` (sf_nifti_header_size bytes), which is brought into native byte order.
 *  SF_EDATA or SF_EUNSUPPORTED with one text that names the file. */
sf_status sf_nifti_parse(sf_nifti_info *info, unsigned char *raw, const char *file);
/** Read and parse the header that a stream begins with. */
sf_status sf_nifti_read_header(sf_nifti_info *info, unsigned char raw[544], sf_stream *s,
                               const char *file);
/** Shape, spacing and affine (sform if its code > 0, else qform if > 0, else pixdim, centred, x
 *  flipped). geo->nifti_header is filled from raw. Zero or non-finite spacing: SF_EDATA.
 *  @param warn  log when the affine is sheared or contradicts pixdim */
sf_status sf_nifti_geometry(sf_geometry *geo, const sf_nifti_info *info, const unsigned char *raw,
                            const char *file, bool warn);
/** Channels that the file gives: 4-D time points, 5-D vector components, or colours.
 * SF_EUNSUPPORTED when several of these are combined. */
sf_status sf_nifti_channels(int *channels, const sf_nifti_info *info, const char *file);
/** Header for writing voxels of `type` (U8, U16 or F32): the source's header where there is one
 * (NIfTI-1 else), cleared of what described the source's values. @return its size, 348 or 540. */
int sf_nifti_make_header(unsigned char raw[544], const sf_geometry *geo, sf_scalar type);
/** Make a header in native byte order that of one volume of its series, for a single file; what
 *  its values mean stays. @return the offset of the voxels, 352 or 544. */
int sf_nifti_make_single(unsigned char raw[544], int header_size);

#endif
