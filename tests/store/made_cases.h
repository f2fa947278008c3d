/** Cases for the tests of the container: a function of their number alone, with all the odd shapes.
 */
#ifndef TST_MADE_CASES_H
#define TST_MADE_CASES_H
#include "store/cases.h"

enum { TST_CASES = 7 };

/** Case k of TST_CASES; the caller destroys it. NULL when k is out of range. */
sf_prepared *tst_make_case(int k);
/** 0 when the container holds exactly cases 0..n-1 and the meta of tst_make_meta; else the number
 * of the first wrong thing, 1000 when the count is wrong. */
int tst_compare_cases(const sf_cases *c, int n);
json_t *tst_make_meta(void);
/** SHA-256 over everything that a reader can see. */
void tst_digest_cases(char hex[65], const sf_cases *c);

#endif
