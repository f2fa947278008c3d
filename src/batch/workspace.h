/** Scratch memory of one worker: a few buffers that grow to the largest size asked for and are then
 *  reused for every sample, so that no allocation happens in the steady state.
 *  One workspace belongs to one thread. Nothing here is collective. */
#ifndef SF_BATCH_WORKSPACE_H
#define SF_BATCH_WORKSPACE_H
#include "base/error.h"
#include <stddef.h>

/** Who uses which buffer. A function may use only the buffers that its own comment names. */
typedef enum {
    SF_WS_CUT,      /* the enlarged patch of one image channel, with a border for the taps */
    SF_WS_CUT_SEG,  /* the same of the labels */
    SF_WS_LINES,    /* lines of one axis, transposed for the spline recursion */
    SF_WS_VOLUME_A, /* intermediate volumes of the separable operators */
    SF_WS_VOLUME_B,
    SF_WS_DRAW,     /* drawn values of one transform */
    SF_WS_PREVIOUS, /* the previous stage's labels of a patch, until they become channels */
    SF_WS_COUNT
} sf_ws_slot;

typedef struct {
    void *buffer[SF_WS_COUNT];
    size_t bytes[SF_WS_COUNT];
    double *stage_seconds; /* [SF_AUG_STAGES], borrowed, for measurements; NULL: nothing is timed */
} sf_workspace;            /* starts as all zero */

/** *out (address of any pointer) = at least count * size bytes, 64-byte aligned, content undefined;
 *  valid until the same slot is asked for again. SF_ENOMEM leaves the workspace usable. */
sf_status sf_workspace_get(sf_workspace *ws, sf_ws_slot slot, size_t count, size_t size, void *out);
/** Free everything; the workspace may be used again. */
void sf_workspace_clear(sf_workspace *ws);

#endif
