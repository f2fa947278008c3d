#!/bin/bash
# Training in its steady state asks the file system for nothing: 100 more steps, not one more call
# that names a file of the work folder, and the container is opened as often as with five steps.
. "$(dirname "$0")/lib.sh"
[ "${1:-}" != ON ] || { echo "not with sanitizers, which look at files themselves"; exit 77; }
strace -f -o /dev/null true 2> /dev/null || { echo "no strace here"; exit 77; }
export OMP_WAIT_POLICY=passive
"$SEGFLEET" phantom "$tmp" --cases 4 --extent 24 --seed 3 > /dev/null
data=$tmp/Dataset999_Phantom
options="--num-folds 2 --epochs 1 --batch-size 2 --threads 1 --memory-gb 0.005 --configs 3d_fullres --no-mirroring"
"$SEGFLEET" run "$data" --work "$tmp/w" $options --folds 1 --iterations 5 > /dev/null 2>&1
calls() { # STEPS: calls of one training that name the work folder
  rm -rf "$tmp/w/results/3d_fullres/fold_0"
  strace -f -e trace=%file -o "$tmp/trace" "$SEGFLEET" train --work "$tmp/w" --config 3d_fullres \
    --fold 0 --iterations "$1" --threads 1 > /dev/null 2>&1 || fail "training under strace"
  grep -F "$tmp/w" "$tmp/trace" > "$tmp/trace.$1" || fail "nothing was traced"
  wc -l < "$tmp/trace.$1"
}
few=$(calls 5)
many=$(calls 105)
[ "$few" = "$many" ] || fail "$few calls with 5 steps, $many with 105"
opened=$(grep -c 'openat(.*preprocessed/3d_fullres.h5"' "$tmp/trace.105")
[ "$opened" -le 4 ] || fail "the container was opened $opened times"
echo "passed: $many calls, the container opened $opened times"
