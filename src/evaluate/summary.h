/** Parts of summary.json that postprocessing.json repeats. Private to src/evaluate. Thread-safe. */
#ifndef SF_EVALUATE_SUMMARY_H
#define SF_EVALUATE_SUMMARY_H
#include "evaluate/metrics.h"

/** A new object with `foreground_mean` and `mean`; the caller owns the reference. NULL: no memory.
 */
json_t *sf_summary_means(const sf_summary *s, const sf_labels *labels);

#endif
