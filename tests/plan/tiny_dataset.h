/** A dataset of three cases, two channels each, that a test makes and then damages. */
#ifndef TST_TINY_DATASET_H
#define TST_TINY_DATASET_H
#include "base/path.h"
#include "plan/dataset.h"
#include "tests/support/support.h"

extern const int64_t tiny_shape[3];    /* 6, 7, 8 */
extern const double tiny_spacing[3];   /* 2, 1, 1 */
extern const char tiny_plain_labels[]; /* background, a = 1, b = 2, as JSON */

/** Setup of a cmocka test: a fresh folder DatasetNNN_Test with dataset.json, imagesTr, labelsTr;
 *  cases case_0 .. case_2, labels 0 .. 2. */
int tiny_dataset_make(void **state);
/** Its path, and that of a file in it (static buffer of 4 rotating). */
const char *tiny_root(void);
const char *tiny_at(const char *name);
/** Voxel i = v + i % 7. */
void tiny_write_image(const char *name, const int64_t shape[3], const double spacing[3], float v);
/** Voxel i = i % (top + 1). */
void tiny_write_label(const char *name, const int64_t shape[3], const double spacing[3], int top);
/** dataset.json with these labels; `more` = further keys, or "". */
void tiny_write_json(const char *labels, int num_training, const char *more);
void tiny_write_text(const char *name, const char *text);
/** Loading fails with this status; the text holds `word`. */
void tiny_refused(sf_status want, const char *word);
/** Warnings since tiny_listen; it and tiny_stop_listening are a test's setup and teardown. */
const char *tiny_warnings(void);
int tiny_listen(void **state); /* makes the dataset too */
int tiny_stop_listening(void **state);

#endif
