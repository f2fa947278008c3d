#!/bin/bash
# Commands on folders: predict in parts and continued, ensemble, accumulate, post-processing.
. "$(dirname "$0")/lib.sh"
expect() { # expect CODE TEXT COMMAND...
  code=$1; text=$2; shift 2
  set +e; "$@" > "$tmp/out" 2> "$tmp/err"; got=$?; set -e
  [ $got = "$code" ] || fail "exit code $got instead of $code: $* ($(cat "$tmp/err"))"
  grep -q -e "$text" "$tmp/out" "$tmp/err" || fail "no '$text' from: $* ($(cat "$tmp/out" "$tmp/err"))"
}
same_segmentations() { # same_segmentations A B COUNT
  n=0
  for f in "$1"/*.nii.gz; do cmp "$f" "$2/$(basename "$f")" || fail "$f differs in $2"; n=$((n + 1)); done
  [ $n = "$3" ] && [ "$(ls "$2"/*.nii.gz | wc -l)" = "$3" ] || fail "$1 and $2 do not hold $3 cases"
}
seg=$SEGFLEET
"$seg" phantom "$tmp" --cases 5 --extent 20 --seed 6 > /dev/null
data=$tmp/Dataset999_Phantom; work=$tmp/w
"$seg" run "$data" --work "$work" --configs 2d,3d_fullres --num-folds 2 --epochs 1 --iterations 2 --batch-size 2 \
  --no-mirroring --no-ensembles --threads 1 > /dev/null 2> "$tmp/err" || fail "run: $(tail -3 "$tmp/err")"
predict() { config=$1; out=$2; shift 2
  expect 0 'cases segmented' "$seg" predict -m "$work/results/$config" -i "$data/imagesTr" -o "$out" --folds 0 --no-mirroring --threads 1 "$@"; }

# all at once, in parts, continued: the same files
predict 2d "$tmp/all" --save-probabilities
for f in dataset.json plans.json; do cmp "$tmp/all/$f" "$work/results/2d/$f" || fail "$f is not the model's"; done
grep -q '"checkpoint_name": "checkpoint_final"' "$tmp/all/predict_from_raw_data_args.json" || fail "no checkpoint in the arguments"
[ "$(ls "$tmp/all"/*.npz | wc -l)" = 5 ] && [ "$(ls "$tmp/all"/phantom_*.json | wc -l)" = 5 ] || fail "no probabilities"
predict 2d "$tmp/parts" --num-parts 2 --part-id 0
first=$(cd "$tmp/all" && ls *.nii.gz | awk 'NR % 2 == 1')
[ "$(cd "$tmp/parts" && ls *.nii.gz)" = "$first" ] || fail "part 0 of 2 is not every second case"
predict 2d "$tmp/parts" --num-parts 2 --part-id 1
same_segmentations "$tmp/all" "$tmp/parts" 5
expect 2 'part-id' "$seg" predict -m "$work/results/2d" -i "$data/imagesTr" -o "$tmp/x" --num-parts 2 --part-id 2

lost=$(ls "$tmp/parts"/*.nii.gz | sed -n 3p)
rm "$lost"
stamps() { stat -c '%n %y' "$tmp/parts"/*.nii.gz | grep -v "$(basename "$lost")"; }
stamps > "$tmp/stamps"
predict 2d "$tmp/parts" --continue
stamps | diff "$tmp/stamps" - || fail "--continue wrote finished cases again"
same_segmentations "$tmp/all" "$tmp/parts" 5
predict 2d "$tmp/parts"
if stamps | diff -q "$tmp/stamps" - > /dev/null; then fail "without --continue nothing was predicted"; fi

# cases of other options are not mixed; --overwrite says what happens anyway
expect 2 'tile_step_size' "$seg" predict -m "$work/results/2d" -i "$data/imagesTr" -o "$tmp/parts" --folds 0 --no-mirroring --step 0.9 --continue
expect 2 'use_folds' "$seg" predict -m "$work/results/2d" -i "$data/imagesTr" -o "$tmp/parts" --no-mirroring --continue
expect 2 'give one of them' "$seg" predict -m "$work/results/2d" -i "$data/imagesTr" -o "$tmp/parts" --continue --overwrite
predict 2d "$tmp/parts" --overwrite
same_segmentations "$tmp/all" "$tmp/parts" 5

# a broken case is named, the others are done, and its older segmentation does not pass for a new one
mkdir "$tmp/broken"; cp "$data/imagesTr"/* "$tmp/broken"; cp -r "$tmp/all" "$tmp/some"
bad=$(ls "$tmp/broken" | sed -n 2p); id=${bad%_0000.nii.gz}
head -c 200 "$data/imagesTr/$bad" > "$tmp/broken/$bad"
expect 3 "$bad.*1 of 5 cases failed" "$seg" predict -m "$work/results/2d" -i "$tmp/broken" -o "$tmp/some" --folds 0 --no-mirroring --threads 1
[ ! -e "$tmp/some/$id.nii.gz" ] && [ "$(ls "$tmp/some"/*.nii.gz | wc -l)" = 4 ] || fail "not the 4 other cases: $(ls "$tmp/some")"
[ -z "$(ls "$tmp/some"/*.npz 2> /dev/null)" ] || fail "probabilities of an older prediction are left"
if [ -n "$MPIRUN" ]; then
  set +e; ranks 2 "$seg" predict -m "$work/results/2d" -i "$tmp/broken" -o "$tmp/some" --folds 0 --no-mirroring --threads 1 > "$tmp/out" 2> "$tmp/err"; got=$?; set -e
  [ $got = 3 ] && grep -q "$bad" "$tmp/err" || fail "two ranks: exit code $got, $(cat "$tmp/err")"
  [ "$(ls "$tmp/some"/*.nii.gz | wc -l)" = 4 ] || fail "two ranks: not the 4 other cases"
fi
cp "$data/imagesTr/$bad" "$tmp/broken"
predict 2d "$tmp/some" --continue
same_segmentations "$tmp/all" "$tmp/some" 5

# image files instead of a folder
expect 0 '2 cases segmented' "$seg" predict -m "$work/results/2d" -i "$tmp/broken/$bad" "$data/imagesTr/$(ls "$data/imagesTr" | head -1)" -o "$tmp/files" --folds 0 --no-mirroring
cmp "$tmp/all/$id.nii.gz" "$tmp/files/$id.nii.gz" || fail "a single file gives another segmentation"
cp "$tmp/broken/$bad" "$tmp/scan.nii.gz"
expect 0 '1 cases segmented' "$seg" predict -m "$work/results/2d" -i "$tmp/scan.nii.gz" -o "$tmp/files" --folds 0 --no-mirroring
cmp "$tmp/all/$id.nii.gz" "$tmp/files/scan.nii.gz" || fail "a file without a channel number gives another segmentation"
expect 2 'is an input image' "$seg" predict -m "$work/results/2d" -i "$tmp/scan.nii.gz" -o "$tmp"
cmp "$tmp/scan.nii.gz" "$data/imagesTr/$bad" || fail "an input image is changed"
expect 3 'nosuch.nii.gz: no such' "$seg" predict -m "$work/results/2d" -i "$tmp/nosuch.nii.gz" -o "$tmp/x"
expect 2 'end in .nii.gz' "$seg" predict -m "$work/results/2d" -i "$data/dataset.json" -o "$tmp/x"
expect 2 'one folder, or image files' "$seg" predict -m "$work/results/2d" -i "$data/imagesTr" "$tmp/scan.nii.gz" -o "$tmp/x"

# where the time goes
expect 0 'windows/s' "$seg" bench predict -m "$work/results/2d" -i "$tmp/scan.nii.gz" --repeat 2 --threads 1 --json "$tmp/bench.json"
for word in read preprocess cut forward accumulate export write windows_per_second peak_bytes; do
  grep -q "\"$word\": [0-9]*[1-9.]" "$tmp/bench.json" || fail "no $word in $(cat "$tmp/bench.json")"
done
expect 2 'give --model' "$seg" bench predict -i "$tmp/scan.nii.gz"

# a finished case needs its probabilities when they are asked for
predict 2d "$tmp/parts" --continue --save-probabilities --probabilities-format h5
[ "$(ls "$tmp/parts"/*.h5 | wc -l)" = 5 ] || fail "no probabilities were added"
expect 2 'npz or h5' "$seg" predict -m "$work/results/2d" -i "$data/imagesTr" -o "$tmp/x" --save-probabilities --probabilities-format zip

# other checkpoints, all folds
expect 0 'segmented' "$seg" predict -m "$work/results/2d" -i "$data/imagesTs" -o "$tmp/best" --checkpoint checkpoint_best --threads 1
grep -q 'checkpoint_best' "$tmp/best/predict_from_raw_data_args.json" || fail "checkpoint_best is not in the arguments"
expect 3 'checkpoint_nosuch' "$seg" predict -m "$work/results/2d" -i "$data/imagesTs" -o "$tmp/x" --checkpoint checkpoint_nosuch

# ensembles: of a model with itself, of npz and h5, in one or several processes
expect 0 '5 cases of 2 folders' "$seg" ensemble -i "$tmp/all" "$tmp/all" -o "$tmp/twice"
same_segmentations "$tmp/all" "$tmp/twice" 5
predict 3d_fullres "$tmp/other" --save-probabilities
expect 0 '5 cases' "$seg" ensemble -i "$tmp/all" "$tmp/other" -o "$tmp/mean" --save-probabilities
expect 0 '5 cases' "$seg" ensemble -i "$tmp/parts" -i "$tmp/other" -o "$tmp/mixed" --save-probabilities
same_segmentations "$tmp/mean" "$tmp/mixed" 5
for f in "$tmp/mean"/*.npz "$tmp/mean"/*.json; do [ ! -e "$tmp/mixed/$(basename "$f")" ] || cmp "$f" "$tmp/mixed/$(basename "$f")"; done
expect 0 '5 cases of 1 folders' "$seg" ensemble -i "$tmp/mean" -o "$tmp/again"
same_segmentations "$tmp/mean" "$tmp/again" 5
if [ -n "$MPIRUN" ]; then
  ranks 2 "$seg" ensemble -i "$tmp/all" "$tmp/other" -o "$tmp/ranks" > /dev/null 2>&1
  same_segmentations "$tmp/mean" "$tmp/ranks" 5
fi
rm "$tmp/other/$(basename "${lost%.nii.gz}").npz"
expect 3 "$(basename "${lost%.nii.gz}")" "$seg" ensemble -i "$tmp/all" "$tmp/other" -o "$tmp/x"
expect 3 "$(basename "${lost%.nii.gz}")" "$seg" ensemble -i "$tmp/other" "$tmp/all" -o "$tmp/x"
expect 3 'save-probabilities' "$seg" ensemble -i "$tmp/again" -o "$tmp/x"
expect 2 'also an input' "$seg" ensemble -i "$tmp/all" -o "$tmp/all"
expect 2 'input' "$seg" ensemble -o "$tmp/x"

# cross-validation folder: what the selection scored; post-processing: what it decided
for config in 2d 3d_fullres; do
  expect 0 '5 cases' "$seg" accumulate --work "$work" --config $config -o "$tmp/cv_$config"
  cmp "$tmp/cv_$config/summary.json" "$work/results/$config/crossval_results_folds_0_1/summary.json" || fail "summary of $config"
  expect 2 'not empty' "$seg" accumulate --work "$work" --config $config -o "$tmp/cv_$config"
done
best=$(grep -A3 '"best_model_or_ensemble"' "$work/selection.json" | sed -n 's/.*"name": "\(.*\)".*/\1/p')
expect 0 'foreground mean Dice' "$seg" determine-postprocessing -p "$tmp/cv_$best" -r "$data/labelsTr" -o "$tmp/pp.json"
cmp "$tmp/pp.json" "$work/postprocessing.json" || fail "the decision is not that of the selection"
expect 0 '5 cases post-processed' "$seg" apply-postprocessing -p "$tmp/cv_$best" -f "$tmp/pp.json" -o "$tmp/treated"
expect 0 'foreground mean' "$seg" evaluate --pred "$tmp/treated" --ref "$data/labelsTr" -o "$tmp/treated.json"
# labels by hand: as those of dataset.json; one that is ignored leaves its voxels out; gaps are allowed
by_hand() { expect 0 'foreground mean' "$seg" evaluate -p "$tmp/treated" -r "$data/labelsTr" -o "$tmp/hand.json" "$@"; }
by_hand --labels 1,2
cmp "$tmp/hand.json" "$tmp/treated.json" || fail "labels by hand are scored in another way"
by_hand --labels 2
cp "$tmp/hand.json" "$tmp/two.json"; grep -q '"2": {' "$tmp/hand.json" || fail "label 2 is not scored"
if grep -q '"1": {' "$tmp/hand.json"; then fail "label 1 is scored"; fi
n_ref() { grep -A12 '"foreground_mean"' "$tmp/hand.json" | sed -n 's/.*"n_ref": \([0-9.]*\).*/\1/p'; }
all=$(n_ref); by_hand --labels 2 --ignore-label 1
[ -n "$all" ] && [ "$(n_ref)" = "$all" ] || fail "another label's voxels count: $(n_ref), not $all"
if cmp -s "$tmp/hand.json" "$tmp/two.json"; then fail "--ignore-label changes nothing"; fi
expect 2 'comes twice' "$seg" evaluate -p "$tmp/treated" -r "$data/labelsTr" -o "$tmp/x.json" --labels 1,1
expect 2 'ignore label' "$seg" evaluate -p "$tmp/treated" -r "$data/labelsTr" -o "$tmp/x.json" --labels 1 --ignore-label 1
expect 2 'not a label' "$seg" evaluate -p "$tmp/treated" -r "$data/labelsTr" -o "$tmp/x.json" --labels 1,b
expect 2 'give one of them' "$seg" evaluate -p "$tmp/treated" -r "$data/labelsTr" -o "$tmp/x.json" --labels 1 -d "$data/dataset.json"
expect 2 'goes with' "$seg" evaluate -p "$tmp/treated" -r "$data/labelsTr" -o "$tmp/x.json" --ignore-label 1
expect 2 'also an input' "$seg" apply-postprocessing -p "$tmp/treated" -f "$tmp/pp.json" -o "$tmp/treated"
expect 0 '[23] cases' "$seg" accumulate --work "$work" --config 2d --folds 1 -o "$tmp/cv_one"
expect 3 'is missing' "$seg" determine-postprocessing -p "$tmp/cv_one" -r "$data/labelsTr" -o "$tmp/x.json"
rm "$(ls "$work"/results/2d/fold_0/validation/*.nii.gz | head -1)"
expect 2 'train configuration 2d, fold 0' "$seg" accumulate --work "$work" --config 2d -o "$tmp/x"
[ -z "$(ls "$tmp/x" 2> /dev/null)" ] && [ ! -e "$tmp/x.json" ] || fail "a failed command left files: $(ls "$tmp/x")"

if grep -l -r "$tmp" "$tmp"/{all,parts,best,mean,cv_2d,treated} "$tmp/pp.json"; then fail "files hold absolute paths"; fi
[ -z "$(find "$tmp" -name '*.tmp*')" ] || fail "temporary files are left"
echo passed
