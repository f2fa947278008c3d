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
for c in run verify fingerprint plan preprocess train select predict ensemble accumulate determine-postprocessing apply-postprocessing evaluate phantom instances info; do
  expect 0 "segfleet $c" "$SEGFLEET" $c --help
  expect 0 "segfleet $c" "$SEGFLEET" help $c
  expect 2 'no-such-option' "$SEGFLEET" $c --no-such-option
done
expect 2 'DATASET' "$SEGFLEET" verify
expect 2 'missing option --work' "$SEGFLEET" run "$tmp"
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
expect 2 'run.json' "$SEGFLEET" train --work "$tmp/nowhere" --config 2d --fold 0
expect 2 'recipe' "$SEGFLEET" plan "$data" --recipe nosuch -o "$tmp/x.json"
[ ! -e "$tmp/x.json" ] || fail "a failed plan left a file"

truncate -s 100 "$data/imagesTr/phantom_001_0000.nii.gz"
expect 3 'phantom_001' "$SEGFLEET" verify "$data"
expect 3 'phantom_001' "$SEGFLEET" fingerprint "$data" -o "$tmp/g.json"
[ ! -e "$tmp/g.json" ] || fail "a failed fingerprint left a file"
rm "$data/imagesTr/phantom_001_0000.nii.gz"
expect 3 'phantom_001' "$SEGFLEET" run "$data" --work "$tmp/w"
expect 2 'does not exist' "$SEGFLEET" run "$tmp/absent" --work "$tmp/w"
expect 4 'not a file' "$SEGFLEET" info "$tmp/absent"
echo passed
