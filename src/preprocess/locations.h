/** Class locations: a fixed random choice of voxels per class, which the loader's forced foreground
 * patches use (nnunet-planning.md 10.3). One MT19937 stream per case, seed 1234, so the rows are
 * those of NumPy's legacy generator and do not depend on ranks or threads. Not collective;
 * thread-safe. */
#ifndef SF_PREPROCESS_LOCATIONS_H
#define SF_PREPROCESS_LOCATIONS_H
#include "store/cases.h"

/** seg [shape], after resampling, -1 outside the mask. Entries: the evaluated things in their
 * order, then, with an ignore label, "annotated" = the labels (-1, 0, 1, ...) except the ignore
 * label. Of an entry with n voxels max(min(min_rows, n), ceil(fraction * n)) rows (a0,a1,a2) are
 * drawn without replacement; none when the class is absent.
 *  @param[out] out  caller frees with sf_locations_free; empty after a failure. */
sf_status sf_locations_make(sf_locations *out, const int16_t *seg, const int64_t shape[3],
                            const sf_labels *labels, int64_t min_rows, double fraction);

#endif
