#!/bin/bash
# segfleet estimate: the same answer twice, a job script that bash and sbatch can read, clear refusals.
. "$(dirname "$0")/lib.sh"
refused() { # refused TEXT WORDS...
  text=$1; shift
  set +e; "$SEGFLEET" estimate "$@" > "$tmp/out" 2> "$tmp/err"; got=$?; set -e
  [ $got = 2 ] || fail "exit code $got instead of 2: estimate $*"
  grep -q -e "$text" "$tmp/err" || fail "no '$text': $(cat "$tmp/err")"
}
"$SEGFLEET" phantom "$tmp/p" --cases 4 --extent 24 > /dev/null
data=$tmp/p/Dataset999_Phantom
"$SEGFLEET" plan "$data" -o "$tmp/plans.json" > /dev/null 2>&1
plan="--plans $tmp/plans.json --dataset-json $data/dataset.json"

# from the plans and from the dataset itself; a given rate makes it the same on any machine
size="--nodes 2 --ranks-per-node 2 --cores-per-rank 4 --gflops 20 --folds 2 --epochs 3"
"$SEGFLEET" estimate $plan $size --json "$tmp/a.json" > "$tmp/a" 2> /dev/null
"$SEGFLEET" estimate "$data" $size --json "$tmp/b.json" > "$tmp/b" 2> /dev/null
grep -q '^| 3d_fullres' "$tmp/a" || fail "no row of 3d_fullres: $(cat "$tmp/a")"
grep -q 'node-hours' "$tmp/a" || fail "no node-hours"
diff "$tmp/a" "$tmp/b" || fail "plans and dataset differ"
cmp "$tmp/a.json" "$tmp/b.json" || fail "their JSON differs"
# twice the rate, half the time
seconds() { sed -n 's/.*"seconds_per_step": \([0-9.e-]*\).*/\1/p' "$1" | head -1; }
"$SEGFLEET" estimate $plan $size --json "$tmp/c.json" > /dev/null
"$SEGFLEET" estimate $plan ${size/20/40} --json "$tmp/d.json" > /dev/null
awk -v a="$(seconds "$tmp/c.json")" -v b="$(seconds "$tmp/d.json")" 'BEGIN { exit !(a > 0 && a / b > 1.999 && a / b < 2.001) }' ||
  fail "$(seconds "$tmp/c.json") s, then $(seconds "$tmp/d.json") s"
# without one: a measured step
"$SEGFLEET" estimate $plan --configs 2d --cores-per-rank 1 > "$tmp/m"
grep -q '^| 2d' "$tmp/m" || fail "no row of 2d"

# the job script alone on standard output, or in a file beside the table
"$SEGFLEET" estimate "$data" $size --sbatch --work "$tmp/w" > "$tmp/job" 2> /dev/null
bash -n "$tmp/job" || fail "bash does not read the job script"
head -1 "$tmp/job" | grep -q '^#!/bin/bash' || fail "first line of the job script"
for d in 'nodes=2' 'ntasks-per-node=2' 'cpus-per-task=4' 'mem=[0-9]*M' 'time=[0-9]*:[0-9]*:00' 'signal=USR1@300' 'requeue'; do
  [ "$(grep -c "^#SBATCH --$d\$" "$tmp/job")" = 1 ] || fail "#SBATCH --$d is not there once"
done
# run it with an srun that tells its words and ends as a stopped run does
mkdir "$tmp/bin"
printf '#!/bin/bash\nprintf "%%s\\n" "$@" > "%s/srun.words"\nexit 75\n' "$tmp" > "$tmp/bin/srun"
printf '#!/bin/bash\necho "$@" > "%s/scontrol.words"\n' "$tmp" > "$tmp/bin/scontrol"
chmod +x "$tmp/bin/srun" "$tmp/bin/scontrol"
set +e; PATH=$tmp/bin:$PATH SLURM_JOB_ID=17 bash "$tmp/job" > /dev/null; got=$?; set -e
[ $got = 75 ] || fail "the job script ends with $got instead of 75"
grep -qx 'requeue 17' "$tmp/scontrol.words" || fail "no requeue"
for word in run "$data" --work "$tmp/w" --epochs 3; do
  grep -qxF -e "$word" "$tmp/srun.words" || fail "srun does not get $word"
done
"$SEGFLEET" estimate $plan $size --sbatch -o "$tmp/job2" | grep -q 'node-hours' || fail "no table beside the file"
bash -n "$tmp/job2" || fail "bash does not read the job script"

# the files of slurm/
slurm=$RECIPES/../../slurm
for f in "$slurm"/*.sbatch "$slurm"/*.sh; do bash -n "$f" || fail "$f"; done
printf '#!/bin/bash\nn=$(cat "%s/n" 2> /dev/null || echo 100)\necho $((n + 1)) > "%s/n"\necho "$@" >> "%s/sbatch.words"\necho "$n;cluster"\n' \
  "$tmp" "$tmp" "$tmp" > "$tmp/bin/sbatch"
chmod +x "$tmp/bin/sbatch"
[ "$(PATH=$tmp/bin:$PATH "$slurm/chain.sh" 3 --nodes=2 job.sbatch data work | tr '\n' ' ')" = '100 101 102 ' ] || fail "job numbers of a chain"
[ "$(sed -n 3p "$tmp/sbatch.words")" = '--parsable --no-requeue --dependency=afterany:101 --nodes=2 job.sbatch data work' ] ||
  fail "third job of the chain: $(sed -n 3p "$tmp/sbatch.words")"

refused 'give DATASET'
refused 'give DATASET' --plans "$tmp/plans.json"
refused 'nodes must be greater' $plan --nodes 0
refused 'configuration' $plan --gflops 1 --configs nosuch
refused 'give --work' "$data" --sbatch
refused 'for --sbatch' $plan -o "$tmp/x"
sed '/numTraining/d' "$data/dataset.json" > "$tmp/dataset.json"
refused 'give --cases' --plans "$tmp/plans.json" --dataset-json "$tmp/dataset.json" --gflops 1
[ ! -e "$tmp/x" ] || fail "a refused command left a file"
echo passed
