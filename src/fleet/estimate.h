/** What a run will need, from its plans: operations, memory, time, disk. Arithmetic on shapes and
 * one measured rate; the layout is the one that `segfleet run` would choose (fleet/layout.h). Not
 *  collective. */
#ifndef SF_FLEET_ESTIMATE_H
#define SF_FLEET_ESTIMATE_H
#include "plan/plans.h"
#include "train/group.h"

typedef struct {
    const sf_plans *plans;
    const sf_labels *labels;
    char *const *configs; /* names; the first stage of a cascade is added where it is missing */
    int n_configs, folds;
    int64_t cases;                     /* for training */
    int64_t epochs, iterations, batch; /* 0: recipe / plan */
    int nodes, ranks_per_node, cores;  /* cores of each rank */
    sf_dtype precision;                /* of training: SF_F32, SF_BF16 */
    double gflops;                     /* of one core in training; 0: sf_estimate_rate measures */
} sf_estimate_options;

/** One configuration. The group is the smallest of the layout: any group may get any training, and
 *  in this one a rank holds most. */
typedef struct {
    const sf_config *config;   /* borrowed from the plans */
    int64_t batch, ranks;      /* ranks that share a training */
    double gflops;             /* GFLOP/s of one core */
    sf_group_forecast alone;   /* one rank: flops of the whole batch */
    sf_group_forecast busiest; /* first rank of the group */
    double seconds;            /* of a step, by sf_layout_time */
    double hours;              /* one fold: training, online and final validation */
    int64_t container;         /* preprocessed cases, bytes; 0: another configuration's */
    int64_t checkpoints;       /* bytes, all folds: final, best, and one that is being replaced */
} sf_estimate_row;

typedef struct {
    sf_estimate_row *row;
    int n;
    char layout[64];
    int64_t memory, disk;     /* bytes: most of any rank; containers and checkpoints */
    double hours, node_hours; /* all trainings, from the first start to the last end */
} sf_estimate;

/** SF_EINVAL: unknown configuration, a number that is not positive. Caller frees out->row with
 *  sf_mem_free. Test predictions, fingerprint and preprocessing are not counted in the hours. */
sf_status sf_estimate_make(sf_estimate *out, const sf_estimate_options *o);
/** GFLOP/s of CPU time on one thread of this machine: one step after one that warms up, of the
 *  network of `config` with batch 1 and a patch that is cut to twice its smallest. */
sf_status sf_estimate_rate(double *gflops, const sf_plans *p, const sf_labels *l,
                           const sf_config *config, sf_dtype precision);
/** The rank that sends most and the one that computes most of a group of `ranks`, in one. */
sf_status sf_estimate_group(sf_group_forecast *out, const sf_estimate_options *o,
                            const sf_config *config, int ranks);

#endif
