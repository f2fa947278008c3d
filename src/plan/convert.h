/** Datasets of the Medical Segmentation Decathlon and of nnU-Net v1 (TaskXXX_Name) become nnU-Net
 *  v2 raw folders (nnunet-planning.md 1.7). Not collective. */
#ifndef SF_PLAN_CONVERT_H
#define SF_PLAN_CONVERT_H
#include "base/path.h"

typedef struct {
    int number;  /* of the new dataset, 0..999; -1 = the task's own */
    int threads; /* files converted at a time; < 1 = 1 */
} sf_convert_options;

typedef struct {
    char dir[SF_PATH_MAX]; /* the new dataset */
    int64_t files;         /* image and label files written */
    bool from_v1;          /* the files had channel numbers already */
} sf_convert_result;

/** Is this a folder whose dataset.json has the Decathlon's `training` list? */
bool sf_convert_is_task(const char *dir);

/** Convert `task` into a new folder.
 *  @param out  the folder of datasets, in which DatasetXXX_Name is made; or that name itself
 *  The new folder is filled under a temporary name and renamed, so that it is complete or absent.
 *  @return SF_EINVAL: its number is in use there, or the task's folder has no number and none is
 *  given; SF_EDATA: missing folders, a damaged dataset.json or image. All name the file. */
sf_status sf_convert_task(sf_convert_result *result, const char *task, const char *out,
                          const sf_convert_options *o);

#endif
