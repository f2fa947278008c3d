/** Instances (cells, nuclei) as classes and back: a network learns "core" and "border", so that
 *  objects that touch come apart again (the paper's D21; nnunet-training.md 14).
 *  Label images are [shape], axes z, y, x; spacing is per axis in the unit of the thickness. Pure
 *  functions: the same input gives the same labels for any number of threads. Not collective. */
#ifndef SF_EVALUATE_INSTANCES_H
#define SF_EVALUATE_INSTANCES_H
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

enum { SF_INSTANCE_CORE = 1, SF_INSTANCE_BORDER = 2 };

/** What counts as inner: every voxel of the element around it is of the same instance. A digital
 *  ball (one slice: disk) of twice the largest edge, shrunk linearly to edges of 2 r + 1 voxels, r
 * = thickness / spacing rounded half to even; set where more than half is left. */
typedef struct {
    int64_t edge[3];
    int count;
    int32_t (*offset)[3]; /* [count] from the centre; owned */
} sf_border_element;
/** @return SF_EINVAL: thinner than half a voxel along every axis, or wider than 64 voxels. Caller
 *  frees with sf_border_element_free. */
sf_status sf_border_element_make(sf_border_element *out, const int64_t shape[3],
                                 const double spacing[3], double thickness);
void sf_border_element_free(sf_border_element *e);

/** Instances (0 = background, any other number = one each) -> core and border. Voxels beyond the
 *  image count as inner: no border along its faces.
 *  @param[out] classes  [shape], may be the input */
sf_status sf_instances_to_classes(int32_t *classes, const int32_t *instances,
                                  const int64_t shape[3], const sf_border_element *element,
                                  int threads);

typedef struct {
    int64_t min_core;   /* cores of at most so many voxels become border; 0: none do */
    int64_t min_border; /* border without a core is an instance from so many voxels on, less than
                           that goes to the nearest instance; 0: all of it does */
} sf_instances_rule;

/** Core and border -> instances 1.. . Each core is one; all grow at equal speed, a voxel at a time
 *  along the finest axes, and take the border that they reach; where two meet the larger number
 *  wins, as with a grey dilation.
 *  @param[in] classes    0, core, border: nothing else (SF_EDATA)
 *  @param[out] instances [shape], may be the input;  @param[out] count  how many */
sf_status sf_classes_to_instances(int32_t *instances, int *count, const int32_t *classes,
                                  const int64_t shape[3], const double spacing[3],
                                  const sf_instances_rule *rule);

#endif
