/** The inside of sf_case_print. Private to src/plan. */
#ifndef SF_PLAN_CASE_PRINT_H
#define SF_PLAN_CASE_PRINT_H
#include "plan/fingerprint.h"
#include "plan/histogram.h"

struct sf_case_print {
    int n_channels;
    int64_t shape_before[3], shape_after[3];
    double spacing[3];
    sf_histogram *channel; /* [n_channels] foreground values */
};

#endif
