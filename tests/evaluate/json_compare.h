/** Comparison of JSON trees with a tolerance for numbers. */
#ifndef TST_JSON_COMPARE_H
#define TST_JSON_COMPARE_H
#include "base/json.h"

/** Fails the test where the trees differ in shape, text or integers, or where two numbers differ by
 *  more than `tolerance` (NaN equals NaN). @return the largest difference seen. */
double tst_json_equal(const json_t *got, const json_t *want, double tolerance, const char *where);

#endif
