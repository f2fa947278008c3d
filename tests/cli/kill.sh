#!/bin/bash
# kill -9 at random moments, run again each time: the end result has the bits of the uninterrupted run.
# $1 = number of kills (default 10).
. "$(dirname "$0")/lib.sh"
kills=${1:-10}
"$SEGFLEET" phantom "$tmp" --cases 5 --extent 24 --seed 4
data=$tmp/Dataset999_Phantom
options="--configs 2d,3d_fullres --num-folds 2 --epochs 2 --iterations 4 --batch-size 2 --no-mirroring --checkpoint-seconds 0.2"
start=$(date +%s%N)
"$SEGFLEET" run "$data" --work "$tmp/whole" $options > /dev/null
whole=$(( ($(date +%s%N) - start) / 1000000 ))

RANDOM=20261123
done_kills=0
for k in $(seq "$kills"); do
  # on a machine that is busy with other things, fewer kills must do
  [ "$SECONDS" -lt 240 ] || [ "$done_kills" -eq 0 ] || break
  "$SEGFLEET" run "$data" --work "$tmp/cut" $options > /dev/null 2> "$tmp/log" &
  pid=$!
  sleep "$(awk -v ms=$whole -v r=$RANDOM 'BEGIN { printf "%.3f", (0.02 + r / 32768 * 0.5) * ms / 1000 }')"
  if kill -9 $pid 2> /dev/null; then done_kills=$((done_kills + 1)); fi
  wait $pid 2> /dev/null || true
  # what stands under a final name is whole
  for f in $(find "$tmp/cut" -name '*.h5' 2> /dev/null); do
    "$SEGFLEET" info "$f" > /dev/null || fail "$f is damaged after kill $k"
  done
done
echo "killed $done_kills times of $kills asked for"
[ "$done_kills" -gt 0 ] || fail "no run was killed"
"$SEGFLEET" run "$data" --work "$tmp/cut" $options > /dev/null
same_bits "$tmp/whole" "$tmp/cut"
[ -z "$(find "$tmp/cut" -name '*.tmp*')" ] || fail "temporary files are left: $(find "$tmp/cut" -name '*.tmp*')"
echo passed
