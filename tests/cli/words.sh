#!/bin/bash
# Options, help and exit codes: bad input gets one clear error and leaves nothing behind.
. "$(dirname "$0")/lib.sh"
expect() { # expect CODE TEXT COMMAND...
  code=$1; text=$2; shift 2
  set +e; "$@" > "$tmp/out" 2> "$tmp/err"; got=$?; set -e
  [ $got = "$code" ] || fail "exit code $got instead of $code: $* ($(cat "$tmp/err"))"
  grep -q -e "$text" "$tmp/out" "$tmp/err" || fail "no '$text' from: $* ($(cat "$tmp/err"))"
}
expect 0 'usage: segfleet COMMAND' "$SEGFLEET" --help
expect 2 'unknown command' "$SEGFLEET" frobnicate
for c in $("$SEGFLEET" --help | awk '/^  [a-z]/ { print $1 }'); do
  expect 0 "segfleet $c" "$SEGFLEET" $c --help
  expect 0 "segfleet $c" "$SEGFLEET" help $c
  expect 2 'no-such-option' "$SEGFLEET" $c --no-such-option
done
expect 2 'DATASET' "$SEGFLEET" verify
expect 2 'give --work' "$SEGFLEET" run "$tmp"
for n in epochs iterations batch-size threads memory-gb; do
  expect 2 "$n must be greater than 0" "$SEGFLEET" run "$tmp" --work "$tmp/w" --$n 0
done
expect 2 'extra' "$SEGFLEET" phantom "$tmp/p" extra
expect 0 'Dataset999_Phantom' "$SEGFLEET" phantom "$tmp/p" --cases 3 --extent 16
expect 2 'exists already' "$SEGFLEET" phantom "$tmp/p" --cases 3
data=$tmp/p/Dataset999_Phantom
expect 0 'no problem found' "$SEGFLEET" verify "$data"
expect 0 '' "$SEGFLEET" fingerprint "$data" -o "$tmp/f.json"
expect 0 'patch' "$SEGFLEET" plan --fingerprint "$tmp/f.json" --dataset-json "$data/dataset.json" --explain -o "$tmp/plans.json"
expect 0 'configurations' "$SEGFLEET" info "$tmp/plans.json"
b="--plans $tmp/plans.json --dataset-json $data/dataset.json --config 2d --batch 1 --threads 1 --repeat 1"
expect 0 'GFLOP/s' "$SEGFLEET" bench step $b
expect 0 'grad-weight' "$SEGFLEET" bench layers $b --json "$tmp/layers.json"
grep -q '"direction": "grad-input"' "$tmp/layers.json" || fail "bench layers: no gradient of an input in its JSON"
expect 2 'none of step' "$SEGFLEET" bench sleep $b
expect 2 'run.json' "$SEGFLEET" train --work "$tmp/nowhere" --config 2d --fold 0
expect 2 'recipe' "$SEGFLEET" plan "$data" --recipe nosuch -o "$tmp/x.json"
[ ! -e "$tmp/x.json" ] || fail "a failed plan left a file"

truncate -s 100 "$data/imagesTr/phantom_001_0000.nii.gz"
expect 3 'phantom_001' "$SEGFLEET" verify "$data"
expect 3 'phantom_001' "$SEGFLEET" fingerprint "$data" -o "$tmp/g.json"
[ ! -e "$tmp/g.json" ] || fail "a failed fingerprint left a file"
rm "$data/imagesTr/phantom_001_0000.nii.gz"
expect 3 'phantom_001' "$SEGFLEET" run "$data" --work "$tmp/w"
expect 2 'no such dataset folder' "$SEGFLEET" run "$tmp/absent" --work "$tmp/w"
expect 4 'not a file' "$SEGFLEET" info "$tmp/absent"

# numbers and names of datasets
expect 2 'nnUNet_raw' "$SEGFLEET" verify 999
expect 3 'phantom_001' env nnUNet_raw="$tmp/p" "$SEGFLEET" verify 999
expect 3 'phantom_001' env nnUNet_raw="$tmp/p" "$SEGFLEET" fingerprint Dataset999_Phantom -o "$tmp/g.json"
expect 3 'phantom_001' env nnUNet_raw="$tmp/p" nnUNet_results="$tmp/r" "$SEGFLEET" run 999
mkdir "$tmp/p/Dataset999_Twin"
expect 3 'Dataset999_Phantom, Dataset999_Twin' env nnUNet_raw="$tmp/p" "$SEGFLEET" verify 999

# convert
expect 0 '1 file' "$SEGFLEET" convert "$data/imagesTr/phantom_000_0000.nii.gz" "$tmp/x.mha"
expect 2 'is there already' "$SEGFLEET" convert "$data/imagesTr/phantom_000_0000.nii.gz" "$tmp/x.mha"
expect 2 'three positive numbers' "$SEGFLEET" convert "$tmp/x.mha" "$tmp/y.nrrd" --spacing 1,2
expect 0 '1 file' "$SEGFLEET" convert "$tmp/x.mha" "$tmp/y.nrrd" --spacing 3,2,1
grep -a -q 'space directions: (-1,0,0) (0,-2,0) (0,0,3)' "$tmp/y.nrrd" || fail "spacing in y.nrrd"
expect 2 'give OUT' "$SEGFLEET" convert "$tmp/x.mha"
expect 2 'already' "$SEGFLEET" convert "$data" "$tmp/q"
expect 2 'id is for datasets' "$SEGFLEET" convert "$tmp/x.mha" "$tmp/z.mha" --id 3
expect 6 'dcm2niix' "$SEGFLEET" convert "$tmp/a.dcm" "$tmp/z.mha"
expect 6 'not supported' "$SEGFLEET" convert "$tmp/x.mha" "$tmp/z.bmp"
echo passed
