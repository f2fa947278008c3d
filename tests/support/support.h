/** What all tests share: shared data folders, HDF5 vectors of the oracles, comparison, temporary
 * folders. A test program returns 77 to be shown as skipped. */
#ifndef SF_TEST_SUPPORT_H
#define SF_TEST_SUPPORT_H
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/* after the four above, as cmocka wants */
#include <cmocka.h>

/** Path below the shared folder (static buffer of 8 rotating), or NULL when SEGFLEET_SHARED or that
 * path is absent. */
const char *tst_shared(const char *relative);
/** Print "SKIPPED: reason" and exit with 77. */
void tst_skip(const char *reason) __attribute__((noreturn));
/** A fresh temporary folder, removed at exit. */
const char *tst_tmp_dir(void);
/** Fail the test with sf_error_text when st != 0. */
#define tst_ok(call) tst_ok_((call), #call, __FILE__, __LINE__)
void tst_ok_(int st, const char *call, const char *file, int line);
/** Largest |a-b| over n. */
double tst_max_abs_diff(const float *a, const float *b, int64_t n);
double tst_max_abs(const float *a, int64_t n);

/* Oracle files (HDF5). Handles are opaque; errors end the program with a message. */
typedef struct tst_h5 tst_h5;
tst_h5 *tst_h5_open(const char *path);
void tst_h5_close(tst_h5 *f);
bool tst_h5_has(tst_h5 *f, const char *name);
/** Names of the members of a group ("/" or "a/b"), sorted; free with free() of each and of the
 * list. */
char **tst_h5_list(tst_h5 *f, const char *group, int *count);
/** Whole dataset converted to double/float/int32/int16; dims filled; caller frees with free(). */
float *tst_h5_f32(tst_h5 *f, const char *name, int *ndim, int64_t dims[8]);
double *tst_h5_f64(tst_h5 *f, const char *name, int *ndim, int64_t dims[8]);
int32_t *tst_h5_i32(tst_h5 *f, const char *name, int *ndim, int64_t dims[8]);
int16_t *tst_h5_i16(tst_h5 *f, const char *name, int *ndim, int64_t dims[8]);
/** Attribute of an object (group or dataset; "/" for the file); caller frees strings and arrays
 * with free(). */
bool tst_h5_has_attr(tst_h5 *f, const char *object, const char *attr);
char *tst_h5_attr_str(tst_h5 *f, const char *object, const char *attr);
double *tst_h5_attr_nums(tst_h5 *f, const char *object, const char *attr, int *count);
double tst_h5_attr_num(tst_h5 *f, const char *object, const char *attr);

#endif
