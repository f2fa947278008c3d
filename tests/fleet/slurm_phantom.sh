#!/bin/bash
# A run on four Slurm nodes writes the same weights and predictions as one process, byte for byte.
# usage: slurm_phantom.sh SOURCE_DIR SEGFLEET
# Exit code 77 (skipped) without Slurm, or without the right to make network namespaces.
set -euo pipefail
source=$1
export SEGFLEET=$2
nodes=4
settings=(--configs 2d,3d_fullres --num-folds 3 --epochs 1 --iterations 2 --batch-size 2 --no-mirroring)

skip() { echo "SKIPPED: $*"; exit 77; }
for tool in slurmctld slurmd munged sbatch scontrol ip nsenter unshare; do
    command -v "$tool" > /dev/null || skip "$tool is not installed (scripts/setup --with-slurm)"
done
probe=segprobe$$
ip netns add "$probe" 2> /dev/null || skip "no right to make a network namespace (CAP_NET_ADMIN)"
ip netns del "$probe"
! ip link show segbr0 > /dev/null 2>&1 || skip "another Slurm lab is up on this machine"

dir=$(mktemp -d "${TMPDIR:-/tmp}/segfleet-slurm-XXXXXX")
chmod 755 "$dir" # munge wants the way to its socket to be searchable
clean() { "$source/scripts/slurm_lab" down "$dir/lab" || true; rm -rf "$dir"; }
trap clean EXIT
fail() {
    echo "FAILED: $*"
    tail -n 40 "$dir"/job*.out "$dir/one.log" 2> /dev/null || true
    exit 1
}

"$SEGFLEET" phantom "$dir/data" --cases 5 --extent 24 > /dev/null
dataset=$dir/data/Dataset999_Phantom
"$source/scripts/slurm_lab" up "$dir/lab" $nodes 2 > /dev/null
export SLURM_CONF=$dir/lab/slurm.conf

# More ranks than cores: waiting ranks must let the others compute. One launch in about a hundred fails while Open MPI
# connects, before our program starts: a second try is allowed, and it must continue the work folder.
export OMPI_MCA_mpi_yield_when_idle=1
job() {
    timeout 500 sbatch --wait --nodes=$nodes --ntasks-per-node=1 --cpus-per-task=1 --time=10 --output="$dir/job$1.out" \
        "$source/slurm/fleet.sbatch" "$dataset" "$dir/fleet" "${settings[@]}" --threads 1 > /dev/null
}
job 1 || { echo "first launch failed:"; tail -n 20 "$dir/job1.out"; job 2; } || fail "the job on $nodes nodes"
grep -q "JobState=COMPLETED .*NodeCnt=$nodes " "$dir/lab/log/finished.txt" || fail "no job used $nodes nodes"

"$SEGFLEET" run "$dataset" --work "$dir/one" "${settings[@]}" --threads 2 > "$dir/one.log" 2>&1 || fail "the run of one process"

compared=0
while IFS= read -r file; do
    a=$("$SEGFLEET" info --hash "$dir/one/$file")
    b=$("$SEGFLEET" info --hash "$dir/fleet/$file") || fail "$file is missing in the fleet's results"
    [ -n "$a" ] && [ "$a" = "$b" ] || fail "$file: hash $a by one process, $b by the fleet"
    compared=$((compared + 1))
done < <(cd "$dir/one" && find results -name checkpoint_final.h5 | sort)
[ $compared = 6 ] || fail "$compared trainings were compared, not 2 configurations x 3 folds"

files=0
while IFS= read -r file; do
    cmp "$dir/one/$file" "$dir/fleet/$file" || fail "$file differs"
    files=$((files + 1))
done < <(cd "$dir/one" && find selection.json postprocessing.json predictions -type f -not -name '*.log' | sort)
[ $files -ge 3 ] || fail "only $files result files were found"
echo "$compared weights and $files result files are equal on $nodes nodes and in one process"
