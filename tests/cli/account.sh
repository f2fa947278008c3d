#!/bin/bash
# What a run tells about itself: its memory before it trains, where it runs, and where its time went.
# usage: account.sh [ON: a build whose own memory is not that of the program]
. "$(dirname "$0")/lib.sh"
seg=$SEGFLEET; sanitized=${1:-OFF}
value() { sed -n "s/.* $2 .*\b$3=\"\?\([^ \"]*\).*/\1/p" "$1" | head -1; } # value FILE EVENT KEY
close() { # close WHAT FORETOLD MEASURED: within 3 % and what a process has beside its arrays
  [ "$sanitized" != ON ] || return 0
  awk -v a="$2" -v b="$3" 'BEGIN { d = a - b; if (d < 0) d = -d; exit !(a > 0 && b > 0 && d <= 0.03 * b + 6) }' ||
    fail "$1: $2 MiB foretold, $3 MiB measured"
}
"$seg" phantom "$tmp" --cases 3 --extent 48 --seed 5 > /dev/null
data=$tmp/Dataset999_Phantom
options="--configs 3d_fullres --memory-gb 0.05 --epochs 1 --iterations 2 --batch-size 2 --num-folds 2 --no-mirroring --threads 1"

# memory: one training by itself, so that nothing before it took more
"$seg" plan "$data" --memory-gb 0.25 -o "$tmp/plans.json" > /dev/null 2>&1
"$seg" preprocess "$data" --plans "$tmp/plans.json" --work "$tmp/t" > /dev/null 2>&1
"$seg" train --work "$tmp/t" --config 3d_fullres --fold 0 --epochs 1 --iterations 2 --no-mirroring --threads 1 2> "$tmp/log" || fail "$(cat "$tmp/log")"
foretold=$(value "$tmp/log" memory peak_mib) measured=$(value "$tmp/log" memory measured_mib)
awk -v a="$foretold" 'BEGIN { exit !(a > 100) }' || fail "only $foretold MiB foretold: too small to say anything"
[ ! -r /proc/self/status ] || close training "$foretold" "$measured"
[ "$(grep -n ' memory peak_mib' "$tmp/log" | cut -d: -f1)" -lt "$(grep -n ' epoch cfg' "$tmp/log" | cut -d: -f1)" ] || fail "memory is told after the first epoch"
"$seg" bench step -p "$tmp/plans.json" -d "$data/dataset.json" -c 3d_fullres --repeat 1 --threads 1 --json "$tmp/step.json" > /dev/null
mib() { sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" "$tmp/step.json" | awk '{ print $1 / 1048576 }'; }
[ ! -r /proc/self/status ] || close "bench step" "$(mib peak_bytes)" "$(mib measured_peak_bytes)"

# the same in bfloat16: foretold as well, and less
full=$foretold full_step=$(mib peak_bytes) full_validation=$(value "$tmp/log" memory validation_mib)
"$seg" train --work "$tmp/t" --config 3d_fullres --fold 1 --epochs 1 --iterations 2 --no-mirroring --threads 1 --precision bf16 2> "$tmp/log" || fail "$(cat "$tmp/log")"
grep -q ' network .* precision=bf16' "$tmp/log" || fail "the training does not tell its precision"
foretold=$(value "$tmp/log" memory peak_mib) measured=$(value "$tmp/log" memory measured_mib)
[ ! -r /proc/self/status ] || close "training in bf16" "$foretold" "$measured"
awk -v a="$(value "$tmp/log" memory validation_mib)" -v b="$full_validation" 'BEGIN { exit !(a < b - 1) }' || fail "validation does not use the precision"
awk -v a="$foretold" -v b="$full" 'BEGIN { exit !(a < 0.85 * b) }' || fail "$foretold MiB in bf16, $full in fp32"
"$seg" bench step -p "$tmp/plans.json" -d "$data/dataset.json" -c 3d_fullres --repeat 1 --threads 1 --precision bf16 --json "$tmp/step.json" > /dev/null
[ ! -r /proc/self/status ] || close "bench step in bf16" "$(mib peak_bytes)" "$(mib measured_peak_bytes)"
awk -v a="$(mib peak_bytes)" -v b="$full_step" 'BEGIN { exit !(a < 0.75 * b) }' || fail "$(mib peak_bytes) MiB of a step in bf16, $full_step in fp32"

# header and stages of a run, on two ranks where there is MPI
n=1; start="env"
if [ -n "$MPIRUN" ]; then n=2; start="ranks 2"; fi
$start "$seg" run "$data" --work "$tmp/w" $options > /dev/null 2> "$tmp/log" || fail "$(cat "$tmp/log")"
[ "$(value "$tmp/log" run ranks)" = $n ] || fail "the header does not tell the ranks"
[ "$(value "$tmp/log" run precision)" = fp32 ] || fail "the header does not tell the precision"
[ "$(value "$tmp/log" host threads)" = 1 ] || fail "the header does not tell the threads"
grep -q " host name=$(uname -n)" "$tmp/log" || fail "the header does not tell the host"
cpus=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status 2> /dev/null || true)
[ -z "$cpus" ] || [ $n = 1 ] || grep -q "binding=\"r0:$cpus r1:$cpus\"" "$tmp/log" || fail "the header does not tell the binding"
if [ -r /sys/devices/system/node/node0/cpulist ]; then
  grep -q "numa=\"0:$(cat /sys/devices/system/node/node0/cpulist)" "$tmp/log" || fail "the header does not tell the NUMA nodes"
fi
grep ' stage name=' "$tmp/log" > "$tmp/stages"
awk -v n=$n '
  function of(key,   i) { for (i = 1; i <= NF; i++) if (index($i, key "=") == 1) return substr($i, length(key) + 2); return "" }
  FILENAME ~ /stages$/ {
    name = of("name"); mean[name] = of("mean") + 0; percent[name] = of("percent")
    if (name != "other" && !(of("min") + 0 <= of("mean") + 0.001 && of("mean") + 0 <= of("max") + 0.001)) { print name ": min, mean, max"; bad = 1 }
    if (name != "augment") { sum += mean[name]; all += percent[name] }
    if (name != "augment" && name != "other" && mean[name] > top) { top = mean[name]; longest = name }
    next
  }
  / bottleneck stage=/ { wall = of("wall"); told = of("stage"); ranks = of("ranks") }
  END {
    split("augment forward backward optimiser checkpoint predict preprocess select", must, " ")
    for (i in must) if (!(mean[must[i]] > 0)) { print "no seconds in " must[i]; bad = 1 }
    split("read wait loss reduce validate write idle", there, " ")
    for (i in there) if (!(there[i] in mean) && !(there[i] == "idle" && n == 1)) { print "no stage " there[i]; bad = 1 }
    if (mean["other"] < -0.01) { print "stages take longer than the run: other " mean["other"]; bad = 1 }
    if (sum > wall + 0.02 || sum < wall - 0.02) { print "stages are " sum " s of " wall; bad = 1 }
    if (all < 98 || all > 102) { print "percents add up to " all; bad = 1 }
    if (told != longest || ranks != n) { print "bottleneck " told " instead of " longest; bad = 1 }
    exit bad
  }' "$tmp/stages" "$tmp/log" > "$tmp/why" || fail "$(cat "$tmp/why") in: $(cat "$tmp/stages")"
echo passed
