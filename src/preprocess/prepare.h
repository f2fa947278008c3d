/** One case in memory, with a clock. Private to src/preprocess. */
#ifndef SF_PREPROCESS_PREPARE_H
#define SF_PREPROCESS_PREPARE_H
#include "preprocess/pipeline.h"

/** sf_prepare_case (pipeline.h); the seconds of its steps are added to `times` (NULL: not timed).
 */
sf_status sf_prepare_case_timed(sf_prepared **out, const char *id, const sf_plans *plans,
                                const sf_config *cfg, const sf_labels *labels, const sf_image *img,
                                const int32_t *seg_or_null, int threads, sf_prepare_times *times);
/** Adds the time since `begin` to a step. @return now, where the next step begins. */
double sf_prepare_clock(sf_prepare_times *times, sf_prepare_step step, double begin);

#endif
