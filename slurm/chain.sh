#!/bin/bash
# A chain of jobs for clusters where a job may not requeue itself: each one continues what the one before left, and one
# that finds everything done ends at once.
#
#   slurm/chain.sh LENGTH [OPTIONS of sbatch] slurm/fleet.sbatch DATASET WORK [OPTIONS of "segfleet run"]
#
# Stopped by SIGUSR1 before the time limit, a job writes checkpoints and ends with status 75. `afterany`: the next one
# starts after that, and also after a node was lost. Prints the job numbers; scancel takes them all.
set -euo pipefail
[ $# -ge 4 ] || { echo "usage: slurm/chain.sh LENGTH [OPTIONS of sbatch] JOBFILE DATASET WORK [OPTIONS]"; exit 2; }
length=$1
shift
[[ $length =~ ^[1-9][0-9]*$ ]] || { echo "slurm/chain.sh: LENGTH is a number of jobs, not '$length'"; exit 2; }

after=()
for ((i = 0; i < length; i++)); do
    id=$(sbatch --parsable --no-requeue "${after[@]}" "$@")
    id=${id%%;*}
    after=(--dependency="afterany:$id")
    echo "$id"
done
