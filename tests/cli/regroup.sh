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
grep -q "regroup .* epoch=[1-3] hosts=\"$(uname -n):r[0-2],r[0-2]\"" "$tmp/log" || fail "no epoch or host: $(grep regroup "$tmp/log")"
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

echo "# the rank that has joined is killed: the job ends, the next call goes on"
: > "$tmp/log"
timeout 120 "$MPIRUN" --bind-to none --oversubscribe -np 3 "$SEGFLEET" run "$data" --work "$tmp/killed" $options --layout 3x1 \
  > /dev/null 2> "$tmp/log" &
guard=$!
until grep -q 'regroup .*hosts=' "$tmp/log"; do sleep 0.02; kill -0 $guard 2> /dev/null || fail "no group has grown: $(cat "$tmp/log")"; done
joined=$(sed -n 's/.*regroup .*hosts="[^"]*,r\([0-9]\)".*/\1/p' "$tmp/log" | head -1)
launcher=$(pgrep -P $guard) workers=($(pgrep -P "$launcher"))
[ ${#workers[@]} = 3 ] || fail "${#workers[@]} ranks were found"
kill -9 ${workers[$joined]}
wait $guard && code=0 || code=$?
[ $code = 137 ] || fail "a killed newcomer: exit code $code, not 137: $(cat "$tmp/log")"
grep -q "rank $joined .* exited on signal 9" "$tmp/log" || fail "not one line names rank $joined: $(cat "$tmp/log")"
[ ! -e "$tmp/killed/selection.json" ] || fail "the run had ended before the kill"
ranks 2 "$SEGFLEET" run "$data" --work "$tmp/killed" $options > /dev/null 2> "$tmp/log" || fail "$(cat "$tmp/log")"
grep -q ' resume ' "$tmp/log" || fail "the next call began anew"
same_bits "$tmp/one" "$tmp/killed"

echo "# a rank that its group cannot use is counted as one without a task"
ranks 3 "$SEGFLEET" run "$data" --work "$tmp/spare" $options --layout 1x3 > /dev/null 2> "$tmp/log" || fail "$(cat "$tmp/log")"
grep -q 'stage name=idle .*slowest=r2' "$tmp/log" || fail "no idle rank in: $(grep 'stage name' "$tmp/log")"
awk '/ fleet trained=/ { for (i = 1; i <= NF; i++) if (sub("idle_percent=", "", $i)) exit !($i > 25 && $i < 45) }' "$tmp/log" ||
  fail "not a third without a task: $(grep ' fleet trained=' "$tmp/log")"
same_bits "$tmp/one" "$tmp/spare"
echo passed
