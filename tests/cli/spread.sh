#!/bin/bash
# Cases that are fewer than the ranks are shared: windows, mirrorings and folds of one case by
# several ranks give the segmentation and the probabilities of one rank, bit for bit, for one and
# for three cases, in 2-D, 3-D and a cascade; a damaged case spoils no other and keeps nobody waiting.
. "$(dirname "$0")/lib.sh"
export OMP_WAIT_POLICY=passive
[ -n "$MPIRUN" ] || { echo "no MPI"; exit 77; }
"$SEGFLEET" phantom "$tmp" --cases 4 --extent 24 --seed 3
data=$tmp/Dataset999_Phantom
"$SEGFLEET" run "$data" --work "$tmp/w" --memory-gb 0.005 --num-folds 2 --epochs 1 --iterations 2 \
  --batch-size 2 --no-ensembles --no-mirroring --threads 1 > /dev/null
mkdir "$tmp/in1" "$tmp/in3" "$tmp/bad"
images=$(ls "$data"/imagesTr/*_0000.nii.gz | head -3)
cp $(echo "$images" | head -1) "$tmp/in1"
cp $images "$tmp/in3"

compare() { # A B: the same files with the same bytes
  (cd "$1"; sha256sum *.nii.gz *.npz) > "$tmp/a"
  (cd "$2"; sha256sum *.nii.gz *.npz) > "$tmp/b"
  [ "$(wc -l < "$tmp/a")" = "$3" ] || fail "$1 does not hold $3 files"
  diff "$tmp/a" "$tmp/b" || fail "$2 differs from one rank"
}
for config in 2d 3d_fullres 3d_cascade_fullres; do
  for in in in1 in3; do
    predict="predict -m $tmp/w/results/$config -i $tmp/$in --save-probabilities --step 0.4 --threads 1"
    "$SEGFLEET" $predict -o "$tmp/$config.$in.1" > /dev/null
    for n in 2 3 4; do
      ranks $n "$SEGFLEET" $predict -o "$tmp/$config.$in.$n" > /dev/null 2> "$tmp/log"
      if [ "$in" = in1 ]; then
        grep -q "shared_cases=1 ranks_per_shared_case=$n" "$tmp/log" || fail "$n ranks share nothing"
        compare "$tmp/$config.$in.1" "$tmp/$config.$in.$n" 2
      else
        compare "$tmp/$config.$in.1" "$tmp/$config.$in.$n" 6
      fi
    done
  done
done

# three cases on four ranks: the first is shared by two of them; each in turn is damaged
cascade=$tmp/w/results/3d_cascade_fullres
for bad in 1 2 3; do
  rm -rf "$tmp/bad" "$tmp/out"
  cp -r "$tmp/in3" "$tmp/bad"
  damaged=$(ls "$tmp/bad" | sed -n ${bad}p)
  head -c 200 "$tmp/in3/$damaged" > "$tmp/bad/$damaged"
  if timeout 120 "$MPIRUN" --bind-to none --oversubscribe -np 4 "$SEGFLEET" predict -m "$cascade" \
      -i "$tmp/bad" -o "$tmp/out" --step 0.4 --threads 1 > /dev/null 2> "$tmp/log"; then
    fail "a damaged image was accepted"
  else
    [ $? != 124 ] || fail "ranks wait for a damaged case"
  fi
  grep -q "$damaged" "$tmp/log" || fail "the damaged file is not named: $(cat "$tmp/log")"
  [ "$(ls "$tmp/out"/*.nii.gz | wc -l)" = 2 ] || fail "a damaged case kept others from their results"
  for f in "$tmp/out"/*.nii.gz; do
    cmp "$f" "$tmp/3d_cascade_fullres.in3.1/$(basename "$f")" || fail "results beside a damaged case"
  done
done
# what is there is kept: only the missing case is done, by all ranks
rm "$tmp/2d.in3.4/$(basename $(ls "$tmp/2d.in3.1"/*.nii.gz | sed -n 2p))"
ranks 4 "$SEGFLEET" predict -m "$tmp/w/results/2d" -i "$tmp/in3" -o "$tmp/2d.in3.4" --step 0.4 \
  --save-probabilities --threads 1 --continue > /dev/null 2> "$tmp/log"
grep -q "cases=1 ranks=4 shared_cases=1 ranks_per_shared_case=4" "$tmp/log" || fail "$(cat "$tmp/log")"
compare "$tmp/2d.in3.1" "$tmp/2d.in3.4" 6

# validation: two cases per fold, shared by three ranks
rm -rf "$tmp/w3" "$tmp/w1"
train="--num-folds 2 --epochs 1 --iterations 1 --batch-size 2 --no-ensembles --threads 1 --configs 3d_fullres"
"$SEGFLEET" run "$data" --work "$tmp/w1" $train > /dev/null
ranks 3 "$SEGFLEET" run "$data" --work "$tmp/w3" $train --layout 1x3 > /dev/null
same_bits "$tmp/w1" "$tmp/w3"
echo passed
