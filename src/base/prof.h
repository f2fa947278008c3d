/** Named events of this process: calls, seconds, flops, bytes. One sf_prof belongs to one thread
 *  of control (a training, a prediction); no globals. NULL is allowed everywhere and does nothing.
 */
#ifndef SF_BASE_PROF_H
#define SF_BASE_PROF_H
#include <stdint.h>
#include <stdio.h>

typedef enum {
    SF_EV_READ,
    SF_EV_AUGMENT,
    SF_EV_WAIT,
    SF_EV_FORWARD,
    SF_EV_LOSS,
    SF_EV_BACKWARD,
    SF_EV_REDUCE,
    SF_EV_HALO,
    SF_EV_OPTIMISER,
    SF_EV_CHECKPOINT,
    SF_EV_VALIDATE,
    SF_EV_PREDICT,
    SF_EV_EXPORT,
    SF_EV_PREPROCESS,
    SF_EV_IDLE,
    SF_EV_COUNT
} sf_event;

typedef struct {
    struct {
        int64_t calls;
        double seconds, flops, bytes;
    } ev[SF_EV_COUNT];
    double started[SF_EV_COUNT];
} sf_prof;

const char *sf_prof_name(sf_event ev);
void sf_prof_begin(sf_prof *p, sf_event ev);
void sf_prof_end(sf_prof *p, sf_event ev, double flops, double bytes);
void sf_prof_print(const sf_prof *p, FILE *to);

#endif
