#!/bin/bash
# What lies around the network: its benches, threads by affinity, and the wait for batches in the log.
. "$(dirname "$0")/lib.sh"
"$SEGFLEET" phantom "$tmp" --cases 3 --extent 16 --seed 2 > /dev/null
data=$tmp/Dataset999_Phantom
"$SEGFLEET" plan "$data" -o "$tmp/plans.json" > /dev/null 2>&1

augment() { "$SEGFLEET" bench augment -p "$tmp/plans.json" -d "$data/dataset.json" -c 3d_fullres -n 12 "$@"; }
augment -t 1 --json "$tmp/a.json" > "$tmp/a1" || fail "bench augment"
for word in spatial noise blur brightness contrast low_resolution gamma_inverted gamma finish; do
  grep -q "^| $word " "$tmp/a1" || fail "no $word in the table"
  grep -q "\"$word\":" "$tmp/a.json" || fail "no $word in the file"
done
grep -q '"cpu_seconds_per_patch"' "$tmp/a.json" || fail "no cpu_seconds_per_patch"
augment -t 3 > "$tmp/a3"
augment -t 1 -r nnunetv2 > "$tmp/v2"
hash() { grep -o 'hash [0-9a-f]*' "$1"; }
[ "$(hash "$tmp/a1")" = "$(hash "$tmp/a3")" ] || fail "patches depend on the number of threads"
[ "$(hash "$tmp/a1")" != "$(hash "$tmp/v2")" ] || fail "the recipe changes nothing"
for isa in ref avx2; do
  SEGFLEET_ISA=$isa augment -t 1 > "$tmp/isa" 2> /dev/null
  [ "$(hash "$tmp/a1")" = "$(hash "$tmp/isa")" ] || fail "patches depend on the instruction set ($isa)"
done

"$SEGFLEET" bench preprocess "$data" -p "$tmp/plans.json" -c 2d -t 1 --json "$tmp/p.json" > "$tmp/p" 2> /dev/null
for word in read crop normalize resample labels locations write; do
  grep -q "^| $word " "$tmp/p" || fail "no $word in the table"
done
grep -q '"cases": 3' "$tmp/p.json" || fail "not all cases were preprocessed"
grep -q '"bytes_read": 0' "$tmp/p.json" && fail "nothing was read"

taskset -c 0 "$SEGFLEET" run "$data" --work "$tmp/w" --configs 2d --num-folds 2 --folds 0 --epochs 2 --iterations 2 \
  --batch-size 2 --threads 64 --no-mirroring > /dev/null 2> "$tmp/log" || fail "run: $(tail -3 "$tmp/log")"
grep -q 'asked=64 processors=1 using=1' "$tmp/log" || fail "64 threads on one processor"
grep -q 'using=1 affinity=1 quota=' "$tmp/log" || fail "no line with threads, affinity and quota"
[ "$(grep -c ' epoch=.* wait=' "$tmp/log")" = 2 ] || fail "an epoch does not say how long it waited"
[ "$(grep -c '"wait": *[0-9]' "$tmp/w/results/2d/fold_0/history.jsonl")" = 2 ] || fail "no wait in history.jsonl"
echo passed
