/** Probabilities of a case beside its segmentation, as HDF5 of ours or in nnU-Net's form
 *  (nnunet-training.md 8.6): CASE.npz holds "probabilities" float32 [heads][z][y][x] in the image's
 *  geometry, CASE.json what nnU-Net keeps in CASE.pkl. Not collective. HDF5: main thread only. */
#ifndef SF_PREDICT_PROBABILITIES_H
#define SF_PREDICT_PROBABILITIES_H
#include "base/path.h"
#include "predict/export.h"

typedef enum { SF_PROBABILITIES_NPZ, SF_PROBABILITIES_H5 } sf_probabilities_format;

/** "npz" or "h5"; SF_EINVAL for another word. */
sf_status sf_probabilities_parse(sf_probabilities_format *f, const char *word);
/** DIR/ID.npz or DIR/ID.h5. */
sf_status sf_probabilities_path(char out[SF_PATH_MAX], const char *dir, const char *id,
                                sf_probabilities_format f);
/** Write DIR/ID.npz and, when props is given, DIR/ID.json; or DIR/ID.h5. Each file is atomic.
 *  @param[in] p  [heads][shape], file order; `props` keeps nnU-Net's conventions: spacing in file
 *                order, shapes and box in the plan's transposed order, box ends excluded */
sf_status sf_probabilities_write(const char *dir, const char *id, sf_probabilities_format f,
                                 const float *p, int heads, const int64_t shape[3],
                                 const sf_case_props *props);
/** Read DIR/ID.npz (ours, or nnU-Net's: "probabilities" or version 1's "softmax", float16 or
 *  float32) or, where there is none, DIR/ID.h5.
 *  @param[out] p  [heads][shape], caller frees with sf_mem_free; NULL after a failure
 *  @return SF_EIO, SF_EDATA (names the file) */
sf_status sf_probabilities_read(float **p, int *heads, int64_t shape[3], const char *dir,
                                const char *id);

#endif
