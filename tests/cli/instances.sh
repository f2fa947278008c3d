#!/bin/bash
# Objects as core and border and back, on folders of any format.
. "$(dirname "$0")/lib.sh"
expect() { # expect CODE TEXT COMMAND...
  code=$1; text=$2; shift 2
  set +e; "$@" > "$tmp/out" 2> "$tmp/err"; got=$?; set -e
  [ $got = "$code" ] || fail "exit code $got instead of $code: $* ($(cat "$tmp/err"))"
  grep -q -e "$text" "$tmp/out" "$tmp/err" || fail "no '$text' from: $* ($(cat "$tmp/out" "$tmp/err"))"
}
seg=$SEGFLEET
for kind in --2d --anisotropic; do
  "$seg" phantom "$tmp/$kind" --cases 3 --extent 40 --seed 2 $kind > /dev/null
  labels=$tmp/$kind/Dataset999_Phantom/labelsTr
  # the phantom's classes as objects: 1 and 2 come apart, and every object voxel is in one again
  expect 0 '3 label images' "$seg" instances to-classes -i "$labels" -o "$tmp/$kind/classes" --border 1
  expect 0 '3 label images in .*: [1-9][0-9]* objects' "$seg" instances to-instances -i "$tmp/$kind/classes" -o "$tmp/$kind/back" --min-core 0 --min-border 1
  [ "$(ls "$labels")" = "$(ls "$tmp/$kind/back")" ] || fail "other names in $tmp/$kind/back"
  expect 2 'also an input' "$seg" instances to-classes -i "$labels" -o "$labels" --border 1
done
flat=$tmp/--2d; labels=$flat/Dataset999_Phantom/labelsTr
expect 2 'half a voxel' "$seg" instances to-classes -i "$labels" -o "$tmp/x" --border 0.3
expect 0 '3 label' "$seg" instances to-classes -i "$labels" -o "$tmp/y" --border 0.3 --spacing 1,0.3,0.3
for f in "$tmp/y"/*; do cmp "$f" "$flat/classes/$(basename "$f")" || fail "--spacing"; done
expect 2 'spacing' "$seg" instances to-classes -i "$labels" -o "$tmp/x" --border 0.3 --spacing 1,0.3
expect 2 'border is needed by' "$seg" instances to-classes -i "$labels" -o "$tmp/x"
expect 2 'neither' "$seg" instances to-cells -i "$labels" -o "$tmp/x"
expect 2 'border is needed by' "$seg" instances to-instances -i "$labels" -o "$tmp/x" --border 1
mkdir "$tmp/empty" "$tmp/wrong"; echo '{}' > "$tmp/empty/dataset.json"
expect 3 'no label image' "$seg" instances to-instances -i "$tmp/empty" -o "$tmp/x"
cp "$flat/Dataset999_Phantom/imagesTr/phantom_001_0000.png" "$tmp/wrong/a.png"
expect 3 'a.png.*only 0, 1 = core and 2 = border' "$seg" instances to-instances -i "$tmp/wrong" -o "$tmp/x"
[ -z "$(ls -A "$tmp/x" 2> /dev/null)" ] || fail "a refused call left files: $(ls "$tmp/x")"
echo passed
