/** Timing of one training step on random data: forward, deep-supervision loss, backward, clipping,
 * SGD. Not collective. */
#ifndef SF_TRAIN_BENCH_H
#define SF_TRAIN_BENCH_H
#include "network/network.h"
#include "plan/plans.h"

typedef struct {
    const sf_plans *plans;
    const sf_labels *labels;
    const char *config;
    int64_t batch; /* 0 = the plan's */
    int threads;
    int repeat; /* timed steps after one that warms up, >= 1 */
    bool exact;
    sf_dtype precision; /* SF_F32, SF_BF16 */
} sf_bench_step;

typedef struct {
    double seconds_per_step, cpu_seconds_per_step; /* medians */
    double forward, loss, backward, optimiser;     /* medians of the parts, wall seconds */
    double
        gflop; /* of one step: three forward passes less the first layer's unneeded data gradient */
    int64_t peak_bytes;          /* what the step needs, known before it: network and batch */
    int64_t measured_peak_bytes; /* the process's highest memory less that at the start; 0 where the
                                    system does not tell */
    int64_t batch;
} sf_bench_step_result;

sf_status sf_bench_step_run(const sf_bench_step *b, sf_bench_step_result *out);

/** One part of the step: a direction of a layer, or what belongs to no layer. */
typedef struct {
    char name[128];        /* of the layer, or "loss", "optimiser" */
    char shape[96];        /* "32+.. -> 64, 3x3x3 s2, 2 x 64x64x64"; empty for the rest */
    const char *direction; /* "forward", "grad-input", "grad-weight", "grad-norm" */
    const char *variant;   /* kernel, or "" */
    double seconds,
        gflop; /* CPU seconds per step (median); 0 gflop where it is not a convolution */
} sf_bench_layer;

/** Where the CPU time of a step goes: the same step, timed after every part of every node. The sum
 *  over all rows is the step. Caller frees *rows with sf_mem_free. */
sf_status sf_bench_layers_run(const sf_bench_step *b, sf_bench_layer **rows, int *n);

#endif
