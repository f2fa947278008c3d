#!/bin/bash
# Any number of ranks and threads, and a second run that redoes nothing, give the same bits.
. "$(dirname "$0")/lib.sh"
"$SEGFLEET" phantom "$tmp" --cases 5 --extent 24 --seed 3
data=$tmp/Dataset999_Phantom
options="--configs 2d,3d_fullres --num-folds 2 --epochs 2 --iterations 3 --batch-size 2 --no-mirroring"

"$SEGFLEET" run "$data" --work "$tmp/one" $options --threads 1 > "$tmp/table"
grep -q 'ensemble___2d___3d_fullres' "$tmp/table" || fail "no ensemble in the table"
grep -q 'test images' "$tmp/table" || fail "no test result in the table"

stamps() { find "$tmp/one" -type f -printf '%p %T@\n' | sort; }
stamps > "$tmp/stamps"
"$SEGFLEET" run "$data" --work "$tmp/one" $options --threads 2 > "$tmp/table2"
stamps | diff "$tmp/stamps" - || fail "the second run wrote files"
cmp "$tmp/table" "$tmp/table2" || fail "the second run prints another table"

"$SEGFLEET" run "$data" --work "$tmp/two_threads" $options --threads 2 > /dev/null
same_bits "$tmp/one" "$tmp/two_threads"
if [ -n "$MPIRUN" ]; then
  for n in 2 3 6; do
    ranks $n "$SEGFLEET" run "$data" --work "$tmp/ranks$n" $options --threads 1 > /dev/null
    same_bits "$tmp/one" "$tmp/ranks$n"
  done
fi
echo passed
