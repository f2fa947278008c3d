/** A labelled dataset that the program makes itself: noise, smooth background, class 1 = ellipsoids
 *  ("blob"), class 2 = bent tubes ("tube"). nnU-Net v2 raw layout with a training and a test split.
 *  Same options, same bytes. Not collective. */
#ifndef SF_IMAGE_PHANTOM_H
#define SF_IMAGE_PHANTOM_H
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int64_t cases;    /* training cases, >= 1; a fifth as many (at least 1) test cases are added */
    bool anisotropic; /* 3-D with 5 x 1 x 1 mm voxels */
    bool flat;        /* 2-D grey PNG images */
    bool regions;     /* classes are declared as regions: "object" = blob or tube, and "tube" */
    bool ignore;      /* the last quarter of every second case's rows has the ignore label, 3 */
    int64_t extent;   /* typical edge in voxels of the finest axes, 8..1024; 0 = 40 (2-D: 96) */
    uint64_t seed;
} sf_phantom_options;

/** Write OUT/Dataset999_Phantom; dataset.json comes last. SF_EINVAL when that folder is there
 * already. */
sf_status sf_phantom_make(const char *out_dir, const sf_phantom_options *opt);

#endif
