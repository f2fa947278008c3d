#!/bin/bash
# A job that is stopped goes back into the queue and ends with the bits of one process.
# usage: slurm_requeue.sh SOURCE_DIR SEGFLEET stops   the real time limit on 4 nodes, signals on 2 and on 3 nodes
#                                             node    a node dies in mid-training, 3 nodes go on
. "$(dirname "$0")/slurm_lib.sh"
work=$dir/work settings=(--configs 2d --num-folds 2 --epochs 2 --batch-size 2 --no-mirroring --checkpoint-seconds 1)
"$SEGFLEET" phantom "$dir/data" --cases 5 --extent 48 --2d --seed 6 > /dev/null
data=$dir/data/Dataset999_Phantom

# So many steps that one process needs a minute and a half.
begin=$(date +%s%N)
"$SEGFLEET" run "$data" --work "$dir/try" "${settings[@]}" --iterations 10 --threads 1 > "$dir/try.log" 2>&1
took=$((($(date +%s%N) - begin) / 1000000))
iterations=$((10 * ${TEST_SECONDS:-90} * 1000 / took))
settings+=(--iterations $iterations)
echo "10 steps per epoch took $took ms: $iterations steps"

begun() { # is any training under way whose log tells of more than before?
    local n
    n=$(cat "$work"/results/2d/fold_*/training.log 2> /dev/null | grep -c -E "info (resume|train) ") || true
    [ "${n:-0}" -gt "$1" ] && ls "$work"/results/2d/fold_*/checkpoint_latest.h5 > /dev/null 2>&1
}
told() { cat "$work"/results/2d/fold_*/training.log 2> /dev/null | grep -c -E "info (resume|train) " || true; }
queued() { state_is "$job" PENDING && [ "$(field "$job" Restarts)" -ge "$1" ]; }
running_on() { state_is "$job" RUNNING && [ "$(field "$job" NumNodes)" = "$1" ]; }
on_nodes() { # on_nodes N: the waiting job takes so many (one task each; without NumTasks the old number stays)
    scontrol update JobId="$job" NumTasks="$1" NumNodes="$1" TimeLimit=10
    wait_until 60 "job on $1 nodes" running_on "$1"
}
stops() { grep -c "stopped with work left" "$dir/job.run.out" || true; }

case $3 in
stops)
    job=$(submit run 4 --time=1 --signal=USR1@20 -- "$data" "$work" --threads 1 "${settings[@]}")
    wait_until 150 "the time limit" queued 1
    grep -q "segfleet: stopped" "$dir/job.run.out" || fail "no word of the stop before the time limit"
    before=$(told)
    on_nodes 2
    turn=1
    for nodes in 3 3; do
        wait_until 60 "training goes on" begun "$before"
        sleep 3
        before=$(told)
        scancel --signal=USR1 "$job"
        turn=$((turn + 1))
        wait_until 60 "stop $turn" queued $turn
        on_nodes $nodes
    done
    [ "$(stops)" = 3 ] || fail "$(stops) stops with status 75, not 3"
    ;;
node)
    job=$(submit run 4 --time=10 -- "$data" "$work" --threads 1 "${settings[@]}")
    wait_until 60 "training begins" begun 0
    sleep 3
    for pid in $(ip netns pids seg3); do kill -9 "$pid" 2> /dev/null || true; done
    scontrol update NodeName=seg3 State=DOWN Reason="killed by the test"
    wait_until 90 "the job comes back" queued 1
    on_nodes 3
    grep -i -q "node fail" "$dir/job.run.out" || fail "no word of the node"
    ;;
*) fail "which test?" ;;
esac
echo "after $SECONDS s: the last part begins"
wait_until 400 "the job ends" ended "$job"
state_is "$job" COMPLETED || fail "the job ended as $(field "$job" JobState)"
grep -q "info resume epoch" "$dir/job.run.out" "$work"/results/2d/fold_*/training.log || fail "no training was resumed"
echo "after $SECONDS s: the job has ended"
"$SEGFLEET" run "$data" --work "$dir/one" "${settings[@]}" --threads 2 > "$dir/one.log" 2>&1 || fail "the run of one process"
same_results "$dir/one" "$work" 2
echo "restarts: $(field "$job" Restarts), stops with 75: $(stops)"
