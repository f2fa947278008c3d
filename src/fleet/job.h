/** The job script of a run: slurm/fleet.sbatch, which CMake embeds, with its `#SBATCH` lines filled
 * in. Not collective. */
#ifndef SF_FLEET_JOB_H
#define SF_FLEET_JOB_H
#include "plan/embedded.h"

#include "base/error.h"
#include <stdint.h>

typedef struct {
    int nodes, ranks_per_node, cores; /* cores of each rank */
    int64_t memory;                   /* bytes per node */
    double hours;                     /* of the run; a job asks for at most a day and requeues */
    const char *const *words; /* DATASET WORK [OPTIONS of "segfleet run"]; n_words 0: sbatch gets
                                 them on its command line */
    int n_words;
} sf_job;

/** Text for sbatch. Words are quoted for the shell. Caller frees *out with sf_mem_free. SF_EINVAL:
 * a number that is not positive; SF_ENOMEM. */
sf_status sf_job_script(char **out, const sf_job *j);

/** Made by CMake from slurm/. */
extern const sf_embedded_file sf_embedded_slurm[];

#endif
