/** Named events of this process: calls, seconds, flops, bytes.
 *
 *  One sf_prof belongs to one thread of control (a training, a prediction); there are no globals,
 * so two of them never mix. Start with a zeroed struct. NULL is allowed everywhere and does
 * nothing, so callers need no "if profiling". Not collective; mpi/prof_reduce.h combines ranks. */
#ifndef SF_BASE_PROF_H
#define SF_BASE_PROF_H
#include <stdint.h>
#include <stdio.h>

typedef enum {
    SF_EV_READ,       /* voxels from disk */
    SF_EV_AUGMENT,    /* in the loader's workers */
    SF_EV_WAIT,       /* the trainer waits for a batch */
    SF_EV_FORWARD,    /* network, training */
    SF_EV_LOSS,       /* loss and its gradient */
    SF_EV_BACKWARD,   /* network, training */
    SF_EV_REDUCE,     /* sums over ranks */
    SF_EV_HALO,       /* planes exchanged with neighbours */
    SF_EV_OPTIMISER,  /* clipping and SGD step */
    SF_EV_CHECKPOINT, /* writing one */
    SF_EV_VALIDATE,   /* validation steps within an epoch */
    SF_EV_PREDICT,    /* all of inference on one case: windows, sums, export */
    SF_EV_CUT,        /* windows cut from the image; one call per window and mirroring */
    SF_EV_ACCUMULATE, /* adding what the network answers, averaging */
    SF_EV_EXPORT,     /* back to the image grid */
    SF_EV_WRITE,      /* results to disk */
    SF_EV_PREPROCESS, /* crop, normalise, resample; fingerprint and plan */
    SF_EV_SELECT,     /* choice of the best model and its post-processing */
    SF_EV_IDLE,       /* no task was left for this rank */
    SF_EV_COUNT
} sf_event;

/** Plain value; sums since it was zeroed. */
typedef struct {
    struct {
        int64_t calls;
        double seconds, flops, bytes; /* wall-clock seconds without those of events within it;
                                         floating-point operations; memory */
    } ev[SF_EV_COUNT];
    /* private: sf_now at the last begin, seconds of events within, the event around, + 1 */
    double started[SF_EV_COUNT], inner[SF_EV_COUNT];
    int around[SF_EV_COUNT], open; /* open: the innermost, + 1; 0: none */
} sf_prof;

/** Short lower-case word for logs and tables; never NULL. */
const char *sf_prof_name(sf_event ev);
/** Events may lie within each other, but for the same one; the last begun ends first. What fails
 *  need not end its event, as long as the profile is not used any further. */
void sf_prof_begin(sf_prof *p, sf_event ev);
/** flops, bytes: what this call did, 0 where it is not counted. */
void sf_prof_end(sf_prof *p, sf_event ev, double flops, double bytes);
/** Add the sums of another profile, of which no event is open. Either may be NULL. */
void sf_prof_add(sf_prof *to, const sf_prof *from);
/** One line per event that happened, in the order of the enum, with rates in GFlop/s and GB/s. */
void sf_prof_print(const sf_prof *p, FILE *to);

#endif
