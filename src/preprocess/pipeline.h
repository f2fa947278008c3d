/** One case through transpose, crop, normalise, resample, class locations, in the recipe's order;
 * and all cases of a configuration, dealt to ranks (nnunet-planning.md 3, 5, 6, 10). */
#ifndef SF_PREPROCESS_PIPELINE_H
#define SF_PREPROCESS_PIPELINE_H
#include "store/cases.h"

/** One case in memory. Axes of the result are in the plan's transposed order; a 2-D configuration
 * keeps the slices (its first axis has the case's own spacing).
 *  @param[out] out  caller destroys with sf_prepared_destroy; NULL after a failure
 *  @param[in] seg_or_null  labels in file order [z][y][x] (training, or the previous stage of a
 * cascade); NULL: inference, no seg and no locations
 *  @return SF_EDATA names the case: channel count, labels out of range, values out of a scheme's
 * range. Not collective; thread-safe. */
sf_status sf_prepare_case(sf_prepared **out, const char *id, const sf_plans *plans,
                          const sf_config *cfg, const sf_labels *labels, const sf_image *img,
                          const int32_t *seg_or_null, int threads);

/** Read the files of a case and prepare it. with_label: c->label is read too and must have the
 * image's shape.
 *  @param[out] geo  NULL, or the image's geometry for writing the prediction. Not collective. */
sf_status sf_prepare_case_files(sf_prepared **out, const sf_case *c, const sf_plans *plans,
                                const sf_config *cfg, const sf_labels *labels, bool with_label,
                                sf_geometry *geo, int threads);

/** Seconds of the steps, summed over the cases of this rank. */
typedef enum {
    SF_STEP_READ,      /* files of a case, unpacked */
    SF_STEP_CROP,      /* non-zero region, transposition */
    SF_STEP_NORMALIZE, /* intensities */
    SF_STEP_RESAMPLE,  /* images */
    SF_STEP_LABELS,    /* resampling of labels */
    SF_STEP_LOCATIONS, /* class locations */
    SF_STEP_WRITE,     /* to the container, its checksums and fsync included */
    SF_STEP_COUNT
} sf_prepare_step;
typedef struct {
    double seconds[SF_STEP_COUNT];
} sf_prepare_times;
/** "read", ...; never NULL. */
const char *sf_prepare_step_name(sf_prepare_step step);

/** Collective: all training cases of the dataset into the container `path`. Cases go largest first,
 * one per rank and round, so the file does not depend on the number of ranks. A failure on any rank
 * stops all of them and leaves no file. Rank 0 shows progress. Memory per rank: one case. */
sf_status sf_preprocess_config(sf_comm *comm, const sf_dataset *d, const sf_plans *plans,
                               const sf_config *cfg, const char *path, int threads);
/** The same with a clock: for `bench preprocess`. `times` is added to; NULL = no clock. */
sf_status sf_preprocess_config_timed(sf_comm *comm, const sf_dataset *d, const sf_plans *plans,
                                     const sf_config *cfg, const char *path, int threads,
                                     sf_prepare_times *times);

#endif
