#!/bin/bash
# One dataset in four formats: the same weights, and predictions in the input's format with the same voxels.
. "$(dirname "$0")/lib.sh"
"$SEGFLEET" phantom "$tmp/p" --cases 4 --extent 16 --anisotropic > /dev/null
from=$tmp/p/Dataset999_Phantom
export nnUNet_raw=$tmp/raw nnUNet_results=$tmp/results

as() { # as ENDING NUMBER: the dataset in another format
  to=$nnUNet_raw/Dataset$2_Phantom
  mkdir -p "$to/imagesTr" "$to/labelsTr" "$to/imagesTs" "$to/labelsTs"
  for f in "$from"/*T[rs]/*.nii.gz; do
    o=${f#"$from"/}
    "$SEGFLEET" convert "$f" "$to/${o%.nii.gz}$1" > /dev/null
  done
  sed "s/\.nii\.gz/$1/" "$from/dataset.json" > "$to/dataset.json"
}

n=0
for ending in .nii .nrrd .mhd .tif; do
  n=$((n + 1))
  as $ending 00$n
  "$SEGFLEET" run $n -c 2d --num-folds 2 --epochs 1 --iterations 1 --batch-size 2 > "$tmp/log" 2>&1 || fail "run of $ending: $(tail -n 3 "$tmp/log")"
  w=$nnUNet_results/Dataset00${n}_Phantom/segfleet
  "$SEGFLEET" info --hash "$w/results/2d/fold_0/checkpoint_final.h5" >> "$tmp/hashes"
  "$SEGFLEET" predict -m "$w/results/2d" -i "$nnUNet_raw/Dataset00${n}_Phantom/imagesTs" -o "$tmp/out$ending" > /dev/null 2>&1 || fail "predict $ending"
  "$SEGFLEET" convert "$tmp/out$ending/phantom_000$ending" "$tmp/back_$n.nrrd" > /dev/null
  "$SEGFLEET" accumulate -w "$w" -c 2d -o "$tmp/all$ending" > /dev/null 2>&1 || fail "accumulate $ending"
  "$SEGFLEET" convert "$tmp/all$ending/phantom_000$ending" "$tmp/all_$n.nrrd" > /dev/null
done
[ "$(sort -u "$tmp/hashes" | wc -l)" = 1 ] || fail "other weights: $(cat "$tmp/hashes")"
[ -e "$tmp/out.tif/phantom_000.json" ] && [ -e "$tmp/all.tif/phantom_000.json" ] || fail "no spacing file beside a TIFF"
grep -q 'ElementSpacing = 1 1 5' "$tmp/out.mhd/phantom_000.mhd" || fail "spacing in .mhd"
# positions are the same but for TIFF, which has none
for i in 2 3; do
  cmp "$tmp/back_1.nrrd" "$tmp/back_$i.nrrd" || fail "other predictions"
  cmp "$tmp/all_1.nrrd" "$tmp/all_$i.nrrd" || fail "other validation segmentations"
done
voxels() { "$SEGFLEET" info "$1" | sed 's/.*shape/shape/'; }
[ "$(voxels "$tmp/back_4.nrrd")" = "$(voxels "$tmp/back_1.nrrd")" ] || fail "other voxels in the TIFF"
echo passed
