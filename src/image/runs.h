/** Runs of a mask along the last axis, joined to connected components by union-find: linear time,
 *  memory 16 bytes per run. Serves hole filling (nonzero.c) and src/evaluate/components.c.
 *  Not collective; thread-safe on different objects. */
#ifndef SF_IMAGE_RUNS_H
#define SF_IMAGE_RUNS_H
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct {
    int32_t begin, end; /* half open, along the last axis */
} sf_run;

typedef struct {
    int64_t shape[3];
    int64_t count; /* runs, in raster order */
    sf_run *run;
    int64_t *row;    /* [shape[0]*shape[1]+1]: first run of each row */
    int64_t *parent; /* after sf_runs_create: parent[i] = root, the first run of its component */
} sf_runs;

/** Runs of voxels with (mask != 0) == (value != 0), as components.
 *  @param full  26 neighbours (8 in a plane), else faces only
 *  @return SF_OK, SF_ENOMEM, or SF_EINVAL for a last axis beyond 2^31-1. Caller destroys. */
sf_status sf_runs_create(sf_runs **out, const uint8_t *mask, const int64_t shape[3], int value,
                         bool full);
void sf_runs_destroy(sf_runs **runs);

#endif
