# Shared by the tests on a Slurm cluster inside this machine. Before sourcing: $1 = source folder, $2 = segfleet.
# Leaves a running lab of 4 nodes and a folder $dir; both go away at the end. Exit code 77 (skipped) without Slurm, or
# without the right to make network namespaces.
set -euo pipefail
source=$1
export SEGFLEET=$2

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
    tail -n 40 "$dir"/job*.out "$dir"/*.log 2> /dev/null || true
    exit 1
}

"$source/scripts/slurm_lab" up "$dir/lab" 4 2 > /dev/null
export SLURM_CONF=$dir/lab/slurm.conf
# More ranks than cores: waiting ranks must let the others compute.
export OMPI_MCA_mpi_yield_when_idle=1

# submit NAME NODES OPTIONS_OF_SBATCH... -- WORDS OF "segfleet run": prints the number of the job, its output is in job.NAME.out
submit() {
    local name=$1 nodes=$2 options=()
    shift 2
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    sbatch --parsable --nodes="$nodes" --ntasks-per-node=1 --cpus-per-task=1 --output="$dir/job.$name.out" \
        "${options[@]}" "$source/slurm/fleet.sbatch" "$@"
}
field() { scontrol --oneliner show job "$1" | sed -n "s/.* $2=\([^ ]*\).*/\1/p"; } # field JOB NAME
wait_until() { # wait_until SECONDS WHAT COMMAND...
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        [ $SECONDS -lt $end ] || fail "$what: not in time"
        sleep 0.2
    done
}
state_is() { [ "$(field "$1" JobState)" = "$2" ]; }
ended() { case "$(field "$1" JobState)" in COMPLETED | FAILED | TIMEOUT | CANCELLED | NODE_FAIL) ;; *) false ;; esac }

# same_results ONE MANY TRAININGS: weights of so many trainings and all result files are equal
same_results() {
    local file a b compared=0 files=0
    while IFS= read -r file; do
        a=$("$SEGFLEET" info --hash "$1/$file")
        b=$("$SEGFLEET" info --hash "$2/$file") || fail "$file is missing in the fleet's results"
        [ -n "$a" ] && [ "$a" = "$b" ] || fail "$file: hash $a by one process, $b by the fleet"
        compared=$((compared + 1))
    done < <(cd "$1" && find results -name checkpoint_final.h5 | sort)
    [ $compared = "$3" ] || fail "$compared trainings were compared, not $3"
    while IFS= read -r file; do
        cmp "$1/$file" "$2/$file" || fail "$file differs"
        files=$((files + 1))
    done < <(cd "$1" && find selection.json postprocessing.json predictions -type f -not -name '*.log' | sort)
    [ $files -ge 3 ] || fail "only $files result files were found"
    echo "$compared weights and $files result files are equal"
}
