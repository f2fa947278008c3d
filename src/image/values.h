/** Voxel values as files hold them: ten scalar types in either byte order, read in pieces and
 *  turned into float32 planes. What NIfTI, MetaImage and NRRD share. Private to src/image.
 *  Not collective; thread-safe on different images. */
#ifndef SF_IMAGE_VALUES_H
#define SF_IMAGE_VALUES_H
#include "image/image.h"

typedef enum {
    SF_SCALAR_U8,
    SF_SCALAR_I8,
    SF_SCALAR_U16,
    SF_SCALAR_I16,
    SF_SCALAR_U32,
    SF_SCALAR_I32,
    SF_SCALAR_U64,
    SF_SCALAR_I64,
    SF_SCALAR_F32,
    SF_SCALAR_F64
} sf_scalar;

/** Bytes of one value: 1, 2, 4 or 8. */
int sf_scalar_bytes(sf_scalar type);

/** How the values of one file are stored. Plain value, no ownership. */
typedef struct {
    sf_scalar type;
    bool swapped;        /* the other byte order than this machine's */
    int components;      /* values per voxel, stored side by side (colours, vectors); >= 1 */
    double slope, inter; /* value = stored * slope + inter, in double; 1 and 0 = as stored */
} sf_value_format;

/** Turn `n` values of `bytes` (1, 2, 4, 8) each into the other byte order, in place; aligned. */
void sf_values_swap(void *raw, int64_t n, int bytes);

/** Delivers exactly `size` bytes, or fails with one text that names the file. */
typedef sf_status sf_bytes_fn(void *source, void *dst, size_t size);

/** Fill img->data (allocated by the caller: channels planes of geo.shape) from the file's order: x
 *  fastest, components of a voxel together when there are several, channels slowest otherwise.
 *  Integers beyond 2^24 and float64 are rounded to the nearest float32, as NumPy does. The values
 *  pass in pieces, so that no second copy of the image is held.
 *  @param read, source  called until all is there; its failure is passed on
 *  @return SF_OK, SF_ENOMEM, or what `read` returned; img->data is then unspecified */
sf_status sf_values_load(sf_image *img, const sf_value_format *f, sf_bytes_fn *read, void *source);
/** Interleaved values number at .. at+n of a file, already float32, into planes of `voxels`. */
void sf_values_split(float *planes, const float *mixed, int64_t at, int64_t n, int components,
                     int64_t voxels);

#endif
