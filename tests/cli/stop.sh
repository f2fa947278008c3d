#!/bin/bash
# Stops of every kind end with 75 and are continued to the same bits: hours, signals, in one process and in several,
# also in validation and prediction. A rank that is killed ends the job at once, in plain words.
. "$(dirname "$0")/lib.sh"
"$SEGFLEET" phantom "$tmp" --cases 6 --extent 24 --seed 5 > /dev/null
data=$tmp/Dataset999_Phantom
options="--configs 2d,3d_fullres --num-folds 2 --epochs 2 --iterations 6 --batch-size 2 --no-mirroring"
OMP_NUM_THREADS=1 "$SEGFLEET" run "$data" --work "$tmp/whole" $options > /dev/null 2> "$tmp/whole.log"

status() { rc=0; "$@" > "$tmp/out" 2> "$tmp/err" || rc=$?; }
is() { [ "$rc" = "$1" ] || { cat "$tmp/err"; fail "$2: status $rc, not $1"; }; }

echo "# a second or two at a time: each call ends with 75 until nothing is left"
calls=0 milli=900
while :; do
  hours=$(awk -v ms=$milli 'BEGIN { printf "%.9f", ms / 3600000 }')
  status "$SEGFLEET" run "$data" --work "$tmp/hours" $options --threads 2 --max-hours "$hours"
  [ $rc != 0 ] || break
  is 75 "--max-hours"
  grep -q "reason=max_hours" "$tmp/err" || fail "the log does not name --max-hours"
  sed -n 's/^segfleet: stopped: //p' "$tmp/err"
  calls=$((calls + 1)) milli=$((milli + 100)) # a loaded machine needs longer for one step
  [ $calls -lt 100 ] || fail "--max-hours: no end after $calls calls"
done
[ $calls -ge 2 ] || fail "--max-hours stopped the run $calls times only"
echo "stopped $calls times"
same_bits "$tmp/whole" "$tmp/hours"

echo "# enough hours: nothing stops"
status "$SEGFLEET" run "$data" --work "$tmp/hours" $options --max-hours 9
is 0 "--max-hours 9"
for wrong in 0 -1 soon; do
  status "$SEGFLEET" run "$data" --work "$tmp/hours" $options --max-hours $wrong
  is 2 "--max-hours $wrong"
done

echo "# a limit of seconds is kept"
long="--config 2d --fold 0 --epochs 1000 --iterations 50"
cp -r "$tmp/whole" "$tmp/long"
rm -r "$tmp/long/results"
begin=$(date +%s%N)
status "$SEGFLEET" train --work "$tmp/long" $long --max-hours 0.001
took=$((($(date +%s%N) - begin) / 1000000))
is 75 "train --max-hours"
grep -q "seconds_left=[0-9]" "$tmp/err" || fail "train stopped too late: $(grep max_hours "$tmp/err")"
echo "3600 ms were given, $took ms were used"

echo "# signals: to one process, to the ranks through mpirun, to one rank alone"
for signal in TERM USR1 INT; do
  "$SEGFLEET" train --work "$tmp/long" $long > /dev/null 2> "$tmp/err" &
  pid=$!
  until grep -q "info resume" "$tmp/err"; do sleep 0.05; done
  kill -$signal $pid
  rc=0
  wait $pid || rc=$?
  # a shell without job control starts what is in the background with SIGINT ignored: our handler wins
  is 75 "SIG$signal"
  [ -s "$tmp/long/results/2d/fold_0/checkpoint_previous.h5" ] || fail "no second generation"
done
if [ -n "$MPIRUN" ]; then
  ranks_of() { pgrep -P "$1" || true; }
  start() { # start COMMAND...: two ranks in the background, both training
    : > "$tmp/err"
    timeout 120 "$MPIRUN" --bind-to none --oversubscribe -np 2 "$@" > /dev/null 2> "$tmp/err" &
    guard=$!
    until grep -q "info resume" "$tmp/err"; do sleep 0.05; kill -0 $guard 2> /dev/null || fail "did not start"; done
    launcher=$(pgrep -P $guard) workers=($(ranks_of "$launcher"))
    [ ${#workers[@]} = 2 ] || fail "${#workers[@]} ranks were found"
  }
  for to in launcher "workers[1]"; do
    start "$SEGFLEET" train --work "$tmp/long" $long --threads 1
    kill -USR1 ${!to}
    rc=0
    wait $guard || rc=$?
    is 75 "SIGUSR1 to $to"
  done
  echo "# kill -9 of one rank"
  start "$SEGFLEET" train --work "$tmp/long" $long --threads 1 --checkpoint-seconds 0.1
  sleep 0.5
  begin=$(date +%s)
  kill -9 ${workers[1]}
  rc=0
  wait $guard || rc=$?
  is 137 "kill -9 of a rank"
  [ $(($(date +%s) - begin)) -lt 30 ] || fail "the job hung after a rank was killed"
  [ "$(grep -c "rank 1 .* exited on signal 9" "$tmp/err")" = 1 ] || { cat "$tmp/err"; fail "not one line names the rank"; }
  for wait in $(seq 100); do kill -0 ${workers[0]} 2> /dev/null || break; sleep 0.1; done
  echo "the other rank was there for $wait/10 s"
  ! kill -0 ${workers[0]} 2> /dev/null || { ps -o pid,ppid,stat,args ${workers[0]}; fail "the other rank still runs"; }
  start "$SEGFLEET" train --work "$tmp/long" $long --threads 1
  kill -TERM ${workers[0]}
  wait $guard || true
  grep -q "info resume" "$tmp/err" || fail "the next call did not go on"
fi
echo passed
