/** Text tables in Markdown form with aligned columns, and the summary table of a work folder. Not
 * collective. */
#ifndef SF_REPORT_TABLE_H
#define SF_REPORT_TABLE_H
#include "base/error.h"

typedef struct sf_table sf_table;
/** First column left, the others right aligned. */
sf_status sf_table_create(sf_table **out, int columns);
/** printf one cell; cells fill row after row, the first row is the head. */
sf_status sf_table_cell(sf_table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** Finished text, caller frees with sf_mem_free. */
sf_status sf_table_text(char **out, const sf_table *t);
void sf_table_destroy(sf_table **t);

/** Dice per configuration and ensemble from W/selection.json, the winner before and after
 * post-processing, and the test result from W/predictions/summary.json when it is there. Caller
 * frees. */
sf_status sf_report_work(char **out, const char *work);

#endif
