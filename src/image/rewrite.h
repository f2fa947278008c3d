/** One image file into another: a change of format, a stack of planes into a volume, a 4-D NIfTI
 *  into one file per channel. What `segfleet convert` does with files. Every file appears whole or
 *  not at all; an existing one is never replaced (SF_EINVAL). Not collective; thread-safe on
 *  different files. */
#ifndef SF_IMAGE_REWRITE_H
#define SF_IMAGE_REWRITE_H
#include "image/image.h"

/** Write `in` in the format of out's ending. Values that are whole and in 0..65535 are stored as 8
 *  or 16 bit integers, others as float32.
 *  @param in       an image file, or a folder of planes of equal size, taken in the order of the
 *                  numbers in their names as the planes of a volume
 *  @param out      a file; several channels go to STEM_0000.ending, STEM_0001.ending ...
 *  @param spacing  z, y, x; NULL = the file's, for a folder 1, 1, 1
 *  @param[out] written  number of files
 *  @return SF_EDATA for planes that differ in size or colours; SF_EUNSUPPORTED for DICOM, with
 *          advice */
sf_status sf_image_rewrite(int *written, const char *in, const char *out, const double *spacing);

/** nnU-Net's rule for the Decathlon's files (planning.md 1.7): a 3-D .nii.gz is copied byte for
 *  byte to STEM_0000.nii.gz, volume t of a 4-D one is written to STEM_%04d.nii.gz with the same
 *  voxel type and header. SF_EUNSUPPORTED for other dimensions. */
sf_status sf_nifti_split(int *written, const char *file, const char *stem);

#endif
