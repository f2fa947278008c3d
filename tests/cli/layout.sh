#!/bin/bash
# One training on four ranks: two samples, each cut into two slabs; the same files as on one rank. Layouts that
# cannot be are refused.
. "$(dirname "$0")/lib.sh"
[ -n "$MPIRUN" ] || exit 77
"$SEGFLEET" phantom "$tmp" --cases 4 --extent 96 --2d --seed 3
data=$tmp/Dataset999_Phantom
options="--configs 2d --folds 0 --num-folds 2 --epochs 1 --iterations 2 --batch-size 2 --no-ensembles --threads 1"
"$SEGFLEET" run "$data" --work "$tmp/one" $options > "$tmp/table"

ranks 4 "$SEGFLEET" run "$data" --work "$tmp/four" $options > "$tmp/table4" 2> "$tmp/log"
grep -q 'layout=1x4' "$tmp/log" || fail "four ranks did not share the training"
grep -q 'ranks=4' "$tmp/four/results/2d/fold_0/training.log" || fail "training.log does not tell the ranks"
same_bits "$tmp/one" "$tmp/four"
for f in checkpoint_final.h5 checkpoint_best.h5; do # momentum included
  cmp "$tmp/one/results/2d/fold_0/$f" "$tmp/four/results/2d/fold_0/$f" || fail "$f differs"
done
cmp "$tmp/table" "$tmp/table4" || fail "another table"

for layout in 2x1 1x3 two 1x2,,1x2; do
  if ranks 4 "$SEGFLEET" run "$data" --work "$tmp/refused" $options --layout $layout > /dev/null 2> "$tmp/err"; then
    fail "--layout $layout was accepted"
  fi
  grep -q -e "--layout $layout" "$tmp/err" || fail "--layout $layout is not named: $(cat "$tmp/err")"
done
echo passed
