/** Parsing of the `labels` part of dataset.json (nnunet-planning.md 1.2-1.4). Private to src/plan;
 *  the public functions on labels are in plan/dataset.h. */
#ifndef SF_PLAN_LABELS_H
#define SF_PLAN_LABELS_H
#include "plan/dataset.h"

/** Fill *l (zeroed by the caller) from the whole dataset.json. `where` stands for the file in
 *  errors. SF_EDATA: background missing or not 0, gaps, a wrong ignore label or
 *  regions_class_order. On failure the caller still calls sf_labels_free. */
sf_status sf_labels_parse(sf_labels *l, const json_t *dataset_json, const char *where);
/** Fill *l (zeroed) with labels that no file declares: each a thing of its own, in this order; any
 *  value > 0, gaps are allowed. ignore = -1: none. `where` stands for the list in errors. */
sf_status sf_labels_list(sf_labels *l, const int *label, int n, int ignore, const char *where);
void sf_labels_free(sf_labels *l);

#endif
