/** Helpers that the tests of src/plan share. */
#ifndef TST_PLAN_CHECK_H
#define TST_PLAN_CHECK_H
#include "plan/planner.h"
#include "tests/support/support.h"

/** A description made of a dataset.json and a fingerprint: oracle/planner/NAME.json, or by hand. */
typedef struct {
    char name[128];
    sf_dataset *dataset;
    sf_fingerprint *fingerprint;
} tst_description;

/** Write both to a temporary folder called `name` and load them. */
void tst_describe(tst_description *d, const char *name, json_t *dataset, json_t *fingerprint);
void tst_undescribe(tst_description *d);

/** A description by hand: every case i has spacings[i % n_sp], shapes[i % n_sh]. */
void tst_describe_cases(tst_description *d, const char *name, int cases,
                        const double (*spacings)[3], int n_sp, const int64_t (*shapes)[3], int n_sh,
                        int channels, const char *channel, int labels);

/** got must hold what want holds: same kinds, equal integers, strings, booleans and array lengths,
 *  reals within 1e-9 relative, same keys but for `extra` (may be NULL) at the top. Fails the test
 *  with the path of the first difference. */
void tst_same_json(const json_t *got, const json_t *want, const char *extra, const char *where);

/** Plans of a description under a recipe; decoded. Destroy with sf_plans_destroy. */
sf_plans *tst_plan(const tst_description *d, const char *recipe, const sf_planner_options *o);
const sf_config *tst_config(const sf_plans *p, const char *name);

#endif
