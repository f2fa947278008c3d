/** Dataset fingerprint (paper, Methods: Dataset fingerprints; nnunet-planning.md 4). File axis
 * order. */
#ifndef SF_PLAN_FINGERPRINT_H
#define SF_PLAN_FINGERPRINT_H
#include "plan/plans.h"

typedef struct {
    int n_cases, n_channels;
    int64_t (*shape_before)[3], (*shape_after)[3]; /* per case */
    double (*spacing)[3];
    double *relative_size;
    double median_relative_size, mean_relative_size;
    sf_intensity *intensity; /* per channel: the values the recipe's rule asks for */
} sf_fingerprint;

/** What one case contributes. Foreground values are kept as a value -> count histogram per channel,
 * so that statistics over all voxels of all cases are exact and merging over ranks is order-free.
 */
typedef struct sf_case_print sf_case_print;
sf_status sf_case_print_make(sf_case_print **out, const sf_dataset *d, const sf_recipe *r,
                             int case_index);
void sf_case_print_destroy(sf_case_print **p);
/** Flat bytes, to send between ranks. Caller frees *data with sf_mem_free. */
sf_status sf_case_print_pack(const sf_case_print *p, void **data, size_t *size);
sf_status sf_case_print_unpack(sf_case_print **out, const void *data, size_t size);

/** Combine all cases (index order). SF_EDATA when no case has any foreground. */
sf_status sf_fingerprint_combine(sf_fingerprint **out, const sf_dataset *d, const sf_recipe *r,
                                 sf_case_print *const *cases);
/** All of it in this process, over OpenMP threads. */
sf_status sf_fingerprint_compute(sf_fingerprint **out, const sf_dataset *d, const sf_recipe *r,
                                 int threads);
sf_status sf_fingerprint_save(const sf_fingerprint *f, const sf_dataset *d, const char *path);
sf_status sf_fingerprint_load(sf_fingerprint **out, const char *path);
void sf_fingerprint_destroy(sf_fingerprint **f);

#endif
