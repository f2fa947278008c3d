#!/bin/bash
# Three ranks and two trainings: the rank without a task joins a running training after an epoch. The same files as
# on one rank; so too with --no-regroup, and when the run is stopped after a group has grown.
. "$(dirname "$0")/lib.sh"
[ -n "$MPIRUN" ] || exit 77
"$SEGFLEET" phantom "$tmp" --cases 4 --extent 64 --2d --seed 3
data=$tmp/Dataset999_Phantom
options="--configs 2d --num-folds 2 --epochs 4 --iterations 3 --batch-size 2 --no-ensembles --threads 1"
"$SEGFLEET" run "$data" --work "$tmp/one" $options > /dev/null

ranks 3 "$SEGFLEET" run "$data" --work "$tmp/three" $options --layout 3x1 > /dev/null 2> "$tmp/log"
grep -q 'regroup .*fold=. ranks=2 before=1' "$tmp/log" || fail "no group has grown: $(grep fleet "$tmp/log")"
grep -q 'regrouped=[1-9]' "$tmp/log" || fail "the last line does not count it"
grep -q 'ranks=2' "$tmp"/three/results/2d/fold_?/training.log || fail "training.log does not tell the ranks"
same_bits "$tmp/one" "$tmp/three"

ranks 3 "$SEGFLEET" run "$data" --work "$tmp/fixed" $options --layout 3x1 --no-regroup > /dev/null 2> "$tmp/log"
! grep -q 'regroup .*before=' "$tmp/log" || fail "--no-regroup has no effect"
same_bits "$tmp/one" "$tmp/fixed"

"$MPIRUN" --bind-to none --oversubscribe -np 3 "$SEGFLEET" run "$data" --work "$tmp/cut" $options --layout 3x1 \
  > /dev/null 2> "$tmp/log" &
job=$!
for i in $(seq 600); do
  ! grep -q 'regroup .*before=' "$tmp/log" || break
  kill -0 $job 2> /dev/null || break
  sleep 0.05
done
kill -USR1 $job 2> /dev/null || true
wait $job && code=0 || code=$?
[ $code = 75 ] || fail "exit code $code, not 75: $(cat "$tmp/log")"
ranks 2 "$SEGFLEET" run "$data" --work "$tmp/cut" $options > /dev/null 2> "$tmp/log"
same_bits "$tmp/one" "$tmp/cut"
echo passed
