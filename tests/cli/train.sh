#!/bin/bash
# Options of training: variants beside each other, given splits, validation alone, fine-tuning, and two processes on
# one work folder.
. "$(dirname "$0")/lib.sh"
expect() { # expect CODE TEXT COMMAND...
  code=$1; text=$2; shift 2
  set +e; "$@" > "$tmp/out" 2> "$tmp/err"; got=$?; set -e
  [ $got = "$code" ] || fail "exit code $got instead of $code: $* ($(cat "$tmp/err"))"
  grep -q -e "$text" "$tmp/out" "$tmp/err" || fail "no '$text' from: $* ($(cat "$tmp/out" "$tmp/err"))"
}
seg=$SEGFLEET
"$seg" phantom "$tmp" --cases 4 --extent 16 --seed 5 --2d > /dev/null
data=$tmp/Dataset999_Phantom; work=$tmp/w
short="--configs 2d --epochs 1 --iterations 2 --batch-size 2 --no-ensembles --threads 1"
cat > "$tmp/splits.json" <<'S'
[{"train": ["phantom_000", "phantom_001", "phantom_002"], "val": ["phantom_003"]},
 {"train": ["phantom_001", "phantom_003"], "val": ["phantom_000"]}]
S

# wrong words bind no work folder
expect 2 'known: .*momentum09' "$seg" run "$data" --work "$work" $short --variant nosuch
echo '{"name": "mine", "train": {"lrr": 1}}' > "$tmp/bad.json"
expect 2 'does not exist' "$seg" run "$data" --work "$work" $short --splits "$tmp/nosuch.json"
[ ! -e "$work" ] || fail "a wrong option made the work folder"
expect 0 'no_deep_supervision .*full resolution' "$seg" help run
expect 0 'three_convs ' "$seg" help train

# given splits; a second run keeps to them
expect 0 'chosen: 2d' "$seg" run "$data" --work "$work" $short --splits "$tmp/splits.json"
cmp "$work/splits_final.json" "$tmp/splits.json" || fail "the splits are not the given ones"
[ "$(ls "$work"/results/2d/fold_1/validation/*.png)" = "$work/results/2d/fold_1/validation/phantom_000.png" ] || fail "fold 1 validates others"
expect 2 'splits' "$seg" run "$data" --work "$work" $short
sed -i 's/"phantom_002"\]/"phantom_002", "phantom_009"]/' "$tmp/splits.json"
expect 2 'splits.json differs' "$seg" run "$data" --work "$work" $short --splits "$tmp/splits.json"
expect 3 'phantom_009' "$seg" run "$data" --work "$tmp/x" $short --splits "$tmp/splits.json"

# variants beside each other in one work folder, each a model folder of its own
train="$seg train --work $work --config 2d"
plain=$("$seg" info --hash "$work/results/2d/fold_0/checkpoint_final.h5")
for v in three_convs no_da only_mirror_01; do
  expect 0 '' $train --fold 0 --variant $v
  model=$work/results/2d/${v}_seed_0
  [ "$("$seg" info --hash "$model/fold_0/checkpoint_final.h5")" != "$plain" ] || fail "$v trained the plain network"
  expect 0 '1 cases segmented' "$seg" predict -m "$model" -i "$data/imagesTs" -o "$tmp/$v" --threads 1
done
[ "$("$seg" info --hash "$work/results/2d/fold_0/checkpoint_final.h5")" = "$plain" ] || fail "a variant touched the plain training"
"$seg" info "$work/results/2d/three_convs_seed_0/fold_0/checkpoint_final.h5" | grep -q '"variant": "three_convs"' || fail "the checkpoint does not say its variant"
tr -d ' \n' < "$work/results/2d/no_da_seed_0/model.json" | grep -q '"mirror_axes":\[false,false,false\]' || fail "no_da mirrors in inference"
tr -d ' \n' < "$work/results/2d/only_mirror_01_seed_0/model.json" | grep -q '"mirror_axes":\[false,true,false\]' || fail "only_mirror_01 mirrors along other axes"
expect 0 '1 cases' "$seg" accumulate --work "$work" --config 2d --folds 0 --variant no_da -o "$tmp/cv"
cmp "$work/results/2d/no_da_seed_0/fold_0/validation/phantom_003.png" "$tmp/cv/phantom_003.png" || fail "accumulate took others"
expect 3 'lrr' $train --fold 0 --variant "$tmp/bad.json"
echo '{"name": "mine", "train": {"lr": 0.1}}' > "$tmp/mine.json"
expect 0 '' $train --fold 0 --variant "$tmp/mine.json"
echo '{"name": "mine", "train": {"lr": 0.2}}' > "$tmp/mine.json"
expect 2 'another name' $train --fold 1 --variant "$tmp/mine.json"

# a whole run under a variant; its bits do not depend on ranks
variant="--variant no_deep_supervision"
expect 0 'chosen: 2d' "$seg" run "$data" --work "$tmp/v" $short $variant --num-folds 2
[ -e "$tmp/v/results/2d/no_deep_supervision_seed_0/crossval_results_folds_0_1/summary.json" ] || fail "no summary of the variant"
[ ! -e "$tmp/v/results/2d/fold_0" ] || fail "a variant wrote into the plain folder"
expect 2 '--variant' "$seg" run "$data" --work "$tmp/v" $short --num-folds 2
expect 0 'chosen: 2d' "$seg" select --work "$tmp/v" --no-ensembles
if [ -n "$MPIRUN" ]; then
  ranks 2 "$seg" run "$data" --work "$tmp/v2" $short $variant --num-folds 2 > /dev/null
  same_bits "$tmp/v" "$tmp/v2"
fi

# a cascade under a variant, with regions and an ignore label: both stages are the variant's, also in inference
"$seg" phantom "$tmp/c" --cases 4 --extent 24 --seed 3 --regions --ignore > /dev/null
expect 0 'chosen: 3d_cascade_fullres' "$seg" run "$tmp/c/Dataset999_Phantom" --work "$tmp/cw" --configs 3d_cascade_fullres $variant \
  --memory-gb 0.005 --num-folds 2 --epochs 1 --iterations 2 --batch-size 2 --no-mirroring --threads 1
[ -z "$(ls -d "$tmp/cw"/results/*/fold_* 2> /dev/null)" ] || fail "a stage of the cascade is not the variant's"
expect 0 'segmented' "$seg" predict -m "$tmp/cw/results/3d_cascade_fullres/no_deep_supervision_seed_0" -i "$tmp/c/Dataset999_Phantom/imagesTs" -o "$tmp/cp" --threads 1
cmp "$tmp/cp/phantom_000.nii.gz" "$tmp/cw/predictions/phantom_000.nii.gz" || fail "predict and run differ"

# validation alone, from the final and from the best weights; fold all; fine-tuning
fold=$work/results/2d/fold_0
sha256sum "$fold/validation/phantom_003.png" "$fold/validation/summary.json" > "$tmp/sums"
rm "$fold/validation/phantom_003.png"
expect 0 'validated' $train --fold 0 --val
sha256sum -c --quiet "$tmp/sums" || fail "--val gives other files"
if [ -n "$MPIRUN" ]; then
  ranks 2 $train --fold 0 --val > /dev/null 2>&1 || fail "--val on two ranks"
  sha256sum -c --quiet "$tmp/sums" || fail "--val on two ranks gives other files"
fi
expect 0 'validated' $train --fold 0 --val-best
[ -e "$fold/validation_best/summary.json" ] || fail "no validation_best"
expect 2 'train this fold before' $train --fold all --val
expect 2 'exclude each other' $train --fold 0 --val --val-best
expect 0 'cases=4' $train --fold all --pretrained "$fold/checkpoint_final.h5"
expect 0 'cases segmented' "$seg" predict -m "$work/results/2d" -i "$data/imagesTs" -o "$tmp/fa" --folds fold_all --threads 1
expect 0 '4 cases' "$seg" accumulate --work "$work" --config 2d --folds fold_all -o "$tmp/cva"
cmp "$tmp/cva/phantom_000.png" "$work/results/2d/fold_all/validation/phantom_000.png" || fail "accumulate of fold all"
expect 3 'seg_layers\|has shape\|is missing' $train --fold 1 --variant three_convs --pretrained "$fold/checkpoint_final.h5"
expect 0 'validated' $train --fold 1 --variant no_da --disable-checkpointing
[ -z "$(ls "$work"/results/2d/no_da_seed_0/fold_1/*.h5 2> /dev/null)" ] || fail "checkpoints were written"

# a recipe of one's own, step by step: later commands take it from the plans
sed 's/"name": "paper"/"name": "own"/; s/"lr": 0.01/"lr": 0.02/' "$RECIPES/paper.json" > "$tmp/own.json"
expect 0 '' "$seg" plan "$data" --recipe "$tmp/own.json" -o "$tmp/own_plans.json"
expect 0 '' "$seg" preprocess "$data" --plans "$tmp/own_plans.json" --work "$tmp/o" --splits "$work/splits_final.json"
cmp "$tmp/o/splits_final.json" "$work/splits_final.json" || fail "preprocess made other splits"
expect 0 'lr=0.02' "$seg" train --work "$tmp/o" --config 2d --fold 0 --epochs 1 --iterations 1 --batch-size 2 --threads 1

# two processes: the folder or the fold is in use, named with the process; after a kill it is free
long="--epochs 1000 --iterations 50 --batch-size 2 --threads 1"
"$seg" train --work "$work" --config 2d --fold 5 $long > /dev/null 2> "$tmp/log" &
pid=$!
for i in $(seq 200); do [ -e "$work/results/2d/fold_5/training.log" ] && break; sleep 0.05; done
expect 2 "fold_5 is in use by process $pid:" $train --fold 5
expect 2 "work folder .* is in use by process $pid:" "$seg" run "$data" --work "$work" $short --splits "$work/splits_final.json"
expect 2 'in use' "$seg" select --work "$work"
expect 0 'validated' $train --fold 6
kill -9 $pid; wait $pid 2> /dev/null || true
expect 0 'validated' $train --fold 5
# precision: kept by the work folder and by a training, told by the run, and free for a prediction
expect 2 '--precision must be fp32 or bf16' "$seg" run "$data" --work "$tmp/bf" $short --precision fp16
[ ! -e "$tmp/bf" ] || fail "a wrong precision made the work folder"
expect 0 'run ranks=.* precision=bf16' "$seg" run "$data" --work "$tmp/bf" $short --num-folds 2 --precision bf16
grep -q '"precision": "bf16"' "$tmp/bf/run.json" || fail "run.json does not say the precision"
expect 2 'another --precision' "$seg" run "$data" --work "$tmp/bf" $short --num-folds 2
expect 2 "another 'precision'" "$seg" train --work "$tmp/bf" --config 2d --fold 0 --precision fp32
expect 0 'chosen: 2d' "$seg" run "$data" --work "$tmp/bf" $short --num-folds 2 --precision bf16
for p in bf16 fp32; do
  expect 0 'cases segmented' "$seg" predict -m "$tmp/bf/results/2d" -i "$data/imagesTs" -o "$tmp/bf_$p" --threads 1 --precision $p --save-probabilities
done
expect 0 '' "$seg" apply-postprocessing --pred "$tmp/bf_bf16" --postprocessing "$tmp/bf/postprocessing.json" --dataset-json "$data/dataset.json" -o "$tmp/bf_pp"
for f in "$tmp"/bf/predictions/*.png; do cmp "$f" "$tmp/bf_pp/${f##*/}" || fail "predict and run differ in bf16"; done
cmp -s "$tmp"/bf_bf16/phantom_*.npz "$tmp"/bf_fp32/phantom_*.npz && fail "the precision of a prediction is not used"
grep -rq '"precision": "bf16"' "$tmp/bf_bf16"/*.json || fail "the prediction does not say its precision"
echo passed
