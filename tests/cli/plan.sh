#!/bin/bash
# Options of the planner, planning again into a file, hand-edited plans: each acts, or is refused by
# name and leaves everything as it was.
. "$(dirname "$0")/lib.sh"
refused() { # refused CODE TEXT COMMAND...
  code=$1; text=$2; shift 2
  set +e; "$@" > "$tmp/out" 2> "$tmp/err"; got=$?; set -e
  [ $got = "$code" ] || fail "exit code $got instead of $code: $* ($(cat "$tmp/err"))"
  grep -q -e "$text" "$tmp/err" || fail "no '$text' from: $* ($(cat "$tmp/err"))"
}
has() { tr -d ' \n' < "$2" | grep -q -e "$1" || fail "$2 lacks $1"; } # has TEXT FILE, blanks do not count

"$SEGFLEET" phantom "$tmp" --cases 4 --extent 24 > /dev/null
data=$tmp/Dataset999_Phantom
"$SEGFLEET" fingerprint "$data" -o "$tmp/f.json"
plan="$SEGFLEET plan --fingerprint $tmp/f.json --dataset-json $data/dataset.json -o $tmp/p.json"

# the options
$plan --spacing 2 1.5 1
has '"spacing":\[2.0,1.5,1.0\]' "$tmp/p.json"
$plan --spacing 2 1.5 1 --preset ResEncM
has '"data_identifier":"nnUNetResEncUNetMPlans_3d_fullres"' "$tmp/p.json"
$plan --preset ResEncM
has '"data_identifier":"nnUNetPlans_3d_fullres"' "$tmp/p.json"
$plan --plans-name other
has '"data_identifier":"other_3d_fullres"' "$tmp/p.json"
for p in ResEncUNet ResEncL ResEncXL torchres ResEncL_torchres ResEncL_torchres_sepz ResEncL_noResampling; do
  $plan --preset $p
  has '"experiment_planner_used":".*ResEnc\|"experiment_planner_used":"nnUNetPlanner_torchres' "$tmp/p.json"
done
cp "$tmp/p.json" "$tmp/before.json"
refused 2 'takes 3 numbers' $plan --spacing 2 1
refused 2 'each more than 0' $plan --spacing 2 0 1
refused 2 'no spacing' $plan --spacing 2 1 x
refused 2 'ResEncL_noResampling' $plan --preset none
refused 2 'too small' $plan --memory-gb 0.000001
refused 2 'file names\|no slash' $plan --plans-name a/b
cmp "$tmp/p.json" "$tmp/before.json" || fail "a refused plan changed the file"

# planning again: a configuration that somebody added stays, and is told
$plan 2> /dev/null
sed -i 's/"configurations": {/&"mine": {"inherits_from": "3d_fullres", "batch_size": 3},/' "$tmp/p.json"
$plan 2> "$tmp/err"
has '"mine":{"inherits_from"' "$tmp/p.json"
grep -q 'mine.*is kept' "$tmp/err" || fail "nothing said about the configuration that stays"
echo '{"a": 1}' > "$tmp/p.json"
refused 3 'no plans file' $plan
has '"a":1' "$tmp/p.json"
rm "$tmp/p.json"

# edited plans: refused by name, or their own data
$plan
sed 's/LeakyReLU/GELU/' "$tmp/p.json" > "$tmp/gelu.json"
refused 6 'GELU' "$SEGFLEET" preprocess "$data" --plans "$tmp/gelu.json" --work "$tmp/w" --configs 2d
[ ! -e "$tmp/w/plans.json" ] || fail "refused plans were taken over"
"$SEGFLEET" preprocess "$data" --plans "$tmp/p.json" --work "$tmp/w" --configs 2d 2> /dev/null
sum=$(sha256sum < "$tmp/w/preprocessed/2d.h5")
"$SEGFLEET" preprocess "$data" --plans "$tmp/p.json" --work "$tmp/w" --configs 2d 2> /dev/null
sed -i 's/ZScoreNormalization/NoNormalization/' "$tmp/w/plans.json"
refused 2 'preprocessed by another plan' "$SEGFLEET" preprocess "$data" --plans "$tmp/w/plans.json" --work "$tmp/w" --configs 2d
[ "$sum" = "$(sha256sum < "$tmp/w/preprocessed/2d.h5")" ] || fail "the data changed"

# run takes the same options, and a work folder keeps them
run="$SEGFLEET run $data --work $tmp/r --configs 2d --num-folds 2 --folds 0 --epochs 1 --iterations 1 --batch-size 1 --threads 1 --no-ensembles"
$run --preset ResEncM --memory-gb 0.1 --spacing 2 2 2 > /dev/null 2>&1 || true
has '"experiment_planner_used":"nnUNetPlannerResEncM"' "$tmp/r/plans.json"
has '"spacing":\[2.0,2.0\]' "$tmp/r/plans.json"
[ -e "$tmp/r/results/2d/fold_0/checkpoint_final.h5" ] || fail "run --preset trained nothing"
cp "$tmp/r/plans.json" "$tmp/kept.json"
for edit in 's/"conv_bias": true/"conv_bias": false/' 's/"batch_dice": true/"batch_dice": false/' 's/ZScoreN/NoN/'; do
  sed -i "$edit" "$tmp/r/plans.json"
  refused 2 'another plan' $run --preset ResEncM --memory-gb 0.1 --spacing 2 2 2
  refused 2 'another plan' "$SEGFLEET" train --work "$tmp/r" --config 2d --fold 1
  cp "$tmp/kept.json" "$tmp/r/plans.json"
done
refused 2 'preset' $run --preset ResEncL --memory-gb 0.1 --spacing 2 2 2
refused 2 'spacing' $run --preset ResEncM --memory-gb 0.1
echo passed
