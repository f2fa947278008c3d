/** Dataset fingerprint (paper, Methods: Dataset fingerprints; nnunet-planning.md 4). File axis
 *  order (z, y, x). Nothing here is collective. */
#ifndef SF_PLAN_FINGERPRINT_H
#define SF_PLAN_FINGERPRINT_H
#include "plan/plans.h"

typedef struct {
    int n_cases, n_channels;
    int64_t (*shape_before)[3];  /* per case, voxels; 0 when the file is nnU-Net's own */
    int64_t (*shape_after)[3];   /* after cropping to the non-zero region */
    double (*spacing)[3];        /* mm */
    double *relative_size;       /* voxels after / before; NaN when unknown */
    double median_relative_size; /* of relative_size */
    double mean_relative_size;   /* mean voxels after / mean voxels before; NaN when unknown */
    sf_intensity *intensity;     /* per channel: the values the recipe's rule asks for */
} sf_fingerprint;

/** What one case contributes. Foreground values are kept as a sorted value -> count histogram per
 *  channel, so that statistics over all voxels of all cases are exact and merging over ranks is
 *  order-free. */
typedef struct sf_case_print sf_case_print;

/** Read training case `case_index`, crop it, count its foreground (label > 0).
 *  SF_EDATA names the file. Thread-safe; caller destroys. */
sf_status sf_case_print_make(sf_case_print **out, const sf_dataset *d, const sf_recipe *r,
                             int case_index);
void sf_case_print_destroy(sf_case_print **p);
/** Flat bytes, to send between ranks of one machine type. Caller frees *data with sf_mem_free. */
sf_status sf_case_print_pack(const sf_case_print *p, void **data, size_t *size);
/** SF_EDATA when the bytes are not what pack made. */
sf_status sf_case_print_unpack(sf_case_print **out, const void *data, size_t size);

/** Combine all cases (index order; d->n_train of them). SF_EDATA when no case has any foreground.
 *  The bits do not depend on how the cases were computed. */
sf_status sf_fingerprint_combine(sf_fingerprint **out, const sf_dataset *d, const sf_recipe *r,
                                 sf_case_print *const *cases);
/** All of it in this process, over OpenMP threads (one case each at a time). Shows progress. */
sf_status sf_fingerprint_compute(sf_fingerprint **out, const sf_dataset *d, const sf_recipe *r,
                                 int threads);

/** dataset_fingerprint.json: nnU-Net v2's fields plus shapes before cropping, modalities, classes,
 *  number of cases. nnU-Net's own files can be loaded. */
sf_status sf_fingerprint_save(const sf_fingerprint *f, const sf_dataset *d, const char *path);
sf_status sf_fingerprint_load(sf_fingerprint **out, const char *path);
/** Empty, all values 0. */
sf_status sf_fingerprint_create(sf_fingerprint **out, int n_cases, int n_channels);
void sf_fingerprint_destroy(sf_fingerprint **f);

#endif
