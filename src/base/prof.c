/* Named events of one thread of control. */
#include "base/prof.h"
#include "base/log.h"

const char *sf_prof_name(sf_event ev)
{
    static const char *const names[SF_EV_COUNT] = {
        "read",   "augment",   "wait",       "forward",  "loss",    "backward", "reduce",
        "halo",   "optimiser", "checkpoint", "validate", "predict", "cut",      "accumulate",
        "export", "write",     "preprocess", "select",   "idle"
    };
    return (unsigned)ev < SF_EV_COUNT ? names[ev] : "?";
}

void sf_prof_begin(sf_prof *p, sf_event ev)
{
    if (p == NULL) return;
    p->around[ev] = p->open;
    p->open = (int)ev + 1;
    p->inner[ev] = 0;
    p->started[ev] = sf_now();
}

void sf_prof_end(sf_prof *p, sf_event ev, double flops, double bytes)
{
    if (p == NULL) return;
    const double seconds = sf_now() - p->started[ev];
    p->open = p->around[ev];
    if (p->open > 0) p->inner[p->open - 1] += seconds;
    p->ev[ev].calls++;
    p->ev[ev].seconds += seconds - p->inner[ev];
    p->ev[ev].flops += flops;
    p->ev[ev].bytes += bytes;
}

void sf_prof_add(sf_prof *to, const sf_prof *from)
{
    for (int e = 0; to != NULL && from != NULL && e < SF_EV_COUNT; e++) {
        to->ev[e].calls += from->ev[e].calls;
        to->ev[e].seconds += from->ev[e].seconds;
        to->ev[e].flops += from->ev[e].flops;
        to->ev[e].bytes += from->ev[e].bytes;
    }
}

void sf_prof_print(const sf_prof *p, FILE *to)
{
    if (p == NULL) return;
    fprintf(to, "%-12s %10s %12s %12s %12s\n", "event", "calls", "seconds", "GFlop/s", "GB/s");
    for (int i = 0; i < SF_EV_COUNT; i++) {
        const double s = p->ev[i].seconds, per = s > 0 ? 1e-9 / s : 0;
        if (p->ev[i].calls == 0) continue;
        fprintf(to, "%-12s %10lld %12.3f %12.3f %12.3f\n", sf_prof_name((sf_event)i),
                (long long)p->ev[i].calls, s, p->ev[i].flops * per, p->ev[i].bytes * per);
    }
}
