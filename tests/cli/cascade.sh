#!/bin/bash
# A budget so small that the planner wants a cascade: planned, trained after all folds of its first
# stage, chosen among all configurations and pairs, applied; the same bits on two ranks and after an
# interruption; labels of the first stage from files give what the program finds by itself.
. "$(dirname "$0")/lib.sh"
export OMP_WAIT_POLICY=passive
"$SEGFLEET" phantom "$tmp" --cases 4 --extent 24 --seed 3
data=$tmp/Dataset999_Phantom
options="--memory-gb 0.005 --num-folds 2 --epochs 1 --iterations 2 --batch-size 2 --no-mirroring --threads 1"

"$SEGFLEET" run "$data" --work "$tmp/one" $options > "$tmp/table" 2> "$tmp/log"
for c in 2d 3d_lowres 3d_fullres 3d_cascade_fullres; do
  grep -q "^| $c " "$tmp/table" || fail "$c is not in the table"
done
[ "$(grep -c '^| ensemble___' "$tmp/table")" = 6 ] || fail "not all six pairs are in the table"
grep -q 'test images' "$tmp/table" || fail "no test result in the table"
[ ! -e "$tmp/one/preprocessed/3d_cascade_fullres.h5" ] || fail "the cascade has data of its own"
next=predicted_next_stage/3d_cascade_fullres
[ "$(find "$tmp/one/results/3d_lowres" -path "*/$next/*.h5" | wc -l)" = 4 ] || fail "not every case was handed on"

stamps() { find "$tmp/one" -type f -printf '%p %T@\n' | sort; }
stamps > "$tmp/stamps"
"$SEGFLEET" run "$data" --work "$tmp/one" $options > /dev/null
stamps | diff "$tmp/stamps" - || fail "the second run wrote files"

# the first stage by itself, and from label files
predict="$SEGFLEET predict -i $data/imagesTs --no-mirroring --threads 1"
$predict -m "$tmp/one/results/3d_lowres" -o "$tmp/first"
$predict -m "$tmp/one/results/3d_cascade_fullres" -o "$tmp/alone"
$predict -m "$tmp/one/results/3d_cascade_fullres" -o "$tmp/given" --previous-stage "$tmp/first"
for f in "$tmp/alone"/*.nii.gz; do cmp "$f" "$tmp/given/$(basename "$f")" || fail "previous stage from files"; done
if $predict -m "$tmp/one/results/3d_cascade_fullres" -o "$tmp/none" --previous-stage "$tmp/alone/none" 2> "$tmp/err"; then
  fail "a missing previous stage was accepted"
fi
grep -q 'is missing' "$tmp/err" || fail "no clear error: $(cat "$tmp/err")"

# the second stage alone asks for the first
cascade="--configs 3d_cascade_fullres $options"
"$SEGFLEET" run "$data" --work "$tmp/cut" $cascade > /dev/null 2>&1 &
pid=$!
while kill -0 $pid 2> /dev/null && [ ! -e "$tmp/cut/results/3d_lowres/fold_0/$next" ]; do sleep 0.05; done
kill -9 $pid 2> /dev/null || true
wait $pid 2> /dev/null || true
if "$SEGFLEET" train --work "$tmp/cut" --config 3d_cascade_fullres --fold 0 2> "$tmp/err"; then
  fail "a second stage was trained without its first"
fi
grep -q 'train configuration 3d_lowres, fold' "$tmp/err" || fail "no clear error: $(cat "$tmp/err")"
if [ -n "$MPIRUN" ]; then ranks 2 "$SEGFLEET" run "$data" --work "$tmp/cut" $cascade > /dev/null
else "$SEGFLEET" run "$data" --work "$tmp/cut" $cascade > /dev/null; fi
weights() { (cd "$1"; for f in $(find results/3d_lowres results/3d_cascade_fullres -name checkpoint_final.h5 | sort); do
  echo "$f $("$SEGFLEET" info --hash "$f")"; done; sha256sum results/3d_*s/fold_*/validation/*.nii.gz results/3d_lowres/fold_*/$next/*.h5); }
weights "$tmp/one" | grep -v 3d_fullres/ > "$tmp/w1"
weights "$tmp/cut" > "$tmp/w2"
[ "$(wc -l < "$tmp/w1")" -ge 12 ] || fail "too few results"
diff "$tmp/w1" "$tmp/w2" || fail "two ranks after an interruption differ from one rank"
[ -z "$(find "$tmp/cut" -name '*.tmp*')" ] || fail "temporary files are left"
echo passed
