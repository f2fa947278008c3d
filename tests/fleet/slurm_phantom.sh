#!/bin/bash
# A run on four Slurm nodes writes the same weights and predictions as one process, byte for byte: one training per
# node, and several nodes for one training.
# usage: slurm_phantom.sh SOURCE_DIR SEGFLEET
. "$(dirname "$0")/slurm_lib.sh"

# One launch in about a hundred fails while Open MPI connects, before our program starts: a second try is allowed, and
# it must continue the work folder.
job() { # job NAME DATASET OPTIONS...
    local name=$1 dataset=$2 turn id
    shift 2
    for turn in 1 2; do
        id=$(submit "$name$turn" 4 --time=10 -- "$dataset" "$dir/$name" --threads 1 "$@")
        wait_until 400 "job $name" ended "$id"
        state_is "$id" FAILED || break
        echo "launch $turn failed:"
        tail -n 20 "$dir/job.$name$turn.out"
    done
    state_is "$id" COMPLETED || fail "job $name on 4 nodes: $(field "$id" JobState)"
    [ "$(field "$id" NumNodes)" = 4 ] || fail "job $name ran on $(field "$id" NumNodes) nodes"
}
one() { # one NAME DATASET OPTIONS...
    "$SEGFLEET" run "$2" --work "$dir/$1" --threads 2 "${@:3}" > "$dir/$1.log" 2>&1 || fail "the run $1 of one process"
}

settings=(--configs 2d,3d_fullres --num-folds 3 --epochs 1 --iterations 2 --batch-size 2 --no-mirroring)
"$SEGFLEET" phantom "$dir/data" --cases 5 --extent 24 > /dev/null
job fleet "$dir/data/Dataset999_Phantom" "${settings[@]}"
one one "$dir/data/Dataset999_Phantom" "${settings[@]}"
same_results "$dir/one" "$dir/fleet" 6

settings=(--configs 2d --num-folds 2 --epochs 1 --iterations 2 --batch-size 2 --no-mirroring)
"$SEGFLEET" phantom "$dir/wide" --cases 4 --extent 96 --2d --seed 3 > /dev/null
one alone "$dir/wide/Dataset999_Phantom" "${settings[@]}"
for layout in 2x2 1x4; do
    job "layout_$layout" "$dir/wide/Dataset999_Phantom" "${settings[@]}" --layout $layout
    grep -q "layout=$layout" "$dir/job.layout_$layout"*.out || fail "the layout was not $layout"
    same_results "$dir/alone" "$dir/layout_$layout" 2
done
