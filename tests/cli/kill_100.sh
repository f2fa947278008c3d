#!/bin/bash
# kill -9 of a small run at 100 random moments (seeded; $1 = another number), each continued by the next call. No file is
# ever damaged, no call repeats more than the steps since the last checkpoint, the end has the bits of a run never stopped.
. "$(dirname "$0")/lib.sh"
kills=${1:-100}
"$SEGFLEET" phantom "$tmp" --cases 4 --extent 16 --2d --seed 8 > /dev/null
data=$tmp/Dataset999_Phantom
# a checkpoint is due after every step: what a kill may cost is one step
options="--configs 2d --num-folds 2 --epochs 4 --iterations 30 --batch-size 2 --no-mirroring --threads 1 --checkpoint-seconds 0.000001"
begin=$(date +%s%N)
"$SEGFLEET" run "$data" --work "$tmp/whole" $options > /dev/null 2> "$tmp/whole.log"
whole=$((($(date +%s%N) - begin) / 1000000))

# "EPOCH ITERATION" of the newest checkpoint of the training under way; nothing when there is none
position() {
  local fold f
  for fold in "$tmp"/cut/results/2d/fold_?; do
    [ ! -e "$fold/checkpoint_final.h5" ] || continue
    for f in "$fold"/checkpoint_{next,latest,previous}.h5; do
      [ -e "$f" ] || continue
      "$SEGFLEET" info "$f" | sed -n 's/^  "\(epoch\|iteration\)": \([0-9]*\),/\2/p' | xargs
      return
    done
  done
}

RANDOM=20261126
done_kills=0 resumed=0 ended=0 files=0 expected=
for k in $(seq "$kills"); do
  "$SEGFLEET" run "$data" --work "$tmp/cut" $options > /dev/null 2> "$tmp/log" &
  pid=$!
  sleep "$(awk -v ms=$whole -v r=$RANDOM 'BEGIN { printf "%.3f", 0.05 + r / 32768 * (0.45 + ms / 60000) }')"
  if kill -9 $pid 2> /dev/null; then done_kills=$((done_kills + 1)); fi
  rc=0
  wait $pid 2> /dev/null || rc=$?
  [ $rc = 0 ] || [ $rc = 137 ] || { cat "$tmp/log"; fail "call $k ended with $rc"; }
  ! grep -q "cannot be used" "$tmp/log" || { cat "$tmp/log"; fail "call $k found a damaged checkpoint"; }
  at=$(sed -n 's/.*info resume epoch=\([0-9]*\) iteration=\([0-9]*\).*/\1 \2/p' "$tmp/log" | head -n 1)
  if [ -n "$at" ]; then
    [ "$at" = "$expected" ] || fail "call $k went on from step '$at', but the last checkpoint said '$expected'"
    resumed=$((resumed + 1))
  fi
  for f in $(find "$tmp/cut" -name '*.h5' 2> /dev/null); do
    "$SEGFLEET" info "$f" > /dev/null || fail "$f is damaged after kill $k"
    files=$((files + 1))
  done
  expected=$(position)
  if [ $rc = 0 ]; then
    same_bits "$tmp/whole" "$tmp/cut"
    ended=$((ended + 1)) expected=
    rm -r "$tmp/cut"
  fi
done
echo "killed $done_kills times, went on $resumed times from the very step of the last checkpoint, $files files were whole," \
  "$ended runs reached their end on the way; the whole run took $whole ms"
[ "$done_kills" -ge $((kills * 9 / 10)) ] || fail "only $done_kills of $kills kills met a run"
[ "$resumed" -ge $((kills / 4)) ] || fail "only $resumed calls resumed a training"
"$SEGFLEET" run "$data" --work "$tmp/cut" $options > /dev/null
same_bits "$tmp/whole" "$tmp/cut"
[ -z "$(find "$tmp/cut" -name '*.tmp*' -o -name 'checkpoint_next*' -o -name 'checkpoint_previous*')" ] || fail "leftovers"
echo passed
