/** Test tensors in the blocked layout, always as a pair: float and double with the same values.
 *  Rows, planes and blocks are padded and everything outside the elements (gaps, canary at the end)
 *  holds NaN, which must survive: a write outside shows, and so does a read. */
#ifndef SF_TEST_TENSOR_H
#define SF_TEST_TENSOR_H
#include "kernels/op.h"
#include "tests/support/support.h"

typedef struct {
    float *f;
    double *d;
    uint16_t *h;  /* NULL until tst_tensor_half */
    int64_t size; /* elements incl. gaps and canary */
    sf_view vf, vd, vh;
} tst_tensor;

/** Random normal values (seed decides), zero pad lanes; gap = extra voxels per row, rows per plane
 * ... */
tst_tensor tst_tensor_make(sf_shape shape, int gap, uint32_t seed);
/** Round all values to bfloat16 and hold them a third time, in that type. */
void tst_tensor_half(tst_tensor *t);
/** As tst_tensor_check for the bfloat16 elements: beyond tol also half a unit of their last place
 * is allowed. */
void tst_tensor_check_half(const tst_tensor *t, double tol, const char *what);
/** A copy with its own memory. */
tst_tensor tst_tensor_copy(const tst_tensor *t);
void tst_tensor_free(tst_tensor *t);
/** The float elements lie within tol * rms(double elements) of the double ones, pad lanes are 0,
 * and gaps and canary still hold NaN. */
void tst_tensor_check(const tst_tensor *t, double tol, const char *what);
/** Plain arrays: float against double. Returns the largest difference over the rms. */
double tst_rel_error(const float *got, const double *want, int64_t n);
/** n normal values into both arrays. */
void tst_fill(float *f, double *d, int64_t n, double scale, uint32_t seed);

#endif
